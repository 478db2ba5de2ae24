//! Documents of collections: made, found, deleted. What becomes of them on the way in is in [`jobs`](super::jobs) and
//! [`work`](super::work).

use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::collections::Collection;
use super::jobs::{self, Stage};
use super::page::Listed;
use super::projects::column;
use super::removals::Removed;
use super::sql::Sql;
use super::time::Time;
use super::work::remove_chunks;
use super::{Change, Database, Page, StoreError};
use crate::config::retrieval::Quota;
use crate::passage;
use crate::policy::corpora::{Reading, Writing};

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub id: i64,
    pub collection_id: i64,
    pub name: String,
    /// Of its file, and of chunks given without one.
    pub bytes: i64,
    /// Media type its sender gave.
    pub kind: Option<String>,
    pub metadata: Map<String, Value>,
    pub status: Stage,
    /// Why it failed, or what it waits for: French, English.
    pub reason: Option<(String, String)>,
    pub chunks: i64,
    /// Chunks that can be found.
    pub indexed: i64,
    pub pages: Option<i64>,
    /// Path in the folder of documents; absent when it only ever got chunks.
    pub file: Option<String>,
    pub created: Time,
    pub updated: Time,
}

/// What a document is made of.
#[derive(Clone, Debug, Default)]
pub struct NewDocument {
    pub name: String,
    /// Its file's; absent for one that only gets chunks.
    pub file: Option<NewFile>,
    /// JSON objects: what filters look at, how it is split.
    pub metadata: String,
    pub options: String,
}

/// A file that has come.
#[derive(Clone, Debug, Default)]
pub struct NewFile {
    /// SHA-256, in hexadecimal.
    pub hash: String,
    pub bytes: i64,
    pub kind: Option<String>,
}

/// What became of a new document.
#[derive(Debug)]
pub enum Admitted {
    /// It is in. With a file: the file goes to [`Document::file`] before the change is committed.
    New(Document),
    /// The same was there already; nothing was changed.
    Known(Document),
    /// Its organization has no room for it.
    Full(Full),
}

/// The limit that is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    Documents(u64),
    Bytes(crate::config::Size),
}

/// Which documents a list shows.
#[derive(Clone, Debug, Default)]
pub struct DocumentFilter {
    pub collection: Option<i64>,
    pub status: Option<Stage>,
}

const COLUMNS: &str = "SELECT t.id, t.collection_id, t.name, t.bytes, t.kind, t.metadata, t.options, t.status, \
     t.reason_fr, t.reason_en, t.chunks, t.pages, t.file, t.created_at, t.updated_at, j.done, \
     COUNT(*) OVER () AS total FROM documents t JOIN collections c ON c.id = t.collection_id \
     LEFT JOIN ingestion_jobs j ON j.document_id = t.id WHERE c.deleted_at IS NULL";

fn read(row: &AnyRow) -> Result<Document, sqlx::Error> {
    let status = Stage::read(row.try_get("status")?);
    let chunks: i64 = row.try_get("chunks")?;
    let reason: (Option<String>, Option<String>) = (row.try_get("reason_fr")?, row.try_get("reason_en")?);
    Ok(Document {
        id: row.try_get("id")?,
        collection_id: row.try_get("collection_id")?,
        name: row.try_get("name")?,
        bytes: row.try_get("bytes")?,
        kind: row.try_get("kind")?,
        metadata: column("metadata", serde_json::from_str(row.try_get("metadata")?))?,
        reason: reason.0.zip(reason.1),
        indexed: row.try_get::<Option<i64>, _>("done")?.unwrap_or(if status == Stage::Done { chunks } else { 0 }),
        status,
        chunks,
        pages: row.try_get("pages")?,
        file: row.try_get("file")?,
        created: Time(row.try_get("created_at")?),
        updated: Time(row.try_get("updated_at")?),
    })
}

impl Database {
    /// Documents that someone may read.
    pub async fn documents(
        &self,
        reading: &Reading,
        filter: &DocumentFilter,
        page: &Page,
    ) -> Result<Listed<Document>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reading.narrow(&mut sql, "c");
        if let Some(id) = filter.collection {
            sql.push(" AND t.collection_id = ").bind(id);
        }
        if let Some(status) = filter.status {
            sql.push(" AND t.status = ").bind(status.as_str());
        }
        if let Some(name) = &page.name {
            sql.push(" AND t.name = ").bind(name.as_str());
        }
        page.close(&mut sql, "t.name");
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        Ok(Listed { items: rows.iter().map(read).collect::<Result<_, _>>()?, total })
    }

    /// One document, if it may be read.
    pub async fn document(&self, reading: &Reading, id: i64) -> Result<Option<Document>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reading.narrow(&mut sql, "c");
        sql.push(" AND t.id = ").bind(id);
        Ok(sql.fetch(self.pool()).await?.first().map(read).transpose()?)
    }
}

/// The same file under the same name in a collection, if it is there, with the text of its options.
struct Twin {
    document: Document,
    same: bool,
}

impl Change {
    /// Puts a document into a collection that may be changed, and into the queue when it has a file. The same file under
    /// the same name is the same document: one that failed starts again, one with other metadata or another splitting is
    /// replaced. [`StoreError::NotFound`] when there is no such collection.
    pub async fn add_document(
        &mut self,
        writing: &Writing,
        collection: i64,
        new: &NewDocument,
        quota: &Quota,
    ) -> Result<Admitted, StoreError> {
        // What will be replaced lets go of its job first: workers hold their job and then the collection.
        let held = match self.twin(collection, new).await? {
            Some(twin) if !twin.same => self.drop_job(twin.document.id).await?,
            _ => None,
        };
        let organization: Option<i64> = sqlx::query_scalar(
            "UPDATE organizations SET updated_at = updated_at WHERE id = \
             (SELECT organization_id FROM collections WHERE id = $1) RETURNING id",
        )
        .bind(collection)
        .fetch_optional(&mut *self.tx)
        .await?;
        let into = self.hold_collection(writing, collection).await?.ok_or(StoreError::NotFound)?;
        match self.twin(collection, new).await? {
            Some(twin) if twin.same && twin.document.status == Stage::Failed => {
                return Ok(Admitted::New(self.restart(twin.document, into.organization_id).await?));
            }
            Some(twin) if twin.same => return Ok(Admitted::Known(twin.document)),
            Some(twin) => self.take_out(&into, &twin.document, held).await?,
            None => {}
        }
        let bytes = new.file.as_ref().map_or(0, |file| file.bytes);
        if let Some(full) = self.room(organization.unwrap_or(into.organization_id), 1, bytes, quota).await? {
            return Ok(Admitted::Full(full));
        }
        Ok(Admitted::New(self.insert_document(&into, new, bytes).await?))
    }

    async fn insert_document(
        &mut self,
        into: &Collection,
        new: &NewDocument,
        bytes: i64,
    ) -> Result<Document, StoreError> {
        let id = self.next_id("document").await?;
        let status = if new.file.is_some() { Stage::Queued } else { Stage::Done };
        let file = new.file.as_ref().map(|_| format!("{}/{id}", into.id));
        let kind = new.file.as_ref().and_then(|file| file.kind.clone());
        sqlx::query(
            "INSERT INTO documents (id, collection_id, name, content_hash, bytes, kind, metadata, options, status, \
             chunks, file, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, $11)",
        )
        .bind(id)
        .bind(into.id)
        .bind(new.name.as_str())
        .bind(new.file.as_ref().map(|file| file.hash.clone()))
        .bind(bytes)
        .bind(kind.clone())
        .bind(new.metadata.as_str())
        .bind(new.options.as_str())
        .bind(status.as_str())
        .bind(file.clone())
        .bind(self.at)
        .execute(&mut *self.tx)
        .await?;
        self.count_documents(into.id, 1, bytes).await?;
        if new.file.is_some() {
            jobs::enqueue(&mut self.tx, id, into.organization_id, Stage::Queued, 0).await?;
        }
        Ok(Document {
            id,
            collection_id: into.id,
            name: new.name.clone(),
            bytes,
            kind,
            metadata: passage::object(&new.metadata),
            status,
            reason: None,
            chunks: 0,
            indexed: 0,
            pages: None,
            file,
            created: Time(self.at),
            updated: Time(self.at),
        })
    }

    /// The document of the same name and content. It is only looked at: who may see it is the collection's matter.
    async fn twin(&mut self, collection: i64, new: &NewDocument) -> Result<Option<Twin>, StoreError> {
        let Some(file) = &new.file else { return Ok(None) };
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.collection_id = ").bind(collection).push(" AND t.name = ").bind(new.name.as_str());
        sql.push(" AND t.content_hash = ").bind(file.hash.as_str());
        let rows = sql.fetch(&mut *self.tx).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let document = read(row)?;
        let options: &str = row.try_get("options")?;
        let same = document.metadata == passage::object(&new.metadata)
            && passage::object(options) == passage::object(&new.options);
        Ok(Some(Twin { document, same }))
    }

    /// Puts a document that failed into the queue again.
    async fn restart(&mut self, failed: Document, organization: i64) -> Result<Document, StoreError> {
        sqlx::query(
            "UPDATE documents SET status = 'queued', reason_fr = NULL, reason_en = NULL, updated_at = $1 WHERE id = $2",
        )
        .bind(self.at)
        .bind(failed.id)
        .execute(&mut *self.tx)
        .await?;
        jobs::enqueue(&mut self.tx, failed.id, organization, Stage::Queued, 0).await?;
        Ok(Document { status: Stage::Queued, reason: None, updated: Time(self.at), ..failed })
    }

    /// Deletes a document of a collection that may be changed: its chunks, counts and job now, what the index and the
    /// disk hold of it as soon as they answer. [`StoreError::NotFound`] when there is none.
    pub async fn delete_document(&mut self, writing: &Writing, id: i64) -> Result<Document, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        writing.narrow(&mut sql, "c");
        sql.push(" AND t.id = ").bind(id);
        let rows = sql.fetch(&mut *self.tx).await?;
        let document = rows.first().map(read).transpose()?.ok_or(StoreError::NotFound)?;
        let held = self.drop_job(id).await?;
        // It may have been moved out of reach before it was locked.
        let from = self.hold_collection(writing, document.collection_id).await?.ok_or(StoreError::NotFound)?;
        self.take_out(&from, &document, held).await?;
        if self.actor.member_id.is_some() {
            let shown = serde_json::json!({"id": id, "collection_id": from.id, "name": document.name});
            let organization = Some(from.organization_id);
            self.audit(organization, "document.delete", format!("document:{id}"), Some(&shown), None::<&()>).await?;
        }
        Ok(document)
    }

    /// Ends the work on a document; until when its worker holds it, if one does.
    async fn drop_job(&mut self, id: i64) -> Result<Option<i64>, StoreError> {
        let row = sqlx::query("DELETE FROM ingestion_jobs WHERE document_id = $1 RETURNING owner, lease_until")
            .bind(id)
            .fetch_optional(&mut *self.tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let owner: Option<String> = row.try_get("owner")?;
        Ok(owner.map(|_| row.try_get("lease_until")).transpose()?)
    }

    async fn take_out(&mut self, from: &Collection, document: &Document, held: Option<i64>) -> Result<(), StoreError> {
        remove_chunks(&mut self.tx, from.id, document.id).await?;
        let gone = sqlx::query("DELETE FROM documents WHERE id = $1").bind(document.id).execute(&mut *self.tx).await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        self.count_documents(from.id, -1, -document.bytes).await?;
        let removed = Removed::Document { id: document.id, file: document.file.clone() };
        self.remove_later(from.id, removed, held).await
    }

    pub(super) async fn count_documents(
        &mut self,
        collection: i64,
        documents: i64,
        bytes: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE collections SET documents = documents + $1, bytes = bytes + $2, updated_at = $3 WHERE id = $4",
        )
        .bind(documents)
        .bind(bytes)
        .bind(self.at)
        .bind(collection)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// The limit that so much more would pass, if any. The organization's row is locked by then, so that two uploads
    /// cannot share the last place.
    pub(super) async fn room(
        &mut self,
        organization: i64,
        documents: i64,
        bytes: i64,
        quota: &Quota,
    ) -> Result<Option<Full>, StoreError> {
        if quota.documents.is_none() && quota.bytes.is_none() {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT CAST(COALESCE(SUM(documents), 0) AS BIGINT) AS documents, \
             CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM collections \
             WHERE organization_id = $1 AND deleted_at IS NULL",
        )
        .bind(organization)
        .fetch_one(&mut *self.tx)
        .await?;
        let over = |held: i64, more: i64, most: u64| more > 0 && held.saturating_add(more).unsigned_abs() > most;
        let (held, kept): (i64, i64) = (row.try_get("documents")?, row.try_get("bytes")?);
        if let Some(most) = quota.documents.filter(|most| over(held, documents, *most)) {
            return Ok(Some(Full::Documents(most)));
        }
        Ok(quota.bytes.filter(|most| over(kept, bytes, most.0)).map(Full::Bytes))
    }
}
