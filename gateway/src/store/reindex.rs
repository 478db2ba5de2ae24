//! What the database says of the index as a whole, when it is moved or made anew.

use sqlx::Row;

use super::sql::Sql;
use super::{Database, StoreError, now};
use crate::config::DataClass;

/// A collection whose chunks are to be indexed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    pub id: i64,
    pub name: String,
    pub embedding_model: String,
    pub dimensions: i64,
    pub data_class: DataClass,
}

impl Database {
    /// All collections that are not deleted, by id.
    pub async fn indexed_collections(&self) -> Result<Vec<Indexed>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name, embedding_model, dimensions, data_class FROM collections WHERE deleted_at IS NULL \
             ORDER BY id",
        )
        .fetch_all(self.pool())
        .await?;
        let read = |row: &sqlx::any::AnyRow| -> Result<Indexed, sqlx::Error> {
            let class: String = row.try_get("data_class")?;
            Ok(Indexed {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                embedding_model: row.try_get("embedding_model")?,
                dimensions: row.try_get("dimensions")?,
                // A word we do not know is held to be the most confidential.
                data_class: class.parse().unwrap_or(DataClass::Sensitive),
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Says that no chunk is indexed, of one collection or of all, and puts their documents into the queue. How many
    /// chunks there are to index.
    pub async fn forget_indexed(&self, collection: Option<i64>) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        let narrow = |sql: &mut Sql, column: &'static str| {
            if let Some(id) = collection {
                sql.push(" AND ").push(column).push(" = ").bind(id);
            }
        };
        let mut sql = Sql::new("UPDATE chunks SET indexed = 0 WHERE indexed = 1");
        narrow(&mut sql, "collection_id");
        sql.fetch(&mut *tx).await?;
        let mut sql = Sql::new(
            "INSERT INTO ingestion_jobs (document_id, organization_id, stage, attempts, not_before, owner, lease_until, \
             done, total, created_at) SELECT d.id, c.organization_id, 'embedding', 0, 0, NULL, 0, 0, d.chunks, ",
        );
        sql.bind(now()).push(
            " FROM documents d JOIN collections c ON c.id = d.collection_id \
             WHERE d.status = 'done' AND d.chunks > 0 AND c.deleted_at IS NULL",
        );
        narrow(&mut sql, "c.id");
        sql.push(" ON CONFLICT (document_id) DO NOTHING");
        sql.fetch(&mut *tx).await?;
        let mut sql = Sql::new(
            "UPDATE documents SET status = 'embedding' WHERE status = 'done' AND chunks > 0 AND collection_id IN \
             (SELECT id FROM collections WHERE deleted_at IS NULL",
        );
        narrow(&mut sql, "id");
        sql.push(")");
        sql.fetch(&mut *tx).await?;
        let mut sql = Sql::new(
            "SELECT COUNT(*) FROM chunks WHERE indexed = 0 AND collection_id IN \
             (SELECT id FROM collections WHERE deleted_at IS NULL",
        );
        narrow(&mut sql, "id");
        sql.push(")");
        let rows = sql.fetch(&mut *tx).await?;
        let left = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        tx.commit().await?;
        Ok(left)
    }
}
