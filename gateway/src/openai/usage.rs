//! What an engine says it used, in any of its spellings; an estimate when it says nothing; and the
//! impacts that go out beside it.

use std::fmt::{self, Write};
use std::sync::Arc;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    /// Of the input, those the engine had in its cache.
    pub cached: Option<u64>,
    /// Of the output, those spent on reasoning.
    pub reasoning: Option<u64>,
}

#[derive(Deserialize)]
struct Spelled {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<f64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<f64>,
    total_tokens: Option<f64>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<Details>,
    #[serde(alias = "output_tokens_details")]
    completion_tokens_details: Option<Details>,
    /// Older SGLang, and engines that do not nest it.
    reasoning_tokens: Option<f64>,
    cached_tokens: Option<f64>,
}

#[derive(Deserialize, Default)]
struct Details {
    cached_tokens: Option<f64>,
    reasoning_tokens: Option<f64>,
}

/// A count of tokens; engines write whole numbers, some as floats.
fn tokens(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just before")]
    (0.0..9.0e15).contains(&number).then_some(number as u64)
}

impl Usage {
    /// Reads a `usage` object. `None` when it is `null`, something else, or holds no count.
    #[must_use]
    pub fn parse(raw: &RawValue) -> Option<Self> {
        let spelled: Spelled = serde_json::from_str(raw.get()).ok()?;
        let total = spelled.total_tokens.and_then(tokens);
        let (input, output) = match (spelled.prompt_tokens.and_then(tokens), spelled.completion_tokens.and_then(tokens))
        {
            (Some(input), Some(output)) => (input, output),
            (Some(input), None) => (input, total.unwrap_or(input).saturating_sub(input)),
            (None, Some(output)) => (total.unwrap_or(output).saturating_sub(output), output),
            (None, None) => (total?, 0),
        };
        let details = spelled.completion_tokens_details.and_then(|details| details.reasoning_tokens);
        let cached = spelled.prompt_tokens_details.and_then(|details| details.cached_tokens);
        Some(Self {
            input,
            output,
            cached: cached.or(spelled.cached_tokens).and_then(tokens),
            reasoning: details.or(spelled.reasoning_tokens).and_then(tokens),
        })
    }

    /// Finds and reads the top-level `usage` of an answer or a chunk; costs one search when there is none.
    #[must_use]
    pub fn find(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Holder<'a> {
            #[serde(borrow)]
            usage: Option<&'a RawValue>,
        }
        memmem::find(json, b"\"usage\"")?;
        Self::parse(serde_json::from_slice::<Holder<'_>>(json).ok()?.usage?)
    }

    /// The `usage` object that clients read.
    #[must_use]
    pub fn to_json(&self, impacts: Option<Impacts>) -> String {
        let mut out = String::with_capacity(160);
        let total = self.input.saturating_add(self.output);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{total}",
            self.input, self.output
        );
        if let Some(cached) = self.cached {
            let _ = write!(out, ",\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}");
        }
        if let Some(reasoning) = self.reasoning {
            let _ = write!(out, ",\"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}");
        }
        if let Some(impacts) = impacts {
            let _ = write!(out, ",\"impacts\":{}", impacts.to_json());
        }
        out.push('}');
        out
    }
}

/// What to count when the engine gave no usage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Tokens of the request, estimated when it was admitted.
    pub input: u64,
    /// Bytes of text to one token of this model, for the answer. French is near 4.
    pub bytes_per_token: f32,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { input: 0, bytes_per_token: 4.0 }
    }
}

impl Estimate {
    /// The usage of an answer of which `text_bytes` were relayed. At least one token when any was.
    #[must_use]
    pub fn usage(&self, text_bytes: u64) -> Usage {
        let ratio = if self.bytes_per_token >= 0.5 { f64::from(self.bytes_per_token) } else { 4.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an estimate: positive, and far below 2^52"
        )]
        let output = (text_bytes as f64 / ratio).ceil() as u64;
        Usage { input: self.input, output, cached: None, reasoning: None }
    }
}

/// What an answer cost outside: energy in kWh and greenhouse gas in kg of CO₂ equivalent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impacts {
    pub kwh: f64,
    pub kg_co2eq: f64,
}

impl Impacts {
    /// `{"kWh":…,"kgCO2eq":…}`, plain numbers.
    #[must_use]
    pub fn to_json(&self) -> String {
        let number = |value: f64| if value.is_finite() { value } else { 0.0 };
        // Display of a float never uses an exponent, as the clients' simplest readers like it.
        format!("{{\"kWh\":{},\"kgCO2eq\":{}}}", number(self.kwh), number(self.kg_co2eq))
    }
}

/// Computes impacts once the usage is known.
#[derive(Clone)]
pub struct ImpactsOf(Arc<Function>);

type Function = dyn Fn(&Usage) -> Option<Impacts> + Send + Sync;

impl ImpactsOf {
    pub fn new(function: impl Fn(&Usage) -> Option<Impacts> + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    #[must_use]
    pub fn get(&self, usage: &Usage) -> Option<Impacts> {
        (self.0)(usage)
    }
}

impl fmt::Debug for ImpactsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImpactsOf")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64, cached: Option<u64>, reasoning: Option<u64>) -> Option<Usage> {
        Some(Usage { input, output, cached, reasoning })
    }

    #[test]
    fn every_engine_spelling_is_read() {
        let find = |json: &str| Usage::find(json.as_bytes());
        assert_eq!(
            find(
                r#"{"usage":{"prompt_tokens":75,"total_tokens":106,"completion_tokens":31,"prompt_tokens_details":null}}"#
            ),
            usage(75, 31, None, None)
        );
        assert_eq!(
            find(
                r#"{"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},
                "completion_tokens_details":{"reasoning_tokens":3}}}"#
            ),
            usage(9, 5, Some(4), Some(3))
        );
        assert_eq!(find(r#"{"usage":{"input_tokens":9,"output_tokens":5}}"#), usage(9, 5, None, None));
        assert_eq!(find(r#"{"usage":{"prompt_tokens":9,"total_tokens":9}}"#), usage(9, 0, None, None));
        assert_eq!(find(r#"{"usage":{"total_tokens":12}}"#), usage(12, 0, None, None));
        assert_eq!(
            find(r#"{"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"reasoning_tokens":2}}"#),
            usage(9, 5, None, Some(2))
        );
        for nothing in [
            r#"{"usage":null}"#,
            r#"{"usage":{}}"#,
            r#"{"usage":"a lot"}"#,
            r#"{"a":{"usage":{"total_tokens":1}}}"#,
            r#"{"content":"\"usage\":{\"total_tokens\":1}"}"#,
            "not json \"usage\"",
        ] {
            assert_eq!(find(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn usage_and_impacts_are_written_as_plain_numbers() {
        let used = Usage { input: 10, output: 2, cached: Some(3), reasoning: None };
        let json = used.to_json(Some(Impacts { kwh: 0.000_000_12, kg_co2eq: 1.5e-9 }));
        assert_eq!(
            json,
            r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":3},"impacts":{"kWh":0.00000012,"kgCO2eq":0.0000000015}}"#
        );
        assert_eq!(Usage::find(format!("{{\"usage\":{json}}}").as_bytes()), Some(used));
    }

    #[test]
    fn estimates_round_up() {
        let estimate = Estimate { input: 7, bytes_per_token: 4.0 };
        assert_eq!(estimate.usage(0).output, 0);
        assert_eq!(estimate.usage(1), Usage { input: 7, output: 1, cached: None, reasoning: None });
        assert_eq!(estimate.usage(9).output, 3);
    }
}
