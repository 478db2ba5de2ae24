//! nDCG@10 of the lexical lane on a corpus with judgements, by an exact index in memory.
//!
//! ```text
//! cargo run --release -p rag --example lexical -- --corpus corpus.jsonl --queries queries.jsonl --qrels qrels.tsv
//!     [--without key=value] [--title 3] [--k1 1.6] [--b 0.75] [--no-accents]
//! ```
//!
//! Files are in the form of BEIR and TREC: `{"id", "title", "text", …}`, `{"id", "text"}`, `query 0 doc grade`.

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;

use rag::Language;
use rag::analyse::Analyser;
use rag::sparse::{Bm25, Counts, Frequencies, SparseVector, TITLE_WEIGHT};
use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

struct Options {
    corpus: String,
    queries: String,
    qrels: String,
    without: Vec<(String, String)>,
    title: f32,
    k1: f32,
    b: f32,
    no_accents: bool,
}

impl Options {
    fn read() -> Result<Options, Failure> {
        let mut options = Options {
            corpus: String::new(),
            queries: String::new(),
            qrels: String::new(),
            without: Vec::new(),
            title: TITLE_WEIGHT,
            k1: Bm25::default().k1,
            b: Bm25::default().b,
            no_accents: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--no-accents" {
                options.no_accents = true;
                continue;
            }
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            match word.as_str() {
                "--corpus" => options.corpus = value,
                "--queries" => options.queries = value,
                "--qrels" => options.qrels = value,
                "--without" => {
                    let (key, value) = value.split_once('=').ok_or("--without key=value")?;
                    options.without.push((key.to_owned(), value.to_owned()));
                }
                "--title" => options.title = value.parse()?,
                "--k1" => options.k1 = value.parse()?,
                "--b" => options.b = value.parse()?,
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(options)
    }
}

#[derive(Default)]
struct Index {
    names: Vec<String>,
    vectors: HashMap<u32, Vec<(usize, f32)>>,
}

impl Index {
    fn add(&mut self, name: String, vector: &SparseVector) {
        let place = self.names.len();
        self.names.push(name);
        for (id, weight) in vector.ids.iter().zip(&vector.weights) {
            self.vectors.entry(*id).or_default().push((place, *weight));
        }
    }

    fn best(&self, query: &SparseVector, limit: usize) -> Vec<&str> {
        let mut scores: HashMap<usize, f32> = HashMap::new();
        for (id, weight) in query.ids.iter().zip(&query.weights) {
            for (place, stored) in self.vectors.get(id).map_or(&[][..], Vec::as_slice) {
                *scores.entry(*place).or_default() += weight * stored;
            }
        }
        let mut ranked: Vec<(usize, f32)> = scores.into_iter().collect();
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        ranked.iter().take(limit).filter_map(|(place, _)| self.names.get(*place).map(String::as_str)).collect()
    }
}

impl Counts for Index {
    fn chunks(&self) -> u64 {
        self.names.len() as u64
    }

    fn with(&self, id: u32) -> u64 {
        self.vectors.get(&id).map_or(0, Vec::len) as u64
    }
}

fn lines(path: &str) -> Result<Vec<Value>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The accents of French alone: what a hurried person leaves out.
fn without_accents(text: &str) -> String {
    let bare = |c: char| match c {
        'à' | 'â' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'î' | 'ï' => 'i',
        'ô' | 'ö' => 'o',
        'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        c => c,
    };
    text.chars().map(bare).collect()
}

fn gain(ranked: &[&str], relevant: &HashMap<String, f64>) -> f64 {
    let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let found: f64 = ranked
        .iter()
        .take(10)
        .enumerate()
        .map(|(rank, name)| relevant.get(*name).unwrap_or(&0.0) * discount(rank))
        .sum();
    let mut best: Vec<f64> = relevant.values().copied().collect();
    best.sort_by(|one, other| other.total_cmp(one));
    let ideal: f64 = best.iter().take(10).enumerate().map(|(rank, grade)| grade * discount(rank)).sum();
    if ideal > 0.0 { found / ideal } else { 0.0 }
}

fn run() -> Result<String, Failure> {
    let options = Options::read()?;
    let analyser = Analyser::new(Language::French);
    let mut documents = lines(&options.corpus)?;
    documents.retain(|document| !options.without.iter().any(|(key, value)| field(document, key) == value));
    let frequencies: Vec<Frequencies> = documents
        .iter()
        .map(|document| {
            let mut frequencies = Frequencies::default();
            frequencies.add(analyser.terms(field(document, "title")), options.title);
            frequencies.add(analyser.terms(field(document, "text")), 1.0);
            frequencies
        })
        .collect();
    let total: f32 = frequencies.iter().map(Frequencies::length).sum();
    let bm25 = Bm25 { k1: options.k1, b: options.b, average: total / frequencies.len().max(1) as f32 };
    let mut index = Index::default();
    for (document, frequencies) in documents.iter().zip(&frequencies) {
        index.add(field(document, "id").to_owned(), &bm25.chunk(frequencies));
    }
    let present: HashSet<&str> = index.names.iter().map(String::as_str).collect();
    let mut relevant: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in std::fs::read_to_string(&options.qrels)?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [query, _, document, grade] = words[..]
            && present.contains(document)
        {
            relevant.entry(query.to_owned()).or_default().insert(document.to_owned(), grade.parse()?);
        }
    }
    let (mut sum, mut judged) = (0.0, 0);
    for query in lines(&options.queries)? {
        let Some(relevant) = relevant.get(field(&query, "id")) else { continue };
        let text = field(&query, "text");
        let text = if options.no_accents { without_accents(text) } else { text.to_owned() };
        let vector = Bm25::query(analyser.terms(&text), &index);
        sum += gain(&index.best(&vector, 10), relevant);
        judged += 1;
    }
    Ok(format!(
        "{} documents, average {:.0} terms, {} terms in all; {judged} queries; nDCG@10 {:.4}\n",
        index.names.len(),
        bm25.average,
        index.vectors.len(),
        sum / f64::from(judged.max(1))
    ))
}

fn main() -> ExitCode {
    use std::io::Write;
    match run() {
        Ok(told) => {
            drop(std::io::stdout().write_all(told.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}
