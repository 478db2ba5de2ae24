//! Files of strangers are read in a process of their own: this binary again, without our environment, under limits of
//! memory, processor time, wall time and output. What a hostile file does there, it does to that process alone.
//!
//! The file goes in by standard input. The answer comes back in one frame, so that half an answer is not taken for one.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rag::{Document, Limits, Refusal};
use rlimit::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

const MAGIC: &[u8; 4] = b"GDOC";

/// Text as JSON, with the names of the fields around each block: some times the text at most.
const OUTPUT_FOR_TEXT: u64 = 8;
const OUTPUT_AT_LEAST: u64 = 1 << 20;
/// What a dying process says of itself; only its form is looked at.
const LAST_WORDS: u64 = 4096;
/// Starting the process and reading its answer are not the file's fault.
const GRACE: Duration = Duration::from_secs(5);

const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;

/// How files are read.
#[derive(Clone, Debug)]
pub struct Worker {
    program: PathBuf,
    folder: PathBuf,
    limits: Limits,
    /// Address space of the process, in bytes.
    memory: u64,
}

/// Why there is no document.
#[derive(Debug)]
pub enum ParseError {
    /// The file is at fault, or too much for us: the reason is for whoever sent it.
    Refused(Refusal),
    /// We are: the process could not be started.
    Failed(std::io::Error),
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ParseError::Refused(refusal) => refusal.fmt(f),
            ParseError::Failed(error) => write!(f, "the parsing process cannot be started: {error}"),
        }
    }
}

impl std::error::Error for ParseError {}

impl Worker {
    /// With this program itself, and 2 GiB of memory.
    ///
    /// # Errors
    /// When the system does not say where this program is.
    pub fn new(limits: Limits) -> std::io::Result<Worker> {
        Ok(Worker::with(std::env::current_exe()?, limits, 2 << 30))
    }

    /// With the `guichet` at this path.
    pub fn with(program: PathBuf, limits: Limits, memory: u64) -> Worker {
        Worker { program, folder: PathBuf::from("/"), limits, memory }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads a file. Dropping the future ends the process.
    ///
    /// # Errors
    /// [`ParseError`].
    pub async fn parse(&self, name: &str, file: Bytes) -> Result<Document, ParseError> {
        if file.len() as u64 > self.limits.input {
            return Err(ParseError::Refused(Refusal::TooLarge { limit: self.limits.input }));
        }
        let limits = serde_json::to_string(&self.limits).map_err(|error| ParseError::Failed(error.into()))?;
        let mut child = Command::new(&self.program)
            .args(["document", "parse-worker"])
            .arg(format!("--name={}", bare(name)))
            .arg(format!("--limits={limits}"))
            .arg(format!("--memory={}", self.memory))
            .env_clear()
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(ParseError::Failed)?;
        let (input, output, words) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let most = OUTPUT_AT_LEAST.saturating_add(self.limits.text.saturating_mul(OUTPUT_FOR_TEXT));
        let talk = async {
            let write = async {
                if let Some(mut input) = input {
                    // A process that stops reading says why in its answer.
                    drop(input.write_all(&file).await);
                }
            };
            let ((), answer, words) = tokio::join!(write, all(output, most.saturating_add(1)), all(words, LAST_WORDS));
            if answer.len() as u64 > most {
                return Err(ParseError::Refused(Refusal::TooMuchText { limit: self.limits.text }));
            }
            let status = child.wait().await.map_err(ParseError::Failed)?;
            match framed(&answer) {
                Some(answer) if status.success() => answer.map_err(ParseError::Refused),
                _ => Err(ParseError::Refused(self.died(status, &words))),
            }
        };
        match tokio::time::timeout(self.limits.time.saturating_add(GRACE), talk).await {
            Ok(result) => result,
            Err(_) => Err(ParseError::Refused(self.slow())),
        }
    }

    fn slow(&self) -> Refusal {
        Refusal::TooSlow { seconds: self.limits.time.as_secs() }
    }

    /// What a process that ended without an answer died of.
    fn died(&self, status: ExitStatus, words: &[u8]) -> Refusal {
        let said = |what: &[u8]| words.windows(what.len()).any(|window| window == what);
        match status.signal() {
            Some(SIGXCPU | SIGKILL) => self.slow(),
            _ if said(b"memory allocation of") => Refusal::TooMuchMemory { limit: self.memory },
            _ if said(b"overflowed its stack") => Refusal::TooDeep { limit: self.limits.nesting },
            _ => Refusal::Broken { kind: "?".to_owned() },
        }
    }
}

/// All that is left of the name is its extension: names of documents have no place in a list of processes.
fn bare(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let plain = extension.len() <= 10 && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    format!("file.{}", if plain { extension } else { "" })
}

async fn all(pipe: Option<impl tokio::io::AsyncRead + Unpin>, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before a broken pipe is all there is; the frame tells whether it is whole.
        drop(pipe.take(most).read_to_end(&mut bytes).await);
    }
    bytes
}

fn framed(answer: &[u8]) -> Option<Result<Document, Refusal>> {
    let rest = answer.strip_prefix(MAGIC)?;
    let (length, json) = rest.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*length) == json.len() as u64).then(|| serde_json::from_slice(json).ok())?
}

/// The other side: reads the file from `input` and answers in a frame, under limits set here before anything else.
///
/// # Errors
/// When a limit cannot be set, or a pipe breaks.
pub fn serve(
    name: &str,
    limits: &Limits,
    memory: u64,
    input: &mut impl Read,
    output: &mut impl Write,
) -> std::io::Result<()> {
    let seconds = limits.time.as_secs().saturating_add(1);
    Resource::AS.set(memory, memory)?;
    // Past the soft limit the process is told, and dies of it.
    Resource::CPU.set(seconds, seconds.saturating_add(1))?;
    Resource::CORE.set(0, 0)?;
    Resource::FSIZE.set(0, 0)?;
    let mut file = Vec::new();
    input.take(limits.input.saturating_add(1)).read_to_end(&mut file)?;
    let answer = rag::parse(&file, name, limits);
    drop(file);
    let json = serde_json::to_vec(&answer)?;
    output.write_all(MAGIC)?;
    output.write_all(&(json.len() as u64).to_le_bytes())?;
    output.write_all(&json)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a file when the process does this instead of reading it.
    async fn with(script: &str, limits: Limits) -> Result<Document, ParseError> {
        let folder = tempfile::tempdir().unwrap();
        // `sh document parse-worker …` runs the script of that name.
        std::fs::write(folder.path().join("document"), script).unwrap();
        let mut worker = Worker::with("/bin/sh".into(), limits, 1 << 30);
        worker.folder = folder.path().to_owned();
        worker.parse("a.txt", Bytes::from_static(b"texte")).await
    }

    async fn refused(script: &str) -> Refusal {
        let limits = Limits { time: Duration::ZERO, text: 1024, ..Limits::default() };
        match with(script, limits).await {
            Err(ParseError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    fn frame(json: &str) -> String {
        let length: String = (json.len() as u64).to_le_bytes().iter().map(|byte| format!("\\{byte:03o}")).collect();
        format!("printf 'GDOC{length}'; printf '%s' '{json}'")
    }

    #[tokio::test]
    async fn an_answer_is_believed_only_whole() {
        let json = r#"{"Ok":{"title":"T","language":null,"blocks":[]}}"#;
        let document = with(&frame(json), Limits::default()).await.unwrap();
        assert_eq!(document.title.as_deref(), Some("T"));
        let broken = Refusal::Broken { kind: "?".to_owned() };
        assert_eq!(refused(&frame(json).replace("}}'", "}'")).await, broken);
        assert_eq!(refused(&format!("{}; exit 1", frame(json))).await, broken);
        assert_eq!(refused("true").await, broken);
        assert_eq!(refused(&frame(r#"{"Err":{"reason":"empty"}}"#)).await, Refusal::Empty);
    }

    #[tokio::test]
    async fn each_death_has_its_reason() {
        assert_eq!(refused("kill -SEGV $$").await, Refusal::Broken { kind: "?".to_owned() });
        assert_eq!(refused("kill -XCPU $$").await, Refusal::TooSlow { seconds: 0 });
        let limit = 1 << 30;
        let starved = "echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$";
        assert_eq!(refused(starved).await, Refusal::TooMuchMemory { limit });
        let deep = "echo 'thread main has overflowed its stack' >&2; kill -ABRT $$";
        assert_eq!(refused(deep).await, Refusal::TooDeep { limit: 200 });
    }

    #[tokio::test]
    async fn a_flood_is_cut() {
        assert_eq!(refused("exec cat /dev/zero").await, Refusal::TooMuchText { limit: 1024 });
    }

    #[tokio::test]
    async fn silence_is_cut() {
        assert_eq!(refused("exec sleep 600").await, Refusal::TooSlow { seconds: 0 });
    }

    #[tokio::test]
    async fn dropping_the_reading_ends_the_process() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("document"), "echo $$ > pid.new; mv pid.new pid; exec sleep 600").unwrap();
        let mut worker = Worker::with("/bin/sh".into(), Limits::default(), 1 << 30);
        worker.folder = folder.path().to_owned();
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        let started = async {
            loop {
                if let Ok(pid) = std::fs::read_to_string(folder.path().join("pid")) {
                    return PathBuf::from(format!("/proc/{}/fd", pid.trim()));
                }
                assert!(std::time::Instant::now() < patience, "the process does not start");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let files = tokio::select! {
            ended = worker.parse("a.txt", Bytes::new()) => panic!("{ended:?}"),
            files = started => files,
        };
        // A process that is dead and not yet waited for has no files.
        while std::fs::read_dir(&files).is_ok_and(|mut files| files.next().is_some()) {
            assert!(std::time::Instant::now() < patience, "the process goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn our_environment_and_the_name_stay_with_us() {
        let script = r#"test -z "$CARGO_MANIFEST_DIR" && test "$2" = --name=file.txt && "#;
        let json = r#"{"Ok":{"title":null,"language":null,"blocks":[]}}"#;
        let document = with(&format!("{script} {{ {}; }}", frame(json)), Limits::default()).await;
        assert!(document.is_ok(), "{document:?}");
        assert_eq!(bare("secret.d'état"), "file.");
        assert_eq!(bare("sans extension"), "file.");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_our_failure() {
        let worker = Worker::with("/nowhere/guichet".into(), Limits::default(), 1 << 30);
        let failed = worker.parse("a.txt", Bytes::from_static(b"texte")).await;
        assert!(matches!(failed, Err(ParseError::Failed(_))), "{failed:?}");
    }
}
