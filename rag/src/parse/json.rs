//! JSON and JSONL: a list of records, each with a title where it has one, its long texts as paragraphs and its short
//! values as `name : value` lines.

use serde_json::{Map, Value};

use super::budget::Budget;
use super::flow::Flow;
use super::text::paragraphs;
use super::{Refusal, encoding, html};
use crate::document::{Block, BlockKind, Document};

/// Names under which records keep their title and their text, lower case.
const TITLES: [&str; 9] = ["title", "titre", "question", "name", "nom", "label", "libelle", "intitule", "subject"];
const TEXTS: [&str; 12] = [
    "text",
    "texte",
    "content",
    "contenu",
    "body",
    "answer",
    "reponse",
    "réponse",
    "description",
    "markdown",
    "html",
    "value",
];

/// serde_json's own bound on values inside each other.
const DEPTH: u32 = 128;

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let text = encoding::decode(bytes, None).0;
    let value: Value =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| refusal(&error, "JSON"))?;
    let mut records = Records { budget, blocks: Vec::new(), title: None };
    match value {
        Value::Array(values) => {
            for value in values {
                records.record(value)?;
            }
        }
        Value::Object(mut object) => {
            // `{"title": …, "articles": [{…}, …]}`: the list is the content.
            let list = object.iter().filter(|(_, value)| is_records(value)).map(|(name, _)| name.clone()).next();
            let list = list.and_then(|name| object.remove(&name));
            records.title = title(&mut object);
            records.record(Value::Object(object))?;
            if let Some(Value::Array(values)) = list {
                for value in values {
                    records.record(value)?;
                }
            }
        }
        value => records.record(value)?,
    }
    Ok(Document { title: records.title, blocks: records.blocks, ..Document::default() })
}

pub(crate) fn parse_lines(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let text = encoding::decode(bytes, None).0;
    let mut records = Records { budget, blocks: Vec::new(), title: None };
    for line in text.trim_start_matches('\u{feff}').lines().filter(|line| !line.trim().is_empty()) {
        records.record(serde_json::from_str(line).map_err(|error| refusal(&error, "JSONL"))?)?;
    }
    Ok(Document { blocks: records.blocks, ..Document::default() })
}

fn refusal(error: &serde_json::Error, kind: &str) -> Refusal {
    if error.to_string().starts_with("recursion limit") {
        return Refusal::TooDeep { limit: DEPTH };
    }
    Refusal::broken(kind)
}

fn is_records(value: &Value) -> bool {
    value.as_array().is_some_and(|values| !values.is_empty() && values.iter().all(Value::is_object))
}

fn title(object: &mut Map<String, Value>) -> Option<String> {
    let is_title = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty() && text.len() < 500);
    let name = TITLES.into_iter().find_map(|wanted| {
        object
            .iter()
            .find(|(name, value)| name.to_lowercase() == wanted && is_title(value))
            .map(|(name, _)| name.clone())
    })?;
    object.remove(&name)?.as_str().map(str::to_owned)
}

struct Records<'a> {
    budget: &'a Budget<'a>,
    blocks: Vec<Block>,
    title: Option<String>,
}

impl Records<'_> {
    fn record(&mut self, value: Value) -> Result<(), Refusal> {
        let mut flow = Flow::new(self.budget);
        let mut fields = Fields::default();
        match value {
            Value::Object(mut object) => {
                if let Some(title) = title(&mut object) {
                    flow.push(BlockKind::Heading { level: 2 }, &title);
                }
                for (name, value) in &object {
                    fields.gather(name, name, value);
                }
            }
            value => fields.gather("", "", &value),
        }
        self.blocks.append(&mut flow.finish()?);
        for text in fields.texts {
            // `<p>`, `</li>`, `<br/>`: what content tools store.
            if text.contains("</") || text.contains("/>") {
                self.blocks.append(&mut html::fragment(&text, self.budget)?);
            } else {
                let mut flow = Flow::new(self.budget);
                paragraphs(&text, &mut flow);
                self.blocks.append(&mut flow.finish()?);
            }
        }
        let mut flow = Flow::new(self.budget);
        flow.push(BlockKind::Paragraph, &fields.short);
        self.blocks.append(&mut flow.finish()?);
        Ok(())
    }
}

/// The values of a record, told apart.
#[derive(Default)]
struct Fields {
    texts: Vec<String>,
    short: String,
}

impl Fields {
    /// `path` names the value from the record's root, `name` is its last part.
    fn gather(&mut self, path: &str, name: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Object(object) => {
                for (name, value) in object {
                    self.gather(&format!("{path}.{name}"), name, value);
                }
            }
            Value::Array(values) if values.iter().all(|value| !value.is_object() && !value.is_array()) => {
                let list: Vec<String> = values.iter().filter_map(told).collect();
                self.line(path, &list.join(", "));
            }
            Value::Array(values) => {
                for value in values {
                    self.gather(path, name, value);
                }
            }
            Value::String(text) if name.is_empty() || text.len() > 200 || TEXTS.contains(&&*name.to_lowercase()) => {
                self.texts.push(text.clone());
            }
            value => self.line(path, &told(value).unwrap_or_default()),
        }
    }

    fn line(&mut self, path: &str, value: &str) {
        let value = crate::document::one_line(value);
        match (value.is_empty(), path.is_empty()) {
            (true, _) => {}
            (_, true) => self.short.push_str(&format!("{value}\n")),
            _ => self.short.push_str(&format!("{path} : {value}\n")),
        }
    }
}

fn told(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}
