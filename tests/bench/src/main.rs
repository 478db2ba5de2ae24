//! Measures Guichet beside nginx, both in front of the same mock engine, on one machine.
//!
//! `run` does all of it (`make bench`); `engine` and `load` are its parts, for use by hand. `fairness` is a simulation of
//! lines, and measures nothing. `ingest` is another measurement (`make bench-ingest`).

mod capture;
mod child;
mod engine;
mod events;
mod fairness;
mod ingest;
mod load;
mod process;
mod proxy;
mod report;
mod run;
mod stats;
mod wire;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::load::{Pace, Target};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Descriptors wanted: ten thousand streams are twice that many in a gateway.
const DESCRIPTORS: u64 = 65_536;

#[derive(Parser)]
#[command(about = "Measures Guichet beside nginx, both in front of the same mock engine")]
enum Bench {
    /// Measure everything and print the table.
    Run(run::Settings),
    /// Simulate the line of a full model, first come first served and fair, and print the figures.
    Fairness(fairness::Settings),
    /// Measure what keeping the content of every request costs.
    Capture(capture::Settings),
    /// Measure how busy ingestion keeps an embedding engine.
    Ingest(ingest::Settings),
    /// Serve as the mock engine.
    Engine {
        #[arg(long, default_value = "127.0.0.1:9100")]
        listen: String,
    },
    /// Load one address and print what was seen, as JSON.
    Load {
        #[command(flatten)]
        at: At,
        #[command(subcommand)]
        kind: Kind,
    },
}

#[derive(Args)]
struct At {
    /// host:port
    #[arg(long, default_value = "127.0.0.1:9400")]
    address: String,
    #[arg(long, default_value = "none")]
    key: String,
    /// Root of the process tree whose CPU and memory are told; 0 for none.
    #[arg(long, default_value_t = 0)]
    pid: u32,
}

#[derive(Subcommand)]
enum Kind {
    /// Plain chats in a closed loop.
    Unary {
        #[arg(long, default_value_t = 64)]
        clients: usize,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// Streams at once, each chunk timed.
    Stream {
        #[arg(long, default_value_t = 200)]
        streams: usize,
        #[arg(long, default_value_t = 100)]
        chunks: u64,
        #[arg(long, default_value_t = 20)]
        gap_ms: u64,
    },
    /// Streams that stay open and say little, then hang up.
    Idle {
        #[arg(long, default_value_t = 10_000)]
        streams: usize,
        /// host:port of the mock engine behind the address.
        #[arg(long, default_value = "127.0.0.1:9100")]
        engine: String,
    },
    /// A number of requests, with memory along the way.
    Soak {
        #[arg(long, default_value_t = 200_000)]
        requests: u64,
        /// Seconds after which it gives up.
        #[arg(long, default_value_t = 600)]
        patience: u64,
    },
}

/// Writes a line to standard output; a reader that went away is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Tells on standard error how far the bench is.
fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "bench: {line}");
}

/// Raises the limit of descriptors as far as allowed; children inherit it.
fn raise_descriptors() -> io::Result<()> {
    rlimit::setrlimit(rlimit::Resource::NOFILE, DESCRIPTORS, DESCRIPTORS)
        .or_else(|_| rlimit::increase_nofile_limit(DESCRIPTORS).map(|_| ()))
}

async fn load(at: At, kind: Kind) -> Value {
    let target = Target { address: at.address, key: at.key, pid: at.pid };
    match kind {
        Kind::Unary { clients, seconds } => {
            json!(load::unary::run(&target, clients, seconds, Duration::ZERO).await)
        }
        Kind::Stream { streams, chunks, gap_ms } => {
            json!(load::stream::run(&target, streams, Pace { chunks, gap_ms }).await)
        }
        Kind::Idle { streams, engine } => json!(load::idle::run(&target, &engine, streams).await),
        Kind::Soak { requests, patience } => {
            json!(load::soak::run(&target, requests, Duration::from_secs(patience)).await)
        }
    }
}

async fn bench(bench: Bench) -> Result<()> {
    match bench {
        Bench::Run(settings) => {
            let mut terminate = signal(SignalKind::terminate())?;
            // Dropping the measurement ends the processes it started.
            tokio::select! {
                done = run::run(settings) => done,
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
                _ = terminate.recv() => Err("terminated".into()),
            }
        }
        Bench::Fairness(settings) => fairness::run(&settings),
        Bench::Capture(settings) => capture::run(settings).await,
        Bench::Ingest(settings) => ingest::run(settings).await,
        Bench::Engine { listen } => Ok(engine::serve(TcpListener::bind(listen).await?).await?),
        Bench::Load { at, kind } => {
            let seen = load(at, kind).await;
            say(&format!("{seen:#}"));
            match seen["failures"]["first"].as_str() {
                None => Ok(()),
                Some(first) => Err(format!("{} failed; the first: {first}", seen["failures"]["count"]).into()),
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = Bench::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        raise_descriptors().and(runtime).map_err(Into::into).and_then(|runtime| runtime.block_on(bench(arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
