//! What keeping the content of every request costs the threads that serve: two gateways alike but for that, in turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::child::Child;
use crate::load::unary::{self, Unary};
use crate::load::{Failures, Target};
use crate::stats::{median, range};
use crate::{Result, progress, say};

/// Time for an answer of what was just started.
const READY: Duration = Duration::from_secs(60);
/// Time for the queue of contents to empty between measurements.
const REST: Duration = Duration::from_millis(500);

#[derive(clap::Args, Clone)]
pub struct Settings {
    /// The gateway.
    #[arg(long, default_value = "target/counter/dist/guichet")]
    gateway: PathBuf,
    /// Clients at once, each measured in every round.
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    clients: Vec<usize>,
    #[arg(long, default_value_t = 8)]
    rounds: usize,
    /// Rest of each client between its requests, in milliseconds. Without one, few cores are full: all that is done beside
    /// the requests then slows them, and nothing is told apart.
    #[arg(long, default_value_t = 2)]
    rest: u64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// First of four free ports; the mock engine's is 9100, as the configuration says.
    #[arg(long, default_value_t = 9450)]
    port: u16,
    /// Folder for data and logs, emptied first.
    #[arg(long, default_value = "target/bench-capture")]
    out: PathBuf,
}

const SIDES: [&str; 2] = ["off", "on"];

/// As the table's head names them.
const COLUMNS: [fn(&Unary) -> f64; 5] = [
    |one| one.latency_us.p50,
    |one| one.latency_us.p99,
    |one| one.requests_per_second,
    |one| one.serving_us_per_request,
    |one| one.cpu_us_per_request,
];

/// Measures and prints a table. Fails when a request failed; never for a figure.
pub async fn run(settings: Settings) -> Result<()> {
    match fs::remove_dir_all(&settings.out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&settings.out)?,
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["engine", "--listen", "127.0.0.1:9100"]);
    let mut engine = Child::start("engine", &mut command, &settings.out)?;
    let mut sides = Vec::new();
    for (place, name) in (0..).zip(SIDES) {
        sides.push(start(&settings, name, settings.port + 2 * place).await?);
    }
    let mut seen: Vec<[Vec<Unary>; 2]> = settings.clients.iter().map(|_| Default::default()).collect();
    let mut failures = Failures::default();
    for round in 0..settings.rounds {
        for (clients, seen) in settings.clients.iter().zip(&mut seen) {
            for step in 0..2 {
                let side = (round + step) % 2;
                let one =
                    unary::run(&sides[side].1, *clients, settings.seconds, Duration::from_millis(settings.rest)).await;
                failures.merge(one.failures.clone());
                seen[side].push(one);
                sleep(REST).await;
            }
        }
        progress(&format!("round {} of {}", round + 1, settings.rounds));
        engine.check()?;
        sides.iter_mut().try_for_each(|(child, _)| child.check())?;
    }
    say("| clients | content | p50, µs | p99, µs | requests/s | serving threads, µs of CPU a request | whole, µs |");
    say("|---|---|---|---|---|---|---|");
    for (clients, seen) in settings.clients.iter().zip(&seen) {
        let row = |name: &str, cells: Vec<String>| say(&format!("| {clients} | {name} | {} |", cells.join(" | ")));
        for (name, runs) in SIDES.iter().zip(seen) {
            let told = COLUMNS.map(|of| spread(runs.iter().map(of).collect(), 1));
            row(name, told.to_vec());
        }
        let ratios = COLUMNS.map(|of| {
            let rounds = seen[0].iter().zip(&seen[1]).map(|(off, on)| of(on) / of(off)).collect();
            format!("× {}", spread(rounds, 3))
        });
        row("on / off, by round", ratios.to_vec());
    }
    let metrics = metrics(settings.port + 3).await?;
    for line in metrics.lines().filter(|line| line.starts_with("guichet_evaluation_contents_total")) {
        say(line);
    }
    match failures.first {
        None => Ok(()),
        Some(first) => Err(format!("{} requests failed; the first: {first}", failures.count).into()),
    }
}

/// Median, least and most.
fn spread(values: Vec<f64>, digits: usize) -> String {
    let (low, high) = range(&values);
    format!("{:.digits$} ({low:.digits$}–{high:.digits$})", median(&values))
}

/// A gateway whose project agreed to the keeping of all its content, or one that keeps none.
async fn start(settings: &Settings, name: &'static str, port: u16) -> Result<(Child, Target)> {
    let (folder, file) = (settings.out.join(name), settings.out.join(format!("{name}.yaml")));
    let mut config = fs::read_to_string("deploy/config/bench.yaml")?;
    if name == "on" {
        config.push_str("evaluation: {sampling: {rate: 1}}\n");
    }
    fs::write(&file, config)?;
    let command = |words: &[&str]| {
        let mut command = Command::new(&settings.gateway);
        command.args(words).env("GUICHET_CONFIG", &file).env("GUICHET__DATA", &folder);
        command.env("GUICHET__SERVER__LISTEN", format!("127.0.0.1:{port}"));
        command.env("GUICHET__SERVER__METRICS_LISTEN", format!("127.0.0.1:{}", port + 1));
        command
    };
    let done = |words: &[&str]| -> Result<String> {
        let said = command(words).output().map_err(|error| format!("{}: {error}", settings.gateway.display()))?;
        match said.status.success() {
            true => Ok(String::from_utf8(said.stdout)?),
            false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&said.stderr)).into()),
        }
    };
    done(&["organization", "create", "bench"])?;
    done(&["project", "create", "bench", "--organization", "bench"])?;
    if name == "on" {
        done(&["project", "consent", "bench", "--organization", "bench", "--notice", "1"])?;
    }
    let made = done(&["key", "create", "--project", "bench", "--organization", "bench", "--name", "bench", "--json"])?;
    let made: serde_json::Value = serde_json::from_str(&made)?;
    let key = made["key"].as_str().ok_or("`key create --json` told no key")?.to_owned();
    let mut child = Child::start(name, &mut command(&["serve"]), Path::new(&settings.out))?;
    let target = Target { address: format!("127.0.0.1:{port}"), key, pid: child.pid() };
    let until = Instant::now() + READY;
    while let Err(reason) = target.probe().await {
        child.check()?;
        if Instant::now() > until {
            return Err(format!("{name} does not answer: {reason}\n{}", child.last_words()).into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok((child, target))
}

async fn metrics(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
