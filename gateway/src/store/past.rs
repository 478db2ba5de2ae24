//! What was used lately, to count it again after a restart or an emptied Redis.

use sqlx::Row;

use super::sql::Sql;
use super::{Database, StoreError};
use crate::policy::key::KeyId;

/// Requests of one key and model name, added up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastUse {
    pub project_id: Option<i64>,
    pub key: Option<KeyId>,
    /// The member of the organization who made the key.
    pub made_by: Option<i64>,
    /// As the client wrote it.
    pub model_asked: String,
    /// When the last of them came, Unix milliseconds.
    pub at: i64,
    pub requests: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
}

/// From when, and cut where. Unix milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub month: i64,
    pub day: i64,
    /// From here on, second by second.
    pub recent: i64,
}

impl Database {
    /// What an organization used since the month began: the days before today together, today together, and what is
    /// recent second by second. Requests count as the ledger counts them: those that an engine was called for, failures
    /// apart, and those whose end nobody saw.
    pub async fn past_use(&self, organization: i64, span: Span) -> Result<Vec<PastUse>, StoreError> {
        let mut sql = Sql::new(
            "SELECT b.project_id, b.key_id, c.id AS made_by, b.model_asked, b.at, b.requests, b.tokens_in, b.tokens_out \
             FROM (SELECT t.project_id, t.key_id, t.model_asked, CASE WHEN t.started_at < ",
        );
        sql.bind(span.day).push(" THEN 0 WHEN t.started_at < ").bind(span.recent);
        sql.push(
            " THEN 1 ELSE t.started_at / 1000 END AS bucket, MAX(t.started_at) AS at, COUNT(*) AS requests, \
             CAST(SUM(t.tokens_in) AS BIGINT) AS tokens_in, CAST(SUM(t.tokens_out) AS BIGINT) AS tokens_out \
             FROM usage_records t WHERE t.organization_id = ",
        );
        sql.bind(organization).push(" AND t.started_at >= ").bind(span.month.min(span.recent));
        sql.push(
            " AND ((t.attempts > 0 AND t.outcome <> 'error') OR t.outcome = 'interrupted') GROUP BY 1, 2, 3, 4) b \
             LEFT JOIN keys k ON k.public_id = b.key_id \
             LEFT JOIN members c ON c.id = k.created_by AND c.organization_id = ",
        );
        sql.bind(organization);
        let count = |row: &sqlx::any::AnyRow, name| row.try_get::<i64, _>(name).map(|n| u64::try_from(n).unwrap_or(0));
        let rows = sql.fetch(self.pool()).await?;
        let read = rows.iter().map(|row| {
            Ok(PastUse {
                project_id: row.try_get("project_id")?,
                key: KeyId::parse(row.try_get("key_id")?),
                made_by: row.try_get("made_by")?,
                model_asked: row.try_get("model_asked")?,
                at: row.try_get("at")?,
                requests: count(row, "requests")?,
                tokens_in: count(row, "tokens_in")?,
                tokens_out: count(row, "tokens_out")?,
            })
        });
        Ok(read.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Organizations in use.
    pub async fn organization_ids(&self) -> Result<Vec<i64>, StoreError> {
        let query = sqlx::query_scalar("SELECT id FROM organizations WHERE archived_at IS NULL ORDER BY id");
        Ok(query.fetch_all(self.pool()).await?)
    }
}
