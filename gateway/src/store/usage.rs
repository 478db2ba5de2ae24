//! Usage records: which ones, and reading the last ones. [`recording`](super::recording) stores them.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::page::Reach;
use super::projects::column;
use super::sql::Sql;
use super::{Database, StoreError};
use crate::recorder::record::{Record, Text};

pub(super) fn read(row: &AnyRow) -> Result<Record, sqlx::Error> {
    let text = |name| row.try_get::<Option<&str>, _>(name).map(|text| text.map(Text::from));
    Ok(Record {
        id: row.try_get::<&str, _>("id")?.into(),
        started_at: row.try_get("started_at")?,
        organization_id: row.try_get("organization_id")?,
        project_id: row.try_get("project_id")?,
        member_id: row.try_get("member_id")?,
        key_id: row.try_get::<&str, _>("key_id")?.into(),
        end_user: text("end_user")?,
        endpoint: column("endpoint", row.try_get::<&str, _>("endpoint")?.parse())?,
        streamed: row.try_get::<i64, _>("streamed")? != 0,
        model_asked: row.try_get::<&str, _>("model_asked")?.into(),
        model_served: text("model_served")?,
        deployment: text("deployment")?,
        hosting: text("hosting")?,
        data_class: row.try_get::<&str, _>("data_class")?.into(),
        prompt_id: text("prompt_id")?,
        prompt_version: text("prompt_version")?,
        prompt_hash: text("prompt_hash")?,
        parameters: text("parameters")?,
        tokens_in: row.try_get("tokens_in")?,
        tokens_out: row.try_get("tokens_out")?,
        tokens_cached: row.try_get("tokens_cached")?,
        tokens_reasoning: row.try_get("tokens_reasoning")?,
        tokens_estimated: row.try_get::<i64, _>("tokens_estimated")? != 0,
        first_token_ms: row.try_get("first_token_ms")?,
        duration_ms: row.try_get("duration_ms")?,
        status: row.try_get("status")?,
        outcome: column("outcome", row.try_get::<&str, _>("outcome")?.parse())?,
        error_code: text("error_code")?,
        finish_reason: text("finish_reason")?,
        client_retry: row.try_get("client_retry")?,
        attempts: row.try_get("attempts")?,
        energy_wh: row.try_get("energy_wh")?,
        carbon_g: row.try_get("carbon_g")?,
        impact_method: text("impact_method")?,
    })
}

/// Which records are wanted. Times are Unix milliseconds, `start` included, `end` not.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    pub reach: Reach,
    pub organization: Option<i64>,
    pub project: Option<i64>,
    /// Public id of a key.
    pub key: Option<String>,
    /// As stored: `chat.completions`.
    pub endpoint: Option<String>,
    pub start: i64,
    pub end: i64,
}

impl UsageFilter {
    /// The conditions on the table named `t`.
    pub(super) fn narrow(&self, sql: &mut Sql) {
        sql.push(" WHERE t.started_at >= ").bind(self.start).push(" AND t.started_at < ").bind(self.end);
        self.reach.narrow(sql, "t.organization_id", Some("t.project_id"));
        if let Some(id) = self.organization {
            sql.push(" AND t.organization_id = ").bind(id);
        }
        if let Some(id) = self.project {
            sql.push(" AND t.project_id = ").bind(id);
        }
        if let Some(key) = &self.key {
            sql.push(" AND t.key_id = ").bind(key.as_str());
        }
        if let Some(endpoint) = &self.endpoint {
            sql.push(" AND t.endpoint = ").bind(endpoint.as_str());
        }
    }
}

impl Database {
    /// Records, newest first; `before` is the id of the last one already seen.
    pub async fn recent_records(
        &self,
        filter: &UsageFilter,
        limit: i64,
        before: Option<&str>,
    ) -> Result<Vec<Record>, StoreError> {
        let mut sql = Sql::new("SELECT t.* FROM usage_records t");
        filter.narrow(&mut sql);
        if let Some(id) = before {
            let mut seen = Sql::new("SELECT t.started_at FROM usage_records t");
            filter.narrow(&mut seen);
            seen.push(" AND t.id = ").bind(id);
            let Some(row) = seen.fetch(self.pool()).await?.pop() else { return Ok(Vec::new()) };
            let at: i64 = row.try_get("started_at")?;
            sql.push(" AND (t.started_at < ").bind(at).push(" OR (t.started_at = ").bind(at);
            sql.push(" AND t.id < ").bind(id).push("))");
        }
        sql.push(" ORDER BY t.started_at DESC, t.id DESC LIMIT ").bind(limit);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }
}
