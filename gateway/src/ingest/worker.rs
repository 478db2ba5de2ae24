//! Files of strangers are read in a process of their own: this binary again, without our environment, under limits of
//! memory, processor time, wall time and output. What a hostile file does there, it does to that process alone.
//!
//! A file goes in by standard input, under its name. The answer comes back in one frame, so that half an answer is not
//! taken for one.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rag::{Document, Limits, Refusal};
use rlimit::Resource;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

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

    /// Reads a file in a process of its own. Dropping the future ends the process.
    ///
    /// # Errors
    /// [`ParseError`].
    pub async fn parse(&self, name: &str, file: Bytes) -> Result<Document, ParseError> {
        self.fits(&file)?;
        let mut process = self.start()?;
        let answer = process.ask(self, name, &file).await?;
        // One that ends badly after its answer is not believed.
        process.end(self).await?;
        answer.map_err(ParseError::Refused)
    }

    /// Several files in one process, one after the other, as long as it goes well: to start one takes longer than to read
    /// a page of text. They are to be of one collection, since a file that broke into the process would have those after
    /// it.
    pub fn series(&self) -> Series<'_> {
        Series { worker: self, process: None }
    }

    fn fits(&self, file: &Bytes) -> Result<(), ParseError> {
        let limit = self.limits.input;
        if file.len() as u64 > limit { Err(ParseError::Refused(Refusal::TooLarge { limit })) } else { Ok(()) }
    }

    fn start(&self) -> Result<Process, ParseError> {
        let limits = serde_json::to_string(&self.limits).map_err(|error| ParseError::Failed(error.into()))?;
        let mut child = Command::new(&self.program)
            .args(["document", "parse-worker"])
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
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(input), Some(output), Some(errors)) => {
                Ok(Process { child, input, output, errors, words: Vec::new() })
            }
            _ => Err(ParseError::Failed(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn slow(&self) -> ParseError {
        ParseError::Refused(Refusal::TooSlow { seconds: self.limits.time.as_secs() })
    }

    /// What a process that ended without an answer died of.
    fn died(&self, status: ExitStatus, words: &[u8]) -> ParseError {
        let said = |what: &[u8]| words.windows(what.len()).any(|window| window == what);
        ParseError::Refused(match status.signal() {
            Some(SIGXCPU | SIGKILL) => return self.slow(),
            // An allocation that ends the process, or one that reading the file could be refused.
            _ if said(b"memory allocation of") || said(b"out of memory") => {
                Refusal::TooMuchMemory { limit: self.memory }
            }
            _ if said(b"overflowed its stack") => Refusal::TooDeep { limit: self.limits.nesting },
            _ => Refusal::Broken { kind: "?".to_owned() },
        })
    }
}

/// Several files, one after the other.
pub struct Series<'a> {
    worker: &'a Worker,
    /// One that has answered, and may answer again.
    process: Option<Process>,
}

impl Series<'_> {
    /// Reads the next file. All share the limits of one. A file that ends a process which has read others is read again
    /// by one that has not: what is said of it is said of it alone.
    ///
    /// # Errors
    /// [`ParseError`].
    pub async fn parse(&mut self, name: &str, file: Bytes) -> Result<Document, ParseError> {
        self.worker.fits(&file)?;
        if let Some(mut process) = self.process.take()
            && let Ok(answer) = process.ask(self.worker, name, &file).await
        {
            self.process = Some(process);
            return answer.map_err(ParseError::Refused);
        }
        let mut process = self.worker.start()?;
        let answer = process.ask(self.worker, name, &file).await?;
        self.process = Some(process);
        answer.map_err(ParseError::Refused)
    }
}

/// A process that reads files. Dropped, it is killed.
struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: ChildStderr,
    /// The beginning of what it said of itself.
    words: Vec<u8>,
}

impl Process {
    /// Has a file read. An error when there is no answer: then there will be none any more.
    async fn ask(
        &mut self,
        worker: &Worker,
        name: &str,
        file: &Bytes,
    ) -> Result<Result<Document, Refusal>, ParseError> {
        let Process { child, input, output, errors, words } = self;
        let most = OUTPUT_AT_LEAST.saturating_add(worker.limits.text.saturating_mul(OUTPUT_FOR_TEXT));
        let talk = async {
            // A process that stops reading says why in its answer.
            let write = async { drop(send(input, name, file).await) };
            match tokio::join!(write, framed(output, most)).1 {
                Frame::Whole(answer) => Ok(Ok(answer)),
                Frame::Flood => Err(ParseError::Refused(Refusal::TooMuchText { limit: worker.limits.text })),
                Frame::None => Ok(Err(child.wait().await.map_err(ParseError::Failed)?)),
            }
        };
        let said = tokio::time::timeout(worker.limits.time.saturating_add(GRACE), async {
            tokio::select! {
                said = talk => said,
                never = listen(errors, words) => match never {},
            }
        });
        match said.await.map_err(|_| worker.slow())?? {
            Ok(answer) => Ok(answer),
            Err(status) => {
                // What came before a broken pipe is all there is.
                drop(errors.take(LAST_WORDS).read_to_end(words).await);
                Err(worker.died(status, words))
            }
        }
    }

    /// Lets it end.
    async fn end(mut self, worker: &Worker) -> Result<(), ParseError> {
        drop(self.input);
        let ended = tokio::time::timeout(GRACE, async {
            tokio::select! {
                status = self.child.wait() => status.map_err(ParseError::Failed),
                never = listen(&mut self.errors, &mut self.words) => match never {},
            }
        });
        let status = ended.await.map_err(|_| worker.slow())??;
        if status.success() { Ok(()) } else { Err(worker.died(status, &self.words)) }
    }
}

async fn send(input: &mut ChildStdin, name: &str, file: &Bytes) -> std::io::Result<()> {
    let name = bare(name);
    input.write_all(&(name.len() as u64).to_le_bytes()).await?;
    input.write_all(name.as_bytes()).await?;
    input.write_all(&(file.len() as u64).to_le_bytes()).await?;
    input.write_all(file).await?;
    input.flush().await
}

/// All that is left of the name is its extension: the other side needs no more.
fn bare(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let plain = extension.len() <= 10 && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    format!("file.{}", if plain { extension } else { "" })
}

/// Keeps the beginning of what is said, and lets nothing block that is said after.
async fn listen(errors: &mut (impl AsyncRead + Unpin), words: &mut Vec<u8>) -> Infallible {
    let mut piece = [0; 512];
    while let Ok(length @ 1..) = errors.read(&mut piece).await {
        if (words.len() as u64) < LAST_WORDS {
            words.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
    }
    std::future::pending().await
}

/// What came out of a process.
enum Frame {
    Whole(Result<Document, Refusal>),
    /// More than any answer.
    Flood,
    /// Nothing that is one, and nothing more.
    None,
}

async fn framed(output: &mut (impl AsyncRead + Unpin), most: u64) -> Frame {
    let mut head = [0; 12];
    if output.read_exact(&mut head).await.is_err() {
        return Frame::None;
    }
    let (magic, length) = head.split_at(MAGIC.len());
    let length = length.try_into().map_or(0, u64::from_le_bytes);
    if magic != MAGIC {
        let rest = tokio::io::copy(&mut output.take(most), &mut tokio::io::sink()).await;
        return if rest.is_ok_and(|rest| rest == most) { Frame::Flood } else { Frame::None };
    }
    if length > most {
        return Frame::Flood;
    }
    let mut json = Vec::new();
    let read = output.take(length).read_to_end(&mut json).await;
    if read.is_ok_and(|read| read as u64 == length)
        && let Ok(answer) = serde_json::from_slice(&json)
    {
        return Frame::Whole(answer);
    }
    Frame::None
}

/// The other side: reads files from `input` until its end and answers each in a frame, under limits set here before
/// anything else.
///
/// # Errors
/// When a limit cannot be set, or a pipe breaks.
pub fn serve(limits: &Limits, memory: u64, input: &mut impl Read, output: &mut impl Write) -> std::io::Result<()> {
    let seconds = limits.time.as_secs().saturating_add(1);
    Resource::AS.set(memory, memory)?;
    // Past the soft limit the process is told, and dies of it.
    Resource::CPU.set(seconds, seconds.saturating_add(1))?;
    Resource::CORE.set(0, 0)?;
    Resource::FSIZE.set(0, 0)?;
    while let Some(name) = counted(input)? {
        let file = counted(input)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let answer = rag::parse(&file, &name, limits);
        drop(file);
        let json = serde_json::to_vec(&answer)?;
        output.write_all(MAGIC)?;
        output.write_all(&(json.len() as u64).to_le_bytes())?;
        output.write_all(&json)?;
        output.flush()?;
    }
    Ok(())
}

/// Bytes after their number; none at the end.
fn counted(input: &mut impl Read) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    input.by_ref().take(8).read_to_end(&mut head)?;
    let Ok(head) = <[u8; 8]>::try_from(head) else { return Ok(None) };
    let length = u64::from_le_bytes(head);
    let mut bytes = Vec::new();
    if input.by_ref().take(length).read_to_end(&mut bytes)? as u64 == length {
        return Ok(Some(bytes));
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}
