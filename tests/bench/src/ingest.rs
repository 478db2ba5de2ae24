//! How busy ingestion keeps an embedding engine: documents are uploaded to a gateway, and an engine of a stated pace,
//! which takes one request at a time, tells the share of the time that it had one in hand.

mod client;
mod corpus;
mod engine;

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::child::Child;
use crate::process::Tree;
use crate::{Result, progress, say};
use client::Client;
use engine::{Engine, Pace, Seen};

/// Time for the gateway to answer.
const READY: Duration = Duration::from_secs(60);
/// Writes of which the disk's usual pace is told.
const WRITES: usize = 50;

#[derive(clap::Args, Clone)]
pub struct Settings {
    /// The gateway, built with retrieval.
    #[arg(long, default_value = "target/release/guichet")]
    gateway: PathBuf,
    /// Paces of the engine, in passages a second, measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "100,500")]
    paces: Vec<f64>,
    #[arg(long, default_value_t = 3_000)]
    documents: usize,
    /// Uploads at once.
    #[arg(long, default_value_t = 8)]
    uploads: usize,
    /// Each with a project of its own.
    #[arg(long, default_value_t = 3)]
    organizations: usize,
    /// Of each organization.
    #[arg(long, default_value_t = 2)]
    collections: usize,
    /// Numbers of a vector.
    #[arg(long, default_value_t = 384)]
    dimensions: usize,
    /// host:port of a real engine, to be measured once instead.
    #[arg(long)]
    engine: Option<String>,
    /// What the real engine calls its model.
    #[arg(long, default_value = "vectors")]
    model: String,
    /// `sqlite`, or the URL of an empty PostgreSQL database.
    #[arg(long, default_value = "sqlite")]
    database: String,
    /// Longest wait for the end, in seconds.
    #[arg(long, default_value_t = 1_800)]
    patience: u64,
    /// Folder for data and logs, emptied at each measurement.
    #[arg(long, default_value = "target/bench-ingest")]
    out: PathBuf,
}

/// What one measurement showed.
struct Measured {
    pace: String,
    uploaded: Duration,
    /// When the last upload was answered, and at the end.
    half: Seen,
    whole: Seen,
    cpu: f64,
    memory_mib: f64,
}

/// Measures each pace and prints a table. Fails when a document was not done; never for a figure.
pub async fn run(settings: Settings) -> Result<()> {
    say(&format!("{}\n", machine(&settings)?));
    say(
        "| engine, passages/s | documents | passages | uploads/s | passages/s | mean batch | busy | busy during uploads \
         | after | gateway CPU | memory |",
    );
    say("|---|---|---|---|---|---|---|---|---|---|---|");
    let paces: Vec<Pace> = match &settings.engine {
        Some(address) => vec![Pace::Real(address.clone())],
        None => settings.paces.iter().map(|rate| Pace::Fixed(*rate)).collect(),
    };
    for pace in paces {
        let measured = measure(&settings, pace).await?;
        say(&measured.line(settings.documents));
    }
    Ok(())
}

async fn measure(settings: &Settings, pace: Pace) -> Result<Measured> {
    let name = match &pace {
        Pace::Fixed(rate) => rate.to_string(),
        Pace::Real(_) => "real".to_owned(),
    };
    match fs::remove_dir_all(&settings.out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&settings.out)?,
    }
    let engine = Arc::new(Engine::new(pace, settings.dimensions));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&engine).serve(listener));
    let (mut gateway, front) = start(settings, &address)?;
    let shelves = ready(settings, &mut gateway, &front).await?;

    progress(&format!("engine of {name} passages a second: {} documents", settings.documents));
    let started = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut uploads = JoinSet::new();
    for _ in 0..settings.uploads.max(1) {
        uploads.spawn(upload(front.clone(), shelves.clone(), Arc::clone(&next), settings.documents));
    }
    while let Some(done) = uploads.join_next().await {
        done??;
    }
    let (uploaded, half) = (started.elapsed(), engine.seen());
    let mut cpu = 0.0;
    let until = Instant::now() + Duration::from_secs(settings.patience);
    for (key, collection) in &shelves {
        let mut client = Client::new(&front, key).await?;
        let wanted = (0..settings.documents).filter(|nth| shelves[nth % shelves.len()].1 == *collection).count();
        loop {
            let count = async |client: &mut Client, status: &str| -> Result<u64> {
                let path = format!("/v1/documents?collection_id={collection}&status={status}&limit=1");
                Ok(client.get(&path).await?["total"].as_u64().unwrap_or(0))
            };
            let failed = count(&mut client, "failed").await?;
            let done = count(&mut client, "done").await?;
            cpu = f64::max(cpu, Tree::of(gateway.pid()).cpu_seconds());
            if failed > 0 || Instant::now() > until {
                return Err(format!("{done} of {wanted} documents are done, {failed} failed").into());
            }
            if done == wanted as u64 {
                break;
            }
            gateway.check()?;
            sleep(Duration::from_millis(250)).await;
        }
    }
    let memory_mib = Tree::of(gateway.pid()).memory_mib();
    Ok(Measured { pace: name, uploaded, half, whole: engine.seen(), cpu, memory_mib })
}

impl Measured {
    fn line(&self, documents: usize) -> String {
        let Measured { pace, uploaded, half, whole, cpu, memory_mib } = self;
        let share = |busy: Duration, span: Duration| match span.is_zero() {
            true => "–".to_owned(),
            false => format!("{:.3}", busy.as_secs_f64() / span.as_secs_f64()),
        };
        format!(
            "| {pace} | {documents} | {} | {:.0} | {:.0} | {:.1} | **{}** | {} | {} | {cpu:.1} s | {memory_mib:.0} MiB |",
            whole.passages,
            documents as f64 / uploaded.as_secs_f64(),
            whole.passages as f64 / whole.span.as_secs_f64(),
            whole.passages as f64 / whole.calls.max(1) as f64,
            share(whole.busy, whole.span),
            share(half.busy, half.span),
            share(whole.busy.saturating_sub(half.busy), whole.span.saturating_sub(half.span)),
        )
    }
}

/// Uploads documents, each into the next collection, until all have been.
async fn upload(front: String, shelves: Vec<(String, i64)>, next: Arc<AtomicUsize>, documents: usize) -> Result<()> {
    let mut clients = Vec::new();
    for (key, _) in &shelves {
        clients.push(Client::new(&front, key).await?);
    }
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= documents {
            return Ok(());
        }
        let place = number % shelves.len();
        clients[place].upload(shelves[place].1, &format!("fiche-{number}.md"), &corpus::text(number)).await?;
    }
}

/// Starts the gateway in front of the engine: the process, and where it answers.
fn start(settings: &Settings, engine: &str) -> Result<(Child, String)> {
    let front = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let file = settings.out.join("guichet.yaml");
    let configuration = json!({
        "server": {"listen": front},
        "data": settings.out.join("data"),
        "database": {"url": settings.database},
        "hostings": {"local": {"operator": "Administration", "state_operated": true, "country": "FR",
            "jurisdiction": "FR", "qualification": "none", "zone": "on-premises"}},
        "models": [{"id": "vectors", "type": "embeddings", "dimensions": settings.dimensions, "context_length": 512,
            "prefixes": {"query": "query: ", "passage": "passage: "},
            "deployments": [{"name": "vectors", "url": format!("http://{engine}/v1"), "engine": "openai",
                "engine_model": settings.model, "hosting": "local"}]}],
        "retrieval": {"embedding_model": "vectors"},
    });
    // JSON is YAML.
    fs::write(&file, format!("{configuration:#}\n"))?;
    let mut command = Command::new(&settings.gateway);
    command.args(["serve".as_ref(), "--config".as_ref(), file.as_os_str()]);
    Ok((Child::start("gateway", &mut command, &settings.out)?, front))
}

/// Waits for the gateway and makes what is uploaded to: each collection with a key that may write there.
async fn ready(settings: &Settings, gateway: &mut Child, front: &str) -> Result<Vec<(String, i64)>> {
    let file = settings.out.join("data").join("admin.key");
    let until = Instant::now() + READY;
    let mut admin = loop {
        if let Ok(key) = fs::read_to_string(&file)
            && let Ok(mut client) = Client::new(front, key.trim()).await
            && client.get("/v1/models").await.is_ok()
        {
            break client;
        }
        gateway.check()?;
        if Instant::now() > until {
            return Err(format!("the gateway does not answer:\n{}", gateway.last_words()).into());
        }
        sleep(Duration::from_millis(20)).await;
    };
    let id = |made: &serde_json::Value| made["id"].as_i64().ok_or_else(|| format!("no id in {made}"));
    let mut shelves = Vec::new();
    for organization in 0..settings.organizations.max(1) {
        let made =
            admin.make("/v1/admin/organizations", &json!({"name": format!("Organization {organization}")})).await?;
        let project = json!({"organization_id": id(&made)?, "name": "bench", "data_class": "internal"});
        let made = admin.make("/v1/admin/projects", &project).await?;
        let made = admin.make("/v1/admin/keys", &json!({"project_id": id(&made)?, "name": "bench"})).await?;
        let key = made["key"].as_str().ok_or("no key")?.to_owned();
        let mut client = Client::new(front, &key).await?;
        for collection in 0..settings.collections.max(1) {
            let made = client.make("/v1/collections", &json!({"name": format!("Collection {collection}")})).await?;
            shelves.push((key.clone(), id(&made)?));
        }
    }
    Ok(shelves)
}

/// What the figures depend on: cores, what else runs, how long the disk takes to keep something.
fn machine(settings: &Settings) -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    let disk = flush_time(settings.out.parent().unwrap_or(Path::new(".")))?;
    Ok(format!(
        "{cores} cores shared by uploads, engine and gateway; load average {load}; the disk takes {:.1} ms to keep 4 KiB \
         ({} uploads at once, {} organizations of {} collections, database {})",
        disk.as_secs_f64() * 1e3,
        settings.uploads,
        settings.organizations,
        settings.collections,
        settings.database.split(':').next().unwrap_or_default(),
    ))
}

/// Median time of a write that must be kept.
fn flush_time(folder: &Path) -> Result<Duration> {
    fs::create_dir_all(folder)?;
    let path = folder.join("guichet-bench.flush");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let started = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(times[WRITES / 2])
}
