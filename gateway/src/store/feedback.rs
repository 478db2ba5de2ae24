//! What client applications say of answers.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::page::Reach;
use super::sql::Sql;
use super::time::Time;
use super::{Database, StoreError};

/// The last word on one answer.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Feedback {
    #[schema(example = "req_0198f2c1d0ab7cc2a1b0c2d3e4f50617")]
    pub request_id: String,
    pub organization_id: i64,
    pub project_id: i64,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub at: Time,
    /// 0 (worst) to 1 (best).
    pub score: Option<f64>,
    #[schema(example = "hors-sujet")]
    pub label: Option<String>,
    /// Redacted; kept only where the project agreed, and as long as content is.
    pub comment: Option<String>,
}

/// Stands for an absent score: none is negative. An absent f64 would be bound to PostgreSQL as an f32.
const ABSENT: f64 = -1.0;

fn read(row: &AnyRow) -> Result<Feedback, sqlx::Error> {
    Ok(Feedback {
        request_id: row.try_get("request_id")?,
        organization_id: row.try_get("organization_id")?,
        project_id: row.try_get("project_id")?,
        at: Time(row.try_get("at")?),
        score: row.try_get("score")?,
        label: row.try_get("label")?,
        comment: row.try_get("comment")?,
    })
}

impl Database {
    /// Whether a project made this request.
    pub async fn made_request(&self, project: i64, id: &str) -> Result<bool, StoreError> {
        let query =
            sqlx::query("SELECT id FROM usage_records WHERE id = $1 AND project_id = $2").bind(id).bind(project);
        Ok(query.fetch_optional(self.pool()).await?.is_some())
    }

    /// Stores the last word on an answer; `masked` is JSON of what was masked in the comment.
    pub async fn put_feedback(&self, said: &Feedback, masked: Option<&str>) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO feedback (request_id, organization_id, project_id, at, score, label, comment, masked) \
             VALUES ($1, $2, $3, $4, NULLIF($5, -1.0), $6, $7, $8) ON CONFLICT (request_id) DO UPDATE SET \
             at = excluded.at, score = excluded.score, label = excluded.label, comment = excluded.comment, \
             masked = excluded.masked",
        )
        .bind(said.request_id.as_str())
        .bind(said.organization_id)
        .bind(said.project_id)
        .bind(said.at.0)
        .bind(said.score.unwrap_or(ABSENT))
        .bind(said.label.as_deref())
        .bind(said.comment.as_deref())
        .bind(masked)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Feedback in reach, newest first.
    pub async fn feedback(
        &self,
        reach: &Reach,
        project: Option<i64>,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<Feedback>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.request_id, t.organization_id, t.project_id, t.at, t.score, t.label, t.comment FROM feedback t \
             WHERE 1 = 1",
        );
        reach.narrow(&mut sql, "t.organization_id", None);
        if let Some(id) = project {
            sql.push(" AND t.project_id = ").bind(id);
        }
        sql.push(" ORDER BY t.at DESC, t.request_id LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }
}
