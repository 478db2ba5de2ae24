//! Variables of a prompt: what a file declares, and a caller's values checked against it.

use std::collections::BTreeMap;

use minijinja::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::error::PromptError;
use super::file::Bilingual;
use super::language;

/// The type of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any text.
    String,
    /// A language, by code (`en`, `pt-br`) or by name (`anglais`, `Breton`); rendered as its name in
    /// the language of the prompt.
    Language,
    /// A JSON number.
    Number,
    /// A list of texts, or of objects when the variable has `fields`.
    List,
}

/// One variable, as declared and as `GET /v1/prompts` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Lower-case letters, digits and `_`; the same in every language of a task.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether a caller must give it, and not blank.
    #[serde(default)]
    pub required: bool,
    /// Used when the caller gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Json>,
    /// For a list: the texts each of its objects has. Empty for a list of texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// One sentence for people.
    pub description: Bilingual,
}

/// One text in the objects of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// As for a variable.
    pub name: String,
    /// Whether each object must have it, and not blank.
    #[serde(default)]
    pub required: bool,
}

/// What a value should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A JSON string.
    Text,
    /// A language code or name.
    Language,
    /// A JSON number.
    Number,
    /// A list of strings.
    Texts,
    /// A list of objects.
    Objects,
    /// An object.
    Object,
}

impl Expected {
    pub(super) fn french(self) -> &'static str {
        match self {
            Self::Text => "une chaîne de caractères",
            Self::Language => "une langue, par son code (« en ») ou son nom (« anglais »)",
            Self::Number => "un nombre",
            Self::Texts => "une liste de chaînes de caractères",
            Self::Objects => "une liste d'objets",
            Self::Object => "un objet",
        }
    }

    pub(super) fn english(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Language => "a language, by code (\"en\") or by name (\"English\")",
            Self::Number => "a number",
            Self::Texts => "a list of strings",
            Self::Objects => "a list of objects",
            Self::Object => "an object",
        }
    }
}

/// Values for every declared variable, by name; none for what is absent and has no default.
///
/// # Errors
/// The first fault, in the order unknown, then missing or of the wrong type as declared.
pub(super) fn values(
    declared: &[Variable],
    given: &Map<String, Json>,
    language: &str,
) -> Result<BTreeMap<String, Value>, PromptError> {
    refuse_unknown("", given, declared.iter().map(|variable| variable.name.as_str()))?;
    declared
        .iter()
        .map(|variable| {
            let given = present(given.get(&variable.name)).or(variable.default.as_ref());
            let value = match given {
                Some(json) => variable.read(json, language)?,
                None if variable.required => return Err(missing(&variable.name)),
                None => Value::from(()),
            };
            Ok((variable.name.clone(), value))
        })
        .collect()
}

impl Variable {
    /// The template's value for `json`.
    ///
    /// # Errors
    /// [`PromptError::MissingVariable`] for a blank text that is required, [`PromptError::WrongType`].
    pub(super) fn read(&self, json: &Json, language: &str) -> Result<Value, PromptError> {
        let name = &self.name;
        match self.kind {
            Kind::String => {
                let text = json.as_str().ok_or_else(|| wrong(name, Expected::Text))?;
                if self.required && text.trim().is_empty() {
                    return Err(missing(name));
                }
                Ok(Value::from(text))
            }
            Kind::Language => json
                .as_str()
                .and_then(|asked| language::name(asked, language))
                .map(Value::from)
                .ok_or_else(|| wrong(name, Expected::Language)),
            Kind::Number => number(json).ok_or_else(|| wrong(name, Expected::Number)),
            Kind::List if self.fields.is_empty() => {
                let texts = json.as_array().ok_or_else(|| wrong(name, Expected::Texts))?;
                let text = |(at, item): (usize, &Json)| {
                    item.as_str().map(Value::from).ok_or_else(|| wrong(&format!("{name}[{at}]"), Expected::Text))
                };
                Ok(Value::from(texts.iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?))
            }
            Kind::List => {
                let items = json.as_array().ok_or_else(|| wrong(name, Expected::Objects))?;
                let items = items.iter().enumerate().map(|(at, item)| self.read_object(&format!("{name}[{at}]"), item));
                Ok(Value::from(items.collect::<Result<Vec<_>, _>>()?))
            }
        }
    }

    fn read_object(&self, path: &str, json: &Json) -> Result<Value, PromptError> {
        let object = json.as_object().ok_or_else(|| wrong(path, Expected::Object))?;
        refuse_unknown(path, object, self.fields.iter().map(|field| field.name.as_str()))?;
        let mut pairs = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let here = || format!("{path}.{}", field.name);
            let value = match present(object.get(&field.name)) {
                None if field.required => return Err(missing(&here())),
                None => Value::from(()),
                Some(json) => {
                    let text = json.as_str().ok_or_else(|| wrong(&here(), Expected::Text))?;
                    if field.required && text.trim().is_empty() {
                        return Err(missing(&here()));
                    }
                    Value::from(text)
                }
            };
            pairs.push((field.name.clone(), value));
        }
        Ok(Value::from_pairs(pairs))
    }

    /// A value of the right type, to try a template with. Blank of meaning, not of text.
    pub(super) fn sample(&self, with_optional: bool) -> Json {
        match self.kind {
            Kind::String => Json::from("Texte"),
            Kind::Language => Json::from("en"),
            Kind::Number => Json::from(3),
            Kind::List if self.fields.is_empty() => Json::from(vec!["Texte", "Texte"]),
            Kind::List => {
                let fields = self.fields.iter().filter(|field| field.required || with_optional);
                let item: Map<String, Json> = fields.map(|field| (field.name.clone(), Json::from("Texte"))).collect();
                Json::from(vec![item.clone(), item])
            }
        }
    }
}

/// Null is absent.
fn present(json: Option<&Json>) -> Option<&Json> {
    json.filter(|json| !json.is_null())
}

fn number(json: &Json) -> Option<Value> {
    let number = json.as_number()?;
    number
        .as_i64()
        .map(Value::from)
        .or_else(|| number.as_u64().map(Value::from))
        .or_else(|| number.as_f64().map(Value::from))
}

fn refuse_unknown<'a>(
    path: &str,
    given: &Map<String, Json>,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), PromptError> {
    match given.keys().find(|key| !known.clone().any(|name| name == key.as_str())) {
        None => Ok(()),
        Some(key) => Err(PromptError::UnknownVariable {
            name: if path.is_empty() { key.clone() } else { format!("{path}.{key}") },
            known: known.map(str::to_owned).collect(),
        }),
    }
}

fn missing(name: &str) -> PromptError {
    PromptError::MissingVariable { name: name.to_owned() }
}

fn wrong(name: &str, expected: Expected) -> PromptError {
    PromptError::WrongType { name: name.to_owned(), expected }
}
