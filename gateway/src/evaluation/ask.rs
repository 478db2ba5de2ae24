//! Requests to models that an experiment or a judging makes, and what came back: the same on a file and in the database.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One request, by a key that is its own in its run.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub key: String,
    pub model: String,
    pub messages: Value,
    /// Sent beside messages: temperature.
    pub settings: Map<String, Value>,
    /// Kept beside the answer.
    pub about: Map<String, Value>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// Its own in its run.
    pub key: String,
    pub model: String,
    /// `item`, `prompt`, `repeat` of an experiment; `item`, `candidate`, `order` of a judging.
    #[schema(value_type = Object)]
    pub about: Map<String, Value>,
    /// What the model wrote; null when the request failed.
    pub text: Option<String>,
    pub error: Option<String>,
    pub milliseconds: u64,
    /// The whole answer, as it came.
    #[schema(value_type = Object)]
    pub raw: Value,
}

impl Answer {
    /// Reads the answer of an engine.
    pub fn read(ask: Ask, outcome: Result<Value, String>, milliseconds: u64) -> Answer {
        let Ask { key, model, about, .. } = ask;
        let (text, error, raw) = match outcome {
            Err(error) => (None, Some(error), Value::Null),
            Ok(raw) => match raw["choices"][0]["message"]["content"].as_str() {
                Some(text) => (Some(text.to_owned()), None, raw),
                None => (None, Some("the answer has no text".to_owned()), raw),
            },
        };
        Answer { key, model, about, text, error, milliseconds, raw }
    }

    /// A word kept beside it.
    pub fn about(&self, name: &str) -> &str {
        self.about.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What a run would send, told before it does.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Estimate {
    pub requests: usize,
    pub already_answered: usize,
    /// Read, by the usual four bytes a token: an order of magnitude.
    pub tokens_read_about: u64,
    /// Written at most.
    pub tokens_written_at_most: u64,
    /// Null where no price is known.
    pub euros_at_most: Option<f64>,
}

impl Estimate {
    /// Of requests that are left. `price`: euros for a million tokens read, and written, of each one's model.
    pub fn of<'a>(
        left: impl IntoIterator<Item = &'a Ask>,
        already_answered: usize,
        max_tokens: u32,
        price: impl Fn(&str) -> Option<(f64, f64)>,
    ) -> Estimate {
        let mut told = Estimate {
            requests: 0,
            already_answered,
            tokens_read_about: 0,
            tokens_written_at_most: 0,
            euros_at_most: Some(0.0),
        };
        for ask in left {
            let read = ask.messages.to_string().len() as u64 / 4;
            told.requests += 1;
            told.tokens_read_about += read;
            told.tokens_written_at_most += u64::from(max_tokens);
            let euros =
                price(&ask.model).map(|(input, output)| (read as f64 * input + f64::from(max_tokens) * output) / 1e6);
            told.euros_at_most = told.euros_at_most.zip(euros).map(|(sum, one)| sum + one);
        }
        told
    }
}
