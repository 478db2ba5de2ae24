//! The durable queue of ingestion: one row a document under work. A worker holds a row by a lease; a row that nobody
//! holds any more, because its process died, is anybody's.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::sql::Sql;
use super::{Database, StoreError, now};

/// How far a document is. Kept in its job while there is one, and in the document for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Queued,
    Parsing,
    Splitting,
    Embedding,
    Indexing,
    Done,
    Failed,
}

impl Stage {
    pub const ALL: [Stage; 7] = [
        Stage::Queued,
        Stage::Parsing,
        Stage::Splitting,
        Stage::Embedding,
        Stage::Indexing,
        Stage::Done,
        Stage::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Queued => "queued",
            Stage::Parsing => "parsing",
            Stage::Splitting => "splitting",
            Stage::Embedding => "embedding",
            Stage::Indexing => "indexing",
            Stage::Done => "done",
            Stage::Failed => "failed",
        }
    }

    pub fn read(word: &str) -> Stage {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == word).unwrap_or(Stage::Queued)
    }

    /// Whether nothing more will happen by itself.
    pub const fn is_end(self) -> bool {
        matches!(self, Stage::Done | Stage::Failed)
    }
}

/// The two kinds of work, each with workers of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// From a file to chunks.
    Reading,
    /// From chunks to what is searched.
    Embedding,
}

impl Lane {
    const fn stages(self) -> [&'static str; 3] {
        match self {
            Lane::Reading => ["queued", "parsing", "splitting"],
            Lane::Embedding => ["embedding", "indexing", "indexing"],
        }
    }

    /// What a document weighs in a [`Portion`]: bytes of its file, chunks to be embedded.
    const fn weight(self) -> &'static str {
        match self {
            Lane::Reading => "d.bytes",
            Lane::Embedding => "j.total - j.done",
        }
    }
}

/// How much a worker takes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Portion {
    /// Documents at most.
    pub documents: i64,
    /// Their weight at most; the first one may weigh more.
    pub weight: i64,
}

/// How a document comes along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    pub document: i64,
    pub stage: Stage,
    /// Chunks that can be found, of those there are.
    pub done: i64,
    pub total: i64,
    /// Why it failed, or what it waits for: French, English.
    pub reason: Option<(String, String)>,
}

/// A job held by this worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    pub document: i64,
    pub collection: i64,
    pub attempts: i64,
}

/// Puts a document into the queue, in the transaction that makes it. One that is there already starts again.
pub(crate) async fn enqueue(
    tx: &mut Transaction<'static, Any>,
    document: i64,
    organization: i64,
    stage: Stage,
    total: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ingestion_jobs (document_id, organization_id, stage, attempts, not_before, owner, lease_until, \
         done, total, created_at) VALUES ($1, $2, $3, 0, 0, NULL, 0, 0, $4, $5) \
         ON CONFLICT (document_id) DO UPDATE SET stage = excluded.stage, attempts = 0, not_before = 0, owner = NULL, \
         lease_until = 0, done = 0, total = excluded.total",
    )
    .bind(document)
    .bind(organization)
    .bind(stage.as_str())
    .bind(total)
    .bind(now())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts a document into the queue for more chunks to be embedded. One under work is left to its worker, which finds
/// them: its caller has already raised its total.
pub(crate) async fn extend(
    tx: &mut Transaction<'static, Any>,
    document: i64,
    organization: i64,
    more: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ingestion_jobs (document_id, organization_id, stage, attempts, not_before, owner, lease_until, \
         done, total, created_at) VALUES ($1, $2, 'embedding', 0, 0, NULL, 0, 0, $3, $4) \
         ON CONFLICT (document_id) DO NOTHING",
    )
    .bind(document)
    .bind(organization)
    .bind(more)
    .bind(now())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn held(row: &AnyRow) -> Result<Held, sqlx::Error> {
    Ok(Held {
        document: row.try_get("document_id")?,
        collection: row.try_get("collection_id")?,
        attempts: row.try_get("attempts")?,
    })
}

/// The first job and, of the same collection, those after it that fit beside it.
fn fitting(rows: &[AnyRow], weight: i64) -> Result<Vec<Held>, StoreError> {
    let mut wanted: Vec<Held> = Vec::new();
    let mut sum: i64 = 0;
    for row in rows {
        let job = held(row)?;
        if let Some(first) = wanted.first() {
            if first.attempts > 0 {
                break;
            }
            if job.collection != first.collection || job.attempts > 0 {
                continue;
            }
        }
        sum = sum.saturating_add(row.try_get::<i64, _>("weight")?.max(0));
        if !wanted.is_empty() && sum > weight {
            break;
        }
        wanted.push(job);
    }
    Ok(wanted)
}

fn ids(rows: &[AnyRow]) -> Result<Vec<i64>, sqlx::Error> {
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Says in documents how far they are; they wait for nothing.
pub(super) async fn tell(
    tx: &mut Transaction<'static, Any>,
    documents: &[i64],
    stage: Stage,
) -> Result<(), StoreError> {
    if documents.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("UPDATE documents SET status = ");
    sql.bind(stage.as_str()).push(", reason_fr = NULL, reason_en = NULL, updated_at = ").bind(now());
    sql.push(" WHERE id IN ").bind_list(documents.iter().copied());
    sql.fetch(&mut **tx).await?;
    Ok(())
}

/// Free to be taken: due, and nobody's.
fn free(sql: &mut Sql, lane: Lane, at: i64) {
    sql.push(" j.stage IN ").bind_list(lane.stages()).push(" AND j.not_before <= ").bind(at);
    sql.push(" AND (j.owner IS NULL OR j.lease_until <= ").bind(at).push(")");
}

impl Database {
    /// The organizations for which a lane has something to do.
    pub async fn organizations_waiting(&self, lane: Lane) -> Result<Vec<i64>, StoreError> {
        let mut sql = Sql::new("SELECT DISTINCT j.organization_id FROM ingestion_jobs j WHERE");
        free(&mut sql, lane, now());
        sql.fetch(self.pool()).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Whether a lane has something to do for another organization than this one.
    pub async fn others_wait(&self, lane: Lane, organization: i64) -> Result<bool, StoreError> {
        let mut sql = Sql::new("SELECT j.document_id FROM ingestion_jobs j WHERE j.organization_id <> ");
        sql.bind(organization).push(" AND");
        free(&mut sql, lane, now());
        sql.push(" LIMIT 1");
        Ok(!sql.fetch(self.pool()).await?.is_empty())
    }

    /// Takes the oldest job of an organization and others of the same collection, as much as the portion allows; what is
    /// to be read is said to be read from then on. A document that has failed before comes alone, so that it holds up no
    /// other. Empty when other workers were faster.
    pub async fn take_jobs(
        &self,
        lane: Lane,
        organization: i64,
        portion: Portion,
        owner: &str,
        lease: i64,
    ) -> Result<Vec<Held>, StoreError> {
        let at = now();
        let mut sql = Sql::new("SELECT j.document_id, j.attempts, d.collection_id, ");
        sql.push(lane.weight()).push(
            " AS weight FROM ingestion_jobs j JOIN documents d ON d.id = j.document_id WHERE j.organization_id = ",
        );
        sql.bind(organization).push(" AND");
        free(&mut sql, lane, at);
        sql.push(" ORDER BY j.created_at, j.document_id LIMIT ").bind(portion.documents);
        let rows = sql.fetch(self.pool()).await?;
        let wanted = fitting(&rows, portion.weight)?;
        if wanted.is_empty() {
            return Ok(wanted);
        }
        let mut tx = self.begin().await?;
        let mut sql = Sql::new("UPDATE ingestion_jobs AS j SET owner = ");
        sql.bind(owner).push(", lease_until = ").bind(at + lease);
        if lane == Lane::Reading {
            sql.push(", stage = ").bind(Stage::Parsing.as_str());
        }
        sql.push(" WHERE j.document_id IN ").bind_list(wanted.iter().map(|job| job.document)).push(" AND");
        // Another worker may have been here in between, or even have done all that this lane does.
        free(&mut sql, lane, at);
        sql.push(" RETURNING document_id");
        let taken = ids(&sql.fetch(&mut *tx).await?)?;
        if lane == Lane::Reading {
            tell(&mut tx, &taken, Stage::Parsing).await?;
        }
        tx.commit().await?;
        Ok(wanted.into_iter().filter(|job| taken.contains(&job.document)).collect())
    }

    /// Holds jobs for longer.
    pub async fn renew_leases(&self, owner: &str, documents: &[i64], lease: i64) -> Result<(), StoreError> {
        if documents.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new("UPDATE ingestion_jobs SET lease_until = ");
        sql.bind(now() + lease).push(" WHERE owner = ").bind(owner).push(" AND document_id IN ");
        sql.bind_list(documents.iter().copied());
        sql.fetch(self.writer()).await?;
        Ok(())
    }

    /// Whether a job is still held; for longer, if so.
    pub async fn keep_job(&self, document: i64, owner: &str, lease: i64) -> Result<bool, StoreError> {
        let kept = sqlx::query("UPDATE ingestion_jobs SET lease_until = $1 WHERE document_id = $2 AND owner = $3")
            .bind(now() + lease)
            .bind(document)
            .bind(owner)
            .execute(self.writer())
            .await?;
        Ok(kept.rows_affected() > 0)
    }

    /// At the start of a process: frees what it held when it died, and puts back into the queue documents that are not
    /// wholly marked as indexed. How many documents wait or are under way.
    pub async fn recover_jobs(&self, owner: &str) -> Result<i64, StoreError> {
        self.release_all(owner).await?;
        sqlx::query(
            "INSERT INTO ingestion_jobs (document_id, organization_id, stage, attempts, not_before, owner, lease_until, \
             done, total, created_at) SELECT d.id, c.organization_id, 'embedding', 0, 0, NULL, 0, 0, d.chunks, $1 \
             FROM documents d JOIN collections c ON c.id = d.collection_id WHERE d.status = 'done' AND d.id IN \
             (SELECT document_id FROM chunks WHERE indexed = 0) ON CONFLICT (document_id) DO NOTHING",
        )
        .bind(now())
        .execute(self.writer())
        .await?;
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM ingestion_jobs").fetch_one(self.pool()).await?)
    }

    /// Notes where held documents are. Which of them are still held: one that is not was deleted, or its lease lost.
    pub async fn advance_jobs(&self, documents: &[i64], owner: &str, stage: Stage) -> Result<Vec<i64>, StoreError> {
        if documents.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin().await?;
        let mut sql = Sql::new("UPDATE ingestion_jobs SET stage = ");
        sql.bind(stage.as_str()).push(" WHERE owner = ").bind(owner).push(" AND document_id IN ");
        sql.bind_list(documents.iter().copied()).push(" RETURNING document_id");
        let held = ids(&sql.fetch(&mut *tx).await?)?;
        tell(&mut tx, &held, stage).await?;
        tx.commit().await?;
        Ok(held)
    }

    /// Gives jobs back, for others to go on with at once.
    pub async fn release_jobs(&self, documents: &[i64], owner: &str) -> Result<(), StoreError> {
        if documents.is_empty() {
            return Ok(());
        }
        let mut sql = Sql::new("UPDATE ingestion_jobs SET owner = NULL, lease_until = 0, attempts = 0 WHERE owner = ");
        sql.bind(owner).push(" AND document_id IN ").bind_list(documents.iter().copied());
        sql.fetch(self.writer()).await?;
        Ok(())
    }

    /// Gives everything back that this process holds.
    pub async fn release_all(&self, owner: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE ingestion_jobs SET owner = NULL, lease_until = 0 WHERE owner = $1")
            .bind(owner)
            .execute(self.writer())
            .await?;
        Ok(())
    }

    /// Gives a job back for later, and says in the document what it waits for.
    pub async fn postpone_job(
        &self,
        document: i64,
        owner: &str,
        wait: i64,
        (french, english): (&str, &str),
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let held = sqlx::query(
            "UPDATE ingestion_jobs SET owner = NULL, lease_until = 0, attempts = attempts + 1, not_before = $1 \
             WHERE document_id = $2 AND owner = $3",
        )
        .bind(now() + wait)
        .bind(document)
        .bind(owner)
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if held > 0 {
            sqlx::query("UPDATE documents SET reason_fr = $1, reason_en = $2 WHERE id = $3")
                .bind(french)
                .bind(english)
                .bind(document)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// How a document comes along; `None` when there is no such document.
    pub async fn progress(&self, document: i64) -> Result<Option<Progress>, StoreError> {
        let row = sqlx::query(
            "SELECT d.status, d.chunks, d.reason_fr, d.reason_en, j.done, j.total FROM documents d \
             LEFT JOIN ingestion_jobs j ON j.document_id = d.id WHERE d.id = $1",
        )
        .bind(document)
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let stage = Stage::read(row.try_get("status")?);
        let chunks: i64 = row.try_get("chunks")?;
        let french: Option<String> = row.try_get("reason_fr")?;
        let english: Option<String> = row.try_get("reason_en")?;
        let (done, total) = match row.try_get::<Option<i64>, _>("done")? {
            Some(done) => (done, row.try_get::<Option<i64>, _>("total")?.unwrap_or(chunks)),
            None => (if stage == Stage::Done { chunks } else { 0 }, chunks),
        };
        Ok(Some(Progress { document, stage, done, total, reason: french.zip(english) }))
    }
}
