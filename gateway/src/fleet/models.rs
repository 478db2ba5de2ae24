//! The catalogue: what clients name, compiled once from the configuration.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::DefaultHashBuilder;

use super::deployment::{Deployment, Live};
use super::lease::Lease;
use super::queue::Queue;
use super::retry::Budget;
use crate::config::model::{self, Costs, Impact, ModelType, Prefixes};
use crate::config::{Config, DataClass};
use crate::error::{ApiError, ApiResult};
use crate::openai::Rename;
use crate::telemetry::Telemetry;

/// A model as clients name it, with the engines that serve it.
#[derive(Debug)]
pub struct Model {
    pub id: Arc<str>,
    /// What its answers are called.
    pub rename: Rename,
    pub aliases: Vec<String>,
    pub kind: ModelType,
    pub context_length: Option<u64>,
    pub dimensions: Option<u32>,
    pub prefixes: Prefixes,
    pub owned_by: String,
    pub family: Option<String>,
    pub costs: Costs,
    pub impact: Option<Impact>,
    pub deprecated: Option<jiff::civil::Date>,
    pub sunset: Option<jiff::civil::Date>,
    pub fallback: Option<String>,
    pub deployments: Vec<Arc<Deployment>>,
    visible_to: Option<HashSet<String>>,
    pub held: Arc<Held>,
}

/// What of a model outlives a reload.
#[derive(Debug)]
pub struct Held {
    pub queue: Queue,
    pub retries: Budget,
}

impl Model {
    /// Whether an organization may see it. `None` is a member of the instance, who sees all.
    pub fn visible_to(&self, organization: Option<&str>) -> bool {
        match (&self.visible_to, organization) {
            (None, _) | (_, None) => true,
            (Some(names), Some(name)) => names.contains(name),
        }
    }

    /// Past its sunset, a model is no longer served.
    pub fn is_gone(&self, today: jiff::civil::Date) -> bool {
        self.sunset.is_some_and(|sunset| today >= sunset)
    }

    pub fn allows(&self, class: DataClass) -> bool {
        self.deployments.iter().any(|deployment| deployment.allows(class))
    }
}

/// All models, found by id and by alias.
#[derive(Debug, Default)]
pub struct Catalogue {
    pub models: Vec<Arc<Model>>,
    by_name: HashMap<String, Arc<Model>, DefaultHashBuilder>,
    today: TodayCache,
}

/// Today's date in UTC, recomputed once a minute: sunset is a matter of days.
#[derive(Debug)]
struct TodayCache(Mutex<(i64, jiff::civil::Date)>);

impl Default for TodayCache {
    fn default() -> Self {
        TodayCache(Mutex::new((0, jiff::civil::Date::constant(1970, 1, 1))))
    }
}

impl TodayCache {
    fn get(&self) -> jiff::civil::Date {
        let now = jiff::Timestamp::now();
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.as_second() / 60;
        if cached.0 != minute {
            *cached = (minute, now.to_zoned_datetime(jiff::tz::TimeZone::UTC).date());
        }
        cached.1
    }
}

impl Catalogue {
    /// Compiles a checked configuration, keeping the counters and the health of engines and queues already known.
    pub fn build(config: &Config, registry: &Registry) -> Result<Catalogue, Vec<String>> {
        let mut catalogue = Catalogue::default();
        let mut problems = Vec::new();
        for said in &config.models {
            let mut deployments = Vec::with_capacity(said.deployments.len());
            for one in &said.deployments {
                match Deployment::new(
                    config,
                    one,
                    &said.id,
                    registry.live(&one.name, one.url.as_str()),
                    &registry.lease,
                ) {
                    Ok(deployment) => deployments.push(Arc::new(deployment)),
                    Err(problem) => problems.push(problem),
                }
            }
            let model = Arc::new(Model::new(said, deployments, registry.held(&said.id)));
            for name in std::iter::once(&said.id).chain(&said.aliases) {
                catalogue.by_name.insert(name.clone(), model.clone());
            }
            catalogue.models.push(model);
        }
        if problems.is_empty() { Ok(catalogue) } else { Err(problems) }
    }

    /// The model of a name, if that organization may see it and it is still served.
    pub fn resolve(&self, name: &str, organization: Option<&str>) -> ApiResult<&Arc<Model>> {
        self.by_name
            .get(name)
            .filter(|model| model.visible_to(organization))
            .filter(|model| model.sunset.is_none() || !model.is_gone(self.today.get()))
            .ok_or_else(|| ApiError::model_not_found(name))
    }

    /// The models an organization may see, in the order of the configuration.
    pub fn visible<'c>(&'c self, organization: Option<&'c str>) -> impl Iterator<Item = &'c Arc<Model>> {
        let today = self.today.get();
        self.models.iter().filter(move |model| model.visible_to(organization) && !model.is_gone(today))
    }
}

impl Model {
    fn new(said: &model::Model, deployments: Vec<Arc<Deployment>>, held: Arc<Held>) -> Model {
        Model {
            id: Arc::from(said.id.as_str()),
            rename: Rename::to(&said.id),
            aliases: said.aliases.clone(),
            kind: said.r#type,
            context_length: said.context_length,
            dimensions: said.dimensions,
            prefixes: said.prefixes.clone(),
            owned_by: said.owned_by.clone().unwrap_or_else(|| "guichet".to_owned()),
            family: said.family.clone(),
            costs: said.costs,
            impact: said.impact.clone(),
            deprecated: said.deprecated,
            sunset: said.sunset,
            fallback: said.fallback.clone(),
            deployments,
            visible_to: said.visible_to.as_ref().map(|names| names.iter().cloned().collect()),
            held,
        }
    }
}

/// State that outlives reloads, by name.
#[derive(Debug)]
pub struct Registry {
    telemetry: Arc<Telemetry>,
    pub lease: Arc<Lease>,
    live: Mutex<HashMap<(String, String), Arc<Live>>>,
    held: Mutex<HashMap<String, Arc<Held>>>,
}

impl Registry {
    pub fn new(telemetry: Arc<Telemetry>) -> Registry {
        Registry { telemetry, lease: Arc::default(), live: Mutex::default(), held: Mutex::default() }
    }

    fn live(&self, name: &str, url: &str) -> Arc<Live> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.entry((name.to_owned(), url.to_owned())).or_default().clone()
    }

    fn held(&self, id: &str) -> Arc<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Held { queue: Queue::new(&self.telemetry, id), retries: Budget::default() });
        held.entry(id.to_owned()).or_insert_with(new).clone()
    }

    /// Forgets what no catalogue uses any more.
    pub fn tidy(&self) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, live| Arc::strong_count(live) > 1);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, held| Arc::strong_count(held) > 1);
    }
}
