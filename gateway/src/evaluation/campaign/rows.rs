//! What becomes an item: records of a sample, records and rows given, gold among them.

use std::collections::{BTreeMap, HashMap};

use ::eval::grid::Grid;
use ::eval::panel::Answer;
use ::eval::redact::redact;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::view::Shown;
use super::{Ask, Trouble, answer, grid};
use crate::store::campaigns::NewItem;
use crate::store::evaluation::Annotated;
use crate::store::page::Reach;
use crate::store::{Database, StoreError};

/// Items of one campaign.
pub const MOST: usize = 10_000;
/// Records read at once.
const PAGE: i64 = 500;
/// Longest names, in characters, and texts, in bytes.
const NAME_MAX: usize = 200;
const TEXT_MAX: usize = 1 << 20;

/// A row given: one or two records, or a question with one or two answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Row {
    /// What tables of evidence will call it; absent: its record, or an id that says nothing.
    pub id: Option<String>,
    pub record_id: Option<String>,
    /// The other record of a pair, to the same messages.
    pub against_id: Option<String>,
    /// The question: a text, or messages.
    #[schema(value_type = Option<Object>)]
    pub prompt: Option<Value>,
    /// One answer, or the two of a pair.
    pub answers: Vec<RowAnswer>,
    /// The independent unit it belongs to, such as a conversation; never what identifies a person.
    pub unit: Option<String>,
    /// Chance that it had of being drawn; absent: 1.
    pub probability: Option<f64>,
    /// Gold: the answer expected to each criterion; of a pair, `A` is the first answer given here.
    #[schema(value_type = Option<Object>)]
    pub expected: Option<BTreeMap<String, Value>>,
}

/// One answer of a row.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RowAnswer {
    /// What answered, for rankings; annotators are not told.
    pub candidate: Option<String>,
    pub text: String,
    /// Passages it was given.
    pub passages: Vec<String>,
}

fn wrong(at: usize, field: &str, french: &str, english: &str) -> Trouble {
    let row = at + 1;
    Trouble::wrong(format!("rows[{at}].{field}"), format!("Ligne {row} : {french}"), format!("Row {row}: {english}"))
}

/// What answered a record.
fn candidate(record: &Annotated) -> String {
    match &record.prompt {
        Some(prompt) => format!("{} ({prompt})", record.model),
        None => record.model.clone(),
    }
}

async fn records(database: &Database, ids: &[String]) -> Result<HashMap<String, Annotated>, StoreError> {
    let mut found = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(usize::try_from(PAGE).unwrap_or(500)) {
        found.extend(database.annotated(chunk).await?.into_iter().map(|record| (record.id.clone(), record)));
    }
    Ok(found)
}

/// The records of the sample asked for, each with the chance it had. One whose content is gone is an item too: it is
/// missing, and said so.
pub async fn of_sample(database: &Database, ask: &Ask) -> Result<Vec<NewItem>, Trouble> {
    let Some(id) = ask.sample_id else { return Ok(Vec::new()) };
    let none = || Trouble::wrong("sample_id", "Il n’y a pas d’échantillon de ce numéro.", "There is no such sample.");
    let sample = database.sample(&Reach::Everything, id).await?.ok_or_else(none)?;
    if sample.organization_id != ask.organization_id {
        return Err(none());
    }
    if sample.drawn > i64::try_from(MOST).unwrap_or(i64::MAX) {
        return Err(Trouble::wrong(
            "sample_id",
            "Cet échantillon a plus de 10 000 éléments.",
            "This sample has more than 10,000 items.",
        ));
    }
    let (mut items, mut last) = (Vec::new(), 0);
    loop {
        let page = database.sample_items(id, PAGE, last).await?;
        let Some((item, _)) = page.last() else { return Ok(items) };
        last = item.place;
        let ids: Vec<String> = page.iter().map(|(item, _)| item.record_id.clone()).collect();
        let records = records(database, &ids).await?;
        for (item, _) in page {
            let record = records.get(&item.record_id);
            let shown = record.and_then(|record| Shown::record(record.content.as_deref()?));
            items.push(NewItem {
                candidate: record.map(candidate),
                words: shown.map_or(0, |shown| shown.words(0)),
                record_id: Some(item.record_id),
                probability: item.probability,
                ..NewItem::default()
            });
        }
    }
}

/// The rows given, redacted, without what gold expects.
pub async fn given(database: &Database, ask: &Ask) -> Result<Vec<NewItem>, Trouble> {
    if ask.rows.len() > MOST {
        return Err(Trouble::wrong("rows", "10 000 lignes au plus.", "10,000 rows at most."));
    }
    let ids: Vec<String> =
        ask.rows.iter().flat_map(|row| [&row.record_id, &row.against_id]).flatten().cloned().collect();
    let records = records(database, &ids).await?;
    let mut items = Vec::with_capacity(ask.rows.len());
    for (at, row) in ask.rows.iter().enumerate() {
        let mut item = match (&row.record_id, row.answers.is_empty()) {
            (Some(_), true) if row.prompt.is_none() => of_records(at, row, ask.organization_id, &records)?,
            (None, false) if row.against_id.is_none() => of_answers(at, row)?,
            _ => {
                return Err(wrong(
                    at,
                    "answers",
                    "donnez « record_id », ou « prompt » et « answers ».",
                    "give “record_id”, or “prompt” and “answers”.",
                ));
            }
        };
        for (name, text) in [("id", &row.id), ("unit", &row.unit)] {
            named(at, name, text.as_deref())?;
        }
        item.label.clone_from(&row.id);
        item.unit.clone_from(&row.unit);
        item.probability = row.probability.unwrap_or(1.0);
        if !(item.probability > 0.0 && item.probability <= 1.0) {
            return Err(wrong(at, "probability", "une chance est dans ]0, 1].", "a chance is in (0, 1]."));
        }
        items.push(item);
    }
    // Rows of strangers are texts like any other: milliseconds of work each, off the threads that serve.
    let work = tokio::task::spawn_blocking(move || items.into_iter().map(redacted).collect());
    work.await.map_err(|error| StoreError::Other(error.to_string()).into())
}

fn named(at: usize, field: &str, name: Option<&str>) -> Result<(), Trouble> {
    match name {
        Some(name) if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) => {
            Err(wrong(at, field, "un nom a de 1 à 200 caractères.", "a name has 1 to 200 characters."))
        }
        _ => Ok(()),
    }
}

fn of_records(
    at: usize,
    row: &Row,
    organization: Option<i64>,
    records: &HashMap<String, Annotated>,
) -> Result<NewItem, Trouble> {
    let find = |id: &Option<String>, field: &str| -> Result<Option<(&Annotated, Shown)>, Trouble> {
        let Some(id) = id else { return Ok(None) };
        // Another organization's is like one that does not exist.
        let record = records.get(id).filter(|record| organization.is_none_or(|id| id == record.organization_id));
        let found = record.and_then(|record| Some((record, Shown::record(record.content.as_deref()?)?)));
        found.map(Some).ok_or_else(|| {
            wrong(
                at,
                field,
                "cet enregistrement n’existe pas, ou son contenu est parti.",
                "this record does not exist, or its content is gone.",
            )
        })
    };
    let Some((record, shown)) = find(&row.record_id, "record_id")? else {
        return Err(wrong(at, "record_id", "il manque.", "it is missing."));
    };
    let against = find(&row.against_id, "against_id")?;
    if against.as_ref().is_some_and(|(_, other)| other.messages != shown.messages) {
        return Err(wrong(
            at,
            "against_id",
            "les deux enregistrements ne répondent pas aux mêmes messages.",
            "the two records do not answer the same messages.",
        ));
    }
    Ok(NewItem {
        pair: against.is_some(),
        record_id: Some(record.id.clone()),
        candidate: Some(candidate(record)),
        words: shown.words(0),
        against: against.as_ref().map(|(other, _)| candidate(other)),
        against_id: against.map(|(other, _)| other.id.clone()),
        ..NewItem::default()
    })
}

/// A row's question and answers, as a content is stored.
fn of_answers(at: usize, row: &Row) -> Result<NewItem, Trouble> {
    if row.answers.len() > 2 {
        return Err(wrong(at, "answers", "une réponse, ou deux pour une paire.", "one answer, or two for a pair."));
    }
    let messages = match &row.prompt {
        Some(Value::String(text)) if !text.trim().is_empty() => json!([{"role": "user", "content": text}]),
        Some(Value::Array(messages)) if !messages.is_empty() && messages.iter().all(is_message) => json!(messages),
        _ => {
            return Err(wrong(
                at,
                "prompt",
                "« prompt » est un texte, ou une liste de messages (« role », « content »).",
                "“prompt” is a text, or a list of messages (“role”, “content”).",
            ));
        }
    };
    for answer in &row.answers {
        named(at, "answers.candidate", answer.candidate.as_deref())?;
        if answer.text.len() > TEXT_MAX || answer.text.trim().is_empty() {
            return Err(wrong(
                at,
                "answers.text",
                "une réponse a 1 Mio au plus, et un texte.",
                "an answer has a text, of 1 MiB at most.",
            ));
        }
    }
    let answers: Vec<Value> = row
        .answers
        .iter()
        .map(|answer| {
            let passages = answer.passages.iter().zip(1..);
            let passages: Vec<Value> = passages.map(|(text, rank)| json!({"rank": rank, "text": text})).collect();
            json!({"content": answer.text, "passages": passages})
        })
        .collect();
    let name = |at: usize| row.answers.get(at).and_then(|answer| answer.candidate.clone());
    let words = |text: &str| i64::try_from(text.split_whitespace().count()).unwrap_or(i64::MAX);
    Ok(NewItem {
        pair: row.answers.len() == 2,
        content: Some(json!({"messages": messages, "answers": answers}).to_string()),
        candidate: name(0),
        against: name(1),
        words: row.answers.first().map_or(0, |answer| words(&answer.text)),
        ..NewItem::default()
    })
}

fn is_message(message: &Value) -> bool {
    message["role"].is_string() && (message["content"].is_string() || message["content"].is_array())
}

/// The item with every text of its row redacted.
fn redacted(item: NewItem) -> NewItem {
    let content = item.content.as_deref().and_then(|text| serde_json::from_str(text).ok());
    NewItem { content: content.map(|content: Value| masked(&content).to_string()), ..item }
}

fn masked(value: &Value) -> Value {
    match value {
        // PostgreSQL stores no NUL, not even escaped.
        Value::String(text) => redact(&text.replace('\0', "")).text.into(),
        Value::Array(list) => list.iter().map(masked).collect(),
        Value::Object(map) => Value::Object(map.iter().map(|(name, one)| (name.clone(), masked(one))).collect()),
        other => other.clone(),
    }
}

/// Puts what gold expects into the items of its rows, which stand last.
pub fn expect(rows: &[Row], grid: &Grid, criteria: &[String], items: &mut [NewItem]) -> Result<(), Trouble> {
    let first = items.len() - rows.len();
    for (at, (row, item)) in rows.iter().zip(&mut items[first..]).enumerate() {
        let Some(expected) = &row.expected else { continue };
        let asked = grid::of_item(grid, criteria, item.pair);
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        for (id, value) in expected {
            let Some(criterion) = asked.iter().find(|criterion| criterion.id == *id) else {
                let (french, english) = ("ce critère n’y est pas demandé.", "this criterion is not asked of it.");
                return Err(wrong(at, &format!("expected.{id}"), french, english));
            };
            let read = answer::text(value).map(|text| Answer::read(criterion, &text, false));
            match read {
                Some(Ok(answer)) if answer != Answer::Skipped => {
                    known.insert(id, answer.written().unwrap_or_default().to_owned());
                }
                Some(Err((french, english))) => {
                    return Err(wrong(at, &format!("expected.{id}"), &french, &english));
                }
                _ => {
                    let (french, english) = ("il y faut une réponse.", "an answer is wanted.");
                    return Err(wrong(at, &format!("expected.{id}"), french, english));
                }
            }
        }
        if known.is_empty() {
            return Err(wrong(at, "expected", "il y faut une réponse au moins.", "one answer at least is wanted."));
        }
        item.expected = Some(json!(known).to_string());
    }
    Ok(())
}
