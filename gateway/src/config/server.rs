//! How the process listens, stores and protects itself.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secret::Sourced;
use super::units::{Size, Span};

/// Language of the messages a person reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    Fr,
    En,
}

/// The listening side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port served. Behind a reverse proxy that ends TLS, keep it on loopback.
    #[schema(value_type = String)]
    pub listen: SocketAddr,
    /// Address and port for `/metrics` alone, without a key. Absent: `/metrics` on the main port, for auditors.
    #[schema(value_type = Option<String>)]
    pub metrics_listen: Option<SocketAddr>,
    /// Threads that carry requests; 0 is one for each core.
    pub worker_threads: usize,
    /// Connections open at once; more wait to be accepted.
    pub max_connections: usize,
    /// Largest request body.
    #[schema(value_type = String)]
    pub body_limit: Size,
    /// Largest answer of an engine, whole or streamed.
    #[schema(value_type = String)]
    pub answer_limit: Size,
    /// Time given to a client to send its request's head.
    #[schema(value_type = String)]
    pub header_timeout: Span,
    /// Longest silence of a client that is sending a body.
    #[schema(value_type = String)]
    pub body_timeout: Span,
    /// Silence of an engine after which a comment keeps a stream alive.
    #[schema(value_type = String)]
    pub keepalive: Span,
    /// Time given to running requests when the process is asked to stop.
    #[schema(value_type = String)]
    pub drain: Span,
    /// Addresses of reverse proxies whose `x-forwarded-for` is believed.
    #[schema(value_type = Vec<String>)]
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_listen: None,
            worker_threads: 0,
            max_connections: 20_000,
            body_limit: Size::mib(20),
            answer_limit: Size::mib(64),
            header_timeout: Span::seconds(10),
            body_timeout: Span::seconds(20),
            keepalive: Span::seconds(15),
            drain: Span::seconds(30),
            trusted_proxies: Vec::new(),
        }
    }
}

/// Where accounts and records are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite` (a file in the data folder), `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`;
    /// or `{env: NAME}`, `{file: PATH}`.
    pub url: Sourced,
    /// Connections held at most.
    pub max_connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Database { url: Sourced::Plain("sqlite".to_owned()), max_connections: 8 }
    }
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Which requests get a log line. Every request has its usage record in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoggedRequests {
    None,
    /// Those answered with a status of 400 or more.
    #[default]
    Errors,
    All,
}

/// What is logged. Never a body, never a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A level, or a filter such as `info,guichet::fleet=debug`.
    pub level: String,
    /// `none`, `errors` or `all`.
    pub requests: LoggedRequests,
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Text, level: "info".to_owned(), requests: LoggedRequests::Errors }
    }
}

/// What happens to new requests when the disk bound of the journal is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// They get 503: nothing goes unaccounted.
    #[default]
    Refuse,
    /// They are served and not recorded; a metric counts them.
    Serve,
}

/// The durable record of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// The journal reaches the disk this often; at most 100ms.
    #[schema(value_type = String)]
    pub flush: Span,
    /// Also ask the disk to keep it (fdatasync), against power cuts.
    pub sync: bool,
    /// Disk the journal may take while the database is down.
    #[schema(value_type = String)]
    pub spool: Size,
    /// `refuse` or `serve` new requests when the spool is full.
    pub when_full: WhenFull,
    /// How long usage records are kept in the database.
    #[schema(value_type = String)]
    pub keep: Span,
}

/// How long usage records are kept where nothing says otherwise.
const KEEP: Span = Span::seconds(365 * 86_400);

impl Default for Records {
    fn default() -> Self {
        Records { flush: Span::millis(50), sync: true, spool: Size(1 << 30), when_full: WhenFull::Refuse, keep: KEEP }
    }
}

/// A burst gate: `per_second` on average, `burst` at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Requests a second, on average.
    #[schema(value_type = u32)]
    pub per_second: std::num::NonZeroU32,
    /// Requests at once, after a silence.
    #[schema(value_type = u32)]
    pub burst: std::num::NonZeroU32,
}

/// The outer gates, before anything is looked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// Failed authentications of one address.
    pub failed_authentications: Rate,
    /// Requests of one key. Absent: no burst gate.
    pub key: Option<Rate>,
    /// Requests of one organization. Absent: no burst gate.
    pub organization: Option<Rate>,
}

impl Default for Gates {
    fn default() -> Self {
        use std::num::NonZeroU32;
        let burst = NonZeroU32::MIN.saturating_add(19);
        Gates { failed_authentications: Rate { per_second: NonZeroU32::MIN, burst }, key: None, organization: None }
    }
}

/// Waiting for a slot when every engine of a model is full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// Requests that may wait for one model.
    pub length: usize,
    /// Requests of one organization that may wait for one model.
    pub per_organization: usize,
    /// Longest wait.
    #[schema(value_type = String)]
    pub wait: Span,
    /// Longest wait of a batch (`service_tier: flex`).
    #[schema(value_type = String)]
    pub flex_wait: Span,
    /// Wait after which a batch is served like the rest, within its organization's share.
    #[schema(value_type = String)]
    pub flex_aging: Span,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            length: 1_000,
            per_organization: 250,
            wait: Span::seconds(30),
            flex_wait: Span::seconds(300),
            flex_aging: Span::seconds(60),
        }
    }
}

/// How engines are watched and asked again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// Time given to open a connection to an engine.
    #[schema(value_type = String)]
    pub connect_timeout: Span,
    /// How often each engine is asked whether it is well.
    #[schema(value_type = String)]
    pub health_interval: Span,
    /// Failures in a row after which an engine is set aside.
    pub failures: u32,
    /// First time an engine is set aside; doubles at each relapse.
    #[schema(value_type = String)]
    pub eject: Span,
    /// Longest time it is set aside.
    #[schema(value_type = String)]
    pub eject_max: Span,
    /// Time over which a returning engine gets back its full share.
    #[schema(value_type = String)]
    pub slow_return: Span,
    /// Engines tried for one request, at most.
    pub attempts: u32,
    /// Second tries allowed, as a share of all requests (0.2 is one in five).
    pub retry_budget: f64,
    /// Idle connections kept to each engine.
    pub idle_connections: usize,
}

impl Default for Fleet {
    fn default() -> Self {
        Fleet {
            connect_timeout: Span::seconds(2),
            health_interval: Span::seconds(5),
            failures: 3,
            eject: Span::seconds(5),
            eject_max: Span::seconds(60),
            slow_return: Span::seconds(20),
            attempts: 3,
            retry_budget: 0.2,
            idle_connections: 1_024,
        }
    }
}

/// What requests may point engines to.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outgoing {
    /// Hosts that `image_url` and `document_url` may name; any other URL than `data:` is refused.
    pub document_hosts: Vec<String>,
}

/// Prompt templates.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prompts {
    /// A folder of templates added to those of Guichet; the same id replaces.
    #[schema(value_type = Option<String>)]
    pub folder: Option<PathBuf>,
}
