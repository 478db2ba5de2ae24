//! Usage records on their way in: the one hot insert.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row, SqlSafeStr, SqlStr};

use super::chain::{self, Head, Log, RecordHash, record_hash};
use super::link::{Binder, Native, Value};
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
fn bind(record: &Record, seq: i64, to: &mut Binder<'_, '_>) -> Result<(), StoreError> {
    to.put(Value::from(record.id.as_str()))?;
    to.put(Value::from(record.started_at))?;
    to.put(Value::from(record.organization_id))?;
    to.put(Value::Int(record.project_id))?;
    to.put(Value::Int(record.member_id))?;
    to.put(Value::from(record.key_id.as_str()))?;
    to.put(Value::Text(record.end_user.as_deref()))?;
    to.put(Value::from(record.endpoint.as_str()))?;
    to.put(Value::from(i64::from(record.streamed)))?;
    to.put(Value::from(record.model_asked.as_str()))?;
    to.put(Value::Text(record.model_served.as_deref()))?;
    to.put(Value::Text(record.deployment.as_deref()))?;
    to.put(Value::Text(record.hosting.as_deref()))?;
    to.put(Value::from(record.data_class.as_str()))?;
    to.put(Value::Text(record.prompt_id.as_deref()))?;
    to.put(Value::Text(record.prompt_version.as_deref()))?;
    to.put(Value::Text(record.prompt_hash.as_deref()))?;
    to.put(Value::Text(record.parameters.as_deref()))?;
    to.put(Value::from(record.tokens_in))?;
    to.put(Value::from(record.tokens_out))?;
    to.put(Value::Int(record.tokens_cached))?;
    to.put(Value::Int(record.tokens_reasoning))?;
    to.put(Value::from(i64::from(record.tokens_estimated)))?;
    to.put(Value::Int(record.first_token_ms))?;
    to.put(Value::from(record.duration_ms))?;
    to.put(Value::from(record.status))?;
    to.put(Value::from(record.outcome.as_str()))?;
    to.put(Value::Text(record.error_code.as_deref()))?;
    to.put(Value::Text(record.finish_reason.as_deref()))?;
    to.put(Value::from(record.client_retry))?;
    to.put(Value::from(record.attempts))?;
    to.put(Value::Real(record.energy_wh))?;
    to.put(Value::Real(record.carbon_g))?;
    to.put(Value::Text(record.impact_method.as_deref()))?;
    to.put(Value::from(seq))
}

impl Database {
    /// Stores records, all or none, and chains them. One already there is left as it is, so trying again is harmless. Records
    /// must be [`tidied`](Record::tidied); `hashes` are their [hashes](record_hash), in order.
    pub async fn insert_records(&self, records: &[Record], hashes: &[RecordHash]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let all: Vec<&Record> = records.iter().collect();
        if self.insert_new(&all, hashes).await? {
            return Ok(());
        }
        // Some were stored by a run that ended before it could say so: chain the others only.
        let stored = self.stored_ids(records).await?;
        let mut seen = HashSet::new();
        let fresh: Vec<&Record> =
            records.iter().filter(|record| !stored.contains(record.id.as_str()) && seen.insert(&*record.id)).collect();
        let hashes = fresh.iter().copied().map(record_hash).collect::<Result<Vec<_>, _>>()?;
        if fresh.is_empty() || self.insert_new(&fresh, &hashes).await? {
            return Ok(());
        }
        Err(StoreError::Unavailable("another process stores the same records".to_owned()))
    }

    /// Stores records that are not there yet. False, and nothing is stored, when one is.
    async fn insert_new(&self, records: &[&Record], hashes: &[RecordHash]) -> Result<bool, StoreError> {
        let newest = records.iter().map(|record| record.started_at).max().unwrap_or(0);
        self.link
            .with(async |link: &mut Native| {
                link.begin().await?;
                let mut head = Head::take(link, Log::Usage).await?;
                if self.insert_rows(link, records, head.next_seq).await? != records.len() as u64 {
                    link.undo().await?;
                    return Ok(false);
                }
                head.append(link, chain::Kind::Records, hashes, newest).await?;
                link.commit().await?;
                Ok(true)
            })
            .await
    }

    /// How many were not there yet.
    async fn insert_rows(&self, link: &mut Native, records: &[&Record], first: i64) -> Result<u64, StoreError> {
        let mut rows = (first..).zip(records);
        let (mut left, mut stored) = (records.len(), 0);
        for (text, size) in self.inserts.0.iter().zip(SIZES) {
            while left >= size {
                let mut some = rows.by_ref().take(size);
                let bound = |to: &mut Binder<'_, '_>| some.try_for_each(|(seq, record)| bind(record, seq, to));
                stored += link.run_with(statement(text), bound).await?;
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
