//! Usage records on their way in: the one hot insert.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row, SqlSafeStr, SqlStr};

use super::chain::{self, Head, Log, record_hash};
use super::link::{Native, Value};
use super::sql::Sql;
use super::{Database, Kind, StoreError};
use crate::recorder::record::Record;

/// Columns in the order they are bound.
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

/// Rows of one statement. Few sizes, so that each is prepared once a connection.
const SIZES: [usize; 3] = [100, 10, 1];

/// The insert statements, written once.
pub struct Inserts([Arc<str>; 3]);

impl Inserts {
    pub fn new(kind: Kind) -> Inserts {
        Inserts(SIZES.map(|rows| insert_text(rows, kind).into()))
    }
}

/// The only text that differs between the databases. By its places: SQLite looks `$1` up in a list of names, and
/// thousands of them made of this insert half of the CPU of a busy gateway. By what leaves out records already there:
/// unless a statement of SQLite ignores whatever stands in its way, it keeps a journal to undo its first rows.
fn insert_text(rows: usize, kind: Kind) -> String {
    let (verb, end) = match kind {
        Kind::Sqlite => ("INSERT OR IGNORE", ""),
        Kind::Postgres => ("INSERT", " ON CONFLICT (id) DO NOTHING"),
    };
    let mut text = format!("{verb} INTO usage_records ({}, seq) VALUES ", COLUMNS.join(", "));
    let mut place = 0;
    for row in 0..rows {
        for column in 0..=COLUMNS.len() {
            place += 1;
            text.push_str(match (row, column) {
                (0, 0) => "(",
                (_, 0) => "), (",
                _ => ", ",
            });
            match kind {
                Kind::Sqlite => text.push('?'),
                Kind::Postgres => text.push_str(&format!("${place}")),
            }
        }
    }
    text.push(')');
    text.push_str(end);
    text
}

/// In the order of [`COLUMNS`], then its place in the log.
fn row(record: &Record, seq: i64) -> [Value<'_>; COLUMNS.len() + 1] {
    [
        Value::from(record.id.as_str()),
        Value::from(record.started_at),
        Value::from(record.organization_id),
        Value::Int(record.project_id),
        Value::Int(record.member_id),
        Value::from(record.key_id.as_str()),
        Value::Text(record.end_user.as_deref()),
        Value::from(record.endpoint.as_str()),
        Value::from(i64::from(record.streamed)),
        Value::from(record.model_asked.as_str()),
        Value::Text(record.model_served.as_deref()),
        Value::Text(record.deployment.as_deref()),
        Value::Text(record.hosting.as_deref()),
        Value::from(record.data_class.as_str()),
        Value::Text(record.prompt_id.as_deref()),
        Value::Text(record.prompt_version.as_deref()),
        Value::Text(record.prompt_hash.as_deref()),
        Value::Text(record.parameters.as_deref()),
        Value::from(record.tokens_in),
        Value::from(record.tokens_out),
        Value::Int(record.tokens_cached),
        Value::Int(record.tokens_reasoning),
        Value::from(i64::from(record.tokens_estimated)),
        Value::Int(record.first_token_ms),
        Value::from(record.duration_ms),
        Value::from(record.status),
        Value::from(record.outcome.as_str()),
        Value::Text(record.error_code.as_deref()),
        Value::Text(record.finish_reason.as_deref()),
        Value::from(record.client_retry),
        Value::from(record.attempts),
        Value::Real(record.energy_wh),
        Value::Real(record.carbon_g),
        Value::Text(record.impact_method.as_deref()),
        Value::from(seq),
    ]
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
        let mut seen = HashSet::new();
        let fresh: Vec<&Record> =
            records.iter().filter(|record| !stored.contains(record.id.as_str()) && seen.insert(&*record.id)).collect();
        if fresh.is_empty() || self.insert_new(&fresh).await? {
            return Ok(());
        }
        Err(StoreError::Unavailable("another process stores the same records".to_owned()))
    }

    /// Stores records that are not there yet. False, and nothing is stored, when one is.
    async fn insert_new(&self, records: &[&Record]) -> Result<bool, StoreError> {
        let hashes = records.iter().map(|record| record_hash(*record)).collect::<Result<Vec<_>, _>>()?;
        let newest = records.iter().map(|record| record.started_at).max().unwrap_or(0);
        self.link
            .with(async |link: &mut Native| {
                link.begin().await?;
                let mut head = Head::take(link, Log::Usage).await?;
                if self.insert_rows(link, records, head.next_seq).await? != records.len() as u64 {
                    link.undo().await?;
                    return Ok(false);
                }
                head.append(link, chain::Kind::Records, &hashes, newest).await?;
                link.commit().await?;
                Ok(true)
            })
            .await
    }

    /// How many were not there yet.
    async fn insert_rows(&self, link: &mut Native, records: &[&Record], first: i64) -> Result<u64, StoreError> {
        let mut rows = (first..).zip(records).map(|(seq, record)| row(record, seq));
        let (mut left, mut stored) = (records.len(), 0);
        for (text, size) in self.inserts.0.iter().zip(SIZES) {
            while left >= size {
                stored += link.run_with(statement(text), rows.by_ref().take(size).flatten()).await?;
                left -= size;
            }
        }
        Ok(stored)
    }

    async fn stored_ids(&self, records: &[Record]) -> Result<HashSet<String>, StoreError> {
        let mut stored = HashSet::new();
        for chunk in records.chunks(500) {
            let mut sql = Sql::new("SELECT t.id FROM usage_records t WHERE t.id IN ");
            sql.bind_list(chunk.iter().map(|record| record.id.as_str()));
            for row in sql.fetch(self.pool()).await? {
                stored.insert(row.try_get("id")?);
            }
        }
        Ok(stored)
    }
}

fn statement(text: &Arc<str>) -> SqlStr {
    AssertSqlSafe(Arc::clone(text)).into_sql_str()
}
