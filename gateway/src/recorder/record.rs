//! What is kept of a request: metadata, never content.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest text kept in one field, in bytes. Clients choose some of these (`model_asked`), so
/// without it a request could carry megabytes into the journal and the database.
pub const TEXT_MAX: usize = 256;

/// Longest JSON of generation parameters kept, in bytes; beyond it none is kept, since half a JSON
/// is no JSON.
pub const PARAMETERS_MAX: usize = 1024;

/// A text of a record. Short ones, which most are, stand in it without an allocation: a record is made, read back and
/// dropped for every request.
pub type Text = compact_str::CompactString;

/// Which route was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// `POST /v1/chat/completions`
    #[serde(rename = "chat.completions")]
    ChatCompletions,
    /// `POST /v1/completions`
    #[serde(rename = "completions")]
    Completions,
    /// `POST /v1/embeddings`
    #[serde(rename = "embeddings")]
    Embeddings,
    /// `POST /v1/rerank`
    #[serde(rename = "rerank")]
    Rerank,
    /// `POST /v1/ocr`
    #[serde(rename = "ocr")]
    Ocr,
    /// `POST /v1/search`
    #[serde(rename = "search")]
    Search,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 6] =
        [Self::ChatCompletions, Self::Completions, Self::Embeddings, Self::Rerank, Self::Ocr, Self::Search];

    /// The endpoint at a path, whatever the method.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" => Self::ChatCompletions,
            "/v1/completions" => Self::Completions,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/rerank" => Self::Rerank,
            "/v1/ocr" => Self::Ocr,
            "/v1/search" => Self::Search,
            _ => return None,
        })
    }

    /// The word stored in the database and shown in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat.completions",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::Ocr => "ocr",
            Self::Search => "search",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered whole.
    Success,
    /// An engine or the gateway failed before the first byte.
    Error,
    /// Refused by a rule: identity, sovereignty, quota, bad request.
    Refused,
    /// The engine died after the first byte.
    Cut,
    /// The client left before the end.
    ClientGone,
    /// The gateway itself stopped before the end.
    Interrupted,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Error, Self::Refused, Self::Cut, Self::ClientGone, Self::Interrupted];

    /// The word stored in the database and shown in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Refused => "refused",
            Self::Cut => "cut",
            Self::ClientGone => "client_gone",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A word that names no [`Endpoint`] or [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord(pub String);

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown word {:?}", self.0)
    }
}

impl std::error::Error for UnknownWord {}

impl FromStr for Endpoint {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == word).ok_or_else(|| UnknownWord(word.to_owned()))
    }
}

impl FromStr for Outcome {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word).ok_or_else(|| UnknownWord(word.to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a request when it is let in. Enough to bill it if the gateway dies before the
/// end.
///
/// `id` must stay the first field: the journal reads it without decoding the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// `req_` and the 32 hexadecimal digits of a UUIDv7.
    pub id: Text,
    /// Unix milliseconds.
    pub started_at: i64,
    /// Who pays.
    pub organization_id: i64,
    /// Set for a key of a project.
    pub project_id: Option<i64>,
    /// Set for a key of a member.
    pub member_id: Option<i64>,
    /// Public id of the key, never its secret.
    pub key_id: Text,
    /// Pseudonym of the end user, if the caller sent one.
    pub end_user: Option<Text>,
    /// Which route.
    pub endpoint: Endpoint,
    /// Whether the client asked for a stream.
    pub streamed: bool,
    /// The name the client used, as sent.
    pub model_asked: Text,
    /// `public`, `internal` or `sensitive`.
    pub data_class: Text,
    /// Estimate of the input, in tokens.
    pub tokens_in: i64,
    /// The client's own retry number, 0 for a first try.
    pub client_retry: i64,
}

/// One usage record: the columns of table `usage_records`, same names.
///
/// `id` must stay the first field: the journal reads it without decoding the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `req_` and the 32 hexadecimal digits of a UUIDv7; primary key, so storing twice is harmless.
    pub id: Text,
    /// Unix milliseconds.
    pub started_at: i64,
    /// Who pays.
    pub organization_id: i64,
    /// Set for a key of a project.
    pub project_id: Option<i64>,
    /// Set for a key of a member.
    pub member_id: Option<i64>,
    /// Public id of the key, never its secret.
    pub key_id: Text,
    /// Pseudonym of the end user, if the caller sent one.
    pub end_user: Option<Text>,
    /// Which route.
    pub endpoint: Endpoint,
    /// Whether the client asked for a stream.
    pub streamed: bool,
    /// The name the client used, as sent.
    pub model_asked: Text,
    /// The model that answered.
    pub model_served: Option<Text>,
    /// The engine that answered.
    pub deployment: Option<Text>,
    /// Where it was processed.
    pub hosting: Option<Text>,
    /// `public`, `internal` or `sensitive`.
    pub data_class: Text,
    /// The named prompt, if one was used.
    pub prompt_id: Option<Text>,
    /// Its version.
    pub prompt_version: Option<Text>,
    /// Hash of its text.
    pub prompt_hash: Option<Text>,
    /// Small JSON of generation parameters, never content.
    pub parameters: Option<Text>,
    /// Input tokens.
    pub tokens_in: i64,
    /// Output tokens.
    pub tokens_out: i64,
    /// Input tokens the engine found in its cache.
    pub tokens_cached: Option<i64>,
    /// Output tokens spent on reasoning.
    pub tokens_reasoning: Option<i64>,
    /// Whether the counts are ours rather than the engine's.
    pub tokens_estimated: bool,
    /// Milliseconds from `started_at` to the first byte of the answer.
    pub first_token_ms: Option<i64>,
    /// Milliseconds from `started_at` to the end.
    pub duration_ms: i64,
    /// HTTP status sent to the client.
    pub status: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Code of the error sent to the client.
    pub error_code: Option<Text>,
    /// The engine's own word.
    pub finish_reason: Option<Text>,
    /// The client's own retry number, 0 for a first try.
    pub client_retry: i64,
    /// Engines called for this request.
    pub attempts: i64,
    /// Energy, in watt-hours.
    pub energy_wh: Option<f64>,
    /// Carbon, in grams of CO₂ equivalent.
    pub carbon_g: Option<f64>,
    /// Method and version of the two estimates above.
    pub impact_method: Option<Text>,
}

impl Record {
    /// The record of a request whose end nobody saw: the input as estimated, no output, no
    /// duration. Also the natural draft of any record: interrupted until its end says otherwise.
    #[must_use]
    pub fn interrupted(admission: Admission) -> Self {
        Self {
            id: admission.id,
            started_at: admission.started_at,
            organization_id: admission.organization_id,
            project_id: admission.project_id,
            member_id: admission.member_id,
            key_id: admission.key_id,
            end_user: admission.end_user,
            endpoint: admission.endpoint,
            streamed: admission.streamed,
            model_asked: admission.model_asked,
            model_served: None,
            deployment: None,
            hosting: None,
            data_class: admission.data_class,
            prompt_id: None,
            prompt_version: None,
            prompt_hash: None,
            parameters: None,
            tokens_in: admission.tokens_in,
            tokens_out: 0,
            tokens_cached: None,
            tokens_reasoning: None,
            tokens_estimated: true,
            first_token_ms: None,
            duration_ms: 0,
            status: 500,
            outcome: Outcome::Interrupted,
            error_code: Some(Text::const_new("interrupted")),
            finish_reason: None,
            client_retry: admission.client_retry,
            attempts: 0,
            energy_wh: None,
            carbon_g: None,
            impact_method: None,
        }
    }

    /// The same record with every text short and free of NUL, which PostgreSQL cannot store: one
    /// such record would be refused for ever and hold back all those behind it.
    #[must_use]
    pub fn tidied(&self) -> Cow<'_, Self> {
        let parameters_fit =
            self.parameters.as_deref().is_none_or(|json| json.len() <= PARAMETERS_MAX && !has_nul(json));
        let optional = [
            &self.end_user,
            &self.model_served,
            &self.deployment,
            &self.hosting,
            &self.prompt_id,
            &self.prompt_version,
            &self.prompt_hash,
            &self.error_code,
            &self.finish_reason,
            &self.impact_method,
        ];
        if parameters_fit
            && [&self.id, &self.key_id, &self.model_asked, &self.data_class]
                .into_iter()
                .chain(optional.into_iter().flatten())
                .all(|text| is_tidy(text))
        {
            return Cow::Borrowed(self);
        }
        let mut tidied = self.clone();
        if !parameters_fit {
            tidied.parameters = None;
        }
        for text in [&mut tidied.id, &mut tidied.key_id, &mut tidied.model_asked, &mut tidied.data_class] {
            tidy(text);
        }
        [
            &mut tidied.end_user,
            &mut tidied.model_served,
            &mut tidied.deployment,
            &mut tidied.hosting,
            &mut tidied.prompt_id,
            &mut tidied.prompt_version,
            &mut tidied.prompt_hash,
            &mut tidied.error_code,
            &mut tidied.finish_reason,
            &mut tidied.impact_method,
        ]
        .into_iter()
        .flatten()
        .for_each(tidy);
        Cow::Owned(tidied)
    }
}

impl Admission {
    /// The same admission with every text short and free of NUL; see [`Record::tidied`].
    #[must_use]
    pub fn tidied(&self) -> Cow<'_, Self> {
        if [&self.id, &self.key_id, &self.model_asked, &self.data_class]
            .into_iter()
            .chain(&self.end_user)
            .all(|text| is_tidy(text))
        {
            return Cow::Borrowed(self);
        }
        let mut tidied = self.clone();
        for text in [&mut tidied.id, &mut tidied.key_id, &mut tidied.model_asked, &mut tidied.data_class]
            .into_iter()
            .chain(&mut tidied.end_user)
        {
            tidy(text);
        }
        Cow::Owned(tidied)
    }
}

fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

fn is_tidy(text: &str) -> bool {
    text.len() <= TEXT_MAX && !has_nul(text)
}

/// Cuts at a character boundary; `?` is one byte like NUL, so nothing grows.
fn tidy(text: &mut Text) {
    let end = text.floor_char_boundary(TEXT_MAX);
    text.truncate(end);
    if has_nul(text) {
        *text = text.replace('\0', "?").into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        Admission {
            id: "req_1".into(),
            started_at: 1,
            organization_id: 2,
            project_id: Some(3),
            member_id: None,
            key_id: "key".into(),
            end_user: Some("user".into()),
            endpoint: Endpoint::Rerank,
            streamed: false,
            model_asked: "model".into(),
            data_class: "internal".into(),
            tokens_in: 42,
            client_retry: 1,
        }
    }

    #[test]
    fn an_interrupted_record_keeps_what_was_admitted() {
        let record = Record::interrupted(admission());
        assert_eq!(record.id, "req_1");
        assert_eq!((record.tokens_in, record.tokens_out, record.tokens_estimated), (42, 0, true));
        assert_eq!(record.outcome, Outcome::Interrupted);
        assert_eq!(record.endpoint, Endpoint::Rerank);
        assert_eq!(record.client_retry, 1);
    }

    #[test]
    fn a_tidy_record_is_not_copied() {
        assert!(matches!(admission().tidied(), Cow::Borrowed(_)));
        assert!(matches!(Record::interrupted(admission()).tidied(), Cow::Borrowed(_)));
    }

    #[test]
    fn long_texts_and_nul_are_tidied() {
        let mut record = Record::interrupted(Admission {
            model_asked: "é".repeat(1_000_000).into(),
            end_user: Some("a\0b".into()),
            ..admission()
        });
        record.parameters = Some("x".repeat(PARAMETERS_MAX + 1).into());
        record.deployment = Some("d".repeat(TEXT_MAX + 1).into());
        let tidied = record.tidied();
        assert_eq!(tidied.model_asked, "é".repeat(TEXT_MAX / 2));
        assert_eq!(tidied.end_user.as_deref(), Some("a?b"));
        assert_eq!(tidied.parameters, None);
        assert_eq!(tidied.deployment.as_ref().map(Text::len), Some(TEXT_MAX));
        assert!(matches!(tidied.tidied(), Cow::Borrowed(_)));
        let admission = Admission { key_id: "\0".into(), ..admission() };
        assert_eq!(admission.tidied().key_id, "?");
    }

    #[test]
    fn words_go_both_ways() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.as_str().parse(), Ok(endpoint));
        }
        for outcome in Outcome::ALL {
            assert_eq!(outcome.to_string().parse(), Ok(outcome));
        }
        assert_eq!("nope".parse::<Outcome>(), Err(UnknownWord("nope".into())));
    }
}
