//! What limits cost: `cargo bench -p gateway --bench limits`. A request's whole check, in process, with 10,000
//! organizations × 20 models × 5 limits: the look-up of its chain, the estimate of its tokens, five limits held and then
//! settled. And what memory comes back once they rest.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use guichet::config::load::{Origin, from_text};
use guichet::config::{Config, DataClass};
use guichet::policy::identity::{Owner, Principal, ProjectKey};
use guichet::policy::key::KeyId;
use guichet::policy::limits::clock::Clock;
use guichet::policy::limits::estimate::Weight;
use guichet::policy::limits::rule::Used;
use guichet::policy::limits::{Asked, Limits, Output, Outturn};
use guichet::store::Database;
use guichet::telemetry::Telemetry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORGANIZATIONS: i64 = 10_000;
const MODELS: usize = 20;
const CHECKS: usize = 400_000;
const USED: Used = Used { input: 410, output: 300 };
const NOON: i64 = 1_782_900_000_000;

type Failure = Box<dyn std::error::Error>;

/// Twenty models, and a plan of which five limits count each: of the organization two on all models and two on the model,
/// and one of the project.
fn configuration(folder: &std::path::Path) -> Result<Config, Failure> {
    let (mut models, mut lines) = (String::new(), String::new());
    for model in 0..MODELS {
        let deployment = format!("{{name: d{model}, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: state}}");
        writeln!(
            models,
            "  - {{id: openweight-{model}, type: chat, context_length: 131072, deployments: [{deployment}]}}"
        )?;
        write!(lines, ", {{models: openweight-{model}, tokens: [1000000M/minute, 1000000M/day]}}")?;
    }
    let text = format!(
        "data: {0:?}\ndatabase: {{url: 'sqlite://{1}'}}\nhostings:\n  state: {{operator: M, state_operated: true, \
         country: FR, jurisdiction: FR, qualification: none, zone: paris}}\nmodels:\n{models}limits: {{default_plan: p}}\n\
         plans:\n  p:\n    organization: [{{requests: 1000000M/minute, tokens: 1000000M/month}}{lines}]\n    project: \
         [{{tokens: 1000000M/day}}]\n",
        folder.display().to_string(),
        folder.join("bench.db").display(),
    );
    from_text(&Origin::Embedded, &text, Vec::new())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").into())
}

fn caller(organization: i64) -> Result<Principal, Failure> {
    let key = KeyId::parse(&format!("{organization:016}")).ok_or("no key")?;
    let owner = ProjectKey {
        organization_id: organization,
        organization: format!("Organization {organization}"),
        project_id: organization,
        project: "project".to_owned(),
        data_class: DataClass::Internal,
        cleaning: Default::default(),
        made_by: None,
        notice: None,
    };
    Ok(Principal::new(key, None, Owner::Project(owner)))
}

/// What is measured: limits, those they are on, and one request of theirs.
struct Scene {
    limits: Arc<Limits>,
    callers: Vec<Principal>,
    models: Vec<Arc<str>>,
    body: Bytes,
}

impl Scene {
    async fn open(clock: Clock, config: &Config, database: &Database) -> Result<Scene, Failure> {
        let (telemetry, stop) = (Arc::new(Telemetry::new()), CancellationToken::new());
        let limits = Limits::open_by(clock, config, database, telemetry, &TaskTracker::new(), &stop).await?;
        let words = "Où est le guichet des cartes d’identité ? ".repeat(40);
        Ok(Scene {
            limits: Arc::new(limits),
            callers: (1..=ORGANIZATIONS).map(caller).collect::<Result<_, _>>()?,
            models: config.models.iter().map(|model| Arc::from(model.id.as_str())).collect(),
            body: Bytes::from(format!("{{\"messages\":[{{\"role\":\"user\",\"content\":{words:?}}}]}}")),
        })
    }

    /// One request: how long its check took, and its settlement.
    async fn request(&self, caller: usize, model: usize) -> Result<(Duration, Duration), Failure> {
        let (Some(who), Some(model)) = (self.callers.get(caller), self.models.get(model)) else {
            return Err("no such caller or model".into());
        };
        let asked = Asked {
            model,
            context_length: Some(131_072),
            body: &self.body,
            weight: Weight { bytes: self.body.len() as u64, images: 0 },
            output: Output::Text { most: Some(600), answers: 1 },
        };
        let start = Instant::now();
        let granted = self.limits.reserve(who, asked).await.map_err(|_| "a limit refuses")?;
        let held = start.elapsed();
        let start = Instant::now();
        let end = Outturn { model: Some(model), measured: true, whole: true, used: USED, text_bytes: 4 * USED.output };
        granted.reservation.settle(&end);
        Ok((held, start.elapsed()))
    }

    /// One request of each organization to each model: all counters are in use.
    async fn fill(&self) -> Result<(), Failure> {
        for caller in 0..self.callers.len() {
            for model in 0..self.models.len() {
                self.request(caller, model).await?;
            }
        }
        Ok(())
    }
}

/// Resident memory, in MiB.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).map_or(0, |pages| pages / 256)
}

/// Once the allocator, which waits a while and acts as it is used, has given back what it holds free.
fn settled_memory() -> u64 {
    let mut least = memory();
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(100));
        drop((0..20).map(|size| vec![1_u8; 16 << size]).collect::<Vec<_>>());
        least = least.min(memory());
    }
    least
}

fn percentiles(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() - 1) * share / 100).copied().unwrap_or_default().as_nanos();
    format!("p50 {} ns, p99 {} ns", at(50), at(99))
}

async fn measure(out: &mut impl Write) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let config = configuration(folder.path())?;
    let database = Database::open(&config).await?;
    database.migrate().await?;

    let clock = Clock::manual(NOON);
    let scene = Scene::open(clock.clone(), &config, &database).await?;
    let before = memory();
    scene.fill().await?;
    let full = memory();
    // As the gateway does each minute.
    let mut after = Vec::new();
    for wait in [61, 32 * 86_400] {
        for _ in 0..2 {
            clock.advance(Duration::from_secs(wait));
            scene.limits.tidy();
        }
        after.push(settled_memory().saturating_sub(before));
    }
    writeln!(
        out,
        "memory: {} MiB with all counters in use, {after:?} after a minute and a month",
        full.saturating_sub(before)
    )?;
    drop(scene);

    let scene = Scene::open(Clock::system(), &config, &database).await?;
    scene.fill().await?;
    let mut random = fastrand::Rng::with_seed(7);
    let mut times = Vec::with_capacity(CHECKS);
    for _ in 0..CHECKS {
        times.push(scene.request(random.usize(0..scene.callers.len()), random.usize(0..MODELS)).await?);
    }
    writeln!(out, "check of 5 limits:  {}", percentiles(times.iter().map(|(check, _)| *check)))?;
    writeln!(out, "settlement of them: {}", percentiles(times.iter().map(|(_, end)| *end)))?;
    writeln!(out, "both:               {}", percentiles(times.iter().map(|(check, end)| *check + *end)))?;
    Ok(())
}

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(measure(&mut out)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "limits: {error}");
            ExitCode::FAILURE
        }
    }
}
