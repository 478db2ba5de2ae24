//! Datasets: items imported by evaluators, or records of a sample. Of a record, only its id is here: its content stays where
//! its retention finds it, and is gone from the dataset when it is gone.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::evaluation::{EvaluationRecord, read as record};
use super::page::Reach;
use super::projects::column;
use super::sql::Sql;
use super::time::Time;
use super::{Database, StoreError};
use crate::config::DataClass;

/// Rows of one insert.
const ROWS: usize = 100;

/// A dataset, without its items.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StoredDataset {
    #[schema(example = 1)]
    pub id: i64,
    pub organization_id: i64,
    #[schema(example = "accueil-2026")]
    pub name: String,
    /// SHA-256 of its items: the version.
    pub hash: String,
    /// The highest among its items: where they may be sent.
    pub data_class: DataClass,
    /// The sample it holds the records of; null: imported.
    pub sample_id: Option<i64>,
    pub items: i64,
    /// Lines that were no items, each with its number.
    #[schema(value_type = Vec<Object>)]
    pub set_aside: Box<RawValue>,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub made: Time,
    pub made_by: Option<i64>,
}

/// A dataset about to be stored.
pub struct NewDataset {
    pub organization_id: i64,
    pub name: String,
    pub hash: String,
    pub data_class: DataClass,
    pub sample_id: Option<i64>,
    pub set_aside: String,
    pub made_by: Option<i64>,
    pub rows: Vec<NewRow>,
}

/// One item about to be stored.
pub struct NewRow {
    pub record_id: Option<String>,
    pub probability: Option<f64>,
    pub item: Option<String>,
}

/// One item as it is stored.
pub enum StoredItem {
    Imported(String),
    /// A record whose content is there.
    Held {
        record: Box<EvaluationRecord>,
        content: String,
        probability: Option<f64>,
    },
}

fn read(row: &AnyRow) -> Result<StoredDataset, sqlx::Error> {
    Ok(StoredDataset {
        id: row.try_get("id")?,
        organization_id: row.try_get("organization_id")?,
        name: row.try_get("name")?,
        hash: row.try_get("hash")?,
        data_class: column("data_class", row.try_get::<&str, _>("data_class")?.parse())?,
        sample_id: row.try_get("sample_id")?,
        items: row.try_get("items")?,
        set_aside: column("set_aside", RawValue::from_string(row.try_get("set_aside")?))?,
        made: Time(row.try_get("made_at")?),
        made_by: row.try_get("made_by")?,
    })
}

impl Database {
    /// Stores a dataset whole.
    pub async fn insert_dataset(&self, new: &NewDataset) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        let id: i64 =
            sqlx::query_scalar("UPDATE sequences SET value = value + 1 WHERE name = 'eval_dataset' RETURNING value")
                .fetch_one(&mut *tx)
                .await?;
        sqlx::query(
            "INSERT INTO eval_datasets (id, organization_id, name, hash, data_class, sample_id, items, set_aside, made_at, \
             made_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(id)
        .bind(new.organization_id)
        .bind(new.name.as_str())
        .bind(new.hash.as_str())
        .bind(new.data_class.as_str())
        .bind(new.sample_id)
        .bind(i64::try_from(new.rows.len()).unwrap_or(i64::MAX))
        .bind(new.set_aside.as_str())
        .bind(super::now())
        .bind(new.made_by)
        .execute(&mut *tx)
        .await?;
        let mut place = 0_i64;
        for chunk in new.rows.chunks(ROWS) {
            let mut sql = Sql::new(
                "INSERT INTO eval_dataset_items (dataset_id, place, record_id, probability, item) VALUES ",
            );
            for (index, row) in chunk.iter().enumerate() {
                place += 1;
                sql.push(if index == 0 { "(" } else { ", (" }).bind(id).push(", ").bind(place).push(", ");
                sql.bind(row.record_id.as_deref()).push(", ").bind(row.probability).push(", ").bind(row.item.as_deref()).push(")");
            }
            sql.fetch(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(id)
    }

    /// Datasets in reach, newest first.
    pub async fn datasets(&self, reach: &Reach, limit: i64, offset: i64) -> Result<Vec<StoredDataset>, StoreError> {
        let mut sql = Sql::new("SELECT t.* FROM eval_datasets t WHERE 1 = 1");
        reach.narrow(&mut sql, "t.organization_id", None);
        sql.push(" ORDER BY t.id DESC LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    pub async fn dataset(&self, reach: &Reach, id: i64) -> Result<Option<StoredDataset>, StoreError> {
        let mut sql = Sql::new("SELECT t.* FROM eval_datasets t WHERE t.id = ");
        sql.bind(id);
        reach.narrow(&mut sql, "t.organization_id", None);
        Ok(sql.fetch(self.pool()).await?.first().map(read).transpose()?)
    }

    /// Items of a dataset, after a place; those whose content is gone are left out. With the last place looked at.
    pub async fn dataset_items(
        &self,
        id: i64,
        after: i64,
        limit: i64,
    ) -> Result<(Vec<StoredItem>, Option<i64>), StoreError> {
        let mut sql = Sql::new(
            "SELECT r.*, i.place AS item_place, i.probability AS item_probability, i.item AS item_text, c.content AS item_content \
             FROM eval_dataset_items i LEFT JOIN evaluation_records r ON r.id = i.record_id \
             LEFT JOIN evaluation_contents c ON c.id = i.record_id WHERE i.dataset_id = ",
        );
        sql.bind(id).push(" AND i.place > ").bind(after).push(" ORDER BY i.place LIMIT ").bind(limit);
        let rows = sql.fetch(self.pool()).await?;
        let last = rows.last().map(|row| row.try_get("item_place")).transpose()?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Some(item) = row.try_get::<Option<String>, _>("item_text")? {
                items.push(StoredItem::Imported(item));
            } else if let Some(content) = row.try_get::<Option<String>, _>("item_content")? {
                items.push(StoredItem::Held {
                    record: Box::new(record(row)?),
                    content,
                    probability: row.try_get("item_probability")?,
                });
            }
        }
        Ok((items, last))
    }

    /// Of these records, those of an organization whose content is there: data class and hash of the content, by id.
    pub async fn held(
        &self,
        organization: i64,
        ids: &[&str],
    ) -> Result<HashMap<String, (DataClass, String)>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.id, t.data_class, t.content_hash FROM evaluation_records t \
             JOIN evaluation_contents c ON c.id = t.id WHERE t.organization_id = ",
        );
        sql.bind(organization).push(" AND t.id IN ").bind_list(ids.iter().copied());
        let rows = sql.fetch(self.pool()).await?;
        let held = rows.iter().map(|row| {
            let class = column("data_class", row.try_get::<&str, _>("data_class")?.parse())?;
            Ok((row.try_get("id")?, (class, row.try_get("content_hash")?)))
        });
        Ok(held.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Takes a dataset away, with all that was run over it.
    pub async fn delete_dataset(&self, id: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for text in [
            "DELETE FROM eval_answers WHERE run_id IN (SELECT id FROM eval_runs WHERE dataset_id = $1)",
            // Judgings first: they name their experiments.
            "DELETE FROM eval_runs WHERE dataset_id = $1 AND experiment_id IS NOT NULL",
            "DELETE FROM eval_runs WHERE dataset_id = $1",
            "DELETE FROM eval_dataset_items WHERE dataset_id = $1",
            "DELETE FROM eval_datasets WHERE id = $1",
        ] {
            sqlx::query(text).bind(id).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}
