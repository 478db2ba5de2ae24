//! Everything one gateway holds, made once and shared by all requests.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Origin};
use crate::fleet::Fleet;
use crate::policy::gate::Gates;
use crate::policy::identity::Directory;
use crate::policy::limits::Limits;
use crate::policy::pseudonym::Pseudonyms;
use crate::prompts::Library;
use crate::recorder::Recorder;
use crate::store::Database;
use crate::telemetry::Telemetry;

pub struct App {
    /// What a reload replaces; settings of the listening side, the data folder and the database need a restart.
    pub config: ArcSwap<Config>,
    pub origin: Origin,
    pub store: Database,
    pub identity: Directory,
    pub pseudonyms: Pseudonyms,
    pub gates: Gates,
    pub limits: Arc<Limits>,
    pub fleet: Arc<Fleet>,
    pub prompts: ArcSwap<Library>,
    pub recorder: Arc<Recorder>,
    pub telemetry: Arc<Telemetry>,
    /// Corpora and their search; `None` when the configuration asks for none.
    #[cfg(feature = "retrieval")]
    pub retrieval: Option<Arc<crate::retrieval::Retrieval>>,
    /// Rung when an experiment or a judging is to be taken up.
    #[cfg(feature = "eval")]
    pub runs: tokio::sync::Notify,
    /// Tasks that live as long as the gateway.
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

pub type AppState = Arc<App>;

/// The prompts of a configuration, speaking its language.
pub fn prompts(config: &Config) -> Result<Library, Vec<crate::prompts::Problem>> {
    let language = match config.language {
        crate::config::server::Language::Fr => "fr",
        crate::config::server::Language::En => "en",
    };
    Library::load(config.prompts.folder.as_deref()).map(|library| library.speaking(language))
}
