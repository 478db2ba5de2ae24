//! `guichet eval retrieval`: how well anybody's corpus answers anybody's questions, with the weights, the splitting and
//! the fusion of the gateway, in memory. Search is exact: an approximate index can only lose a little of it.

mod embeddings;
mod files;
mod index;
mod report;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rag::analyse::Analyser;
use rag::fuse::Hit;
use rag::sparse::Bm25;
use rag::split::{Characters, Options, split};
use rag::{Block, Document, Language, Limits};
use serde_json::{Map, json};

use crate::cli::{Failure, Outcome};
use crate::passage;
use embeddings::Vectors;
use files::{Asked, Condition, Text};
use index::{Fusion, Index};
use report::{Ranked, Report};

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Method {
    Lexical,
    Semantic,
    Hybrid,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Level {
    Chunks,
    Documents,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Speech {
    Fr,
    En,
}

#[derive(Args)]
pub struct Retrieval {
    /// Documents, JSONL : `id, title, text, …` / Documents
    #[arg(long, value_name = "FILE")]
    corpus: PathBuf,
    /// Questions, JSONL : `id, text, …` / Queries
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Jugements, `requête 0 document degré` / Judgements, `query 0 document grade`
    #[arg(long, value_name = "FILE")]
    qrels: PathBuf,
    #[arg(long, value_enum)]
    method: Method,
    /// Garde les documents dont un champ vaut, ou ne vaut pas (CLÉ!=VALEUR) ; répétable /
    /// Keep documents where a field is, or is not (KEY!=VALUE), so; may be repeated
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<Condition>,
    /// Champ des questions que nomment les jugements, au lieu de leur id / Field of queries that judgements name
    #[arg(long, value_name = "FIELD")]
    judged_by: Option<String>,
    /// Champ des questions qui vont ensemble : les intervalles tirent des groupes entiers /
    /// Field of queries that belong together: intervals draw whole groups
    #[arg(long, value_name = "FIELD")]
    unit: Option<String>,
    /// Langue de l’analyse / Language of the analysis
    #[arg(long, value_enum, default_value = "fr")]
    language: Speech,
    /// Ôte les accents des questions / Take the accents off queries
    #[arg(long)]
    without_accents: bool,
    /// Caractères d’un morceau au plus ; 0 : documents entiers / Most characters of a chunk; 0: whole documents
    #[arg(long, default_value_t = 2048, value_name = "CHARACTERS")]
    chunk_size: usize,
    /// N’embarque que les premiers morceaux de chaque document / Embed only the first chunks of each document
    #[arg(long, value_name = "CHUNKS")]
    lead: Option<usize>,
    /// Moteur de vecteurs, par exemple http://127.0.0.1:8080/v1 ; sa clé : GUICHET_EVAL_KEY /
    /// Embedding engine; its key: GUICHET_EVAL_KEY
    #[arg(long, value_name = "URL", required_if_eq_any = [("method", "semantic"), ("method", "hybrid")])]
    embeddings: Option<String>,
    /// Modèle de vecteurs / Embedding model
    #[arg(long, value_name = "MODEL", requires = "embeddings")]
    model: Option<String>,
    /// Dossier où les vecteurs sont gardés / Folder where vectors are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Écrit devant chaque question / Written before each query
    #[arg(long, default_value = "")]
    query_prefix: String,
    /// Écrit devant chaque passage / Written before each passage
    #[arg(long, default_value = "")]
    passage_prefix: String,
    /// k de la fusion / k of the fusion
    #[arg(long, default_value_t = 60.0)]
    rrf_k: f64,
    /// Résultats de chaque voie que la fusion réunit / Results of each lane that are fused
    #[arg(long, default_value_t = 100)]
    depth: usize,
    /// Poids des rangs sémantiques ; ceux des rangs lexicaux valent 1 / Weight of semantic ranks; lexical ones weigh 1
    #[arg(long, default_value_t = 1.0)]
    semantic_weight: f64,
    /// Ce que la fusion réunit / What is fused
    #[arg(long, value_enum, default_value = "documents")]
    fuse: Level,
    /// Résultats notés / Results that are scored
    #[arg(short, long, default_value_t = 10)]
    k: usize,
    /// Tirages des intervalles / Resamples of intervals
    #[arg(long, default_value_t = 10_000)]
    resamples: usize,
    /// Graine des tirages / Seed of resamples
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Fichier TREC à écrire / TREC run file to write
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
    /// Scores de chaque question à écrire, .csv ou .json / Scores of each query to write, .csv or .json
    #[arg(long, value_name = "FILE")]
    per_query: Option<PathBuf>,
}

/// Documents kept of each ranking: as many as TREC's run files usually hold of short lists.
const KEPT: usize = 100;

impl Retrieval {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        if self.k == 0 || self.depth == 0 {
            return Err(Failure("-k et --depth valent au moins 1 / -k and --depth are at least 1".to_owned()));
        }
        let corpus = files::corpus(&self.corpus, &self.filters)?;
        let queries = files::queries(&self.queries, self.judged_by.as_deref(), self.unit.as_deref())?;
        let there: HashSet<&str> = corpus.iter().map(|document| document.id.as_str()).collect();
        let judgements = files::judgements(&self.qrels, &there)?;
        let judged = files::judged(&queries, &judgements);
        let analyser = Analyser::new(match self.language {
            Speech::Fr => Language::French,
            Speech::En => Language::English,
        });
        let chunks = self.chunks(&corpus)?;
        let vectors = self.vectors(&chunks, judged.iter().map(|(query, _)| *query)).await?;
        let index = self.index(&chunks, &analyser, vectors.as_ref())?;
        let mut report = Report::new(self.k, self.resamples, self.seed);
        for (query, grades) in &judged {
            let text = self.text(query);
            let lexical = index.lexical(&text, &analyser);
            let named = |hits: &[Hit<usize>]| named(hits, &corpus);
            let lanes = match &vectors {
                None => Ranked { main: named(&index.documents(&lexical)), lanes: Vec::new() },
                Some(vectors) => {
                    let semantic = index.semantic(vectors.get(&self.asked(query))?);
                    match self.method {
                        Method::Semantic => Ranked { main: named(&index.documents(&semantic)), lanes: Vec::new() },
                        _ => Ranked {
                            main: named(&index.hybrid(&semantic, &lexical, &self.fusion())),
                            lanes: vec![
                                ("semantic", named(&index.documents(&semantic))),
                                ("lexical", named(&index.documents(&lexical))),
                            ],
                        },
                    }
                }
            };
            report.add(query, grades, lanes);
        }
        if let Some(file) = &self.run {
            std::fs::write(file, report.trec(self.method.word()))?;
        }
        if let Some(file) = &self.per_query {
            let json = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
            std::fs::write(file, report.per_query(json)?)?;
        }
        let mut told = report.told()?;
        told.insert("method".to_owned(), self.method.word().into());
        told.insert("corpus".to_owned(), json!({"documents": corpus.len(), "chunks": chunks.len()}));
        told.insert("queries_without_relevant_document".to_owned(), json!(queries.len() - judged.len()));
        told.insert("settings".to_owned(), self.settings());
        Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?)
    }

    fn settings(&self) -> serde_json::Value {
        let mut settings = Map::new();
        settings.insert("chunk_size".to_owned(), json!(self.chunk_size));
        settings.insert("without_accents".to_owned(), json!(self.without_accents));
        if self.method != Method::Lexical {
            settings.insert("model".to_owned(), json!(self.model));
            settings.insert("lead".to_owned(), json!(self.lead));
        }
        if self.method == Method::Hybrid {
            settings.insert("rrf_k".to_owned(), json!(self.rrf_k));
            settings.insert("depth".to_owned(), json!(self.depth));
            settings.insert("semantic_weight".to_owned(), json!(self.semantic_weight));
            let level = if self.fuse == Level::Chunks { "chunks" } else { "documents" };
            settings.insert("fuse".to_owned(), level.into());
        }
        settings.into()
    }

    fn fusion(&self) -> Fusion {
        Fusion {
            k: self.rrf_k,
            depth: self.depth,
            weights: (self.semantic_weight, 1.0),
            by_document: self.fuse == Level::Documents,
        }
    }

    /// The corpus, split.
    fn chunks(&self, corpus: &[Text]) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::new();
        for (place, text) in corpus.iter().enumerate() {
            let mut add = |nth: usize, content: String| {
                let mut metadata = Map::new();
                metadata.insert(passage::TITLE.to_owned(), text.title.as_str().into());
                let embedded = format!("{}{}", self.passage_prefix, passage::embedded(&metadata, &content));
                let dense = self.lead.is_none_or(|lead| nth < lead);
                chunks.push(Chunk { document: place, nth, metadata, content, dense: dense.then_some(embedded) });
            };
            if self.chunk_size == 0 {
                add(0, text.text.clone());
                continue;
            }
            let limits = Limits { input: u64::MAX, ..Limits::default() };
            // A text without anything to read still has its title.
            let parsed = rag::parse(text.text.as_bytes(), "text.md", &limits)
                .unwrap_or_else(|_| Document { blocks: vec![Block::paragraph(&text.text)], ..Document::default() });
            let document = Document { title: Some(text.title.clone()), ..parsed };
            let options = Options { size: self.chunk_size, min_size: self.chunk_size / 8, ..Options::albert() };
            let pieces = split(&document, &options, &Characters).map_err(|bad| Failure(bad.to_string()))?;
            if pieces.is_empty() {
                add(0, String::new());
            }
            for (nth, piece) in pieces.into_iter().enumerate() {
                add(nth, piece.text);
            }
        }
        Ok(chunks)
    }

    async fn vectors(
        &self,
        chunks: &[Chunk],
        queries: impl Iterator<Item = &Asked>,
    ) -> Result<Option<Vectors>, Failure> {
        let (Some(url), true) = (&self.embeddings, self.method != Method::Lexical) else { return Ok(None) };
        let key = std::env::var("GUICHET_EVAL_KEY").ok();
        let model = self.model.as_deref().unwrap_or_default();
        let mut vectors = Vectors::open(url, key.as_deref(), model, self.cache.as_deref())?;
        let tell = |what: &str, done: usize, all: usize| {
            // A line a hundred texts: enough to see it move.
            if done % 100 < 16 {
                drop(writeln!(std::io::stderr(), "{what} {done}/{all}"));
            }
        };
        let asked: Vec<String> = queries.map(|query| self.asked(query)).collect();
        vectors.embed(&asked, &mut |done, all| tell("questions / queries", done, all)).await?;
        // The beginnings of all documents first: a run that is stopped has embedded what `--lead 1` needs.
        let mut order: Vec<&Chunk> = chunks.iter().filter(|chunk| chunk.dense.is_some()).collect();
        order.sort_by_key(|chunk| chunk.nth);
        let texts: Vec<String> = order.iter().filter_map(|chunk| chunk.dense.clone()).collect();
        vectors.embed(&texts, &mut |done, all| tell("passages", done, all)).await?;
        Ok(Some(vectors))
    }

    fn index(&self, chunks: &[Chunk], analyser: &Analyser, vectors: Option<&Vectors>) -> Result<Index, Failure> {
        let frequencies: Vec<_> =
            chunks.iter().map(|chunk| passage::frequencies(analyser, &chunk.metadata, &chunk.content)).collect();
        let total: f32 = frequencies.iter().map(rag::sparse::Frequencies::length).sum();
        let bm25 = Bm25 { average: total / frequencies.len().max(1) as f32, ..Bm25::default() };
        let mut index = Index::default();
        for (chunk, frequencies) in chunks.iter().zip(&frequencies) {
            let dense = match (vectors, &chunk.dense) {
                (Some(vectors), Some(text)) => Some(vectors.get(text)?.clone()),
                _ => None,
            };
            index.add(chunk.document, &bm25.chunk(frequencies), dense);
        }
        Ok(index)
    }

    fn text(&self, query: &Asked) -> String {
        if self.without_accents { query.text.chars().map(bare).collect() } else { query.text.clone() }
    }

    fn asked(&self, query: &Asked) -> String {
        format!("{}{}", self.query_prefix, self.text(query))
    }
}

struct Chunk {
    document: usize,
    /// Its place in its document.
    nth: usize,
    metadata: Map<String, serde_json::Value>,
    content: String,
    /// The text that is embedded; none where the chunk is not in the dense lane.
    dense: Option<String>,
}

impl Method {
    fn word(self) -> &'static str {
        match self {
            Method::Lexical => "lexical",
            Method::Semantic => "semantic",
            Method::Hybrid => "hybrid",
        }
    }
}

fn named(hits: &[Hit<usize>], corpus: &[Text]) -> Vec<String> {
    hits.iter().take(KEPT).filter_map(|hit| corpus.get(hit.id).map(|document| document.id.clone())).collect()
}

/// The accents of French alone: what a hurried person leaves out.
fn bare(letter: char) -> char {
    match letter {
        'à' | 'â' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'î' | 'ï' => 'i',
        'ô' | 'ö' => 'o',
        'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        letter => letter,
    }
}
