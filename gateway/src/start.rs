//! From a checked configuration to a serving gateway, and back to rest.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, AppState};
use crate::config::limits::LimitStore;
use crate::config::{Config, Origin};
use crate::fleet::Fleet;
use crate::fleet::queue::exchange::board::Board;
use crate::policy::gate::Gates;
use crate::policy::identity::{Directory, FirstAdmin, ensure_first_admin};
use crate::policy::limits::{Limits, rebuild, warning};
use crate::policy::pseudonym::Pseudonyms;
use crate::recorder::{Recorder, writer};
use crate::reload;
use crate::router::router;
use crate::server::workers::{self, Workers};
use crate::server::{Server, Service};
use crate::store::Database;
use crate::telemetry::Telemetry;

/// How often replicas look for changed keys, and quiet state is tidied.
const REFRESH: Duration = Duration::from_secs(1);
const TIDY: Duration = Duration::from_secs(60);
/// Longest wait at the start for what was used before it.
const REMEMBER: Duration = Duration::from_secs(3);

/// Why a gateway did not start, for a person.
#[derive(Debug)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// A serving gateway.
pub struct Running {
    pub address: SocketAddr,
    pub metrics_address: Option<SocketAddr>,
    /// Where the first administrator's key was written, when this start made it.
    pub first_admin: Option<FirstAdmin>,
    pub app: AppState,
    writer: std::thread::JoinHandle<()>,
    writer_stop: CancellationToken,
    #[cfg(feature = "eval")]
    desk: Option<crate::evaluation::desk::Desk>,
}

/// Starts serving: the database is migrated, the journal replayed, the port bound.
pub async fn start(config: Config, origin: Origin) -> Result<Running, StartError> {
    let told = |what: &str, error: &dyn fmt::Display| StartError(format!("{what}: {error}"));
    make_private(&config.data)
        .map_err(|error| told(&format!("the data folder {} cannot be made", config.data.display()), &error))?;
    // The port first: two gateways started by mistake must not both migrate and replay.
    let server = Server::bind(config.server.listen)
        .await
        .map_err(|error| told(&format!("cannot listen on {}", config.server.listen), &error))?;
    let metrics_server = match config.server.metrics_listen {
        Some(address) => {
            Some(Server::bind(address).await.map_err(|error| told(&format!("cannot listen on {address}"), &error))?)
        }
        None => None,
    };
    let telemetry = Arc::new(Telemetry::new());
    let recorder =
        Recorder::open(&config, telemetry.clone()).map_err(|error| told("the journal cannot be opened", &error))?;
    let store = Database::open(&config).await.map_err(|error| told("the database cannot be opened", &error))?;
    store.migrate().await.map_err(|error| told("the database cannot be migrated", &error))?;
    let first_admin = ensure_first_admin(&store, &config.data)
        .await
        .map_err(|error| told("the first administrator cannot be made", &error))?;
    let pseudonyms =
        Pseudonyms::open(&store).await.map_err(|error| told("the keys of pseudonyms cannot be read", &error))?;
    let prompts = crate::app::prompts(&config)
        .map_err(|problems| StartError(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let fleet = Fleet::new(&config, telemetry.clone()).map_err(|problems| StartError(problems.join("\n")))?;
    let fleet = Arc::new(fleet);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let limits = Limits::open(&config, &store, telemetry.clone(), &tasks, &stop)
        .await
        .map_err(|error| told("the limits cannot be read", &error))?;
    let limits = Arc::new(limits);
    #[cfg(feature = "retrieval")]
    let retrieval = {
        let errands = crate::errand::Errands::new(fleet.clone(), limits.clone(), recorder.clone());
        crate::retrieval::Retrieval::open(&config, &store, errands, &stop)
            .await
            .map_err(|error| told("the index of documents cannot be opened", &error))?
    };
    let app = Arc::new(App {
        identity: Directory::new(store.clone(), &config),
        gates: Gates::new(&config.gates),
        limits,
        fleet,
        prompts: ArcSwap::from_pointee(prompts),
        recorder: recorder.clone(),
        telemetry: telemetry.clone(),
        #[cfg(feature = "retrieval")]
        retrieval,
        #[cfg(feature = "eval")]
        runs: tokio::sync::Notify::new(),
        tasks,
        stop,
        config: ArcSwap::from_pointee(config.clone()),
        origin,
        pseudonyms,
        store,
    });
    // Keys in use open at once, and go on opening if the database goes away before they come.
    if let Err(error) = app.identity.warm().await {
        tracing::warn!(%error, "no key could be read in advance");
    }
    let writer_stop = CancellationToken::new();
    let writer = writer::start(recorder, Arc::new(config.clone()), writer_stop.clone())
        .map_err(|error| told("the recorder cannot start", &error))?;
    #[cfg(feature = "eval")]
    let desk = match (&app.recorder.capture, &config.evaluation) {
        (Some(capture), Some(settings)) => {
            let desk = crate::evaluation::desk::Desk::start(capture, &Arc::new(config.clone()), settings.threads);
            Some(desk.map_err(|error| told("the threads of evaluation cannot start", &error))?)
        }
        _ => None,
    };
    remember(&app).await;
    let service = router(app.clone()).map_err(|error| told("the reference page cannot be made", &error))?;
    let workers = Workers::start(workers::threads(config.server.worker_threads))
        .map_err(|error| told("the threads that carry requests cannot start", &error))?;
    let workers = Arc::new(workers);
    let (address, metrics_address) = (server.address, metrics_server.as_ref().map(|server| server.address));
    app.tasks.spawn(server.run(
        Service::Counter(app.clone(), service),
        config.server.clone(),
        workers.clone(),
        telemetry.clone(),
        app.stop.clone(),
    ));
    if let Some(server) = metrics_server {
        let page = Router::new().route("/metrics", get(metrics_alone)).with_state(app.clone());
        let service = Service::Metrics(page);
        app.tasks.spawn(server.run(service, config.server.clone(), workers, telemetry, app.stop.clone()));
    }
    app.tasks.spawn(app.fleet.clone().watch(app.stop.clone()));
    if let LimitStore::Redis(url) = &config.limits.store {
        let board = url.read().and_then(|url| Board::new(url.reveal()));
        let board = board.map_err(|error| told("replicas cannot hear each other", &error))?;
        app.tasks.spawn(app.fleet.clone().exchange(board, app.stop.clone()));
    }
    #[cfg(feature = "retrieval")]
    if let Some(retrieval) = &app.retrieval {
        app.tasks.spawn(retrieval.clone().keep(app.stop.clone()));
        retrieval.start(&app.tasks);
        app.tasks.spawn(retrieval.removals.clone().run(app.stop.clone()));
    }
    app.tasks.spawn(warning::run(app.clone()));
    app.tasks.spawn(refresh(app.clone()));
    #[cfg(feature = "eval")]
    {
        app.tasks.spawn(crate::evaluation::retention::run(app.clone()));
        if app.recorder.capture.is_some() {
            app.tasks.spawn(crate::evaluation::runs::run(app.clone()));
        }
    }
    app.tasks.spawn(reload::watch(app.clone()));
    app.tasks.close();
    Ok(Running {
        address,
        metrics_address,
        first_admin,
        app,
        writer,
        writer_stop,
        #[cfg(feature = "eval")]
        desk,
    })
}

/// Makes the data folder, closed to other users. One that is already there keeps the rights its owner gave it.
pub fn make_private(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Counts what was used before this start again. Requests need not wait for all of it: past a while, it goes on beside them.
async fn remember(app: &AppState) {
    let task = app.clone();
    let (told, done) = tokio::sync::oneshot::channel();
    app.tasks.spawn(async move {
        let counted = tokio::select! {
            counted = rebuild::at_start(&task) => counted,
            () = task.stop.cancelled() => return,
        };
        // Nobody listens when it took longer than the start waits.
        let _ = told.send(());
        rebuild::on_demand(task, counted).await;
    });
    if tokio::time::timeout(REMEMBER, done).await.is_err() {
        tracing::info!("what was used before this start is still being counted");
    }
}

async fn metrics_alone(State(app): State<AppState>) -> crate::error::ApiResult<axum::response::Response> {
    crate::api::metrics::page(&app)
}

/// Keeps what is cached of accounts true, and what is quiet small.
async fn refresh(app: AppState) {
    let mut tidied = std::time::Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => {}
            () = app.stop.cancelled() => return,
        }
        if let Err(error) = app.identity.refresh().await {
            tracing::debug!(%error, "keys could not be refreshed");
        }
        if let Err(error) = app.limits.refresh(&app.store, &app.config).await {
            tracing::debug!(%error, "limits could not be refreshed");
        }
        if tidied.elapsed() >= TIDY {
            tidied = std::time::Instant::now();
            app.identity.tidy();
            app.gates.tidy();
            app.limits.tidy();
            if let Err(error) = app.pseudonyms.prepare(&app.store).await {
                tracing::debug!(%error, "keys of pseudonyms could not be prepared");
            }
        }
    }
}

impl Running {
    /// Stops accepting, lets running requests end within the drain, and stores the last records.
    pub async fn stop(self) {
        self.app.stop.cancel();
        self.app.tasks.wait().await;
        // Requests cut at the end of the drain have written their records by now.
        self.writer_stop.cancel();
        let (writer, journal) = (self.writer, self.app.recorder.journal.clone());
        #[cfg(feature = "eval")]
        let desk = self.desk;
        let closed = tokio::task::spawn_blocking(move || {
            #[cfg(feature = "eval")]
            if let Some(desk) = desk {
                desk.stop();
            }
            journal.flush(Duration::from_secs(1));
            let joined = writer.join();
            (joined.is_ok(), journal.close())
        });
        match closed.await {
            Ok((true, Ok(()))) => {}
            Ok((_, Err(error))) => tracing::error!(%error, "the journal could not be closed"),
            Ok((false, _)) => tracing::error!("the recorder ended badly; its records wait on disk"),
            Err(error) => tracing::error!(%error, "the gateway did not stop cleanly"),
        }
    }
}
