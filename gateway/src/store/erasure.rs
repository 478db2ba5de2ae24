//! The erasure of one end user within a month: their contents go, their pseudonym is replaced by a name that nothing leads
//! to, so that the month's count stays.

use serde::Serialize;
use sqlx::Row;

use super::chain::{Head, Log, RecordHash, record_hash};
use super::people::Month;
use super::sql::Sql;
use super::{Change, Database, StoreError, evaluation, usage};

/// Records changed at once.
const BATCH: i64 = 500;

/// What an erasure reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Erased {
    pub organization_id: i64,
    #[schema(example = "2026-11")]
    pub month: String,
    /// Contents taken away.
    pub contents: i64,
    /// Usage records whose pseudonym was replaced.
    pub usage_records: i64,
    /// Evaluation records whose pseudonym was replaced.
    pub evaluation_records: i64,
}

impl Database {
    /// Erases a pseudonym of an organization within a month.
    pub async fn erase(&self, organization: i64, month: &Month, pseudonym: &str) -> Result<Erased, StoreError> {
        let mut noise = [0_u8; 12];
        getrandom::fill(&mut noise).map_err(|error| StoreError::Other(error.to_string()))?;
        let nobody = format!("erased-{}", super::chain::hex(&noise));
        let mut erased = Erased { organization_id: organization, month: month.name.clone(), ..Erased::default() };
        let of = |table: &'static str, time: &'static str| {
            let mut sql = Sql::new("SELECT t.* FROM ");
            sql.push(table).push(" t WHERE t.organization_id = ").bind(organization).push(" AND t.end_user = ");
            sql.bind(pseudonym.to_owned()).push(" AND t.").push(time).push(" >= ").bind(month.start);
            sql.push(" AND t.").push(time).push(" < ").bind(month.end);
            sql
        };
        loop {
            let mut sql = of("evaluation_records", "at");
            sql.push(" AND t.purged_at IS NULL LIMIT ").bind(BATCH);
            let rows = sql.fetch(self.pool()).await?;
            let ids = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<String>, _>>()?;
            if ids.is_empty() {
                break;
            }
            let mut kept = Sql::new("DELETE FROM evaluation_kept WHERE record_id IN ");
            kept.bind_list(ids.iter().map(String::as_str));
            kept.fetch(self.writer()).await?;
            self.purge_contents(&ids, "erasure", super::now()).await?;
            erased.contents += i64::try_from(ids.len()).unwrap_or(BATCH);
        }
        for (log, table, time) in
            [(Log::Evaluation, "evaluation_records", "at"), (Log::Usage, "usage_records", "started_at")]
        {
            loop {
                let mut tx = self.begin().await?;
                let mut head = Head::take(&mut *tx, log).await?;
                let mut sql = of(table, time);
                sql.push(" LIMIT ").bind(BATCH);
                let rows = sql.fetch(&mut *tx).await?;
                if rows.is_empty() {
                    break;
                }
                let (mut ids, mut changes) = (Vec::with_capacity(rows.len()), Vec::new());
                for row in &rows {
                    ids.push(row.try_get::<String, _>("id")?);
                    let (before, after) = hashes(log, row, &nobody)?;
                    if let Some(seq) = row.try_get::<Option<i64>, _>("seq")? {
                        changes.push((seq, before, after));
                    }
                }
                let mut comments = Sql::new("UPDATE feedback SET comment = NULL, masked = NULL WHERE request_id IN ");
                comments.bind_list(ids.iter().map(String::as_str));
                comments.fetch(&mut *tx).await?;
                let mut update = Sql::new("UPDATE ");
                update.push(table).push(" SET end_user = ").bind(nobody.as_str()).push(" WHERE id IN ");
                update.bind_list(ids.iter().map(String::as_str));
                update.fetch(&mut *tx).await?;
                head.amend(&mut tx, &changes).await?;
                tx.commit().await?;
                let count = i64::try_from(ids.len()).unwrap_or(BATCH);
                match log {
                    Log::Usage => erased.usage_records += count,
                    Log::Evaluation => erased.evaluation_records += count,
                }
            }
        }
        self.forget().await?;
        Ok(erased)
    }
}

/// The hash of a record as it is, and with another end user.
fn hashes(log: Log, row: &sqlx::any::AnyRow, nobody: &str) -> Result<(RecordHash, RecordHash), StoreError> {
    Ok(match log {
        Log::Usage => {
            let mut record = usage::read(row)?;
            let before = record_hash(&record)?;
            record.end_user = Some(nobody.into());
            (before, record_hash(&record)?)
        }
        Log::Evaluation => {
            let mut record = evaluation::read(row)?;
            let before = record_hash(&record)?;
            record.end_user = Some(nobody.to_owned());
            (before, record_hash(&record)?)
        }
    })
}

impl Change {
    /// Notes an erasure in the audit trail: who asked for it and what it reached, never whom.
    pub async fn note_erasure(&mut self, erased: &Erased) -> Result<(), StoreError> {
        let object = format!("organization:{} {}", erased.organization_id, erased.month);
        self.audit(Some(erased.organization_id), "content.erase", object, None::<&()>, Some(erased)).await
    }
}
