//! What is deleted and still has to leave the index and the disk: noted in the transaction that deletes, and forgotten
//! only when it is done, so that nothing stays behind whatever crashes or does not answer.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::sql::Sql;
use super::{Change, Database, StoreError, now};

/// After a lease has ended, how long its holder may still be writing, milliseconds.
const GRACE: i64 = 30_000;
/// Documents purged in one transaction.
const DOCUMENTS: i64 = 50;

/// What left a collection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removed {
    /// All of it.
    Collection,
    Document {
        id: i64,
        /// Path in the folder of documents.
        file: Option<String>,
    },
    Chunk(i64),
}

/// One removal to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removal {
    pub id: i64,
    pub collection: i64,
    pub what: Removed,
    pub attempts: i64,
    /// Unix milliseconds: a worker may write until then what is removed now.
    pub keep_until: i64,
}

fn read(row: &AnyRow) -> Result<Removal, sqlx::Error> {
    let document: Option<i64> = row.try_get("document_id")?;
    let chunk: Option<i64> = row.try_get("chunk_id")?;
    let what = match (document, chunk) {
        (_, Some(chunk)) => Removed::Chunk(chunk),
        (Some(id), None) => Removed::Document { id, file: row.try_get("file")? },
        (None, None) => Removed::Collection,
    };
    Ok(Removal {
        id: row.try_get("id")?,
        collection: row.try_get("collection_id")?,
        what,
        attempts: row.try_get("attempts")?,
        keep_until: row.try_get("keep_until")?,
    })
}

impl Change {
    /// Notes a removal. `leased`: until when a worker holds what is removed.
    pub(super) async fn remove_later(
        &mut self,
        collection: i64,
        what: Removed,
        leased: Option<i64>,
    ) -> Result<(), StoreError> {
        let (document, chunk, file) = match what {
            Removed::Collection => (None, None, None),
            Removed::Document { id, file } => (Some(id), None, file),
            Removed::Chunk(id) => (None, Some(id), None),
        };
        let id = self.next_id("removal").await?;
        sqlx::query(
            "INSERT INTO removals (id, collection_id, document_id, chunk_id, file, attempts, not_before, \
             keep_until, created_at) VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7)",
        )
        .bind(id)
        .bind(collection)
        .bind(document)
        .bind(chunk)
        .bind(file)
        .bind(leased.map_or(0, |leased| leased.saturating_add(GRACE)))
        .bind(self.at)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

impl Database {
    /// Removals that are due, the oldest first.
    pub async fn removals(&self, most: i64) -> Result<Vec<Removal>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, collection_id, document_id, chunk_id, file, attempts, keep_until \
             FROM removals WHERE not_before <= $1 ORDER BY not_before, id LIMIT $2",
        )
        .bind(now())
        .bind(most)
        .fetch_all(self.pool())
        .await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Forgets removals that are made, for good.
    pub async fn forget_removals(&self, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new("DELETE FROM removals WHERE id IN ");
        sql.bind_list(ids.iter().copied());
        sql.fetch(self.writer()).await?;
        Ok(())
    }

    /// Puts a removal off until a moment, Unix milliseconds.
    pub async fn postpone_removal(&self, id: i64, until: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE removals SET not_before = $1, attempts = attempts + 1 WHERE id = $2")
            .bind(until)
            .bind(id)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    /// Deletes rows of a deleted collection, a piece at a time: true while there is more.
    pub async fn purge_collection(&self, id: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let documents = sqlx::query_scalar::<_, i64>(
            "SELECT d.id FROM documents d JOIN collections c ON c.id = d.collection_id \
             WHERE c.id = $1 AND c.deleted_at IS NOT NULL ORDER BY d.id LIMIT $2",
        )
        .bind(id)
        .bind(DOCUMENTS)
        .fetch_all(&mut *tx)
        .await?;
        if documents.is_empty() {
            sqlx::query("DELETE FROM collection_terms WHERE collection_id = $1").bind(id).execute(&mut *tx).await?;
            sqlx::query("DELETE FROM collections WHERE id = $1 AND deleted_at IS NOT NULL")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        for table in [
            "DELETE FROM ingestion_jobs WHERE document_id IN ",
            "DELETE FROM chunks WHERE document_id IN ",
            "DELETE FROM documents WHERE id IN ",
        ] {
            let mut sql = Sql::new(table);
            sql.bind_list(documents.iter().copied());
            sql.fetch(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(!documents.is_empty())
    }
}
