//! What a grid says.

use serde::Serialize;

/// A text in French and English.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Text {
    pub fr: String,
    pub en: String,
}

/// A grid that was checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Grid {
    pub id: String,
    pub version: String,
    pub title: Text,
    pub about: Text,
    pub facets: Vec<Facet>,
    /// SHA-256 of the canonical document.
    pub hash: String,
}

/// One facet (« pan »): criteria, and maybe other facets that it sums up.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Facet {
    pub id: String,
    pub label: Text,
    pub weight: f64,
    /// Facets that count within this one, each by its own weight, and then not again in the total.
    pub references: Vec<String>,
    /// The norms it rests on, for readers.
    pub sources: Vec<String>,
    pub criteria: Vec<Criterion>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Criterion {
    pub id: String,
    pub question: Text,
    pub scale: Scale,
    pub direction: Direction,
    pub weight: f64,
    pub evidence: Vec<Evidence>,
    /// Fewer items than this, and it is « non concluant ».
    pub minimum: usize,
    /// The least α between a judge and people for the judge alone to decide.
    pub judge_agreement: f64,
    /// Fires when the lower bound of the score (0 worst, 1 best) is under it.
    pub veto: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    #[default]
    Higher,
    /// Less is better.
    Lower,
}

/// How answers are given, and become scores from 0 (worst) to 1 (best).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    Boolean,
    /// Categories, each with its score.
    Nominal(Vec<(String, f64)>),
    /// Levels in order, each anchored in words.
    Ordinal(Vec<(f64, Text)>),
    /// Numbers from the lowest to the highest expected; beyond, the end.
    Interval {
        low: f64,
        high: f64,
    },
    /// Points of severity per 1000 words; at `worst`, the score is 0.
    Severity {
        worst: f64,
    },
    /// Against another answer: win, tie, loss.
    Pairwise,
}

/// Where answers may come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Evidence {
    Auto(String),
    Judge(String),
    Human,
    Attestation,
    Usage(String),
}

/// Metrics a program computes.
pub const AUTO: &[&str] = &[
    "latency",
    "first-token",
    "errors",
    "tokens",
    "energy",
    "carbon",
    "cost",
    "ndcg",
    "mrr",
    "recall",
    "precision",
    "average-precision",
    "citations",
    "bleu",
    "chrf",
    "rouge-l",
    "wer",
    "cer",
    "exact-match",
    "format",
];

/// Indicators of use.
pub const USAGE: &[&str] =
    &["monthly-active-users", "return", "satisfaction", "time-saved", "availability", "cost-per-request", "requests"];

impl Evidence {
    /// Reads `human`, `auto:chrf`, `judge:judge-criterion@2`; tells what it should have been.
    pub fn read(text: &str) -> Result<Evidence, Text> {
        let known = |names: &[&str]| names.join(", ");
        match text.split_once(':') {
            None if text == "human" => Ok(Evidence::Human),
            None if text == "attestation" => Ok(Evidence::Attestation),
            Some(("auto", name)) if AUTO.contains(&name) => Ok(Evidence::Auto(name.to_owned())),
            Some(("usage", name)) if USAGE.contains(&name) => Ok(Evidence::Usage(name.to_owned())),
            Some(("judge", judge)) if is_judge(judge) => Ok(Evidence::Judge(judge.to_owned())),
            Some(("auto", _)) => Err(Text {
                fr: format!("employez une mesure connue : {}", known(AUTO)),
                en: format!("use a known metric: {}", known(AUTO)),
            }),
            Some(("usage", _)) => Err(Text {
                fr: format!("employez un indicateur connu : {}", known(USAGE)),
                en: format!("use a known indicator: {}", known(USAGE)),
            }),
            Some(("judge", _)) => Err(Text {
                fr: "écrivez judge:identifiant@version, comme judge:judge-criterion@1".to_owned(),
                en: "write judge:id@version, such as judge:judge-criterion@1".to_owned(),
            }),
            _ => Err(Text {
                fr: "écrivez human, attestation, auto:…, judge:…@… ou usage:…".to_owned(),
                en: "write human, attestation, auto:…, judge:…@… or usage:…".to_owned(),
            }),
        }
    }

    /// A fact about the whole, not answers about a sample of items.
    pub fn is_fact(&self) -> bool {
        matches!(self, Evidence::Attestation | Evidence::Usage(_))
    }
}

fn is_judge(judge: &str) -> bool {
    let sound = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    judge.split_once('@').is_some_and(|(id, version)| sound(id) && sound(version))
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Evidence::Auto(name) => write!(f, "auto:{name}"),
            Evidence::Judge(judge) => write!(f, "judge:{judge}"),
            Evidence::Human => f.write_str("human"),
            Evidence::Attestation => f.write_str("attestation"),
            Evidence::Usage(name) => write!(f, "usage:{name}"),
        }
    }
}

impl Serialize for Evidence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Scale {
    pub fn name(&self) -> &'static str {
        match self {
            Scale::Boolean => "boolean",
            Scale::Nominal(_) => "nominal",
            Scale::Ordinal(_) => "ordinal",
            Scale::Interval { .. } => "interval",
            Scale::Severity { .. } => "severity",
            Scale::Pairwise => "pairwise",
        }
    }
}
