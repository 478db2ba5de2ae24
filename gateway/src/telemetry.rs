//! What the process says of itself: log lines and metrics. Never a body, never a key.
//!
//! Metric names follow OpenTelemetry's conventions for generative AI where they exist (`gen_ai_*`, seconds); the
//! rest begin with `guichet_`. Organizations are in the usage records, not in labels, so that the number of series
//! stays that of models and deployments.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use quick_cache::DefaultHashBuilder;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::server::{Log, LogFormat};

pub const REQUESTS: &str = "guichet_requests";
pub const DURATION: &str = "gen_ai_server_request_duration_seconds";
pub const FIRST_TOKEN: &str = "gen_ai_server_time_to_first_token_seconds";
pub const TOKENS: &str = "gen_ai_client_token_usage";
pub const AUTHENTICATION_FAILURES: &str = "guichet_authentication_failures";
pub const RELOADS: &str = "guichet_configuration_reloads";
pub const DATABASE_UP: &str = "guichet_database_up";

/// Sets the process's log once; later calls are ignored, as in tests that start several gateways.
pub fn log(settings: &Log) {
    let filter = EnvFilter::try_new(&settings.level).unwrap_or_else(|_| EnvFilter::new("info"));
    // Standard error: standard output is for what a command was asked to print.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let set = match settings.format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    drop(set);
}

/// Labels of one finished request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestLabels {
    pub endpoint: &'static str,
    pub model: Option<Arc<str>>,
    pub deployment: Option<Arc<str>>,
    pub status: u16,
    pub outcome: &'static str,
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeLabel;
        ("gen_ai_operation_name", self.endpoint).encode(encoder.encode_label())?;
        ("gen_ai_request_model", self.model.as_deref().unwrap_or("")).encode(encoder.encode_label())?;
        ("guichet_deployment", self.deployment.as_deref().unwrap_or("")).encode(encoder.encode_label())?;
        ("http_response_status_code", self.status).encode(encoder.encode_label())?;
        ("guichet_outcome", self.outcome).encode(encoder.encode_label())
    }
}

/// Labels of what is counted by model alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelLabels {
    pub endpoint: &'static str,
    pub model: Arc<str>,
    /// `input` or `output`, for tokens.
    pub token_type: Option<&'static str>,
}

impl EncodeLabelSet for ModelLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeLabel;
        ("gen_ai_operation_name", self.endpoint).encode(encoder.encode_label())?;
        ("gen_ai_request_model", &*self.model).encode(encoder.encode_label())?;
        if let Some(kind) = self.token_type {
            ("gen_ai_token_type", kind).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    pub result: &'static str,
}

/// Label of what belongs to a model's line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct QueueLabels {
    model: Arc<str>,
    token_type: Option<&'static str>,
}

impl EncodeLabelSet for QueueLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeLabel;
        ("gen_ai_request_model", &*self.model).encode(encoder.encode_label())?;
        if let Some(kind) = self.token_type {
            ("gen_ai_token_type", kind).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}

/// What one model's line tells of itself.
pub struct QueueMetrics {
    pub waits: Histogram,
    pub input: Counter,
    pub output: Counter,
}

/// Labels of a limit that refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LimitLabels {
    pub scope: &'static str,
    pub limit: crate::policy::limits::rule::Kind,
}

impl EncodeLabelSet for LimitLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        use prometheus_client::encoding::EncodeLabel;
        ("guichet_limit_scope", self.scope).encode(encoder.encode_label())?;
        ("guichet_limit", self.limit.to_string()).encode(encoder.encode_label())
    }
}

/// Labels of a warning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WarningLabels {
    /// Percent of the limit.
    pub level: &'static str,
    pub window: &'static str,
}

type Histograms = Family<ModelLabels, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0])
}

/// All metrics of one gateway.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    /// As many as there are series of requests.
    series: RwLock<HashMap<RequestLabels, Arc<Series>, DefaultHashBuilder>>,
    requests: Family<RequestLabels, Counter>,
    duration: Histograms,
    first_token: Histograms,
    tokens: Family<ModelLabels, Counter>,
    pub authentication_failures: Counter,
    pub reloads: Family<ResultLabel, Counter>,
    pub database_up: Gauge,
    pub unrecorded: Counter,
    pub open_connections: Gauge<i64, std::sync::atomic::AtomicI64>,
    pub energy: Counter<f64, AtomicU64>,
    queue_waits: Family<QueueLabels, Histogram, fn() -> Histogram>,
    queue_served: Family<QueueLabels, Counter>,
    pub limit_refusals: Family<LimitLabels, Counter>,
    pub limit_warnings: Family<WarningLabels, Counter>,
    /// Warnings posted to the webhook, by what became of them.
    pub webhooks: Family<ResultLabel, Counter>,
    /// Contents for evaluation, by what became of them.
    pub contents: Family<ResultLabel, Counter>,
}

/// What one finished request adds.
pub struct Finished {
    pub labels: RequestLabels,
    pub duration: Duration,
    pub first_token: Option<Duration>,
    pub input: u64,
    pub output: u64,
    pub energy_wh: Option<f64>,
}

/// The counters of one set of labels, found together: to look each up by its texts costs more than to count.
#[derive(Debug, Default)]
struct Series {
    requests: Counter,
    duration: OnceLock<Histogram>,
    first_token: OnceLock<Histogram>,
    input: OnceLock<Counter>,
    output: OnceLock<Counter>,
}

impl Telemetry {
    pub fn new() -> Telemetry {
        let mut registry = Registry::default();
        let telemetry_requests = Family::<RequestLabels, Counter>::default();
        registry.register(REQUESTS, "Requests, by how they ended", telemetry_requests.clone());
        let duration: Histograms = Family::new_with_constructor(seconds);
        registry.register(DURATION, "Time from the request to the last byte of its answer", duration.clone());
        let first_token: Histograms = Family::new_with_constructor(seconds);
        registry.register(FIRST_TOKEN, "Time from the request to the first piece of its answer", first_token.clone());
        let tokens = Family::<ModelLabels, Counter>::default();
        registry.register(TOKENS, "Tokens, read and written", tokens.clone());
        let authentication_failures = Counter::default();
        registry.register(AUTHENTICATION_FAILURES, "Requests without a valid key", authentication_failures.clone());
        let reloads = Family::<ResultLabel, Counter>::default();
        registry.register(RELOADS, "Reloads of the configuration", reloads.clone());
        let database_up = Gauge::default();
        registry.register(DATABASE_UP, "1 when the database answers", database_up.clone());
        let unrecorded = Counter::default();
        registry.register(
            "guichet_unrecorded_requests",
            "Requests served without a record, the spool being full",
            unrecorded.clone(),
        );
        let open_connections = Gauge::default();
        registry.register("guichet_open_connections", "Client connections open", open_connections.clone());
        let energy = Counter::<f64, AtomicU64>::default();
        registry.register("guichet_energy_watt_hours", "Energy of the answers, estimated", energy.clone());
        let queue_waits: Family<QueueLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(seconds);
        registry.register("guichet_queue_wait_seconds", "Time in line, 0 for who passes at once", queue_waits.clone());
        let queue_served = Family::<QueueLabels, Counter>::default();
        registry.register("guichet_queue_served_tokens", "Tokens that the fair order counted", queue_served.clone());
        let limit_refusals = Family::<LimitLabels, Counter>::default();
        registry.register("guichet_limit_refusals", "Requests refused by a limit", limit_refusals.clone());
        let limit_warnings = Family::<WarningLabels, Counter>::default();
        registry.register("guichet_limit_warnings", "Limits that passed 80 or 100 percent", limit_warnings.clone());
        let webhooks = Family::<ResultLabel, Counter>::default();
        registry.register("guichet_webhooks", "Warnings posted to the webhook", webhooks.clone());
        let contents = Family::<ResultLabel, Counter>::default();
        registry.register(
            "guichet_evaluation_contents",
            "Contents for evaluation, by what became of them",
            contents.clone(),
        );
        Telemetry {
            registry,
            series: RwLock::default(),
            requests: telemetry_requests,
            duration,
            first_token,
            tokens,
            authentication_failures,
            reloads,
            database_up,
            unrecorded,
            open_connections,
            energy,
            queue_waits,
            queue_served,
            limit_refusals,
            limit_warnings,
            webhooks,
            contents,
        }
    }

    /// The metrics of one model's line.
    pub fn queue(&self, model: &str) -> QueueMetrics {
        let labels = |token_type| QueueLabels { model: Arc::from(model), token_type };
        QueueMetrics {
            waits: self.queue_waits.get_or_create_owned(&labels(None)),
            input: self.queue_served.get_or_create_owned(&labels(Some("input"))),
            output: self.queue_served.get_or_create_owned(&labels(Some("output"))),
        }
    }

    /// Counts one finished request.
    pub fn finished(&self, end: Finished) {
        let series = self.series(&end.labels);
        series.requests.inc();
        let Some(model) = &end.labels.model else { return };
        let labels = |token_type| ModelLabels { endpoint: end.labels.endpoint, model: model.clone(), token_type };
        let timed = |family: &Histograms| family.get_or_create_owned(&labels(None));
        let counted = |token_type| self.tokens.get_or_create_owned(&labels(Some(token_type)));
        series.duration.get_or_init(|| timed(&self.duration)).observe(end.duration.as_secs_f64());
        if let Some(first) = end.first_token {
            series.first_token.get_or_init(|| timed(&self.first_token)).observe(first.as_secs_f64());
        }
        if end.input > 0 {
            series.input.get_or_init(|| counted("input")).inc_by(end.input);
        }
        if end.output > 0 {
            series.output.get_or_init(|| counted("output")).inc_by(end.output);
        }
        if let Some(energy) = end.energy_wh {
            self.energy.inc_by(energy);
        }
    }

    /// What the requests of these labels count in.
    fn series(&self, labels: &RequestLabels) -> Arc<Series> {
        if let Some(known) = self.series.read().unwrap_or_else(PoisonError::into_inner).get(labels) {
            return known.clone();
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Series { requests: self.requests.get_or_create_owned(labels), ..Series::default() });
        all.entry(labels.clone()).or_insert_with(new).clone()
    }

    /// Everything in Prometheus' text form; `more` writes what is read at that moment.
    pub fn page(&self, more: impl FnOnce(&mut String)) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode_registry(&mut page, &self.registry)?;
        more(&mut page);
        page.write_str("# EOF\n")?;
        Ok(page)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry::new()
    }
}

/// Writes one gauge read at this moment, with its labels already in text form.
pub fn gauge(page: &mut String, name: &str, help: &str, values: impl IntoIterator<Item = (String, f64)>) {
    page.push_str(&format!("# HELP {name} {help}.\n# TYPE {name} gauge\n"));
    for (labels, value) in values {
        page.push_str(&format!("{name}{labels} {value}\n"));
    }
}
