//! The active side of health: every engine is asked at intervals whether it is well.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use super::deployment::Deployment;
use super::{Fleet, Present};

/// Longest time an engine takes to say it is well.
const PATIENCE: Duration = Duration::from_secs(3);

impl Fleet {
    /// Asks every engine at intervals until the process stops.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let present = self.present.load_full();
            let interval = present.settings.health_interval.0;
            present.check_all().await;
            drop(present);
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

impl Present {
    /// One round over all engines, each asked once even when it serves several models.
    async fn check_all(&self) {
        let mut seen = HashSet::new();
        let mut checks = tokio::task::JoinSet::new();
        for model in &self.catalogue.models {
            for deployment in &model.deployments {
                deployment.tidy();
                if seen.insert(deployment.name.clone()) {
                    let (upstream, deployment) = (self.upstream.clone(), deployment.clone());
                    let (model, settings) = (model.clone(), self.settings.clone());
                    checks.spawn(async move {
                        let well = is_well(&upstream, &deployment).await;
                        let was = deployment.live.health.colour();
                        let roomier = deployment.live.health.checked(well, &settings, Instant::now());
                        let is = deployment.live.health.colour();
                        if was != is {
                            tracing::info!(deployment = %deployment.name, was = was.as_str(), is = is.as_str(), "engine health");
                        }
                        if roomier || model.held.queue.waiting() > 0 {
                            model.held.queue.refresh(&model);
                        }
                    });
                }
            }
        }
        while checks.join_next().await.is_some() {}
    }
}

async fn is_well(upstream: &super::Upstream, deployment: &Arc<Deployment>) -> bool {
    let Ok(response) = upstream.probe(deployment, PATIENCE).await else { return false };
    let status = response.status();
    // Read to its end, so that the connection goes back to the pool.
    let mut body = response.into_body();
    let drained = tokio::time::timeout(PATIENCE, async {
        let mut left: usize = 1 << 20;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, bytes::Bytes::len);
            if size > left {
                return;
            }
            left -= size;
        }
    });
    drained.await.is_ok() && status.is_success()
}

impl Fleet {
    /// Asks every engine once, without noting anything; the names of those that are well.
    pub async fn ask_all(&self) -> HashSet<Arc<str>> {
        let present = self.present.load_full();
        let mut well = HashSet::new();
        for model in &present.catalogue.models {
            for deployment in &model.deployments {
                if is_well(&present.upstream, deployment).await {
                    well.insert(deployment.name.clone());
                }
            }
        }
        well
    }
}
