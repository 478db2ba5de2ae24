//! What retrieval holds while the gateway runs: the index, and the queue of documents on their way into it.

mod removals;

use std::sync::Arc;
use std::time::Duration;

use rag::index::edge::Edge;
use rag::index::server::Server;
use rag::index::{IndexError, Space, VectorIndex};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::model::Model;
use crate::config::retrieval::{Index, IndexKind};
use crate::config::{Config, Hosting};
use crate::embed::Embedder;
use crate::errand::Errands;
use crate::ingest::Ingestion;
use crate::ingest::crew::{Crew, Makings};
use crate::ingest::reader::Reader;
use crate::retriever::Memory;
use crate::store::Database;

pub use removals::Removals;

/// How often the index is put in order: graphs for new chunks, room for those deleted.
const UPKEEP: Duration = Duration::from_secs(30);

pub struct Retrieval {
    pub index: Arc<dyn VectorIndex>,
    pub ingestion: Ingestion,
    pub embedder: Embedder,
    /// Other calls of models that retrieval makes for callers.
    pub errands: Errands,
    /// Vectors of recent questions.
    pub memory: Memory,
    pub reader: Arc<Reader>,
    /// What is deleted, on its way out.
    pub removals: Removals,
    crew: Arc<Crew>,
    /// Who runs a remote index. `None`: vectors stay in this process.
    pub hosting: Option<Hosting>,
}

impl Retrieval {
    /// What the configuration asks for: `None` when it has no section `retrieval`.
    ///
    /// # Errors
    /// When the embedded index cannot be opened. A server that is away is none: it may come back.
    pub async fn open(
        config: &Config,
        store: &Database,
        errands: Errands,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Retrieval>>, IndexError> {
        let Some(retrieval) = &config.retrieval else { return Ok(None) };
        let index = open_index(config, &retrieval.index).await?;
        let hosting = retrieval.index.hosting.as_ref().and_then(|name| config.hostings.get(name)).cloned();
        let failed = |error: std::io::Error| IndexError::Engine(error.to_string());
        let ingestion = Ingestion::new(store.clone());
        let embedder = Embedder::new(errands.clone());
        let reader = Arc::new(Reader::new(retrieval, errands.clone()).map_err(failed)?);
        let makings = Makings {
            store: store.clone(),
            index: index.clone(),
            embedder: embedder.clone(),
            reader: reader.clone(),
            settings: retrieval.ingestion.clone(),
            data: config.data.clone(),
            ingestion: ingestion.clone(),
        };
        let removals = Removals::new(store.clone(), index.clone(), &config.data);
        let crew = Crew::new(makings, stop.clone()).map_err(failed)?;
        let memory = Memory::default();
        Ok(Some(Arc::new(Retrieval { index, ingestion, embedder, errands, memory, reader, removals, crew, hosting })))
    }

    /// Starts to work on what waits in the queue.
    pub fn start(&self, tasks: &TaskTracker) {
        self.crew.clone().start(tasks);
    }

    /// Puts the index in order from time to time. A stop does not wait for a graph that is being built: what counts is
    /// on disk, and the next start builds it.
    pub async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let rounds = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                self.put_in_order().await;
            }
        };
        tokio::select! {
            () = rounds => {}
            () = stop.cancelled() => {}
        }
    }

    async fn put_in_order(&self) {
        let spaces = match self.index.spaces().await {
            Ok(spaces) => spaces,
            Err(error) => {
                tracing::debug!(%error, "the index does not tell its spaces");
                return;
            }
        };
        for space in spaces {
            if let Err(error) = self.index.maintain(&space).await {
                tracing::warn!(%error, %space, "the index could not be put in order");
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
