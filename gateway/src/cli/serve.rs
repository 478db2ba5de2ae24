//! `guichet serve`.

use std::io::Write;
use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, Outcome, Source};
use crate::config::{Config, Origin};
use crate::{Running, start, telemetry};

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    source: Source,
    /// Address and port, over the configuration's
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

impl Serve {
    pub fn run(self) -> Outcome {
        let (mut config, origin) = self.source.read()?;
        if let Some(listen) = self.listen {
            config.server.listen = listen;
        }
        telemetry::log(&config.log);
        // Each stream holds two sockets: take all the descriptors this process may have.
        if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
            tracing::warn!(%error, "the limit on open files could not be raised");
        }
        runtime(config.server.worker_threads)?.block_on(serve(config, origin))
    }
}

/// One thread is a runtime without hand-overs between threads; more share the work.
fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(threads).enable_all().build()?)
}

async fn serve(config: Config, origin: Origin) -> Outcome {
    let mut stop = signal(SignalKind::terminate())?;
    let models = config.models.len();
    let data = config.data.clone();
    let running = start(config, origin.clone()).await?;
    greet(&running, &origin, &data, models)?;
    tokio::select! {
        _ = stop.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    tracing::info!("stopping: running requests end first");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// What a person needs to know next, and nothing secret.
fn greet(running: &Running, origin: &Origin, data: &std::path::Path, models: usize) -> Outcome {
    let mut out = std::io::stdout().lock();
    let address = running.address;
    writeln!(out, "Guichet answers at http://{address}/v1 (reference: http://{address}/reference)")?;
    if let Some(metrics) = running.metrics_address {
        writeln!(out, "Metrics at http://{metrics}/metrics")?;
    }
    writeln!(out, "Configuration: {origin}; data: {}", data.display())?;
    if let Some(first) = &running.first_admin {
        writeln!(
            out,
            "The key of the instance administrator is in {} (shown nowhere else; keep it safe, then delete the file).",
            first.path.display()
        )?;
    }
    if models == 0 {
        writeln!(
            out,
            "Next: no model is configured. `guichet init` looks for engines on this machine and writes guichet.yaml."
        )?;
    }
    if models == 0 || running.first_admin.is_some() {
        writeln!(
            out,
            "Then: guichet organization create NAME; guichet project create NAME --organization NAME; guichet key create --organization NAME --project NAME"
        )?;
    }
    out.flush()?;
    Ok(())
}
