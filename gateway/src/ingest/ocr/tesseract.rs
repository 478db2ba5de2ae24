//! `tesseract` with `pdftoppm`: a page is drawn, then read, each in a process of its own under limits of memory and
//! processor time, without our environment.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rlimit::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::ingest::setback::Setback;

/// The longer side of a page as it is drawn, in pixels: 300 a inch for A4, whatever size a file says it has.
const PIXELS: u32 = 3_508;
/// Of either process.
const MEMORY: u64 = 2 << 30;
const SECONDS: u64 = 120;
/// Bytes of a drawn page, and of its text.
const DRAWN: u64 = 64 << 20;
const TEXT: u64 = 4 << 20;
const WORDS: u64 = 4_096;
/// Pages read at once, whoever asks: each takes a processor.
const AT_ONCE: usize = 2;
/// What a shell, and so [`limited`], answers for a program that is not there.
const ABSENT: i32 = 127;

/// Reads pages on this machine.
#[derive(Clone, Debug)]
pub struct Tesseract {
    /// This program, which limits itself before it becomes another.
    guichet: PathBuf,
    language: String,
    /// Pages read at once.
    places: Arc<Semaphore>,
}

impl Tesseract {
    pub fn new(guichet: PathBuf, language: &str) -> Tesseract {
        Tesseract { guichet, language: language.to_owned(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The text of a page of a PDF, counted from 1.
    ///
    /// # Errors
    /// [`Setback::Failed`] when the page cannot be drawn or read within the limits, or a program is not installed.
    pub async fn page(&self, pdf: &Bytes, page: u32) -> Result<String, Setback> {
        let _place = self.places.acquire().await;
        let number = page.to_string();
        let size = PIXELS.to_string();
        let words = ["-q", "-gray", "-f", &number, "-l", &number, "-scale-to", &size, "-"];
        let drawn = self.run("pdftoppm", &words, pdf, DRAWN).await.map_err(|trouble| trouble.told(Some(page)))?;
        self.read(&drawn.into()).await.map_err(|trouble| trouble.told(Some(page)))
    }

    /// The text of an image: PNG, JPEG, TIFF, PNM, WebP.
    ///
    /// # Errors
    /// As for [`Tesseract::page`].
    pub async fn image(&self, image: &Bytes) -> Result<String, Setback> {
        let _place = self.places.acquire().await;
        self.read(image).await.map_err(|trouble| trouble.told(None))
    }

    async fn read(&self, image: &Bytes) -> Result<String, Trouble> {
        let text = self.run("tesseract", &["stdin", "stdout", "-l", &self.language, "--psm", "3"], image, TEXT).await?;
        Ok(paragraphs(&String::from_utf8_lossy(&text)))
    }

    async fn run(&self, program: &'static str, words: &[&str], input: &Bytes, most: u64) -> Result<Vec<u8>, Trouble> {
        let mut child = Command::new(&self.guichet)
            .args(["document", "limited"])
            .args([format!("--memory={MEMORY}"), format!("--seconds={SECONDS}")])
            .args(["--", program])
            .args(words)
            .env_clear()
            .envs(kept())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Trouble::Ours(error.to_string()))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let talk = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A process that stops reading says why by its end.
                    drop(stdin.write_all(input).await);
                }
            };
            let ((), answer, said) = tokio::join!(write, all(stdout, most + 1), all(stderr, WORDS));
            // One that has more to say than we take is not waited for.
            if answer.len() as u64 > most {
                return Err(Trouble::Page);
            }
            let status = child.wait().await.map_err(|error| Trouble::Ours(error.to_string()))?;
            if status.success() {
                return Ok(answer);
            }
            let said = String::from_utf8_lossy(&said).into_owned();
            tracing::warn!(program, %status, said = said.trim(), "a page could not be read");
            Err(match status.code() {
                Some(ABSENT) => Trouble::Absent(program),
                _ if said.contains("Error opening data file") => Trouble::Language,
                _ => Trouble::Page,
            })
        };
        match tokio::time::timeout(Duration::from_secs(SECONDS), talk).await {
            Ok(result) => result,
            Err(_) => Err(Trouble::Page),
        }
    }
}

/// Where programs and the data of languages are; one thread each, the machine has other work.
fn kept() -> impl Iterator<Item = (&'static str, OsString)> {
    let kept = ["PATH", "TESSDATA_PREFIX"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    kept.chain([("OMP_THREAD_LIMIT", OsString::from("1"))])
}

async fn all(pipe: Option<impl tokio::io::AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before a broken pipe is all there is; the end of the process tells whether it is whole.
        drop(pipe.take(most).read_to_end(&mut bytes).await);
    }
    bytes
}

/// Why a page has no text.
enum Trouble {
    /// It cannot be drawn, or read within the limits.
    Page,
    Absent(&'static str),
    Language,
    Ours(String),
}

impl Trouble {
    fn told(self, page: Option<u32>) -> Setback {
        match (self, page) {
            (Trouble::Page, Some(page)) => Setback::failed(
                format!("La page {page} n’a pu être lue par reconnaissance de caractères (OCR)."),
                format!("Page {page} could not be read by optical character recognition (OCR)."),
            ),
            (Trouble::Page, None) => Setback::failed(
                "L’image n’a pu être lue par reconnaissance de caractères (OCR).",
                "The image could not be read by optical character recognition (OCR).",
            ),
            (Trouble::Absent(program), _) => Setback::failed(
                format!("La reconnaissance de caractères (OCR) n’est pas installée sur ce serveur ({program})."),
                format!("Optical character recognition (OCR) is not installed on this server ({program})."),
            ),
            (Trouble::Language, _) => Setback::failed(
                "Les données de langue de la reconnaissance de caractères (OCR) ne sont pas installées.",
                "The language data of optical character recognition (OCR) are not installed.",
            ),
            (Trouble::Ours(error), _) => {
                tracing::error!(error, "OCR cannot be started");
                Setback::later(
                    "La reconnaissance de caractères (OCR) ne peut démarrer ; elle reprendra d’elle-même.",
                    "Optical character recognition (OCR) cannot start; it will resume by itself.",
                )
            }
        }
    }
}

/// Lines into paragraphs parted by blank lines; words cut at a line's end are made whole.
fn paragraphs(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for paragraph in text.split("\n\n") {
        let mut made = String::new();
        for line in paragraph.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let cut = made
                .strip_suffix('-')
                .filter(|start| start.ends_with(char::is_alphabetic) && line.starts_with(char::is_lowercase));
            match cut.map(str::len) {
                Some(length) => made.truncate(length),
                None if made.is_empty() => {}
                None => made.push(' '),
            }
            made.push_str(line);
        }
        let made = made.replace('\u{c}', "");
        if !made.trim().is_empty() {
            if !whole.is_empty() {
                whole.push_str("\n\n");
            }
            whole.push_str(made.trim());
        }
    }
    whole
}

/// Limits this process and becomes another program: what `guichet document limited` does. Comes back only when there is
/// no such program.
pub fn limited(memory: u64, seconds: u64, program: &str, words: &[String]) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let limits = [
        Resource::AS.set(memory, memory),
        // Past the soft limit the process is told, and dies of it.
        Resource::CPU.set(seconds, seconds.saturating_add(1)),
        Resource::CORE.set(0, 0),
        Resource::FSIZE.set(0, 0),
    ];
    match limits.into_iter().find_map(Result::err) {
        Some(error) => error,
        None => std::process::Command::new(program).args(words).exec(),
    }
}

/// The exit code of a program that could not be started.
pub fn code(error: &std::io::Error) -> u8 {
    if error.kind() == ErrorKind::NotFound { 127 } else { 126 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_paragraphs() {
        let read = "Le préfet de la ré-\ngion\narrête :\n\n \nArticle 1er - Le pont\nest fermé.\n\u{c}";
        assert_eq!(paragraphs(read), "Le préfet de la région arrête :\n\nArticle 1er - Le pont est fermé.");
        assert_eq!(paragraphs("\u{c}\n \n"), "");
        assert_eq!(paragraphs("Rhône-\nAlpes"), "Rhône- Alpes");
    }
}
