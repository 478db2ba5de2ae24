//! One running engine: where it is, how it is asked, how full and how well it is.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method, Uri};

use super::engine::{Place, Quirks, quirks};
use super::health::Health;
use super::lease::Lease;
use super::upstream::idle::Idle;
use super::upstream::opening::Opening;
use crate::config::model::{self, EngineKind, MessageLayout, ReasoningSource};
use crate::config::{Config, DataClass, Hosting};
use crate::server::workers;

/// What of an engine outlives a reload of the configuration.
#[derive(Debug)]
pub struct Live {
    inflight: AtomicU32,
    pub health: Health,
}

impl Default for Live {
    fn default() -> Self {
        Live { inflight: AtomicU32::new(0), health: Health::default() }
    }
}

/// One running engine that serves a model, ready to be asked.
#[derive(Debug)]
pub struct Deployment {
    pub name: Arc<str>,
    pub engine: EngineKind,
    pub quirks: Quirks,
    /// The name the engine knows the model by.
    pub engine_model: String,
    /// The same as a JSON string, quotes included.
    pub engine_model_json: String,
    pub capacity: u32,
    pub hosting: Hosting,
    /// Value of `x-guichet-hosting`.
    pub hosting_header: HeaderValue,
    pub hosting_text: Arc<str>,
    pub reasoning: ReasoningSource,
    pub layout: MessageLayout,
    pub first_byte_timeout: Duration,
    pub chunk_timeout: Duration,
    pub live: Arc<Live>,
    /// This replica's part of its slots.
    lease: Arc<Lease>,
    /// Scheme, host and port to connect to.
    pub address: Uri,
    openings: [Opening; 5],
    /// Of the question whether it is well.
    pub health: Opening,
    allowed: [bool; 3],
    /// Connections at rest, by the number of the worker they live on.
    idle: Box<[Idle]>,
}

/// The call of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    Chat,
    Completions,
    Embeddings,
    Rerank,
    Ocr,
}

impl Deployment {
    /// Compiles a checked deployment. The error names it and never its key.
    pub fn new(
        config: &Config,
        said: &model::Deployment,
        id: &str,
        live: Arc<Live>,
        lease: &Arc<Lease>,
    ) -> Result<Deployment, String> {
        let quirks = quirks(said.engine);
        let problem = |error: &dyn std::fmt::Display| format!("deployment {}: {error}", said.name);
        let address = &said.url[..url::Position::BeforePath];
        let base = said.url.path().trim_end_matches('/');
        let uri = |text: &str| Uri::from_str(text).map_err(|error| problem(&error));
        let path = |place: Place| match place {
            Place::Root(path) => path.to_owned(),
            Place::Base(path) => format!("{base}{path}"),
        };
        // A port that the scheme implies is left out, as engines behind a proxy may be told apart by it.
        let host = &said.url[url::Position::BeforeHost..url::Position::AfterPort];
        let hosting = config
            .hostings
            .get(&said.hosting)
            .cloned()
            .ok_or_else(|| format!("deployment {}: no hosting named {}", said.name, said.hosting))?;
        let hosting_text = hosting.to_string();
        let authorization = match &said.api_key {
            None => None,
            Some(source) => {
                let secret = source.read().map_err(|error| format!("deployment {}: {error}", said.name))?;
                let mut value = HeaderValue::try_from(format!("Bearer {}", secret.reveal()))
                    .map_err(|_| format!("deployment {}: the key holds characters no header can carry", said.name))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let allowed = DataClass::ALL.map(|class| config.rule(class).allows(&hosting));
        let host = HeaderValue::try_from(host).map_err(|error| problem(&error))?;
        // A path that makes a URI holds nothing that could end the line it is written in.
        let opening = |method: Method, path: String| {
            uri(&path).map(|_| Opening::new(&method, &path, &host, authorization.as_ref()))
        };
        let health = said.health_path.clone().unwrap_or_else(|| path(quirks.health));
        let threads = workers::threads(config.server.worker_threads);
        let idle = || Idle::new(config.fleet.idle_connections.div_ceil(threads));
        Ok(Deployment {
            name: Arc::from(said.name.as_str()),
            engine: said.engine,
            quirks,
            engine_model_json: serde_json::Value::from(said.engine_model.as_deref().unwrap_or(id)).to_string(),
            engine_model: said.engine_model.clone().unwrap_or_else(|| id.to_owned()),
            capacity: said.capacity,
            hosting_header: HeaderValue::try_from(hosting.header())
                .map_err(|_| format!("deployment {}: its hosting cannot be a header", said.name))?,
            hosting_text: Arc::from(hosting_text),
            hosting,
            reasoning: said.reasoning,
            layout: said.messages,
            first_byte_timeout: said.first_byte_timeout.0,
            chunk_timeout: said.chunk_timeout.0,
            live,
            lease: lease.clone(),
            address: uri(address)?,
            openings: [
                opening(Method::POST, path(Place::Base("/chat/completions")))?,
                opening(Method::POST, path(Place::Base("/completions")))?,
                opening(Method::POST, path(Place::Base("/embeddings")))?,
                opening(Method::POST, path(quirks.rerank))?,
                opening(Method::POST, path(Place::Base("/ocr")))?,
            ],
            health: opening(Method::GET, health)?,
            allowed,
            idle: std::iter::repeat_with(idle).take(threads).collect(),
        })
    }

    /// What a request for this call begins with.
    pub fn opening(&self, call: Call) -> &Opening {
        match call {
            Call::Chat => &self.openings[0],
            Call::Completions => &self.openings[1],
            Call::Embeddings => &self.openings[2],
            Call::Rerank => &self.openings[3],
            Call::Ocr => &self.openings[4],
        }
    }

    /// Connections at rest that this thread may take.
    pub fn idle(&self) -> &Idle {
        // There is at least one worker, the first.
        self.idle.get(workers::number()).unwrap_or(&self.idle[0])
    }

    /// Closes connections that have rested for too long.
    pub fn tidy(&self) {
        self.idle.iter().for_each(Idle::tidy);
    }

    /// Whether data of this class may go there.
    pub fn allows(&self, class: DataClass) -> bool {
        self.allowed[class as usize]
    }

    pub fn inflight(&self) -> u32 {
        self.live.inflight.load(Ordering::Relaxed)
    }

    /// Share of its present capacity in use, in thousandths; what the choice of two compares.
    pub fn load(&self) -> u64 {
        u64::from(self.inflight()) * 1_000 / u64::from(self.present_capacity().max(1))
    }

    /// The requests it may hold now: less than its capacity while it returns from an ejection, 0 while ejected.
    pub fn present_capacity(&self) -> u32 {
        self.lease.part(self.live.health.share_of(self.capacity))
    }

    /// Takes a slot when one is free.
    pub fn try_take(&self) -> bool {
        let capacity = self.present_capacity();
        self.live
            .inflight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < capacity).then_some(n + 1))
            .is_ok()
    }

    pub fn give_back(&self) {
        self.live.inflight.fetch_sub(1, Ordering::Relaxed);
    }
}
