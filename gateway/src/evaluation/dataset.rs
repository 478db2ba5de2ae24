//! Datasets as they are stored, read as items. Those of a sample are read from its records each time, so that what is purged
//! is gone from them too.

use std::collections::BTreeMap;

use ::eval::dataset::{Dataset, Item};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::DataClass;
use crate::store::datasets::{NewDataset, NewRow, StoredDataset, StoredItem};
use crate::store::evaluation::EvaluationRecord;
use crate::store::samples::Sample;
use crate::store::{Database, StoreError};

/// Items read at once.
const PAGE: i64 = 1_000;

/// All items of a dataset whose content is there.
pub async fn items(database: &Database, stored: &StoredDataset) -> Result<Dataset, StoreError> {
    let (mut items, mut after) = (Vec::new(), 0);
    loop {
        let (page, last) = database.dataset_items(stored.id, after, PAGE).await?;
        items.extend(page.into_iter().filter_map(item));
        match last {
            Some(last) => after = last,
            None => return Ok(Dataset { items }),
        }
    }
}

/// One item; none of a record that asks nothing.
pub fn item(stored: StoredItem) -> Option<Item> {
    match stored {
        StoredItem::Imported(text) => serde_json::from_str(&text).ok(),
        StoredItem::Held { record, content, probability } => of_record(*record, &content, probability),
    }
}

fn of_record(record: EvaluationRecord, content: &str, probability: Option<f64>) -> Option<Item> {
    let content: Value = serde_json::from_str(content).ok()?;
    let question = question(content["messages"].as_array()?)?;
    let answer = said(&content["answers"][0]["content"]);
    let passages = content["passages"].as_array().into_iter().flatten();
    let passages = passages.filter(|passage| passage["in_prompt"] == true);
    let passages = passages.filter_map(|passage| passage["text"].as_str().map(str::to_owned)).collect();
    let optional = [
        ("answer", answer),
        ("prompt", record.prompt_id),
        ("prompt_version", record.prompt_version),
        ("language", record.language),
        ("use", record.use_case),
        ("probability", probability.map(|chance| chance.to_string())),
    ];
    let mut fields = BTreeMap::from([("model".to_owned(), record.model), ("data_class".to_owned(), record.data_class)]);
    fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Some(Item { id: record.id, question, reference: None, passages, cluster: record.end_user, fields })
}

/// What was asked: one message as it is, a conversation with who speaks.
fn question(messages: &[Value]) -> Option<String> {
    let spoken: Vec<(&str, String)> = messages
        .iter()
        .filter_map(|message| Some((message["role"].as_str().unwrap_or("user"), said(&message["content"])?)))
        .filter(|(role, _)| !matches!(*role, "system" | "developer"))
        .collect();
    match &spoken[..] {
        [] => None,
        [(_, text)] => Some(text.clone()),
        all => Some(all.iter().map(|(role, text)| format!("{role}: {text}")).collect::<Vec<String>>().join("\n\n")),
    }
}

/// The text of a content, in one piece or in parts.
fn said(content: &Value) -> Option<String> {
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<&str>>().join("\n"),
        _ => return None,
    };
    (!text.trim().is_empty()).then_some(text)
}

/// An imported dataset, about to be stored. `class` is that of items that say none.
///
/// # Errors
/// An item whose `data_class` is none.
pub fn imported(dataset: &Dataset, class: DataClass) -> Result<(Vec<NewRow>, DataClass), StoreError> {
    let mut highest = DataClass::Public;
    let mut rows = Vec::with_capacity(dataset.items.len());
    for item in &dataset.items {
        let own = item.fields.get("data_class").map_or(Ok(class), |word| word.parse());
        highest = highest.max(own.map_err(|_| {
            StoreError::invalid(
                "content",
                "« data_class » vaut public, internal ou sensitive.",
                "“data_class” is public, internal or sensitive.",
            )
        })?);
        let text = serde_json::to_string(item).map_err(|error| StoreError::Other(error.to_string()))?;
        // PostgreSQL stores no NUL, not even escaped in JSON that it is to read.
        let text = text.replace("\\u0000", "");
        rows.push(NewRow { record_id: None, probability: None, item: Some(text) });
    }
    Ok((rows, highest))
}

/// The records of a sample whose content is still there, about to be stored as a dataset of their organization.
///
/// # Errors
/// A sample over all organizations, or without any content left.
pub async fn of_sample(
    database: &Database,
    sample: &Sample,
    name: String,
    made_by: Option<i64>,
) -> Result<NewDataset, StoreError> {
    let organization_id = sample.organization_id.ok_or_else(|| {
        StoreError::invalid(
            "sample_id",
            "Un jeu de données est d’une seule administration : tirez un échantillon de l’une d’elles.",
            "A dataset is of one organization only: draw a sample of one of them.",
        )
    })?;
    let (mut rows, mut hash, mut class) = (Vec::new(), Sha256::new(), DataClass::Public);
    let mut after = 0;
    loop {
        let page = database.sample_items(sample.id, PAGE, after).await?;
        let Some((last, _)) = page.last() else { break };
        after = last.place;
        let ids: Vec<&str> = page.iter().map(|(item, _)| item.record_id.as_str()).collect();
        let held = database.held(organization_id, &ids).await?;
        for (item, _) in &page {
            let Some((own, content)) = held.get(&item.record_id) else { continue };
            class = class.max(*own);
            hash.update(content.as_bytes());
            hash.update(b"\n");
            rows.push(NewRow {
                record_id: Some(item.record_id.clone()),
                probability: Some(item.probability),
                item: None,
            });
        }
    }
    if rows.is_empty() {
        return Err(StoreError::invalid(
            "sample_id",
            "Les contenus de cet échantillon ne sont plus là.",
            "The contents of this sample are gone.",
        ));
    }
    Ok(NewDataset {
        organization_id,
        name,
        hash: crate::store::chain::hex(&hash.finalize()),
        data_class: class,
        sample_id: Some(sample.id),
        set_aside: "[]".to_owned(),
        made_by,
        rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_asked_is_read_out_of_messages() {
        let of = |messages: Value| question(messages.as_array().unwrap());
        assert_eq!(of(json!([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}])).unwrap(), "Q");
        let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]}]);
        assert_eq!(of(parts).unwrap(), "a\nb");
        let talk = json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}, {"role": "user", "content": "R"}]);
        assert_eq!(of(talk).unwrap(), "user: Q\n\nassistant: A\n\nuser: R");
        assert_eq!(of(json!([{"role": "user", "content": " "}])), None);
    }
}
