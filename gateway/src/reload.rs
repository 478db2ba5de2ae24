//! A new configuration without dropping a request: on SIGHUP, and when the file changes.
//!
//! A file with a problem changes nothing: the present configuration goes on, and the log says why.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, AppState};
use crate::config::{self, Config, Origin};
use crate::telemetry::ResultLabel;

/// How often the file is looked at. Looking survives what notifications do not: mounts, editors that replace the
/// file, links switched by an orchestrator.
const LOOK: Duration = Duration::from_secs(1);

type Stamp = Option<(SystemTime, u64)>;

fn stamp(origin: &Origin) -> Stamp {
    match origin {
        Origin::Embedded => None,
        Origin::File(path) => {
            let data = std::fs::metadata(path).ok()?;
            Some((data.modified().ok()?, data.len()))
        }
    }
}

/// Watches until the gateway stops.
pub async fn watch(app: AppState) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::error!(%error, "no SIGHUP on this system: the configuration is not reloaded");
            return;
        }
    };
    let mut last = stamp(&app.origin);
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            _ = hangup.recv() => true,
            () = app.stop.cancelled() => return,
        };
        let now = stamp(&app.origin);
        if asked || now != last {
            last = now;
            // Off the threads of requests: folders of prompts and vocabularies are read.
            let app = app.clone();
            let reloaded = tokio::task::spawn_blocking(move || reload(&app)).await;
            if let Err(error) = reloaded {
                tracing::error!(%error, "the configuration could not be read again");
            }
        }
    }
}

/// Reads the configuration again and takes it if it holds no problem. True when it was taken.
pub fn reload(app: &App) -> bool {
    let result = config::load(&app.origin)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())
        .and_then(|config| take(app, config));
    let label = match &result {
        Ok(()) => "taken",
        Err(_) => "refused",
    };
    app.telemetry.reloads.get_or_create(&ResultLabel { result: label }).inc();
    match result {
        Ok(()) => {
            tracing::info!(origin = %app.origin, "configuration reloaded");
            true
        }
        Err(problems) => {
            for problem in problems {
                tracing::error!("configuration kept as it was: {problem}");
            }
            false
        }
    }
}

fn take(app: &App, mut config: Config) -> Result<(), Vec<String>> {
    let before = app.config.load_full();
    let library = crate::app::prompts(&config)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let data = |config: &Config| -> PathBuf { config.data.clone() };
    if data(&before) != data(&config) || before.database != config.database || before.records != config.records {
        tracing::warn!("`data`, `database` and `records` take effect at the next start");
        config.data.clone_from(&before.data);
        config.database.clone_from(&before.database);
        config.records.clone_from(&before.records);
    }
    if before.limits.store != config.limits.store
        || before.limits.time_zone != config.limits.time_zone
        || before.limits.when_store_down != config.limits.when_store_down
    {
        tracing::warn!("`limits.store`, `limits.when_store_down` and `limits.time_zone` take effect at the next start");
        config.limits.store.clone_from(&before.limits.store);
        config.limits.time_zone.clone_from(&before.limits.time_zone);
        config.limits.when_store_down = before.limits.when_store_down;
    }
    let index = |config: &Config| config.retrieval.as_ref().map(|retrieval| retrieval.index.clone());
    if index(&before) != index(&config) {
        tracing::warn!("`retrieval.index`, and whether there is retrieval at all, take effect at the next start");
        match (&before.retrieval, &mut config.retrieval) {
            (Some(before), Some(after)) => after.index.clone_from(&before.index),
            (before, after) => after.clone_from(before),
        }
    }
    let listening = |config: &Config| {
        let server = &config.server;
        let sizes = (server.worker_threads, server.max_connections, server.header_timeout, server.drain);
        (server.listen, server.metrics_listen, sizes)
    };
    if listening(&before) != listening(&config) {
        tracing::warn!(
            "the addresses, threads, connections, `header_timeout` and `drain` of `server` take effect at the next start"
        );
    }
    if (before.log.format, &before.log.level) != (config.log.format, &config.log.level) {
        tracing::warn!("`format` and `level` of `log` take effect at the next start");
    }
    match (&app.recorder.capture, &config.evaluation) {
        (Some(capture), Some(settings)) => {
            let apart =
                |config: &Config| config.evaluation.as_ref().map(|all| (all.keep, all.queue, all.largest, all.threads));
            if apart(&before) != apart(&config) {
                tracing::warn!("`evaluation` takes effect at the next start, its sampling apart");
            }
            capture.reload(settings);
        }
        (None, None) => {}
        _ => {
            tracing::warn!("`evaluation` is turned on or off at the next start");
            config.evaluation.clone_from(&before.evaluation);
        }
    }
    app.fleet.reload(&config)?;
    app.gates.reload(&config.gates);
    app.identity.reload(&config);
    app.limits.reload(&config);
    app.prompts.store(std::sync::Arc::new(library));
    app.config.store(std::sync::Arc::new(config));
    Ok(())
}
