//! From a file to chunks: the first lane.

use std::collections::HashMap;
use std::path::{Component, Path};
use std::time::Instant;

use bytes::Bytes;
use rag::analyse::Analyser;
use rag::split::{Chunk, Options, Separators};
use rag::{Document, Refusal};
use serde::Deserialize;

use super::crew::{Crew, SLICE, class, payer};
use super::reader::Parsed;
use super::setback::Setback;
use super::worker::Series;
use crate::passage;
use crate::store::jobs::{Held, Stage};
use crate::store::work::{Cut, NewChunk, Work};

/// Tries to find a file that may be on its way: several processes may share a folder that lags behind.
const TRIES: i64 = 5;
/// Kept free in the context of the embedding model, for a title and a prefix.
const MARGIN: u64 = 32;
/// A run without a blank that is longer is no word of any language: it is not counted exactly, which would take long.
const LONGEST_WORD: usize = 1_000;
/// Bytes of a token at most, in a text worth counting: a longer text is more than any chunk.
const BYTES_PER_TOKEN: usize = 16;

/// How a document is split, as its upload said it in Albert API's words; sizes in characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Splitting {
    pub chunk_size: Option<usize>,
    pub chunk_overlap: Option<usize>,
    pub chunk_min_size: Option<usize>,
    pub separators: Vec<String>,
    pub is_separator_regex: bool,
    pub disable_chunking: bool,
    /// The name its file came with, where the document goes by another: it tells the format.
    pub filename: Option<String>,
}

impl Splitting {
    /// Options and whether sizes are in characters; in tokens otherwise, `tokens` of them at most.
    pub fn options(&self, tokens: usize) -> (Options, bool) {
        let characters = self.chunk_size.is_some() || self.chunk_overlap.is_some() || self.chunk_min_size.is_some();
        let base = if characters { Options::albert() } else { Options::tokens(tokens) };
        let separators = match (self.disable_chunking, self.separators.is_empty(), self.is_separator_regex) {
            (true, ..) => Separators::Whole,
            (_, true, _) => Separators::Structure,
            (_, _, false) => Separators::Literal(self.separators.clone()),
            (_, _, true) => Separators::Patterns(self.separators.clone()),
        };
        let options = Options {
            size: self.chunk_size.unwrap_or(base.size),
            overlap: self.chunk_overlap.unwrap_or(base.overlap),
            min_size: self.chunk_min_size.unwrap_or(base.min_size),
            separators,
        };
        (options, characters)
    }
}

/// Tokens of a text: as the vocabulary cl100k counts them, which has more of them for French than embedding models have.
/// Far longer texts than any chunk, and what is no prose, are estimated.
pub fn tokens(text: &str, enough: usize) -> usize {
    let longest = text.split_ascii_whitespace().map(str::len).max().unwrap_or(0);
    if text.len() > enough.saturating_mul(BYTES_PER_TOKEN) || longest > LONGEST_WORD {
        return text.len().div_ceil(3);
    }
    tiktoken_rs::cl100k_base_singleton().encode_ordinary(text).len()
}

/// A document between its file and its chunks.
struct Taken {
    job: Held,
    work: Work,
    file: Bytes,
}

/// Reads documents of one collection and hands them over. What it cost, for turns between organizations: bytes of text.
pub async fn read(crew: &Crew, jobs: &[Held]) -> u64 {
    let documents: Vec<i64> = jobs.iter().map(|job| job.document).collect();
    let mut works: HashMap<i64, Work> = match crew.store.works(&documents).await {
        Ok(works) => works.into_iter().map(|work| (work.document, work)).collect(),
        Err(error) => {
            let words = Setback::from(error);
            for job in jobs {
                crew.set_back(job, None, &words).await;
            }
            return 0;
        }
    };
    let started = Instant::now();
    let mut series = crew.reader.parser.series();
    let (mut read, mut scanned) = (Vec::new(), Vec::new());
    let mut left = jobs.iter();
    for job in left.by_ref() {
        crew.moved(job.document);
        match parsed(crew, &mut series, job, works.remove(&job.document)).await {
            Ok((taken, parsed)) if parsed.scans.is_empty() => read.push((taken, parsed.document)),
            Ok(scan) => scanned.push(scan),
            Err(setback) => crew.set_back(job, None, &setback).await,
        }
        if started.elapsed() > SLICE {
            break;
        }
    }
    drop(series);
    give_back(crew, left.map(|job| job.document).collect()).await;
    let mut cost = hand_over(crew, read, jobs.len() == 1).await;
    for (taken, parsed) in scanned {
        let who = payer(&taken.work);
        match crew.reader.complete(parsed, taken.file.clone(), (&who, class(&taken.work))).await {
            Ok(document) => cost += hand_over(crew, vec![(taken, document)], true).await,
            Err(setback) => crew.set_back(&taken.job, None, &setback).await,
        }
    }
    cost
}

async fn parsed(
    crew: &Crew,
    series: &mut Series<'_>,
    job: &Held,
    work: Option<Work>,
) -> Result<(Taken, Parsed), Setback> {
    let work = work.ok_or(Setback::Gone)?;
    let file = file(crew, &work, job.attempts).await?;
    let said: Splitting = serde_json::from_str(&work.options).unwrap_or_default();
    let name = said.filename.as_deref().unwrap_or(&work.name);
    let parsed = Parsed::of(series.parse(name, file.clone()).await)?;
    Ok((Taken { job: *job, work, file }, parsed))
}

/// For others to go on with: their turn has come.
async fn give_back(crew: &Crew, documents: Vec<i64>) {
    let back = async {
        let held = crew.store.advance_jobs(&documents, &crew.owner, Stage::Queued).await?;
        crew.store.release_jobs(&held, &crew.owner).await
    };
    if let Err(error) = back.await {
        tracing::warn!(%error, "documents are given back when their leases end");
    }
    documents.iter().for_each(|document| crew.moved(*document));
}

/// Splits documents of one collection and stores their chunks. Bytes of what was stored. `told`: that they are being
/// split is to be seen, since it may take a while.
async fn hand_over(crew: &Crew, read: Vec<(Taken, Document)>, told: bool) -> u64 {
    let jobs: Vec<Held> = read.iter().map(|(taken, _)| taken.job).collect();
    let Some(first) = jobs.first() else { return 0 };
    match cut(crew, read, told).await {
        Ok((cut, setbacks)) => {
            for (job, setback) in setbacks {
                crew.set_back(&job, None, &setback).await;
            }
            let cuts: Vec<Cut<'_>> =
                cut.iter().map(|(job, pages, chunks)| Cut { document: job.document, pages: *pages, chunks }).collect();
            let stored = crew.store.store_chunks(first.collection, &crew.owner, &cuts).await;
            let mut bytes = 0;
            for (job, _, chunks) in &cut {
                match &stored {
                    Ok(stored) if stored.contains(&job.document) => {
                        bytes += chunks.iter().map(|chunk| chunk.content.len() as u64).sum::<u64>();
                        crew.moved(job.document);
                    }
                    Ok(_) => crew.set_back(job, None, &Setback::Gone).await,
                    Err(_) => {}
                }
            }
            if let Err(error) = stored {
                let words = Setback::from(error);
                for (job, ..) in &cut {
                    crew.set_back(job, None, &words).await;
                }
            }
            bytes
        }
        Err(setback) => {
            for job in &jobs {
                crew.set_back(job, None, &setback).await;
            }
            0
        }
    }
}

/// A document that was split, with its pages.
type Split = (Held, Option<i64>, Vec<NewChunk>);

/// Splits documents on a thread for it: those that could be, and what is in the way of the others.
async fn cut(
    crew: &Crew,
    read: Vec<(Taken, Document)>,
    told: bool,
) -> Result<(Vec<Split>, Vec<(Held, Setback)>), Setback> {
    let Some((first, _)) = read.first() else { return Ok((Vec::new(), Vec::new())) };
    let model = crew.embedder.model(&first.work.model, &payer(&first.work))?;
    let most = model.context_length.map_or(usize::MAX, |context| {
        usize::try_from(context.saturating_sub(MARGIN).max(MARGIN)).unwrap_or(usize::MAX)
    });
    let size = crew.settings.chunk_tokens.clamp(1, most);
    let several = read.len() > 1;
    if told {
        let documents: Vec<i64> = read.iter().map(|(taken, _)| taken.job.document).collect();
        crew.store.advance_jobs(&documents, &crew.owner, Stage::Splitting).await?;
        documents.iter().for_each(|document| crew.moved(*document));
    }
    let cutting = tokio::task::spawn_blocking(move || {
        let (mut cut, mut setbacks) = (Vec::new(), Vec::new());
        for (Taken { job, work, .. }, document) in read {
            let pages = i64::try_from(document.pages.len()).ok().filter(|count| *count > 0);
            match split(&document, &work, size) {
                Ok(chunks) => cut.push((job, pages, chunks)),
                Err(setback) => setbacks.push((job, setback)),
            }
        }
        (cut, setbacks)
    });
    cutting.await.map_err(|error| {
        tracing::error!(%error, "a document could not be split");
        let failed = Setback::failed("Le document n’a pas pu être découpé.", "The document could not be split.");
        if several { failed.alone() } else { failed }
    })
}

async fn file(crew: &Crew, work: &Work, attempts: i64) -> Result<Bytes, Setback> {
    let path = work.file.as_deref().map(Path::new).filter(|path| {
        path.components().all(|part| matches!(part, Component::Normal(_))) && path.components().next().is_some()
    });
    let lost = || {
        Setback::failed(
            "Le fichier déposé n’est plus là ; déposez-le à nouveau.",
            "The uploaded file is no longer there; upload it again.",
        )
    };
    let path = crew.folder.join(path.ok_or_else(lost)?);
    match tokio::fs::read(&path).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && attempts >= TRIES => Err(lost()),
        Err(error) => {
            tracing::warn!(%error, document = work.document, "an uploaded file cannot be read");
            Err(Setback::later(
                "Le fichier déposé n’est pas accessible ; le traitement reprendra de lui-même.",
                "The uploaded file is not accessible; the work will resume by itself.",
            ))
        }
    }
}

fn split(document: &Document, work: &Work, size: usize) -> Result<Vec<NewChunk>, Setback> {
    let said: Splitting = serde_json::from_str(&work.options).unwrap_or_default();
    let (options, characters) = said.options(size);
    let counted = |text: &str| tokens(text, options.size);
    let chunks = match characters {
        true => rag::split::split(document, &options, &rag::split::Characters),
        false => rag::split::split(document, &options, &counted),
    };
    let chunks = chunks.map_err(|bad| Setback::failed(bad.french(), bad.english()))?;
    if chunks.is_empty() {
        return Err(Refusal::Empty.into());
    }
    let analyser = passage::analyser(&work.language);
    Ok(chunks.iter().map(|chunk| new_chunk(chunk, &analyser, size)).collect())
}

fn new_chunk(chunk: &Chunk, analyser: &Analyser, size: usize) -> NewChunk {
    let metadata = passage::metadata(chunk);
    let frequencies = passage::frequencies(analyser, &metadata, &chunk.text);
    NewChunk {
        tokens: i64::try_from(tokens(&chunk.text, size)).unwrap_or(i64::MAX),
        terms: frequencies.ids().collect(),
        length: passage::length(&frequencies),
        content: chunk.text.clone(),
        metadata: serde_json::Value::Object(metadata).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_say_how_to_split_in_alberts_words() {
        let said: Splitting = serde_json::from_str(r#"{"chunk_size": 100, "separators": ["\n"], "theme": 1}"#).unwrap();
        let (options, characters) = said.options(512);
        assert!(characters && options.size == 100 && options.separators == Separators::Literal(vec!["\n".into()]));
        let (options, characters) = Splitting::default().options(256);
        assert!(!characters && options == Options::tokens(256));
    }

    #[test]
    fn what_is_no_prose_is_not_counted_for_long() {
        let hostile = "a".repeat(8 << 20);
        let started = std::time::Instant::now();
        assert!(tokens(&hostile, usize::MAX) > 1 << 20);
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
        assert!((5..15).contains(&tokens("Le salarié a droit à des congés payés.", 512)));
    }
}
