//! `guichet document`: what is read in a file, and how it is split, without a server.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rag::split::{Characters, Options, Separators, Tokenizer};
use rag::{Document, Limits, PageState, Refusal};

use super::{Failure, Outcome};
use crate::ingest::ocr::tesseract;
use crate::ingest::{Worker, worker};

#[derive(Subcommand)]
pub enum Command {
    /// Print what is read in a file: PDF, DOCX, ODT, HTML, Markdown, text, CSV, JSON, JSONL
    Parse(Parse),
    /// Print the chunks of a file
    Split(Split),
    /// Read files from standard input, under limits: what the other commands start
    #[command(hide = true)]
    ParseWorker(ParseWorker),
    /// Become another program, under limits: how OCR is started
    #[command(hide = true)]
    Limited(Limited),
}

#[derive(Args)]
pub struct Parse {
    file: PathBuf,
    /// Print JSON: blocks, pages, title, language
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Split {
    file: PathBuf,
    /// Print JSON: each chunk with its headings, pages and place
    #[arg(long)]
    json: bool,
    /// Most tokens of a chunk, counted with cl100k
    #[arg(long, default_value_t = 512, conflicts_with = "chunk_size")]
    tokens: usize,
    /// Most characters of a chunk, as in Albert API
    #[arg(long)]
    chunk_size: Option<usize>,
    /// Characters (or tokens) repeated from the chunk before
    #[arg(long, default_value_t = 0)]
    chunk_overlap: usize,
    /// Smaller chunks are joined to their neighbour
    #[arg(long)]
    chunk_min_size: Option<usize>,
    /// Cut at these instead of at the structure; may be repeated, tried in order
    #[arg(long = "separator", value_name = "TEXT")]
    separators: Vec<String>,
    /// Separators are regular expressions
    #[arg(long)]
    is_separator_regex: bool,
    /// One chunk, whatever its size
    #[arg(long)]
    disable_chunking: bool,
}

#[derive(Args)]
pub struct ParseWorker {
    #[arg(long)]
    limits: String,
    #[arg(long)]
    memory: u64,
}

#[derive(Args)]
pub struct Limited {
    #[arg(long)]
    memory: u64,
    #[arg(long)]
    seconds: u64,
    program: String,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Command {
    pub async fn run(self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Parse(parse) => parse.run(out).await,
            Command::Split(split) => split.run(out).await,
            Command::ParseWorker(parse) => {
                let limits: Limits = serde_json::from_str(&parse.limits)?;
                worker::serve(&limits, parse.memory, &mut std::io::stdin().lock(), out)?;
                Ok(())
            }
            Command::Limited(Limited { memory, seconds, program, words }) => {
                let error = tesseract::limited(memory, seconds, &program, &words);
                drop(writeln!(std::io::stderr(), "{program}: {error}"));
                std::process::exit(i32::from(tesseract::code(&error)))
            }
        }
    }
}

impl Parse {
    async fn run(self, out: &mut impl Write) -> Outcome {
        let document = read(&self.file).await?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
        } else {
            writeln!(out, "{}", document.render().text)?;
        }
        let scans = document.pages_in(PageState::Scan);
        if !scans.is_empty() {
            writeln!(std::io::stderr(), "{}", Refusal::NeedsOcr { pages: scans })?;
        }
        Ok(())
    }
}

impl Split {
    async fn run(self, out: &mut impl Write) -> Outcome {
        let document = read(&self.file).await?;
        let (options, tokenizer): (Options, &dyn Tokenizer) = match self.chunk_size {
            Some(size) => (Options { size, ..Options::albert() }, &Characters),
            None => (Options::tokens(self.tokens), &tokens),
        };
        let separators = match (self.disable_chunking, self.is_separator_regex) {
            (true, _) => Separators::Whole,
            _ if self.separators.is_empty() => Separators::Structure,
            (_, true) => Separators::Patterns(self.separators),
            (_, false) => Separators::Literal(self.separators),
        };
        let min_size = self.chunk_min_size.unwrap_or(options.min_size);
        let options = Options { overlap: self.chunk_overlap, min_size, separators, ..options };
        let chunks = rag::split::split(&document, &options, tokenizer)?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&chunks)?)?;
            return Ok(());
        }
        for (number, chunk) in (1..).zip(&chunks) {
            let page = chunk.page.map(|page| format!(", page {page}")).unwrap_or_default();
            let size = tokenizer.count(&chunk.text);
            writeln!(out, "[{number}] {size}{page}: {}\n{}\n", chunk.headings.join(" > "), chunk.text)?;
        }
        Ok(())
    }
}

fn tokens(text: &str) -> usize {
    tiktoken_rs::cl100k_base_singleton().encode_ordinary(text).len()
}

async fn read(file: &Path) -> Result<Document, Failure> {
    let worker = Worker::new(Limits::default())?;
    let told = |error: std::io::Error| Failure(format!("{}: {error}", file.display()));
    // Its size is looked at first: a file of any size is not taken into memory to be refused.
    let size = std::fs::metadata(file).map_err(told)?.len();
    let limit = worker.limits().input;
    if size > limit {
        return Err(Refusal::TooLarge { limit }.into());
    }
    let bytes = std::fs::read(file).map_err(told)?;
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    Ok(worker.parse(&name, bytes.into()).await?)
}
