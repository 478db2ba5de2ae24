//! Usage records: the one hot insert, and reading the last ones.

use std::sync::Arc;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Arguments, AssertSqlSafe, Row};

use super::chain::{self, Head, Log, record_hash};
use super::page::Reach;
use super::projects::column;
use super::sql::Sql;
use super::{Database, Kind, StoreError};
use crate::recorder::record::Record;

/// Columns in the order they are bound. The last three of numbers may be absent; see [`bind`].
const COLUMNS: [&str; 34] = [
    "id",
    "started_at",
    "organization_id",
    "project_id",
    "member_id",
    "key_id",
    "end_user",
    "endpoint",
    "streamed",
    "model_asked",
    "model_served",
    "deployment",
    "hosting",
    "data_class",
    "prompt_id",
    "prompt_version",
    "prompt_hash",
    "parameters",
    "tokens_in",
    "tokens_out",
    "tokens_cached",
    "tokens_reasoning",
    "tokens_estimated",
    "first_token_ms",
    "duration_ms",
    "status",
    "outcome",
    "error_code",
    "finish_reason",
    "client_retry",
    "attempts",
    "energy_wh",
    "carbon_g",
    "impact_method",
];

/// Stands for an absent measure: none is negative.
const ABSENT: f64 = -1.0;

/// Rows of one statement. Few sizes, so that each is prepared once a connection.
const SIZES: [usize; 3] = [100, 10, 1];

/// The insert statements, written once.
pub struct Inserts([Arc<str>; 3]);

impl Inserts {
    pub fn new(kind: Kind) -> Inserts {
        Inserts(SIZES.map(|rows| insert_text(rows, kind).into()))
    }
}

/// The only text that differs between the databases, by its placeholders: SQLite looks `$1` up in a list of names, and
/// thousands of them made of this insert half of the CPU of a busy gateway.
fn insert_text(rows: usize, kind: Kind) -> String {
    let mut text = format!("INSERT INTO usage_records ({}, seq) VALUES ", COLUMNS.join(", "));
    let mut place = 0;
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for (index, name) in COLUMNS.iter().enumerate() {
            place += 1;
            let comma = if index == 0 { "" } else { ", " };
            let holder = match kind {
                Kind::Sqlite => "?".to_owned(),
                Kind::Postgres => format!("${place}"),
            };
            match *name {
                // sqlx binds an absent f64 to PostgreSQL with the type of an f32, and a statement so prepared
                // refuses the next f64: absent measures travel as a number instead.
                "energy_wh" | "carbon_g" => text.push_str(&format!("{comma}NULLIF({holder}, -1.0)")),
                _ => text.push_str(&format!("{comma}{holder}")),
            }
        }
        place += 1;
        match kind {
            Kind::Sqlite => text.push_str(", ?)"),
            Kind::Postgres => text.push_str(&format!(", ${place})")),
        }
    }
    text.push_str(" ON CONFLICT (id) DO NOTHING");
    text
}

fn bind(values: &mut AnyArguments, record: &Record) -> Result<(), sqlx::error::BoxDynError> {
    values.add(record.id.as_str())?;
    values.add(record.started_at)?;
    values.add(record.organization_id)?;
    values.add(record.project_id)?;
    values.add(record.member_id)?;
    values.add(record.key_id.as_str())?;
    values.add(record.end_user.as_deref())?;
    values.add(record.endpoint.as_str())?;
    values.add(i64::from(record.streamed))?;
    values.add(record.model_asked.as_str())?;
    values.add(record.model_served.as_deref())?;
    values.add(record.deployment.as_deref())?;
    values.add(record.hosting.as_deref())?;
    values.add(record.data_class.as_str())?;
    values.add(record.prompt_id.as_deref())?;
    values.add(record.prompt_version.as_deref())?;
    values.add(record.prompt_hash.as_deref())?;
    values.add(record.parameters.as_deref())?;
    values.add(record.tokens_in)?;
    values.add(record.tokens_out)?;
    values.add(record.tokens_cached)?;
    values.add(record.tokens_reasoning)?;
    values.add(i64::from(record.tokens_estimated))?;
    values.add(record.first_token_ms)?;
    values.add(record.duration_ms)?;
    values.add(record.status)?;
    values.add(record.outcome.as_str())?;
    values.add(record.error_code.as_deref())?;
    values.add(record.finish_reason.as_deref())?;
    values.add(record.client_retry)?;
    values.add(record.attempts)?;
    values.add(record.energy_wh.unwrap_or(ABSENT))?;
    values.add(record.carbon_g.unwrap_or(ABSENT))?;
    values.add(record.impact_method.as_deref())?;
    Ok(())
}

pub(super) fn read(row: &AnyRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        id: row.try_get("id")?,
        started_at: row.try_get("started_at")?,
        organization_id: row.try_get("organization_id")?,
        project_id: row.try_get("project_id")?,
        member_id: row.try_get("member_id")?,
        key_id: row.try_get("key_id")?,
        end_user: row.try_get("end_user")?,
        endpoint: column("endpoint", row.try_get::<&str, _>("endpoint")?.parse())?,
        streamed: row.try_get::<i64, _>("streamed")? != 0,
        model_asked: row.try_get("model_asked")?,
        model_served: row.try_get("model_served")?,
        deployment: row.try_get("deployment")?,
        hosting: row.try_get("hosting")?,
        data_class: row.try_get("data_class")?,
        prompt_id: row.try_get("prompt_id")?,
        prompt_version: row.try_get("prompt_version")?,
        prompt_hash: row.try_get("prompt_hash")?,
        parameters: row.try_get("parameters")?,
        tokens_in: row.try_get("tokens_in")?,
        tokens_out: row.try_get("tokens_out")?,
        tokens_cached: row.try_get("tokens_cached")?,
        tokens_reasoning: row.try_get("tokens_reasoning")?,
        tokens_estimated: row.try_get::<i64, _>("tokens_estimated")? != 0,
        first_token_ms: row.try_get("first_token_ms")?,
        duration_ms: row.try_get("duration_ms")?,
        status: row.try_get("status")?,
        outcome: column("outcome", row.try_get::<&str, _>("outcome")?.parse())?,
        error_code: row.try_get("error_code")?,
        finish_reason: row.try_get("finish_reason")?,
        client_retry: row.try_get("client_retry")?,
        attempts: row.try_get("attempts")?,
        energy_wh: row.try_get("energy_wh")?,
        carbon_g: row.try_get("carbon_g")?,
        impact_method: row.try_get("impact_method")?,
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
    /// Stores records, all or none, and chains them. One already there is left as it is, so trying again is harmless. Records
    /// must be [`tidied`](Record::tidied).
    pub async fn insert_records(&self, records: &[Record]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let all: Vec<&Record> = records.iter().collect();
        if self.insert_new(&all).await? {
            return Ok(());
        }
        // Some were stored by a run that ended before it could say so: chain the others only.
        let stored = self.stored_ids(records).await?;
        let mut seen = std::collections::HashSet::new();
        let fresh: Vec<&Record> =
            records.iter().filter(|record| !stored.contains(&record.id) && seen.insert(&*record.id)).collect();
        if fresh.is_empty() || self.insert_new(&fresh).await? {
            return Ok(());
        }
        Err(StoreError::Unavailable("another process stores the same records".to_owned()))
    }

    /// Stores records that are not there yet. False, and nothing is stored, when one is.
    async fn insert_new(&self, records: &[&Record]) -> Result<bool, StoreError> {
        let hashes = records.iter().map(|record| record_hash(*record)).collect::<Result<Vec<_>, _>>()?;
        let newest = records.iter().map(|record| record.started_at).max().unwrap_or(0);
        let mut tx = self.begin().await?;
        let mut head = Head::take(&mut tx, Log::Usage).await?;
        let (mut rest, mut seq, mut stored) = (records, head.next_seq, 0);
        for (text, size) in self.inserts.0.iter().zip(SIZES) {
            while let Some((chunk, after)) = rest.split_at_checked(size) {
                let mut values = AnyArguments::default();
                values.reserve(size * (COLUMNS.len() + 1), 0);
                for record in chunk {
                    let bound = bind(&mut values, record).and_then(|()| values.add(seq));
                    bound.map_err(|error| StoreError::Other(error.to_string()))?;
                    seq += 1;
                }
                stored +=
                    sqlx::query_with(AssertSqlSafe(Arc::clone(text)), values).execute(&mut *tx).await?.rows_affected();
                rest = after;
            }
        }
        if stored != records.len() as u64 {
            return Ok(false);
        }
        head.append(&mut tx, chain::Kind::Records, &hashes, newest).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn stored_ids(&self, records: &[Record]) -> Result<std::collections::HashSet<String>, StoreError> {
        let mut stored = std::collections::HashSet::new();
        for chunk in records.chunks(500) {
            let mut sql = Sql::new("SELECT t.id FROM usage_records t WHERE t.id IN ");
            sql.bind_list(chunk.iter().map(|record| record.id.as_str()));
            for row in sql.fetch(self.pool()).await? {
                stored.insert(row.try_get("id")?);
            }
        }
        Ok(stored)
    }

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
