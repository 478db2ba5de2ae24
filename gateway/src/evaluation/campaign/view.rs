//! An item as its annotator sees it: what was asked, what was answered, and nothing of who answered. Left out: the model,
//! its reasoning, why it stopped, and what systems are told, which often names them.

use serde::Serialize;
use serde_json::Value;

use ::eval::grid::Grid;

use super::grid::{Asked, of_item};
use super::swapped;
use crate::store::campaigns::Campaign;
use crate::store::time::Time;
use crate::store::turns::{Content, Turn};

/// Who speaks, and what is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    pub role: String,
    pub text: String,
}

/// A passage that was found for the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownPassage {
    pub rank: u64,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Whether the answer cites it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cited: Option<bool>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownAnswer {
    /// `A` or `B`, of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    pub text: String,
    /// It was cut: its end is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    pub passages: Vec<ShownPassage>,
}

/// What is shown of a content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub messages: Vec<Message>,
    pub answers: Vec<ShownAnswer>,
}

impl Shown {
    /// A record's content: its first answer.
    pub fn record(content: &str) -> Option<Shown> {
        let content: Value = serde_json::from_str(content).ok()?;
        let mut answer = answer(content["answers"].get(0)?);
        answer.passages = passages(&content["passages"]);
        Some(Shown { messages: messages(&content["messages"]), answers: vec![answer] })
    }

    /// A row given: each answer with passages of its own.
    fn row(content: &str) -> Option<Shown> {
        let content: Value = serde_json::from_str(content).ok()?;
        let answers = content["answers"].as_array()?.iter();
        let answers = answers.map(|one| ShownAnswer { passages: passages(&one["passages"]), ..answer(one) });
        Some(Shown { messages: messages(&content["messages"]), answers: answers.collect() })
    }

    /// What a turn shows, sides in their place.
    pub fn of(turn: &Turn, swapped: bool) -> Option<Shown> {
        let mut shown = match &turn.content {
            Content::Row(row) => Shown::row(row)?,
            Content::Records(records) => {
                let mut records = records.iter().map(|content| Shown::record(content));
                let mut shown = records.next()??;
                for other in records {
                    shown.answers.extend(other?.answers);
                }
                shown
            }
        };
        if turn.pair {
            if swapped {
                shown.answers.reverse();
            }
            for (answer, side) in shown.answers.iter_mut().zip(["A", "B"]) {
                answer.side = Some(side);
            }
        }
        (shown.answers.len() == if turn.pair { 2 } else { 1 }).then_some(shown)
    }

    /// Words of an answer.
    pub fn words(&self, answer: usize) -> i64 {
        let count = self.answers.get(answer).map_or(0, |answer| answer.text.split_whitespace().count());
        i64::try_from(count).unwrap_or(i64::MAX)
    }
}

/// What people and assistants said to each other.
fn messages(list: &Value) -> Vec<Message> {
    let said = list.as_array().into_iter().flatten().filter_map(|message| {
        let role = message["role"].as_str().filter(|role| !matches!(*role, "system" | "developer"))?;
        Some(Message { role: role.to_owned(), text: text(message) })
    });
    said.collect()
}

fn answer(value: &Value) -> ShownAnswer {
    ShownAnswer { side: None, text: text(value), cut: value["cut"].as_bool().unwrap_or(false), passages: Vec::new() }
}

/// A message's text, and after it the tools it calls.
fn text(message: &Value) -> String {
    let mut said = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let part = |part: &Value| part["text"].as_str().unwrap_or("[…]").to_owned();
            parts.iter().map(part).collect::<Vec<_>>().join("\n")
        }
        _ => message["refusal"].as_str().unwrap_or_default().to_owned(),
    };
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let call = call.get("function").unwrap_or(call);
        let word = |name: &str| call[name].as_str().unwrap_or_default();
        said.push_str(&format!("\n→ {}({})", word("name"), word("arguments")));
    }
    said.trim().to_owned()
}

fn passages(list: &Value) -> Vec<ShownPassage> {
    let read = |passage: &Value| ShownPassage {
        rank: passage["rank"].as_u64().unwrap_or(0),
        text: passage["text"].as_str().unwrap_or_default().to_owned(),
        document: passage["document"].as_str().map(str::to_owned),
        cited: passage["cited"].as_bool(),
    };
    list.as_array().into_iter().flatten().map(read).collect()
}

/// The next item of an annotator.
#[derive(Serialize)]
pub struct NextItem {
    pub campaign_id: i64,
    /// To be named in the answer.
    pub item: String,
    #[serde(flatten)]
    pub shown: Shown,
    /// What is asked.
    pub criteria: Vec<Asked>,
    /// The item is held until then, Unix seconds; asking again holds it longer.
    pub held_until: Time,
}

impl NextItem {
    /// None when its content cannot be read.
    pub fn of(campaign: &Campaign, grid: &Grid, member: i64, turn: &Turn) -> Option<NextItem> {
        Some(NextItem {
            campaign_id: campaign.id,
            item: turn.item.clone(),
            shown: Shown::of(turn, swapped(campaign, member, &turn.item))?,
            criteria: of_item(grid, &campaign.criteria, turn.pair).into_iter().map(Asked::of).collect(),
            held_until: Time(turn.locked_until),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_could_name_a_model_is_not_shown() {
        let content = json!({
            "messages": [
                {"role": "system", "content": "Tu es Mistral."},
                {"role": "user", "content": [{"type": "text", "text": "Bonjour"}, {"type": "image_url", "omitted": true}]},
                {"role": "assistant", "tool_calls": [{"name": "chercher", "arguments": "{}"}]},
            ],
            "answers": [{"content": "Salut", "reasoning_content": "Je suis Mistral.", "finish_reason": "stop"}],
            "passages": [{"rank": 1, "text": "Un texte", "document": "a.pdf", "in_prompt": true, "cited": false}],
        });
        let shown = Shown::record(&content.to_string()).unwrap();
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("Mistral") && !text.contains("stop"), "{text}");
        assert_eq!(shown.messages[0].text, "Bonjour\n[…]");
        assert_eq!(shown.messages[1].text, "→ chercher({})");
        assert_eq!((shown.words(0), shown.answers[0].passages.len()), (1, 1));
    }

    #[test]
    fn sides_change_places() {
        let row = json!({"messages": [{"role": "user", "content": "?"}],
            "answers": [{"content": "un"}, {"content": "deux"}]});
        let turn = Turn { item: "i".into(), pair: true, locked_until: 0, content: Content::Row(row.to_string()) };
        let texts = |swapped| -> Vec<(Option<&'static str>, String)> {
            Shown::of(&turn, swapped).unwrap().answers.into_iter().map(|answer| (answer.side, answer.text)).collect()
        };
        assert_eq!(texts(false), [(Some("A"), "un".to_owned()), (Some("B"), "deux".to_owned())]);
        assert_eq!(texts(true), [(Some("A"), "deux".to_owned()), (Some("B"), "un".to_owned())]);
        let single = Turn { pair: false, ..turn };
        assert!(Shown::of(&single, false).is_none(), "a row of two answers is no single answer");
    }
}
