//! Chunks of documents: read, given without a file, deleted one by one.

use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::documents::{Document, Full};
use super::jobs::{self, Stage};
use super::page::Listed;
use super::projects::column;
use super::removals::Removed;
use super::sql::Sql;
use super::time::Time;
use super::work::{NewChunk, Part, add_chunks, count_chunks, count_terms};
use super::{Change, Database, StoreError};
use crate::config::retrieval::Quota;
use crate::passage;
use crate::policy::corpora::{Reading, Writing};

/// One chunk, with what it has from its document.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    pub id: i64,
    pub collection_id: i64,
    pub document_id: i64,
    pub document_name: String,
    /// Its place in the document, from 0.
    pub position: i64,
    pub content: String,
    /// Its own fields and its document's, as filters see them.
    pub metadata: Map<String, Value>,
    pub tokens: i64,
    /// Whether it can be found.
    pub indexed: bool,
    /// When its document was made.
    pub created: Time,
}

/// What became of chunks that were given.
#[derive(Debug)]
pub enum Given {
    /// Their ids, in order.
    In(Vec<i64>),
    /// The document's file is still being read, or could not be read.
    Busy(Stage),
    Full(Full),
}

const COLUMNS: &str = "SELECT t.id, t.collection_id, t.document_id, t.position, t.content, t.metadata, t.tokens, \
     t.indexed, d.name AS document_name, d.metadata AS fields, d.created_at, COUNT(*) OVER () AS total \
     FROM chunks t JOIN documents d ON d.id = t.document_id JOIN collections c ON c.id = d.collection_id \
     WHERE c.deleted_at IS NULL";

fn read(row: &AnyRow) -> Result<Chunk, sqlx::Error> {
    let own: Map<String, Value> = column("metadata", serde_json::from_str(row.try_get("metadata")?))?;
    let fields: Map<String, Value> = column("metadata", serde_json::from_str(row.try_get("fields")?))?;
    let document_name: String = row.try_get("document_name")?;
    Ok(Chunk {
        id: row.try_get("id")?,
        collection_id: row.try_get("collection_id")?,
        document_id: row.try_get("document_id")?,
        position: row.try_get("position")?,
        content: row.try_get("content")?,
        metadata: passage::fields(&document_name, &fields, &own),
        document_name,
        tokens: row.try_get("tokens")?,
        indexed: row.try_get::<i64, _>("indexed")? == 1,
        created: Time(row.try_get("created_at")?),
    })
}

impl Database {
    /// Chunks of a document that may be read, in their order.
    pub async fn chunks(
        &self,
        reading: &Reading,
        document: i64,
        limit: i64,
        offset: i64,
    ) -> Result<Listed<Chunk>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reading.narrow(&mut sql, "c");
        sql.push(" AND t.document_id = ").bind(document);
        sql.push(" ORDER BY t.position, t.id LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        Ok(Listed { items: rows.iter().map(read).collect::<Result<_, _>>()?, total })
    }

    /// One chunk of a document, if it may be read.
    pub async fn chunk(&self, reading: &Reading, document: i64, id: i64) -> Result<Option<Chunk>, StoreError> {
        Ok(self.chunks_among(reading, &[id]).await?.pop().filter(|chunk| chunk.document_id == document))
    }

    /// Those of these chunks that may be read, in no order: whatever an index says, nothing else comes back.
    pub async fn chunks_among(&self, reading: &Reading, ids: &[i64]) -> Result<Vec<Chunk>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reading.narrow(&mut sql, "c");
        sql.push(" AND t.id IN ").bind_list(ids.iter().copied());
        let rows = sql.fetch(self.pool()).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

impl Change {
    /// Adds chunks after those a document has, and puts it into the queue. [`StoreError::NotFound`] when it is in no
    /// collection that may be changed.
    pub async fn give_chunks(
        &mut self,
        writing: &Writing,
        document: &Document,
        chunks: &[NewChunk],
        quota: &Quota,
    ) -> Result<Given, StoreError> {
        let count = i64::try_from(chunks.len()).unwrap_or(i64::MAX);
        let bytes = chunks.iter().map(|chunk| i64::try_from(chunk.content.len()).unwrap_or(i64::MAX)).sum();
        // The job first, as workers do. One under way goes on, with more to do.
        sqlx::query("UPDATE ingestion_jobs SET total = total + $1 WHERE document_id = $2")
            .bind(count)
            .bind(document.id)
            .execute(&mut *self.tx)
            .await?;
        sqlx::query(
            "UPDATE organizations SET updated_at = updated_at WHERE id = \
             (SELECT organization_id FROM collections WHERE id = $1)",
        )
        .bind(document.collection_id)
        .execute(&mut *self.tx)
        .await?;
        let into = self.hold_collection(writing, document.collection_id).await?.ok_or(StoreError::NotFound)?;
        let row = sqlx::query("SELECT status, file, chunks FROM documents WHERE id = $1")
            .bind(document.id)
            .fetch_optional(&mut *self.tx)
            .await?
            .ok_or(StoreError::NotFound)?;
        let status = Stage::read(row.try_get("status")?);
        let has_file = row.try_get::<Option<String>, _>("file")?.is_some();
        match status {
            Stage::Queued | Stage::Parsing | Stage::Splitting => return Ok(Given::Busy(status)),
            Stage::Failed if has_file => return Ok(Given::Busy(status)),
            _ => {}
        }
        if let Some(full) = self.room(into.organization_id, 0, bytes, quota).await? {
            return Ok(Given::Full(full));
        }
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(position) FROM chunks WHERE document_id = $1")
            .bind(document.id)
            .fetch_one(&mut *self.tx)
            .await?;
        let position = last.map_or(0, |last| last + 1);
        add_chunks(&mut self.tx, into.id, &[Part { document: document.id, position, chunks }]).await?;
        jobs::extend(&mut self.tx, document.id, into.organization_id, count).await?;
        sqlx::query(
            "UPDATE documents SET status = 'embedding', chunks = chunks + $1, bytes = bytes + $2, reason_fr = NULL, \
             reason_en = NULL, updated_at = $3 WHERE id = $4",
        )
        .bind(count)
        .bind(bytes)
        .bind(self.at)
        .bind(document.id)
        .execute(&mut *self.tx)
        .await?;
        self.count_documents(into.id, 0, bytes).await?;
        let ids =
            sqlx::query_scalar("SELECT id FROM chunks WHERE document_id = $1 AND position >= $2 ORDER BY position")
                .bind(document.id)
                .bind(position)
                .fetch_all(&mut *self.tx)
                .await?;
        Ok(Given::In(ids))
    }

    /// Deletes one chunk of a document of a collection that may be changed. [`StoreError::NotFound`] when there is none.
    pub async fn delete_chunk(&mut self, writing: &Writing, document: i64, id: i64) -> Result<(), StoreError> {
        let row = sqlx::query("SELECT collection_id, content, metadata FROM chunks WHERE id = $1 AND document_id = $2")
            .bind(id)
            .bind(document)
            .fetch_optional(&mut *self.tx)
            .await?
            .ok_or(StoreError::NotFound)?;
        // The job first, as workers do.
        let held: Option<i64> = sqlx::query_scalar(
            "UPDATE ingestion_jobs SET attempts = attempts WHERE document_id = $1 AND owner IS NOT NULL \
             RETURNING lease_until",
        )
        .bind(document)
        .fetch_optional(&mut *self.tx)
        .await?;
        let from = self.hold_collection(writing, row.try_get("collection_id")?).await?.ok_or(StoreError::NotFound)?;
        let gone = sqlx::query("DELETE FROM chunks WHERE id = $1").bind(id).execute(&mut *self.tx).await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        let metadata = passage::object(row.try_get("metadata")?);
        let analyser = passage::analyser(from.language.as_str());
        let frequencies = passage::frequencies(&analyser, &metadata, row.try_get("content")?);
        count_chunks(&mut self.tx, from.id, -1, -passage::length(&frequencies)).await?;
        count_terms(&mut self.tx, from.id, frequencies.ids(), -1).await?;
        sqlx::query("UPDATE documents SET chunks = chunks - 1, updated_at = $1 WHERE id = $2")
            .bind(self.at)
            .bind(document)
            .execute(&mut *self.tx)
            .await?;
        self.remove_later(from.id, Removed::Chunk(id), held).await
    }
}
