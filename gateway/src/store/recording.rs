//! Usage records on their way in: the one hot insert.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Row, SqlSafeStr, SqlStr};

use super::chain::{self, Head, Log, hash_with};
use super::link::{Native, Value, Writes};
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

/// The only text that differs between the databases, by its placeholders: SQLite looks `$1` up in a list of names, and
/// thousands of them made of this insert half of the CPU of a busy gateway.
fn insert_text(rows: usize, kind: Kind) -> String {
    let mut text = format!("INSERT INTO usage_records ({}, seq) VALUES ", COLUMNS.join(", "));
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
    text.push_str(") ON CONFLICT (id) DO NOTHING");
    text
}

/// Texts of one batch. Most of them recur: a batch has few models, keys and hostings.
#[derive(Default)]
struct Texts<'r>(HashMap<&'r str, Arc<str>, quick_cache::DefaultHashBuilder>);

impl<'r> Texts<'r> {
    fn shared(&mut self, text: &'r str) -> Value {
        Value::Text(Some(self.0.entry(text).or_insert_with(|| text.into()).clone()))
    }

    fn shared_if(&mut self, text: &'r Option<String>) -> Value {
        text.as_deref().map_or(Value::Text(None), |text| self.shared(text))
    }
}

/// In the order of [`COLUMNS`].
fn row<'r>(record: &'r Record, texts: &mut Texts<'r>) -> [Value; COLUMNS.len()] {
    [
        // The only one that never recurs.
        Value::from(record.id.as_str()),
        Value::from(record.started_at),
        Value::from(record.organization_id),
        Value::Int(record.project_id),
        Value::Int(record.member_id),
        texts.shared(&record.key_id),
        texts.shared_if(&record.end_user),
        texts.shared(record.endpoint.as_str()),
        Value::from(i64::from(record.streamed)),
        texts.shared(&record.model_asked),
        texts.shared_if(&record.model_served),
        texts.shared_if(&record.deployment),
        texts.shared_if(&record.hosting),
        texts.shared(&record.data_class),
        texts.shared_if(&record.prompt_id),
        texts.shared_if(&record.prompt_version),
        texts.shared_if(&record.prompt_hash),
        texts.shared_if(&record.parameters),
        Value::from(record.tokens_in),
        Value::from(record.tokens_out),
        Value::Int(record.tokens_cached),
        Value::Int(record.tokens_reasoning),
        Value::from(i64::from(record.tokens_estimated)),
        Value::Int(record.first_token_ms),
        Value::from(record.duration_ms),
        Value::from(record.status),
        texts.shared(record.outcome.as_str()),
        texts.shared_if(&record.error_code),
        texts.shared_if(&record.finish_reason),
        Value::from(record.client_retry),
        Value::from(record.attempts),
        Value::Real(record.energy_wh),
        Value::Real(record.carbon_g),
        texts.shared_if(&record.impact_method),
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
            records.iter().filter(|record| !stored.contains(&record.id) && seen.insert(&*record.id)).collect();
        if fresh.is_empty() || self.insert_new(&fresh).await? {
            return Ok(());
        }
        Err(StoreError::Unavailable("another process stores the same records".to_owned()))
    }

    /// Stores records that are not there yet. False, and nothing is stored, when one is.
    async fn insert_new(&self, records: &[&Record]) -> Result<bool, StoreError> {
        let mut json = Vec::with_capacity(1 << 10);
        let hashes = records.iter().map(|record| hash_with(&mut json, *record)).collect::<Result<Vec<_>, _>>()?;
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
        let (mut rest, mut seq, mut stored) = (records, first, 0);
        let mut texts = Texts::default();
        for (text, size) in self.inserts.0.iter().zip(SIZES) {
            while let Some((chunk, after)) = rest.split_at_checked(size) {
                let mut values = Vec::with_capacity(size * (COLUMNS.len() + 1));
                for record in chunk {
                    values.extend(row(record, &mut texts));
                    values.push(Value::from(seq));
                    seq += 1;
                }
                stored += link.run(statement(text), values).await?;
                rest = after;
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
