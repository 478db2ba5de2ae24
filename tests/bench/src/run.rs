//! The whole measurement: engine, nginx and gateway, in turn in every round, seconds apart.

use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::child::Child;
use crate::load::idle::Idle;
use crate::load::soak::Soak;
use crate::load::stream::Stream;
use crate::load::unary::Unary;
use crate::load::{Failures, Pace, Target, idle, soak, stream, unary};
use crate::process::Tree;
use crate::{Result, progress, proxy, report, say};

const CLIENTS: [usize; 3] = [1, 16, 64];
/// Time for a first answer; the gateway's first start creates its data.
const READY: Duration = Duration::from_secs(60);
/// Starts with existing data, of which the median is told.
const STARTS: usize = 3;
/// Requests a second below which a bench is given up.
const SLOWEST: u64 = 500;
/// Beyond what is measured itself, for starts and stops.
const MARGIN: Duration = Duration::from_secs(300);

#[derive(clap::Args, Clone)]
pub struct Settings {
    /// Command that starts the gateway; {port} is replaced.
    #[arg(long, default_value = "make bench-gateway PORT={port}")]
    gateway: String,
    #[arg(long, default_value_t = 9400)]
    port: u16,
    /// File where that command leaves a valid key.
    #[arg(long, default_value = "target/bench.key")]
    key_file: PathBuf,
    /// Port of the mock engine; the gateway's configuration names it.
    #[arg(long, default_value_t = 9100)]
    engine_port: u16,
    #[arg(long, default_value_t = 9200)]
    nginx_port: u16,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each closed-loop measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[arg(long, default_value_t = 200)]
    streams: usize,
    /// Chunks of each stream.
    #[arg(long, default_value_t = 100)]
    chunks: u64,
    /// Milliseconds between chunks.
    #[arg(long, default_value_t = 20)]
    gap_ms: u64,
    /// Streams kept open at once; 0 leaves that part out.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Requests over which memory must stay flat; 0 leaves that part out.
    #[arg(long, default_value_t = 200_000)]
    soak: u64,
    /// Folder for results, logs and nginx's files.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// What one side showed in one round.
#[derive(Default, serde::Serialize)]
pub struct Side {
    /// At 1, 16 and 64 clients.
    pub unary: Vec<Unary>,
    pub stream: Stream,
}

#[derive(serde::Serialize)]
pub struct Round {
    pub direct: Side,
    pub nginx: Side,
    pub gateway: Side,
}

#[derive(serde::Serialize)]
pub struct Measured {
    pub machine: String,
    pub notes: Vec<String>,
    pub first_start_s: f64,
    pub starts_s: Vec<f64>,
    pub idle_mib: f64,
    pub rounds: Vec<Round>,
    pub soak: Option<Soak>,
    pub idle: Option<Idle>,
}

impl Settings {
    fn patience(&self) -> Duration {
        let closed = (self.seconds + 1.0) * CLIENTS.len() as f64;
        let streamed = (self.chunks * self.gap_ms) as f64 / 1000.0 + 5.0;
        let rounds = (closed + streamed) * 3.0 * self.rounds as f64;
        Duration::from_secs_f64(rounds) + Duration::from_secs(self.soak / SLOWEST) + MARGIN
    }
}

/// Measures, prints the table, writes `OUT/result.json` and `OUT/result.md`.
/// Fails when a request failed or a stream was not whole; never for a figure.
pub async fn run(settings: Settings) -> Result<()> {
    let patience = settings.patience();
    fs::create_dir_all(&settings.out)?;
    let (measured, failures) = tokio::time::timeout(patience, measure(&settings))
        .await
        .map_err(|_| format!("not over after {} s", patience.as_secs()))??;
    let table = report::markdown(&measured);
    fs::write(settings.out.join("result.md"), format!("{table}\n"))?;
    fs::write(settings.out.join("result.json"), format!("{:#}\n", report::json(&measured)))?;
    say(&table);
    match failures.first {
        None => Ok(()),
        Some(first) => Err(format!("{} requests or streams failed; the first: {first}", failures.count).into()),
    }
}

/// The three that run for the whole bench: what is measured, and how to reach it.
struct Sides {
    engine: Child,
    nginx: Child,
    gateway: Child,
    /// direct, nginx, gateway.
    targets: [Target; 3],
}

async fn measure(settings: &Settings) -> Result<(Measured, Failures)> {
    let (mut sides, first_start_s, starts_s) = start(settings).await?;
    let [direct, _, gateway] = sides.targets.clone();
    sleep(Duration::from_secs(2)).await;
    let idle_mib = Tree::of(gateway.pid).memory_mib();

    let mut failures = Failures::default();
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let round = round(settings, &sides.targets, number, &mut failures).await;
        progress(&format!("round {number}: direct {}; nginx {}; gateway {}", round.direct, round.nginx, round.gateway));
        rounds.push(round);
        sides.check()?;
    }
    let mut soaked = None;
    if settings.soak > 0 {
        progress(&format!("{} requests for memory", settings.soak));
        let patience = Duration::from_secs(settings.soak / SLOWEST + 30);
        let seen = soak::run(&gateway, settings.soak, patience).await;
        failures.merge(seen.failures.clone());
        soaked = Some(seen);
    }
    let (mut idled, mut notes) = (None, Vec::new());
    let streams = open_at_most(settings.idle, &mut notes);
    if streams > 0 {
        progress(&format!("{streams} streams kept open"));
        let seen = idle::run(&gateway, &direct.address, streams).await;
        failures.merge(seen.failures.clone());
        idled = Some(seen);
    }
    sides.check()?;
    let machine = machine();
    Ok((Measured { machine, notes, first_start_s, starts_s, idle_mib, rounds, soak: soaked, idle: idled }, failures))
}

/// Starts engine, gateway (several times, timed) and nginx, and sees that the latter two check keys.
async fn start(settings: &Settings) -> Result<(Sides, f64, Vec<f64>)> {
    let program = proxy::find()?;
    let at = |port: u16| format!("127.0.0.1:{port}");
    for port in [settings.engine_port, settings.nginx_port, settings.port] {
        TcpListener::bind(at(port)).map_err(|error| format!("port {port} is not free: {error}"))?;
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["engine", "--listen", &at(settings.engine_port)]);
    let mut engine = Child::start("engine", &mut command, &settings.out)?;
    let (direct, _) = ready(&mut engine, at(settings.engine_port), || "none".to_owned()).await?;

    progress("first start of the gateway, which creates what is missing");
    let (first, _, first_start_s) = start_gateway(settings).await?;
    drop(first);
    let mut starts_s = Vec::new();
    let (gateway, gated) = loop {
        let (gateway, gated, seconds) = start_gateway(settings).await?;
        starts_s.push(seconds);
        if starts_s.len() == STARTS {
            break (gateway, gated);
        }
    };
    let address = at(settings.nginx_port);
    let mut nginx = proxy::start(&program, &settings.out, &address, &direct.address, &gated.key)?;
    let (proxied, _) = ready(&mut nginx, address, || gated.key.clone()).await?;
    for (name, target) in [("nginx", &proxied), ("the gateway", &gated)] {
        let stranger = Target { key: "not-a-key".to_owned(), ..target.clone() };
        match stranger.probe().await {
            Err(refusal) if refusal.starts_with("status 401") => {}
            other => return Err(format!("{name} does not check keys: {other:?}").into()),
        }
    }
    Ok((Sides { engine, nginx, gateway, targets: [direct, proxied, gated] }, first_start_s, starts_s))
}

async fn start_gateway(settings: &Settings) -> Result<(Child, Target, f64)> {
    let command = settings.gateway.replace("{port}", &settings.port.to_string());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec {command}")]);
    let started = Instant::now();
    let mut gateway = Child::start("gateway", &mut shell, &settings.out)?;
    // The key may be written, or replaced, by the very start that is timed.
    let address = format!("127.0.0.1:{}", settings.port);
    let (target, answered) = ready(&mut gateway, address, || read_key(&settings.key_file)).await?;
    Ok((gateway, target, (answered - started).as_secs_f64()))
}

fn read_key(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// Asks `child` at `address` until it answers a chat with 200; tells when that was.
async fn ready(child: &mut Child, address: String, key: impl Fn() -> String) -> Result<(Target, Instant)> {
    let mut target = Target { address, key: String::new(), pid: child.pid() };
    let deadline = Instant::now() + READY;
    loop {
        target.key = key();
        let reason = match target.probe().await {
            Ok(()) => return Ok((target, Instant::now())),
            Err(reason) => reason,
        };
        child.check()?;
        if Instant::now() > deadline {
            return Err(format!("{} does not answer: {reason}\n{}", target.address, child.last_words()).into());
        }
        sleep(Duration::from_millis(2)).await;
    }
}

impl Sides {
    fn check(&mut self) -> Result<()> {
        [&mut self.engine, &mut self.nginx, &mut self.gateway].into_iter().try_for_each(Child::check)
    }
}

/// All sides at each load, in an order that turns, so that none is always measured first.
async fn round(settings: &Settings, targets: &[Target; 3], number: usize, failures: &mut Failures) -> Round {
    let mut sides = <[Side; 3]>::default();
    let order = |step: usize| (0..3).map(move |place| (place + number + step) % 3);
    for (step, clients) in CLIENTS.into_iter().enumerate() {
        for side in order(step) {
            let seen = unary::run(&targets[side], clients, settings.seconds, Duration::ZERO).await;
            failures.merge(seen.failures.clone());
            sides[side].unary.push(seen);
        }
    }
    let pace = Pace { chunks: settings.chunks, gap_ms: settings.gap_ms };
    for side in order(CLIENTS.len()) {
        sides[side].stream = stream::run(&targets[side], settings.streams, pace).await;
        failures.merge(sides[side].stream.failures.clone());
    }
    let [direct, nginx, gateway] = sides;
    Round { direct, nginx, gateway }
}

/// A gateway holds two descriptors a stream, and inherits this process's limit.
fn open_at_most(wanted: usize, notes: &mut Vec<String>) -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(1024, |(soft, _)| soft);
    let possible = usize::try_from(limit.saturating_sub(400) / 2).unwrap_or(usize::MAX);
    if possible < wanted {
        notes.push(format!(
            "{possible} streams rather than {wanted}: this machine allows {limit} descriptors a process."
        ));
    }
    wanted.min(possible)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{cores} cores shared by engine, load and what is measured; load average {load} at the end")
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alone = self.unary.first().map_or(f64::NAN, |seen| seen.latency_us.p50);
        let many = self.unary.last().map_or(f64::NAN, |seen| seen.requests_per_second);
        write!(f, "{alone:.0} µs, {many:.0}/s, lag p99 {:.2} ms", self.stream.lag_us.p99 / 1e3)
    }
}
