//! A dataset put to models: which requests that makes, and two candidates compared on the same items.

use std::collections::BTreeMap;

use ::eval::dataset::{Dataset, Item};
use ::eval::metrics::format::exact_match;
use ::eval::metrics::{chrf, rouge};
use ::eval::refusal::{Refusal, Result};
use ::eval::stats::units::Clusters;
use ::eval::stats::{Estimate, Level, mean, paired};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ask::{Answer, Ask};

/// A system prompt by its name.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SystemPrompt {
    /// `none` is the name of no prompt at all.
    #[schema(example = "court")]
    pub name: String,
    #[schema(example = "Réponds en deux phrases.")]
    pub text: String,
}

/// What each item is put to.
pub struct Trials<'a> {
    pub models: &'a [String],
    /// None: items are asked as they are.
    pub prompts: &'a [SystemPrompt],
    pub repeats: u32,
    pub temperature: f64,
}

impl Trials<'_> {
    /// The requests: all items once, then again for each repeat.
    pub fn asks(&self, items: &[Item]) -> Vec<Ask> {
        let none = [None];
        let some: Vec<Option<&SystemPrompt>> = self.prompts.iter().map(Some).collect();
        let prompts = if some.is_empty() { &none[..] } else { &some[..] };
        let mut asks = Vec::new();
        for repeat in 1..=self.repeats {
            for item in items {
                for prompt in prompts {
                    asks.extend(self.models.iter().map(|model| self.ask(item, model, *prompt, repeat)));
                }
            }
        }
        asks
    }

    fn ask(&self, item: &Item, model: &str, prompt: Option<&SystemPrompt>, repeat: u32) -> Ask {
        let mut messages: Vec<Value> =
            prompt.map(|prompt| json!({"role": "system", "content": prompt.text})).into_iter().collect();
        messages.push(json!({"role": "user", "content": item.question}));
        let name = prompt.map_or("none", |prompt| prompt.name.as_str());
        let about = [("item", json!(item.id)), ("prompt", json!(name)), ("repeat", json!(repeat))];
        Ask {
            key: json!([item.id, model, name, repeat]).to_string(),
            model: model.to_owned(),
            messages: Value::Array(messages),
            settings: Map::from_iter([("temperature".to_owned(), json!(self.temperature))]),
            about: about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }
}

/// Whether an answer is a candidate's: `MODEL`, or `MODEL/PROMPT`.
pub fn is_of(answer: &Answer, candidate: &str) -> bool {
    answer.model == candidate || format!("{}/{}", answer.model, answer.about("prompt")) == candidate
}

/// What answers are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    ExactMatch,
    Chrf,
    RougeL,
    /// Seconds
    Latency,
}

/// One candidate of a comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    pub candidate: String,
    pub mean: f64,
    /// Requests without an answer: the worst score where there is one.
    pub failed: usize,
}

/// Two candidates on the items both were put to.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    pub metric: Metric,
    pub first: Side,
    pub second: Side,
    /// First minus second, over pairs.
    pub difference: Estimate,
    pub items: usize,
    pub paired: usize,
    pub dataset: String,
}

/// Pairs items, repeats averaged. A request that failed is the worst score where there is one; it is never dropped.
///
/// # Errors
/// A candidate without an answer, and what [`paired::difference`] refuses.
pub fn compare(
    dataset: &Dataset,
    answers: &[Answer],
    (first, second): (&str, &str),
    metric: Metric,
    level: Level,
) -> Result<Compared> {
    let mut scores = [scored(dataset, answers, first, metric)?, scored(dataset, answers, second, metric)?];
    let failed = scores.each_ref().map(|(_, failed)| *failed);
    let common: Vec<&Item> =
        dataset.items.iter().filter(|item| scores.iter().all(|(side, _)| side.contains_key(&item.id))).collect();
    let [one, other] = scores.each_mut().map(|(side, _)| {
        common.iter().filter_map(|item| side.remove(&item.id)).map(|scores| mean(&scores)).collect::<Vec<f64>>()
    });
    let clusters = Clusters::named(common.iter().map(|item| item.cluster.as_deref().unwrap_or(&item.id)));
    let difference = paired::difference(&one, &other, &clusters, level)?;
    let side =
        |candidate: &str, scores: &[f64], failed| Side { candidate: candidate.to_owned(), mean: mean(scores), failed };
    Ok(Compared {
        metric,
        first: side(first, &one, failed[0]),
        second: side(second, &other, failed[1]),
        difference,
        items: dataset.items.len(),
        paired: common.len(),
        dataset: dataset.hash(),
    })
}

type Scores = BTreeMap<String, Vec<f64>>;

fn scored(dataset: &Dataset, answers: &[Answer], candidate: &str, metric: Metric) -> Result<(Scores, usize)> {
    let items: BTreeMap<&str, &Item> = dataset.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let (mut scores, mut failed, mut found) = (Scores::new(), 0, false);
    for answer in answers.iter().filter(|answer| is_of(answer, candidate)) {
        let Some(item) = items.get(answer.about("item")) else { continue };
        found = true;
        failed += usize::from(answer.text.is_none());
        if let Some(score) = score(answer, item, metric) {
            scores.entry(item.id.clone()).or_default().push(score);
        }
    }
    match found {
        true => Ok((scores, failed)),
        false => {
            Err(Refusal::input(format!("aucune réponse de « {candidate} »"), format!("no answer of “{candidate}”")))
        }
    }
}

/// None where there is nothing to compare with: no reference, no time.
fn score(answer: &Answer, item: &Item, metric: Metric) -> Option<f64> {
    if metric == Metric::Latency {
        return answer.text.is_some().then(|| answer.milliseconds as f64 / 1_000.0);
    }
    let reference = item.reference.as_deref()?;
    let Some(text) = &answer.text else { return Some(0.0) };
    Some(match metric {
        Metric::ExactMatch => f64::from(u8::from(exact_match(text, reference, false))),
        Metric::Chrf => chrf::Counts::of(text, &[reference]).score(),
        _ => rouge::rouge_l(text, reference).f1,
    })
}

/// The answers of candidates, each the last one under its key: a failure that was mended is an answer.
pub fn last(answers: impl IntoIterator<Item = Answer>) -> Vec<Answer> {
    let by_key: BTreeMap<String, Answer> = answers.into_iter().map(|answer| (answer.key.clone(), answer)).collect();
    by_key.into_values().collect()
}
