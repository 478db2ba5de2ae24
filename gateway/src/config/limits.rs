//! How much each organization, project, key and member may use, as the configuration says it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::secret::{SecretSource, Sourced};
use crate::policy::limits::rule::{Kind, Meter, Window, Wrong, parse_amount, parse_rate};

/// The name under which a limit counts all models together.
pub const ALL_MODELS: &str = "*";

/// Where limits are counted, and over which calendar. Without any plan, nothing is limited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Time zone of daily and monthly limits, by its IANA name.
    pub time_zone: String,
    /// `memory`, each process for itself; or `{redis: URL}` for several replicas, where the URL is plain, `{env: NAME}`
    /// or `{file: PATH}`.
    #[schema(value_type = String)]
    pub store: LimitStore,
    /// When Redis is gone: `share` counts each replica's part of every limit in process, `open` lets pass, `closed`
    /// refuses with 503.
    pub when_store_down: WhenStoreDown,
    /// Name of the plan of organizations that were given none. Absent: they have no limit.
    pub default_plan: Option<String>,
    /// Where warnings go at 80 and 100 % of a daily or monthly limit. Absent: a metric and a log line only.
    pub warnings: Option<Warnings>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            time_zone: "Europe/Paris".to_owned(),
            store: LimitStore::Memory,
            when_store_down: WhenStoreDown::Share,
            default_plan: None,
            warnings: None,
        }
    }
}

/// Where limits are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitStore {
    Memory,
    /// Redis or Valkey, by its URL.
    Redis(Sourced),
}

/// What becomes of requests while Redis is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenStoreDown {
    /// Each replica counts its part of every limit: the limit over the number of replicas last known.
    #[default]
    Share,
    /// They pass uncounted.
    Open,
    /// They get 503.
    Closed,
}

/// A webhook, signed as the Standard Webhooks specification has it: `webhook-signature` is `v1,` and the base64 of the
/// HMAC-SHA-256 of `webhook-id.webhook-timestamp.body`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Warnings {
    /// Address that each warning is posted to.
    #[schema(value_type = String)]
    pub url: Url,
    /// Secret of the signature, 16 characters at least.
    pub secret: SecretSource,
}

/// Named sets of models that share one count, by their ids: `{large: [openweight-large, openweight-code]}`.
pub type ModelGroups = BTreeMap<String, Vec<String>>;

pub type Plans = BTreeMap<String, Plan>;

/// A named set of limits, given to organizations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Share of a busy model, beside other organizations that wait: 2 is served twice what 1 is.
    pub weight: u32,
    /// Whether `service_tier: priority` may be asked for.
    pub priority: bool,
    /// Limits on the organization as a whole.
    pub organization: Vec<Allowance>,
    /// Limits on each of its projects.
    pub project: Vec<Allowance>,
    /// Limits on each of its keys.
    pub key: Vec<Allowance>,
    /// Limits on each of its members: on the keys that they made, together.
    pub member: Vec<Allowance>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            weight: 1,
            priority: false,
            organization: Vec::new(),
            project: Vec::new(),
            key: Vec::new(),
            member: Vec::new(),
        }
    }
}

impl Plan {
    /// The limits on each kind of holder, by their name in the file.
    pub fn scopes(&self) -> [(&'static str, &[Allowance]); 4] {
        [("organization", &self.organization), ("project", &self.project), ("key", &self.key), ("member", &self.member)]
    }
}

/// How much may be used of one model, of a group, or of all.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Allowance {
    /// Id of a model, or name of a group of `model_groups`. Absent: all models together.
    pub models: Option<String>,
    /// Requests: `600/minute`, or a list such as `[600/minute, 20k/day]`.
    #[schema(value_type = Vec<String>)]
    pub requests: Rates,
    /// Tokens, input and output together: `5M/day`, over `minute`, `day` or `month`.
    #[schema(value_type = Vec<String>)]
    pub tokens: Rates,
    /// Input tokens.
    #[schema(value_type = Vec<String>)]
    pub input: Rates,
    /// Output tokens.
    #[schema(value_type = Vec<String>)]
    pub output: Rates,
    /// Requests being answered at one time.
    #[schema(value_type = Option<u64>)]
    pub concurrent: Option<Amount>,
}

impl Allowance {
    /// What its counters are named by.
    pub fn models(&self) -> &str {
        self.models.as_deref().unwrap_or(ALL_MODELS)
    }

    /// Every limit it holds, with the setting that says it.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, Kind, u64)> {
        let meters = [
            ("requests", Meter::Requests, &self.requests),
            ("tokens", Meter::Tokens, &self.tokens),
            ("input", Meter::Input, &self.input),
            ("output", Meter::Output, &self.output),
        ];
        let rates = meters.into_iter().flat_map(|(name, meter, rates)| {
            rates.0.iter().map(move |(max, window)| (name, Kind::Rate { meter, window: *window }, *max))
        });
        rates.chain(self.concurrent.map(|amount| ("concurrent", Kind::Concurrent, amount.0)))
    }
}

/// Quantities over windows, one or several.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Rates(pub Vec<(u64, Window)>);

impl Serialize for Rates {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.0.iter().map(|(max, window)| format!("{max}/{}", window.word())))
    }
}

impl<'de> Deserialize<'de> for Rates {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Rates;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity over a time such as 600/minute or 5M/day, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rates, E> {
                parse_rate(text).map(|rate| Rates(vec![rate])).map_err(|wrong| fault(text, wrong))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Rates, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Rates, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Rates, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_unit<E: de::Error>(self) -> Result<Rates, E> {
                Ok(Rates::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rates, A::Error> {
                let mut rates = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    rates.push(parse_rate(&text).map_err(|wrong| fault(&text, wrong))?);
                }
                Ok(Rates(rates))
            }
        }
        d.deserialize_any(Words)
    }
}

/// A quantity: `50`, `200k`, `5M`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Amount(pub u64);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Amount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as 50, 200k or 5M")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                parse_amount(text).map(Amount).map_err(|wrong| fault(text, wrong))
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Amount, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Amount, E> {
                self.visit_str(&n.to_string())
            }
            fn visit_f64<E: de::Error>(self, n: f64) -> Result<Amount, E> {
                self.visit_str(&n.to_string())
            }
        }
        d.deserialize_any(Words)
    }
}

fn fault<E: de::Error>(text: &str, wrong: Wrong) -> E {
    E::custom(format!("{text:?} {wrong}"))
}
