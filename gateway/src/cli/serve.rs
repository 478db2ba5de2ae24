//! `guichet serve`.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, Source};
use crate::config::server::Language;
use crate::config::{Config, Origin};
use crate::{Running, start, telemetry};

/// The longest wait for threads at the very end.
const LAST: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    source: Source,
    /// Address and port to serve, instead of the configuration's
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
        // Thousands of half-filled buffers in huge pages would hold twice the memory that they use.
        if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
            tracing::debug!(%error, "huge pages stay on");
        }
        let runtime = runtime()?;
        let outcome = runtime.block_on(serve(config, origin));
        // What still runs on other threads may take minutes (a graph of the index) and is begun again at the next start.
        runtime.shutdown_timeout(LAST);
        outcome
    }
}

/// The first of the threads that carry requests; [`crate::server::workers`] starts the others.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn serve(config: Config, origin: Origin) -> Outcome {
    let mut stop = signal(SignalKind::terminate())?;
    let models = config.models.len();
    let (data, language) = (config.data.clone(), config.language);
    let running = start(config, origin.clone()).await?;
    greet(&running, &origin, &data, models, language)?;
    tokio::select! {
        _ = stop.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    tracing::info!("stopping: running requests end first");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// What a person needs to know next, and nothing secret. The URL comes first, for programs that read it.
fn greet(running: &Running, origin: &Origin, data: &std::path::Path, models: usize, language: Language) -> Outcome {
    let address = running.address;
    let (data, in_french) = (data.display(), language == Language::Fr);
    let mut lines = vec![match in_french {
        true => format!("Guichet répond à http://{address}/v1 (référence : http://{address}/reference)"),
        false => format!("Guichet answers at http://{address}/v1 (reference: http://{address}/reference)"),
    }];
    if let Some(metrics) = running.metrics_address {
        lines.push(match in_french {
            true => format!("Métriques : http://{metrics}/metrics"),
            false => format!("Metrics: http://{metrics}/metrics"),
        });
    }
    lines.push(match (in_french, origin) {
        (true, Origin::Embedded) => format!("Configuration : celle par défaut ; données : {data}"),
        (true, Origin::File(file)) => format!("Configuration : {} ; données : {data}", file.display()),
        (false, _) => format!("Configuration: {origin}; data: {data}"),
    });
    if let Some(first) = &running.first_admin {
        let file = first.path.display();
        lines.push(match in_french {
            true => format!(
                "La clé de l’administrateur de l’instance est dans {file} (et nulle part ailleurs : mettez-la à l’abri, puis supprimez le fichier)."
            ),
            false => format!(
                "The key of the instance administrator is in {file} (and nowhere else: keep it safe, then delete the file)."
            ),
        });
    }
    if models == 0 {
        lines.push(match in_french {
            true => "Aucun modèle n’est encore configuré. Pour chercher les moteurs de cette machine et écrire guichet.yaml :\n  guichet init".to_owned(),
            false => "No model is configured yet. To look for the engines of this machine and write guichet.yaml:\n  guichet init".to_owned(),
        });
    }
    if models == 0 || running.first_admin.is_some() {
        lines.push(match in_french {
            true => "Pour ouvrir le service à un premier projet :".to_owned(),
            false => "To open it to a first project:".to_owned(),
        });
        lines.extend(FIRST_PROJECT.map(|command| format!("  {command}")));
    }
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(())
}

/// The commands that give a first project its key.
const FIRST_PROJECT: [&str; 3] = [
    "guichet organization create \"Ministère A\"",
    "guichet project create docs --organization \"Ministère A\" --data-class internal",
    "guichet key create --organization \"Ministère A\" --project docs",
];
