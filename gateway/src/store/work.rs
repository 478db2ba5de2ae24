//! What ingestion writes of a document: its chunks, how often their terms occur, which are indexed, how it ended. Every
//! change is made only while the worker that makes it holds the document's job.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::jobs::{Stage, tell};
use super::sql::Sql;
use super::{Database, StoreError, now};
use crate::passage;
use crate::policy::corpora::Reading;

/// Rows of one statement.
const ROWS: usize = 100;

/// A document under work, with what its collection says.
#[derive(Clone, Debug)]
pub struct Work {
    pub document: i64,
    pub collection: i64,
    /// Who pays: the organization of the job, the project of the collection.
    pub organization: i64,
    pub organization_name: String,
    pub project: i64,
    pub project_name: String,
    /// Of the collection and of the project, the words of `DataClass`.
    pub classes: [String; 2],
    pub language: String,
    pub model: String,
    pub dimensions: i64,
    pub name: String,
    /// Path in the folder of documents.
    pub file: Option<String>,
    /// JSON objects.
    pub metadata: String,
    pub options: String,
}

/// A chunk to be stored.
#[derive(Clone, Debug)]
pub struct NewChunk {
    pub content: String,
    /// A JSON object.
    pub metadata: String,
    pub tokens: i64,
    /// Its terms, each once, and how many it has in all.
    pub terms: Vec<u32>,
    pub length: i64,
}

/// A chunk that is not indexed yet.
#[derive(Clone, Debug)]
pub struct Pending {
    pub id: i64,
    pub document: i64,
    pub content: String,
    pub metadata: String,
}

fn read_work(row: &AnyRow) -> Result<Work, sqlx::Error> {
    Ok(Work {
        document: row.try_get("id")?,
        collection: row.try_get("collection_id")?,
        organization: row.try_get("organization_id")?,
        organization_name: row.try_get("organization")?,
        project: row.try_get::<Option<i64>, _>("project_id")?.unwrap_or(0),
        project_name: row.try_get("project")?,
        classes: [row.try_get("data_class")?, row.try_get("project_class")?],
        language: row.try_get("language")?,
        model: row.try_get("embedding_model")?,
        dimensions: row.try_get("dimensions")?,
        name: row.try_get("name")?,
        file: row.try_get("file")?,
        metadata: row.try_get("metadata")?,
        options: row.try_get("options")?,
    })
}

/// A document that was read.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    pub document: i64,
    pub pages: Option<i64>,
    pub chunks: &'a [NewChunk],
}

/// Chunks of a document that are added to it, at a place and after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub document: i64,
    pub position: i64,
    pub chunks: &'a [NewChunk],
}

/// Which of these jobs the worker holds; their rows stay locked until the end of the transaction.
async fn held(
    tx: &mut Transaction<'static, Any>,
    documents: impl IntoIterator<Item = i64>,
    owner: &str,
) -> Result<BTreeSet<i64>, StoreError> {
    let mut sql = Sql::new("UPDATE ingestion_jobs SET owner = owner WHERE owner = ");
    sql.bind(owner).push(" AND document_id IN ").bind_list(documents).push(" RETURNING document_id");
    let rows = sql.fetch(&mut **tx).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// A number for each of these documents, from rows of `document_id` and `n`; none where there is no row.
fn numbers(rows: &[AnyRow]) -> Result<BTreeMap<i64, i64>, sqlx::Error> {
    rows.iter().map(|row| Ok((row.try_get("document_id")?, row.try_get("n")?))).collect()
}

impl Database {
    /// What is needed to work on these documents; those that are gone are left out.
    pub async fn works(&self, documents: &[i64]) -> Result<Vec<Work>, StoreError> {
        let mut sql = Sql::new(
            "SELECT d.id, d.collection_id, j.organization_id, o.name AS organization, c.project_id, \
             COALESCE(p.name, '') AS project, c.data_class, COALESCE(p.data_class, c.data_class) AS project_class, \
             c.language, c.embedding_model, c.dimensions, d.name, d.file, d.metadata, d.options \
             FROM ingestion_jobs j JOIN documents d ON d.id = j.document_id \
             JOIN collections c ON c.id = d.collection_id JOIN organizations o ON o.id = j.organization_id \
             LEFT JOIN projects p ON p.id = c.project_id WHERE c.deleted_at IS NULL AND d.id IN ",
        );
        sql.bind_list(documents.iter().copied());
        let rows = sql.fetch(self.pool()).await?;
        Ok(rows.iter().map(read_work).collect::<Result<_, _>>()?)
    }

    /// Whether there is such a document, and it may be read.
    pub async fn document_is_readable(&self, reading: &Reading, document: i64) -> Result<bool, StoreError> {
        let mut sql = Sql::new(
            "SELECT d.id FROM documents d JOIN collections c ON c.id = d.collection_id \
             WHERE c.deleted_at IS NULL AND d.id = ",
        );
        sql.bind(document);
        reading.narrow(&mut sql, "c");
        Ok(!sql.fetch(self.pool()).await?.is_empty())
    }

    /// Stores the chunks of documents of one collection that were read, after those they were given, and hands them over
    /// to the embedders. Which ones: those that are not held any more are left as they are.
    pub async fn store_chunks(
        &self,
        collection: i64,
        owner: &str,
        cuts: &[Cut<'_>],
    ) -> Result<BTreeSet<i64>, StoreError> {
        let mut tx = self.begin().await?;
        let held = held(&mut tx, cuts.iter().map(|cut| cut.document), owner).await?;
        let cuts: Vec<&Cut<'_>> = cuts.iter().filter(|cut| held.contains(&cut.document)).collect();
        if cuts.is_empty() {
            return Ok(held);
        }
        // The row of the collection first: who gives chunks meanwhile has it too.
        count_chunks(&mut tx, collection, 0, 0).await?;
        let mut sql = Sql::new("SELECT document_id, COUNT(*) AS n FROM chunks WHERE document_id IN ");
        sql.bind_list(held.iter().copied()).push(" GROUP BY document_id");
        let given = numbers(&sql.fetch(&mut *tx).await?)?;
        let given = |document: i64| given.get(&document).copied().unwrap_or(0);
        let parts: Vec<Part<'_>> = cuts
            .iter()
            .map(|cut| Part { document: cut.document, position: given(cut.document), chunks: cut.chunks })
            .collect();
        add_chunks(&mut tx, collection, &parts).await?;
        for cut in cuts {
            let total = given(cut.document) + count(cut.chunks.len());
            sqlx::query(
                "UPDATE ingestion_jobs SET stage = 'embedding', owner = NULL, lease_until = 0, attempts = 0, done = 0, \
                 total = $1 WHERE document_id = $2",
            )
            .bind(total)
            .bind(cut.document)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "UPDATE documents SET status = 'embedding', chunks = $1, pages = $2, updated_at = $3 WHERE id = $4",
            )
            .bind(total)
            .bind(cut.pages)
            .bind(now())
            .bind(cut.document)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(held)
    }

    /// The next chunks of these documents that are not indexed, after one.
    pub async fn pending_chunks(&self, documents: &[i64], after: i64, most: i64) -> Result<Vec<Pending>, StoreError> {
        let mut sql = Sql::new("SELECT id, document_id, content, metadata FROM chunks WHERE document_id IN ");
        sql.bind_list(documents.iter().copied()).push(" AND indexed = 0 AND id > ").bind(after);
        sql.push(" ORDER BY id LIMIT ").bind(most);
        let rows = sql.fetch(self.pool()).await?;
        let read = |row: &AnyRow| -> Result<Pending, sqlx::Error> {
            Ok(Pending {
                id: row.try_get("id")?,
                document: row.try_get("document_id")?,
                content: row.try_get("content")?,
                metadata: row.try_get("metadata")?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Marks chunks as indexed, after a flush, by their documents. A document of which none is left is done, and its job
    /// with it; of the others, those in `release` are given back. What each has come to; one whose job is not held any
    /// more is left out, and what was indexed of it must go.
    pub async fn mark_indexed(
        &self,
        owner: &str,
        indexed: &BTreeMap<i64, Vec<i64>>,
        release: &BTreeSet<i64>,
    ) -> Result<BTreeMap<i64, Stage>, StoreError> {
        let concerned: BTreeSet<i64> = indexed.keys().chain(release).copied().collect();
        let mut tx = self.begin().await?;
        let held = held(&mut tx, concerned.iter().copied(), owner).await?;
        let marked: Vec<i64> =
            indexed.iter().filter(|(document, _)| held.contains(document)).flat_map(|(_, ids)| ids).copied().collect();
        for some in marked.chunks(ROWS) {
            let mut sql = Sql::new("UPDATE chunks SET indexed = 1 WHERE id IN ");
            sql.bind_list(some.iter().copied());
            sql.fetch(&mut *tx).await?;
        }
        let mut sql = Sql::new("SELECT document_id, COUNT(*) AS n FROM chunks WHERE indexed = 0 AND document_id IN ");
        sql.bind_list(held.iter().copied()).push(" GROUP BY document_id");
        let left = numbers(&sql.fetch(&mut *tx).await?)?;
        let done: Vec<i64> = held.iter().filter(|document| !left.contains_key(document)).copied().collect();
        let mut sql = Sql::new("DELETE FROM ingestion_jobs WHERE document_id IN ");
        sql.bind_list(done.iter().copied());
        sql.fetch(&mut *tx).await?;
        tell(&mut tx, &done, Stage::Done).await?;
        let further: Vec<(i64, i64)> =
            left.iter().filter(|(id, _)| indexed.contains_key(id)).map(|(id, left)| (*id, *left)).collect();
        for (document, left) in &further {
            sqlx::query("UPDATE ingestion_jobs SET done = total - $1, stage = 'embedding' WHERE document_id = $2")
                .bind(*left)
                .bind(*document)
                .execute(&mut *tx)
                .await?;
        }
        let further: Vec<i64> = further.into_iter().map(|(document, _)| document).collect();
        tell(&mut tx, &further, Stage::Embedding).await?;
        let back: Vec<i64> = left.keys().filter(|document| release.contains(document)).copied().collect();
        if !back.is_empty() {
            let mut sql =
                Sql::new("UPDATE ingestion_jobs SET owner = NULL, lease_until = 0, attempts = 0 WHERE document_id IN ");
            sql.bind_list(back);
            sql.fetch(&mut *tx).await?;
        }
        tx.commit().await?;
        let stage = |document: &i64| if left.contains_key(document) { Stage::Embedding } else { Stage::Done };
        Ok(held.iter().map(|document| (*document, stage(document))).collect())
    }

    /// Ends a document with a reason; its chunks go. False when the job is not held any more.
    pub async fn fail_document(
        &self,
        collection: i64,
        document: i64,
        owner: &str,
        (french, english): (&str, &str),
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if held(&mut tx, [document], owner).await?.is_empty() {
            return Ok(false);
        }
        remove_chunks(&mut tx, collection, document).await?;
        sqlx::query("DELETE FROM ingestion_jobs WHERE document_id = $1").bind(document).execute(&mut *tx).await?;
        sqlx::query(
            "UPDATE documents SET status = 'failed', reason_fr = $1, reason_en = $2, chunks = 0, updated_at = $3 \
             WHERE id = $4",
        )
        .bind(french)
        .bind(english)
        .bind(now())
        .bind(document)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// Adds chunks to documents of a collection, with its counts. The collection's row is locked first, so that those who
/// change one collection follow one another.
pub(crate) async fn add_chunks(
    tx: &mut Transaction<'static, Any>,
    collection: i64,
    parts: &[Part<'_>],
) -> Result<(), StoreError> {
    let chunks = count(parts.iter().map(|part| part.chunks.len()).sum());
    let length = parts.iter().flat_map(|part| part.chunks).map(|chunk| chunk.length).sum();
    count_chunks(tx, collection, chunks, length).await?;
    let last: i64 = sqlx::query_scalar("UPDATE sequences SET value = value + $1 WHERE name = 'chunk' RETURNING value")
        .bind(chunks)
        .fetch_one(&mut **tx)
        .await?;
    let mut next = last - chunks;
    for part in parts {
        let mut position = part.position;
        for some in part.chunks.chunks(ROWS) {
            let mut sql = Sql::new(
                "INSERT INTO chunks (id, collection_id, document_id, position, content, metadata, tokens, indexed) VALUES ",
            );
            for (nth, chunk) in some.iter().enumerate() {
                next += 1;
                sql.push(if nth == 0 { "(" } else { ", (" });
                sql.bind(next).push(", ").bind(collection).push(", ").bind(part.document).push(", ");
                sql.bind(position).push(", ").bind(chunk.content.clone()).push(", ").bind(chunk.metadata.clone());
                sql.push(", ").bind(chunk.tokens).push(", 0)");
                position += 1;
            }
            sql.fetch(&mut **tx).await?;
        }
    }
    let terms: Vec<u32> =
        parts.iter().flat_map(|part| part.chunks).flat_map(|chunk| chunk.terms.iter().copied()).collect();
    count_terms(tx, collection, terms.into_iter(), 1).await
}

/// Takes all chunks of a document away, with the counts of its collection.
pub(crate) async fn remove_chunks(
    tx: &mut Transaction<'static, Any>,
    collection: i64,
    document: i64,
) -> Result<(), StoreError> {
    let language: Option<String> = sqlx::query_scalar("SELECT language FROM collections WHERE id = $1")
        .bind(collection)
        .fetch_optional(&mut **tx)
        .await?;
    let analyser = passage::analyser(language.as_deref().unwrap_or_default());
    let (mut terms, mut length, mut chunks, mut after) = (Vec::new(), 0, 0, i64::MIN);
    // The row of the collection first, as everybody does.
    count_chunks(tx, collection, 0, 0).await?;
    loop {
        let rows = sqlx::query(
            "SELECT id, content, metadata FROM chunks WHERE document_id = $1 AND id > $2 ORDER BY id LIMIT 500",
        )
        .bind(document)
        .bind(after)
        .fetch_all(&mut **tx)
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get("id")?;
        for row in &rows {
            let metadata = passage::object(row.try_get("metadata")?);
            let frequencies = passage::frequencies(&analyser, &metadata, row.try_get("content")?);
            length += passage::length(&frequencies);
            chunks += 1;
            terms.extend(frequencies.ids());
        }
    }
    sqlx::query("DELETE FROM chunks WHERE document_id = $1").bind(document).execute(&mut **tx).await?;
    count_chunks(tx, collection, -chunks, -length).await?;
    count_terms(tx, collection, terms.into_iter(), -1).await
}

pub(super) async fn count_chunks(
    tx: &mut Transaction<'static, Any>,
    collection: i64,
    chunks: i64,
    length: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE collections SET chunks = chunks + $1, terms = terms + $2 WHERE id = $3")
        .bind(chunks)
        .bind(length)
        .bind(collection)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Counts each occurrence of a term in one more chunk, or in one less.
pub(super) async fn count_terms(
    tx: &mut Transaction<'static, Any>,
    collection: i64,
    terms: impl Iterator<Item = u32>,
    sign: i64,
) -> Result<(), StoreError> {
    let mut counts: BTreeMap<u32, i64> = BTreeMap::new();
    for term in terms {
        *counts.entry(term).or_default() += sign;
    }
    let counts: Vec<(u32, i64)> = counts.into_iter().collect();
    for some in counts.chunks(ROWS) {
        let mut sql = Sql::new("INSERT INTO collection_terms (collection_id, term, documents) VALUES ");
        for (nth, (term, more)) in some.iter().enumerate() {
            sql.push(if nth == 0 { "(" } else { ", (" });
            sql.bind(collection).push(", ").bind(i64::from(*term)).push(", ").bind(*more).push(")");
        }
        sql.push(
            " ON CONFLICT (collection_id, term) DO UPDATE SET documents = collection_terms.documents + excluded.documents",
        );
        sql.fetch(&mut **tx).await?;
    }
    if sign < 0 {
        sqlx::query("DELETE FROM collection_terms WHERE collection_id = $1 AND documents <= 0")
            .bind(collection)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
