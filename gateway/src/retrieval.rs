//! What retrieval holds while the gateway runs: the index, and the queue of documents on their way into it.

use std::sync::Arc;
use std::time::Duration;

use rag::index::edge::Edge;
use rag::index::server::Server;
use rag::index::{IndexError, Space, VectorIndex};
use tokio_util::sync::CancellationToken;

use crate::config::model::Model;
use crate::config::retrieval::{Index, IndexKind};
use crate::config::{Config, Hosting};
use crate::ingest::Ingestion;
use crate::store::Database;

/// How often the index is put in order: graphs for new chunks, room for those deleted.
const UPKEEP: Duration = Duration::from_secs(30);

pub struct Retrieval {
    pub index: Arc<dyn VectorIndex>,
    pub ingestion: Ingestion,
    /// Who runs a remote index. `None`: vectors stay in this process.
    pub hosting: Option<Hosting>,
}

impl Retrieval {
    /// What the configuration asks for: `None` when it has no section `retrieval`.
    ///
    /// # Errors
    /// When the embedded index cannot be opened. A server that is away is none: it may come back.
    pub async fn open(config: &Config, store: &Database) -> Result<Option<Arc<Retrieval>>, IndexError> {
        let Some(retrieval) = &config.retrieval else { return Ok(None) };
        let index = open_index(config, &retrieval.index).await?;
        let hosting = retrieval.index.hosting.as_ref().and_then(|name| config.hostings.get(name)).cloned();
        Ok(Some(Arc::new(Retrieval { index, ingestion: Ingestion::new(store.clone()), hosting })))
    }

    /// Puts the index in order from time to time, and leaves nothing unsafe behind at the end.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let stopped = tokio::select! {
                () = tokio::time::sleep(UPKEEP) => false,
                () = stop.cancelled() => true,
            };
            let spaces = match self.index.spaces().await {
                Ok(spaces) => spaces,
                Err(error) => {
                    tracing::debug!(%error, "the index does not tell its spaces");
                    Vec::new()
                }
            };
            for space in spaces {
                let done = if stopped { self.index.flush(&space).await } else { self.index.maintain(&space).await };
                if let Err(error) = done {
                    tracing::warn!(%error, %space, "the index could not be put in order");
                }
            }
            if stopped {
                return;
            }
        }
    }
}

/// The index that a configuration names.
///
/// # Errors
/// As [`Edge::open`] and [`Server::new`].
pub async fn open_index(config: &Config, index: &Index) -> Result<Arc<dyn VectorIndex>, IndexError> {
    match index.kind {
        IndexKind::Edge => {
            let folder = config.data.join("index");
            let opening = tokio::task::spawn_blocking(move || Edge::open(&folder));
            let edge = opening.await.map_err(|error| IndexError::Engine(error.to_string()))??;
            Ok(Arc::new(edge))
        }
        IndexKind::Server => {
            let wrong = |what: String| IndexError::Engine(what);
            let url = index.url.as_ref().ok_or_else(|| wrong("retrieval.index.url is missing".to_owned()))?;
            let key = index.api_key.as_ref().map(|key| key.read()).transpose().map_err(wrong)?;
            let server = Server::new(url.as_str(), key.as_ref().map(|key| key.reveal()), index.prefix())?;
            Ok(Arc::new(server))
        }
    }
}

/// Where the chunks that a model embeds are kept. `None` for a model that does not tell its dimensions: the
/// configuration is refused when retrieval names one.
pub fn space(model: &Model) -> Option<Space> {
    model.dimensions.map(|dimensions| Space::new(&model.id, dimensions as usize))
}
