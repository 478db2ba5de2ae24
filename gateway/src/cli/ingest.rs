//! `guichet ingest`: folders, archives and JSONL into a collection, through the API of a running gateway.

mod bar;
mod client;
mod source;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Failure, Outcome};
use bar::Bar;
use client::{Client, Refused};
use source::{Item, Sources};

/// Documents under way at once, and of these those being sent, whose contents are in memory.
const UNDER_WAY: usize = 64;
const SENT_AT_ONCE: usize = 4;
/// Times a document is sent again while the gateway says to come back later.
const TRIES: u32 = 12;
/// Between two looks at a document: first, and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Failures that are told one by one at the end; the rest is counted.
const TOLD: usize = 100;

#[derive(Args)]
pub struct Ingest {
    /// Files, folders, ZIP archives; each line of a `.jsonl` file is a document of its own
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Name of the collection; made, private to the project of the key, when there is none
    #[arg(long)]
    collection: String,
    /// Address of the gateway
    #[arg(long, env = "GUICHET_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Key of a project
    #[arg(long, env = "GUICHET_KEY", hide_env_values = true)]
    key: String,
}

/// What became of one document.
enum Fate {
    Done,
    /// Why not: the document, the reason.
    Failed(String, String),
}

impl Ingest {
    pub async fn run(self, out: &mut impl Write) -> Outcome {
        let client = Arc::new(Client::new(&self.url, &self.key).map_err(Failure)?);
        let mut sources = Sources::find(&self.paths).map_err(Failure)?;
        let collection = client.collection(&self.collection).await.map_err(|refused| Failure(refused.to_string()))?;
        let mut bar = Bar::new(sources.total);
        let sending = Arc::new(Semaphore::new(SENT_AT_ONCE));
        let mut under_way = JoinSet::new();
        let mut failures: Vec<(String, String)> = Vec::new();
        let mut done = 0_usize;
        let mut more = true;
        while more || !under_way.is_empty() {
            if more && under_way.len() < UNDER_WAY {
                let permit = sending.clone().acquire_owned().await?;
                match sources.next() {
                    None => more = false,
                    Some(Err((label, reason))) => failures.push((label, reason)),
                    Some(Ok(item)) => {
                        let client = client.clone();
                        under_way.spawn(async move { one(&client, collection, item, permit).await });
                    }
                }
                if under_way.len() < UNDER_WAY && more {
                    // What ended meanwhile is counted; nothing is waited for.
                    while let Some(ended) = under_way.try_join_next() {
                        count(ended?, &mut done, &mut failures);
                    }
                    bar.show(done, failures.len());
                    continue;
                }
            }
            if let Some(ended) = under_way.join_next().await {
                count(ended?, &mut done, &mut failures);
            }
            bar.show(done, failures.len());
        }
        bar.end(done, failures.len());
        for (label, reason) in failures.iter().take(TOLD) {
            writeln!(out, "{label}: {reason}")?;
        }
        if failures.len() > TOLD {
            writeln!(out, "… {} more", failures.len() - TOLD)?;
        }
        writeln!(out, "{done} documents searchable in “{}”, {} failed.", self.collection, failures.len())?;
        match failures.len() {
            0 => Ok(()),
            failed => Err(Failure(format!("{failed} of {} documents were not ingested", done + failed))),
        }
    }
}

fn count(fate: Fate, done: &mut usize, failures: &mut Vec<(String, String)>) {
    match fate {
        Fate::Done => *done += 1,
        Fate::Failed(label, reason) => failures.push((label, reason)),
    }
}

/// Sends one document and follows it to its end.
async fn one(client: &Client, collection: i64, item: Item, permit: tokio::sync::OwnedSemaphorePermit) -> Fate {
    let label = item.label.clone();
    let sent = send(client, collection, item).await;
    drop(permit);
    let ended = match sent {
        Ok(document) => follow(client, document).await,
        Err(refused) => Err(refused),
    };
    match ended {
        Ok(()) => Fate::Done,
        Err(refused) => Fate::Failed(label, refused.to_string()),
    }
}

async fn send(client: &Client, collection: i64, item: Item) -> Result<Value, Refused> {
    let content = item.content.read().map_err(Refused::Here)?;
    let mut tries = 0;
    loop {
        match client.upload(collection, &item.name, item.metadata.as_ref(), &content).await {
            Err(Refused::Later(wait, _)) if tries < TRIES => tokio::time::sleep(wait).await,
            other => return other,
        }
        tries += 1;
    }
}

/// Waits until a document is searchable or has failed.
async fn follow(client: &Client, mut document: Value) -> Result<(), Refused> {
    let id = document["id"].as_i64().ok_or_else(|| Refused::Here("the gateway gave the document no id".to_owned()))?;
    let mut look = LOOK.0;
    let mut missed = 0;
    loop {
        match document["status"].as_str() {
            // A gateway that says nothing more has finished.
            Some("done") | None => return Ok(()),
            Some("failed") => return Err(Refused::Here(client::reason(&document))),
            Some(_) => {}
        }
        tokio::time::sleep(look).await;
        look = (look * 3 / 2).min(LOOK.1);
        match client.document(id).await {
            Ok(state) => (document, missed) = (state, 0),
            Err(Refused::Later(wait, _)) if missed < TRIES => {
                missed += 1;
                tokio::time::sleep(wait).await;
            }
            Err(refused) => return Err(refused),
        }
    }
}
