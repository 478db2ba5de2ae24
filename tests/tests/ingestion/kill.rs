//! `kill -9` at random, twenty times within one ingestion: the end is that of an undisturbed run.
//!
//! The corpus is made here. `GUICHET_TEST_CORPUS` names a folder whose `corpus.jsonl` is taken instead: that takes as long
//! as it is large, and less with an optimised build, which `GUICHET_TEST_BINARY` may name. No upload is tried twice: between
//! two kills, a gateway takes them all.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::Value;
use sqlx::Row;
use tests::database::TestDatabase;
use tests::engine::{Embeddings, Reply, ms};
use tests::{Backend, FakeEngine, Key, Process, TestApp, on_each_database};

use crate::ingestion::stand::{self, DIMENSIONS, MODEL, PATIENCE, configuration, corpus, engine, points};

on_each_database!(twenty_kills_change_nothing);

const KILLS: usize = 20;
/// The longest wait for a kill with a corpus from outside, in milliseconds.
const KILL: u64 = 5_000;

/// What is ingested, and how slowly, so that all kills fall within it.
struct Story {
    documents: BTreeMap<String, String>,
    /// Uploaded before each of the first kills.
    share: usize,
    settings: &'static str,
    /// Uploads at once.
    uploads: usize,
    /// What the engine takes for each request, and the longest wait for a kill, in milliseconds.
    engine: u64,
    kill: u64,
    patience: Duration,
}

impl Story {
    fn told() -> Story {
        match std::env::var_os("GUICHET_TEST_CORPUS") {
            None => Story {
                documents: corpus(150),
                share: 30,
                settings: "batch: 2, chunk_tokens: 60",
                uploads: 1,
                engine: 300,
                kill: 2_500,
                patience: PATIENCE * 2,
            },
            Some(folder) => {
                let documents = read(&Path::new(&folder).join("corpus.jsonl"));
                let share = documents.len() / (KILLS - 5);
                // With two requests of 32 texts at once, twice the longest that all waits for kills take.
                let engine = KILLS as u64 * KILL * 2 * 64 / documents.len().max(1) as u64;
                Story { documents, share, settings: "", uploads: 8, engine, kill: KILL, patience: PATIENCE * 60 }
            }
        }
    }
}

/// The texts of a corpus, as files.
fn read(corpus: &Path) -> BTreeMap<String, String> {
    let lines = std::fs::read_to_string(corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let document = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        (format!("{}.md", text("id")), format!("# {}\n\n{}\n", text("title"), text("text")))
    };
    lines.lines().map(document).collect()
}

/// Everything that an ingestion leaves, under names that do not depend on the order of the work.
#[derive(PartialEq, Debug)]
struct Left {
    /// Status and chunks of each document.
    documents: BTreeMap<String, (String, Vec<String>)>,
    /// Counts of the collection: documents, chunks, terms.
    counts: Vec<i64>,
    terms: BTreeMap<i64, i64>,
    /// What the index holds of each chunk: vector, terms, fields.
    points: BTreeMap<(String, String), String>,
}

async fn twenty_kills_change_nothing(backend: Backend) {
    let engine = engine().await;
    let story = Story::told();
    let quiet = undisturbed(backend, &engine, &story).await;
    assert_eq!(quiet.documents.len(), story.documents.len());
    assert!(quiet.documents.values().all(|(status, chunks)| status == "done" && !chunks.is_empty()));
    assert_eq!(quiet.points.len() as i64, quiet.counts[1]);
    let killed = killed(backend, &engine, &story).await;
    assert!(killed.documents == quiet.documents, "documents or their chunks differ");
    assert_eq!(killed.counts, quiet.counts);
    assert!(killed.terms == quiet.terms, "the counts of terms differ");
    assert!(killed.points == quiet.points, "{} points, not {}", killed.points.len(), quiet.points.len());
    println!("{} documents, {} chunks, {KILLS} kills", killed.documents.len(), killed.points.len());
}

async fn undisturbed(backend: Backend, engine: &FakeEngine, story: &Story) -> Left {
    let (gateway, key, collection) = stand::process(backend, engine, story.settings).await;
    upload(&gateway, &key, collection, story, story.documents.iter()).await;
    until_done(&gateway, &key, collection, story).await;
    left(gateway, &key, collection).await
}

async fn killed(backend: Backend, engine: &FakeEngine, story: &Story) -> Left {
    engine.script_model(MODEL, Reply::from(Embeddings::of(DIMENSIONS)).after(ms(story.engine)));
    let more = configuration(engine, story.settings, "");
    let (mut gateway, key, collection) = stand::process(backend, engine, story.settings).await;
    let mut documents = story.documents.iter();
    for kill in 0..KILLS {
        // Uploads go on between the first kills.
        upload(&gateway, &key, collection, story, documents.by_ref().take(story.share)).await;
        tokio::time::sleep(ms(fastrand::u64(0..story.kill))).await;
        let left = unfinished(&gateway, &key, collection).await;
        assert!(left > 0, "kill {kill} comes after the end");
        println!("kill {kill}: {left} documents are not done");
        let (folder, database) = gateway.kill();
        gateway = Process::in_folder(folder, database, &more, &[]).await;
    }
    engine.script_model(MODEL, Embeddings::of(DIMENSIONS));
    until_done(&gateway, &key, collection, story).await;
    left(gateway, &key, collection).await
}

/// Uploads documents, some at once.
async fn upload<'a>(
    gateway: &TestApp,
    key: &Key,
    collection: i64,
    story: &Story,
    documents: impl Iterator<Item = (&'a String, &'a String)>,
) {
    let upload = |(name, text): (&'a String, &'a String)| async move {
        stand::upload(gateway, key, collection, name, text.clone().into()).await;
    };
    futures_util::stream::iter(documents).for_each_concurrent(story.uploads, upload).await;
}

async fn list(gateway: &TestApp, key: &Key, collection: i64) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let path = format!("/v1/documents?collection_id={collection}&limit=1000&offset={}", all.len());
        let (status, page) = gateway.get(&path, &key.secret).await;
        assert_eq!(status, 200, "{page}");
        let page = page["data"].as_array().expect("a list");
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().cloned());
    }
}

async fn unfinished(gateway: &TestApp, key: &Key, collection: i64) -> u64 {
    let count = async |status: &str| {
        let path = format!("/v1/documents?collection_id={collection}&limit=1{status}");
        let (status, page) = gateway.get(&path, &key.secret).await;
        assert_eq!(status, 200, "{page}");
        page["total"].as_u64().unwrap_or_else(|| panic!("no total in {page}"))
    };
    // In this order: more are done by then, never fewer.
    let all = count("").await;
    all - count("&status=done").await.min(all)
}

async fn until_done(gateway: &Process, key: &Key, collection: i64, story: &Story) {
    let started = Instant::now();
    loop {
        let left = unfinished(gateway, key, collection).await;
        if left == 0 {
            return;
        }
        assert!(started.elapsed() < story.patience, "{left} are not done; the log says: {}", gateway.log());
        // Counting a large corpus is work too.
        tokio::time::sleep(story.patience / 1_000).await;
    }
}

/// Stops the gateway and reads what it leaves.
async fn left(gateway: Process, key: &Key, collection: i64) -> Left {
    let mut documents = BTreeMap::new();
    let mut names: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for document in list(&gateway, key, collection).await {
        let name = document["name"].as_str().expect("a name").to_owned();
        let chunks = stand::chunks(&gateway, key, document["id"].as_i64().expect("an id")).await;
        let mut texts = Vec::new();
        for chunk in chunks {
            let place = format!("{:04} {}", chunk["position"].as_i64().expect("a place"), chunk["content"]);
            names.insert(chunk["id"].as_u64().expect("an id"), (name.clone(), place.clone()));
            texts.push(place);
        }
        documents.insert(name, (document["status"].as_str().expect("a status").to_owned(), texts));
    }
    gateway.signal("TERM");
    let (code, folder, database) = gateway.ended().await;
    assert_eq!(code, Some(0));
    let points = points(&*tests::index::left(folder.path(), &database.url)).await.into_iter().map(|point| {
        let name = names.get(&point.chunk).unwrap_or_else(|| panic!("chunk {} is in no document", point.chunk));
        let mut fields: BTreeMap<String, Value> = point.metadata.into_iter().collect();
        fields.retain(|key, _| key != "document_id" && key != "collection_id");
        (name.clone(), format!("{:?} {:?} {fields:?}", point.dense, point.sparse))
    });
    let points: BTreeMap<_, _> = points.collect();
    let (counts, terms) = counted(&database).await;
    Left { documents, counts, terms, points }
}

async fn counted(database: &TestDatabase) -> (Vec<i64>, BTreeMap<i64, i64>) {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&database.url).await.expect("the database opens");
    let row = sqlx::query("SELECT documents, chunks, terms FROM collections").fetch_one(&pool).await.expect("a row");
    let counts = (0..3).map(|nth| row.get::<i64, _>(nth)).collect();
    let rows = sqlx::query("SELECT term, documents FROM collection_terms").fetch_all(&pool).await.expect("rows");
    let jobs: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM ingestion_jobs").fetch_one(&pool).await.expect("a count");
    assert_eq!(jobs, 0, "the queue is empty");
    (counts, rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
