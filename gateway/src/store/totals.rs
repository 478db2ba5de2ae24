//! Usage added up: by day, organization, project, key, model, endpoint and error code.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::sql::Sql;
use super::usage::UsageFilter;
use super::{Database, StoreError};

/// What totals are split by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Day in UTC.
    Day,
    Organization,
    Project,
    /// Public id of the key.
    Key,
    /// Model served, or asked when none answered.
    Model,
    Endpoint,
    /// Why requests were refused or failed; empty for those that went well.
    #[serde(rename = "error_code")]
    ErrorCode,
}

impl Dimension {
    pub const ALL: [Dimension; 7] = [
        Dimension::Day,
        Dimension::Organization,
        Dimension::Project,
        Dimension::Key,
        Dimension::Model,
        Dimension::Endpoint,
        Dimension::ErrorCode,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Dimension::Day => "day",
            Dimension::Organization => "organization",
            Dimension::Project => "project",
            Dimension::Key => "key",
            Dimension::Model => "model",
            Dimension::Endpoint => "endpoint",
            Dimension::ErrorCode => "error_code",
        }
    }

    /// The expression of the column when asked for, and when not.
    const fn columns(self) -> (&'static str, &'static str) {
        match self {
            Dimension::Day => ("t.started_at / 86400000 AS day", "CAST(NULL AS BIGINT) AS day"),
            Dimension::Organization => {
                ("t.organization_id AS organization_id", "CAST(NULL AS BIGINT) AS organization_id")
            }
            Dimension::Project => ("t.project_id AS project_id", "CAST(NULL AS BIGINT) AS project_id"),
            Dimension::Key => ("t.key_id AS key_id", "CAST(NULL AS TEXT) AS key_id"),
            Dimension::Model => ("COALESCE(t.model_served, t.model_asked) AS model", "CAST(NULL AS TEXT) AS model"),
            Dimension::Endpoint => ("t.endpoint AS endpoint", "CAST(NULL AS TEXT) AS endpoint"),
            Dimension::ErrorCode => ("COALESCE(t.error_code, '') AS error_code", "CAST(NULL AS TEXT) AS error_code"),
        }
    }
}

impl FromStr for Dimension {
    type Err = ();
    fn from_str(text: &str) -> Result<Dimension, ()> {
        Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == text).ok_or(())
    }
}

/// One total. What it is not split by is `None`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Total {
    /// Days since 1970-01-01, UTC.
    pub day: Option<i64>,
    pub organization_id: Option<i64>,
    pub organization: Option<String>,
    pub project_id: Option<i64>,
    pub project: Option<String>,
    pub key_id: Option<String>,
    pub model: Option<String>,
    pub endpoint: Option<String>,
    pub error_code: Option<String>,
    pub requests: i64,
    /// Failed, cut or interrupted.
    pub errors: i64,
    /// Refused by a rule.
    pub refused: i64,
    /// Requests whose tokens are an estimate of ours.
    pub estimated: i64,
    pub tokens_in: i64,
    pub tokens_out: i64,
    pub duration_ms: i64,
    pub energy_wh: f64,
    pub carbon_g: f64,
}

fn read(row: &AnyRow) -> Result<Total, sqlx::Error> {
    Ok(Total {
        day: row.try_get("day")?,
        organization_id: row.try_get("organization_id")?,
        organization: row.try_get("organization")?,
        project_id: row.try_get("project_id")?,
        project: row.try_get("project")?,
        key_id: row.try_get("key_id")?,
        model: row.try_get("model")?,
        endpoint: row.try_get("endpoint")?,
        error_code: row.try_get("error_code")?,
        requests: row.try_get("requests")?,
        errors: row.try_get("errors")?,
        refused: row.try_get("refused")?,
        estimated: row.try_get("estimated")?,
        tokens_in: row.try_get("tokens_in")?,
        tokens_out: row.try_get("tokens_out")?,
        duration_ms: row.try_get("duration_ms")?,
        energy_wh: row.try_get("energy_wh")?,
        carbon_g: row.try_get("carbon_g")?,
    })
}

impl Database {
    /// Adds usage up, split by `by`, newest day first. One query whatever the number of records.
    pub async fn usage_totals(
        &self,
        filter: &UsageFilter,
        by: &[Dimension],
        limit: i64,
        offset: i64,
    ) -> Result<Vec<Total>, StoreError> {
        let mut sql = Sql::new("SELECT b.*, o.name AS organization, p.name AS project FROM (SELECT ");
        for dimension in Dimension::ALL {
            let (asked, not) = dimension.columns();
            sql.push(if by.contains(&dimension) { asked } else { not }).push(", ");
        }
        // PostgreSQL sums BIGINT into NUMERIC, which the driver does not read.
        sql.push(
            "COUNT(*) AS requests, \
             CAST(SUM(CASE WHEN t.outcome IN ('error', 'cut', 'interrupted') THEN 1 ELSE 0 END) AS BIGINT) AS errors, \
             CAST(SUM(CASE WHEN t.outcome = 'refused' THEN 1 ELSE 0 END) AS BIGINT) AS refused, \
             CAST(SUM(t.tokens_estimated) AS BIGINT) AS estimated, \
             CAST(SUM(t.tokens_in) AS BIGINT) AS tokens_in, CAST(SUM(t.tokens_out) AS BIGINT) AS tokens_out, \
             CAST(SUM(t.duration_ms) AS BIGINT) AS duration_ms, \
             COALESCE(SUM(t.energy_wh), 0.0) AS energy_wh, COALESCE(SUM(t.carbon_g), 0.0) AS carbon_g \
             FROM usage_records t",
        );
        filter.narrow(&mut sql);
        sql.push(
            " GROUP BY 1, 2, 3, 4, 5, 6, 7) b LEFT JOIN organizations o ON o.id = b.organization_id \
             LEFT JOIN projects p ON p.id = b.project_id \
             ORDER BY b.day DESC, b.requests DESC, b.organization_id, b.project_id, b.key_id, b.model, b.endpoint, b.error_code LIMIT ",
        );
        sql.bind(limit).push(" OFFSET ").bind(offset);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }
}
