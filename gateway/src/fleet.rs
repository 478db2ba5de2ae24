//! Which engine answers: models, deployments and their quirks, health, the choice, and the only sender.
//!
//! [`Fleet::send`] takes a job through its life: a slot (waiting in line when all engines are full), one exchange,
//! another engine when that one fails, then the fallback model. All of it happens before the client has seen a byte.

pub mod body;
pub mod deployment;
pub mod engine;
pub mod health;
pub mod lease;
pub mod models;
pub mod pick;
pub mod queue;
pub mod retry;
pub mod upstream;
pub mod verdict;
pub mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;

use crate::config::server::{Fleet as Settings, Queue as QueueSettings};
use crate::config::{Config, DataClass};
use crate::error::{ApiError, ApiResult};
use crate::gather::{Lacking, gather};
use crate::openai::stream::{self, First};
use crate::telemetry::Telemetry;
pub use deployment::{Call, Deployment};
pub use models::{Catalogue, Model};
use queue::fair::Ask;
use queue::{Entrance, TurnedAway};
pub use queue::{Slot, Tenant, Tier};
use upstream::{Answer, Failure, Upstream};
use verdict::Verdict;

/// Largest error body read from an engine.
const ERROR_BODY: usize = 64 << 10;

/// Bytes of a stream looked into for its first event; one that is larger is taken for an answer.
const OPENING: usize = 64 << 10;

/// What a reload replaces, in one piece.
#[derive(Debug)]
struct Present {
    catalogue: Catalogue,
    upstream: Arc<Upstream>,
    settings: Settings,
    queue: QueueSettings,
    answer_limit: usize,
}

#[derive(Debug)]
pub struct Fleet {
    present: ArcSwap<Present>,
    registry: models::Registry,
}

/// One request for engines.
pub struct Job<'a> {
    pub model: &'a Arc<Model>,
    pub organization: Option<&'a str>,
    pub class: DataClass,
    /// Who shares the model with whom.
    pub tenant: Tenant,
    /// Its input in tokens, as far as is known.
    pub input: u64,
    pub call: Call,
    pub streamed: bool,
    /// The request's id, for the engine's own log.
    pub id: &'a HeaderValue,
    /// The body in the words of that engine.
    pub build: &'a (dyn Fn(&Deployment) -> ApiResult<Bytes> + Send + Sync),
}

/// Where a job went, kept up to date while it goes: what the record says if the client leaves in the middle.
#[derive(Debug, Default)]
pub struct Trail {
    pub attempts: u32,
    pub model: Option<Arc<Model>>,
    pub deployment: Option<Arc<Deployment>>,
}

/// An engine's answer, not one byte of which has reached the client.
#[derive(Debug)]
pub enum Reply<T> {
    Whole(Slot, T),
    Stream(Slot, Opening),
}

/// The beginning of a streamed answer.
#[derive(Debug)]
pub struct Opening {
    pub first: Bytes,
    pub rest: Answer,
}

/// The engine answered something that is no answer.
#[derive(Debug)]
pub struct NotAnAnswer;

/// Why an exchange failed.
enum Trouble {
    Caller(ApiError),
    Busy,
    Broken,
    Timeout,
}

impl Fleet {
    pub fn new(config: &Config, telemetry: Arc<Telemetry>) -> Result<Fleet, Vec<String>> {
        let registry = models::Registry::new(telemetry);
        let present = Present::build(config, &registry, None)?;
        present.adopt();
        Ok(Fleet { present: ArcSwap::from_pointee(present), registry })
    }

    /// Takes a new configuration. Requests under way keep the engines they have.
    pub fn reload(&self, config: &Config) -> Result<(), Vec<String>> {
        let before = self.present.load_full();
        let present = Arc::new(Present::build(config, &self.registry, Some(&before))?);
        self.present.store(present.clone());
        present.adopt();
        drop(before);
        self.registry.tidy();
        Ok(())
    }

    /// The model of a name, if that organization may see it.
    pub fn resolve(&self, name: &str, organization: Option<&str>) -> ApiResult<Arc<Model>> {
        self.present.load().catalogue.resolve(name, organization).cloned()
    }

    /// The models an organization may see; all for `None`.
    pub fn visible(&self, organization: Option<&str>) -> Vec<Arc<Model>> {
        self.present.load().catalogue.visible(organization).cloned().collect()
    }

    /// Sends a job to an engine its data class may reach, trying others before the first byte.
    pub async fn send<T>(
        &self,
        job: &Job<'_>,
        trail: &mut Trail,
        read: impl Fn(&Model, &Deployment, Bytes) -> Result<T, NotAnAnswer>,
    ) -> ApiResult<Reply<T>> {
        let present = self.present.load_full();
        let attempts = present.settings.attempts;
        let fallback = present.fallback(job);
        // The last try is kept for the fallback model.
        let most = attempts - u32::from(fallback.is_some() && attempts > 1);
        let first = present.send_to_model(job, job.model, most, trail, &read).await;
        let (Err(error), Some(fallback)) = (&first, fallback) else { return first };
        // Once an engine was called, another call is a second try, whatever the model: it has to be in the budget.
        let again = trail.attempts > 0;
        if !error.status().is_server_error()
            || trail.attempts >= attempts
            || (again && !job.model.held.retries.withdraw())
        {
            return first;
        }
        tracing::info!(model = %job.model.id, fallback = %fallback.id, "falling back");
        match present.send_to_model(job, fallback, attempts - trail.attempts, trail, &read).await {
            Ok(reply) => Ok(reply),
            Err(_) => first,
        }
    }
}

impl Present {
    fn build(config: &Config, registry: &models::Registry, before: Option<&Present>) -> Result<Present, Vec<String>> {
        let catalogue = Catalogue::build(config, registry)?;
        let tls = config.models.iter().flat_map(|m| &m.deployments).any(|d| d.url.scheme() == "https");
        let same = before.filter(|b| b.settings == config.fleet && b.upstream.has_tls() == tls);
        let upstream = match same {
            Some(before) => before.upstream.clone(),
            None => Arc::new(Upstream::new(&config.fleet, tls).map_err(|problem| vec![problem])?),
        };
        Ok(Present {
            catalogue,
            upstream,
            settings: config.fleet.clone(),
            queue: config.queue.clone(),
            answer_limit: config.server.answer_limit.bytes(),
        })
    }

    /// The model that may answer instead of the one asked.
    fn fallback(&self, job: &Job<'_>) -> Option<&Arc<Model>> {
        let name = job.model.fallback.as_deref()?;
        self.catalogue.resolve(name, job.organization).ok().filter(|fallback| fallback.allows(job.class))
    }

    /// Those who wait are served by these models from now on.
    fn adopt(&self) {
        for model in &self.catalogue.models {
            model.held.queue.adopt(model);
        }
    }

    /// Tries at most `most` engines of one model.
    async fn send_to_model<T>(
        &self,
        job: &Job<'_>,
        model: &Arc<Model>,
        most: u32,
        trail: &mut Trail,
        read: &impl Fn(&Model, &Deployment, Bytes) -> Result<T, NotAnAnswer>,
    ) -> ApiResult<Reply<T>> {
        model.held.retries.deposit(self.settings.retry_budget);
        let mut tried: Vec<Arc<str>> = Vec::new();
        let mut last = ApiError::upstream();
        loop {
            let mut slot = match self.slot(model, job, &tried).await {
                Ok(slot) => slot,
                // Once an engine has failed, its failure says more than that no other is free.
                Err(error) if tried.is_empty() => return Err(error),
                Err(_) => return Err(last),
            };
            trail.attempts += 1;
            trail.model = Some(model.clone());
            trail.deployment = Some(slot.deployment.clone());
            let body = (job.build)(&slot.deployment)?;
            slot.asked();
            let trouble = match self.exchange(job, model, &slot, body, read).await {
                Ok(Exchange::Whole(value)) => {
                    slot.deployment.live.health.success();
                    return Ok(Reply::Whole(slot, value));
                }
                Ok(Exchange::Stream(opening)) => {
                    slot.deployment.live.health.success();
                    return Ok(Reply::Stream(slot, opening));
                }
                Err(trouble) => trouble,
            };
            slot.failed();
            let name = slot.deployment.name.clone();
            last = match trouble {
                Trouble::Caller(error) => return Err(error.hosting(slot.deployment.hosting_header.clone())),
                Trouble::Busy => self.busy(model, job),
                Trouble::Broken | Trouble::Timeout => {
                    if slot.deployment.live.health.failure(&self.settings, Instant::now()) {
                        tracing::warn!(deployment = %name, "engine set aside after repeated failures");
                    }
                    match trouble {
                        Trouble::Timeout => ApiError::upstream_timeout(),
                        _ => ApiError::upstream(),
                    }
                }
            };
            tracing::debug!(deployment = %name, reason = last.reason(), "attempt failed");
            drop(slot);
            tried.push(name);
            if tried.len() >= most as usize || !model.held.retries.withdraw() {
                return Err(last);
            }
        }
    }

    /// A slot on some engine, after waiting in line if all are full.
    async fn slot(&self, model: &Arc<Model>, job: &Job<'_>, tried: &[Arc<str>]) -> ApiResult<Slot> {
        let queue = &model.held.queue;
        let ask = Ask { tenant: job.tenant, class: job.class, input: job.input };
        if !tried.is_empty() {
            return queue.again(model, ask, tried).ok_or_else(|| self.busy(model, job));
        }
        let mut place = match queue.enter(model, ask, &self.queue) {
            Entrance::Slot(slot) => return Ok(slot),
            Entrance::Place(place) => place,
            Entrance::Full(back) => return Err(ApiError::model_busy(back)),
            Entrance::Down => return Err(self.down(model, job.class)),
            Entrance::Forbidden => return Err(ApiError::sovereignty()),
        };
        let patience = match job.tenant.tier {
            Tier::Flex => self.queue.flex_wait.0,
            Tier::Priority | Tier::Interactive => self.queue.wait.0,
        };
        match tokio::time::timeout(patience, &mut place).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(TurnedAway)) | Err(_) => Err(self.busy(model, job)),
        }
    }

    fn busy(&self, model: &Model, job: &Job<'_>) -> ApiError {
        ApiError::model_busy(model.held.queue.back(&job.tenant, &self.queue))
    }

    /// All engines that may answer are set aside: when is the first one back?
    fn down(&self, model: &Model, class: DataClass) -> ApiError {
        let back = model
            .deployments
            .iter()
            .filter(|deployment| deployment.allows(class))
            .filter_map(|deployment| deployment.live.health.ejected_until())
            .min()
            .map(|until| until.saturating_duration_since(Instant::now()));
        ApiError::service_unavailable().retry_after(back.unwrap_or(Duration::from_secs(1)).max(Duration::from_secs(1)))
    }

    async fn exchange<T>(
        &self,
        job: &Job<'_>,
        model: &Model,
        slot: &Slot,
        body: Bytes,
        read: &impl Fn(&Model, &Deployment, Bytes) -> Result<T, NotAnAnswer>,
    ) -> Result<Exchange<T>, Trouble> {
        let deployment = &slot.deployment;
        let response = match self.upstream.post(deployment, job.call, body, job.id).await {
            Ok(response) => response,
            Err(Failure::Unreachable) => return Err(Trouble::Broken),
            Err(Failure::Timeout) => return Err(Trouble::Timeout),
        };
        let status = response.status();
        if response.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            tracing::warn!(deployment = %deployment.name, "engine answered in a coding that was not asked");
            return Err(Trouble::Broken);
        }
        if status != StatusCode::OK {
            let said = gather(response.into_body(), ERROR_BODY, deployment.chunk_timeout).await.unwrap_or_default();
            return Err(match verdict::judge(status, &said, model.context_length) {
                Verdict::Caller(error) => Trouble::Caller(error),
                Verdict::Busy => Trouble::Busy,
                Verdict::Broken => {
                    tracing::warn!(deployment = %deployment.name, status = status.as_u16(), "engine refused");
                    Trouble::Broken
                }
            });
        }
        if job.streamed {
            return open(response, deployment).await.map(Exchange::Stream);
        }
        let answer = match gather(response.into_body(), self.answer_limit, deployment.first_byte_timeout).await {
            Ok(answer) => answer,
            Err(Lacking::Slow) => return Err(Trouble::Timeout),
            Err(Lacking::TooLarge | Lacking::Broken) => return Err(Trouble::Broken),
        };
        read(model, deployment, answer).map(Exchange::Whole).map_err(|NotAnAnswer| Trouble::Broken)
    }
}

enum Exchange<T> {
    Whole(T),
    Stream(Opening),
}

/// Waits for the first event of a stream, so that an engine that fails at once can still be replaced.
async fn open(response: Response<Answer>, deployment: &Deployment) -> Result<Opening, Trouble> {
    let is_stream = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"));
    if !is_stream {
        tracing::warn!(deployment = %deployment.name, "engine answered a stream request with something else");
        return Err(Trouble::Broken);
    }
    tokio::time::timeout(deployment.first_byte_timeout, first_event(response.into_body(), deployment))
        .await
        .map_err(|_| Trouble::Timeout)?
}

async fn first_event(mut rest: Answer, deployment: &Deployment) -> Result<Opening, Trouble> {
    let mut first = Bytes::new();
    loop {
        let piece = match rest.frame().await {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) | None => return Err(Trouble::Broken),
        };
        // The common case: the first event comes in one piece, and no byte is copied.
        first = if first.is_empty() { piece } else { [first, piece].concat().into() };
        match stream::first_event(&first) {
            First::Good => return Ok(Opening { first, rest }),
            First::Unknown if first.len() > OPENING => return Ok(Opening { first, rest }),
            First::Unknown => {}
            First::Error(said) => {
                tracing::warn!(deployment = %deployment.name, %said, "engine opened its stream with an error");
                return Err(Trouble::Broken);
            }
        }
    }
}
