//! What is kept no longer goes: contents, comments, old records, keys of months. In batches, so that memory stays flat and
//! writers get their turn.

use serde::Serialize;
use sqlx::Row;

use super::chain::{Block, Head, Kind, Log, purge_hash};
use super::people::Month;
use super::sql::Sql;
use super::{Database, StoreError};

/// Rows taken away at once.
const BATCH: i64 = 500;
/// Records of a log taken away at once: blocks go whole.
const BLOCKS: i64 = 20;
const DAY: i64 = 86_400_000;
/// A month's key outlives it by this, for clocks that lag and records on their way.
const GRACE: i64 = 2 * DAY;

/// How long things are kept, and from when on. Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    pub content: i64,
    pub usage: i64,
    pub now: i64,
}

impl Keep {
    fn content_before(&self) -> i64 {
        self.now.saturating_sub(self.content)
    }

    /// Whole days, so that the chain is cut once a day.
    fn usage_before(&self) -> i64 {
        self.now.saturating_sub(self.usage).div_euclid(DAY) * DAY
    }
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    pub contents: i64,
    /// Comments of feedback.
    pub comments: i64,
    pub evaluation_records: i64,
    pub usage_records: i64,
    /// Months whose key of pseudonyms goes.
    pub months: Vec<String>,
}

impl Purged {
    pub fn is_empty(&self) -> bool {
        *self == Purged::default()
    }
}

/// Held contents past their time, a dataset's checked items apart.
const OLD: &str = " FROM evaluation_records t WHERE t.purged_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM evaluation_kept k WHERE k.record_id = t.id) AND t.at < ";
/// Held contents of one project.
const OF_PROJECT: &str = " FROM evaluation_records t WHERE t.purged_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM evaluation_kept k WHERE k.record_id = t.id) AND t.project_id = ";
const OLD_COMMENTS: &str = " FROM feedback t WHERE t.comment IS NOT NULL AND t.at < ";
const COMMENTS_OF_PROJECT: &str = " FROM feedback t WHERE t.comment IS NOT NULL AND t.project_id = ";

impl Database {
    /// Takes away what is past its time, or with `dry_run` only counts it.
    pub async fn purge(&self, keep: Keep, dry_run: bool) -> Result<Purged, StoreError> {
        let withdrawn = self.withdrawn_projects().await?;
        let mut purged = Purged::default();
        purged.contents += self.contents(OLD, keep.content_before(), "age", keep.now, dry_run).await?;
        purged.comments += self.comments(OLD_COMMENTS, keep.content_before(), dry_run).await?;
        purged.contents += self.purge_rows(keep.content_before(), dry_run).await?;
        purged.comments += self.purge_remarks(keep.content_before(), dry_run).await?;
        for project in withdrawn {
            purged.contents += self.contents(OF_PROJECT, project, "consent", keep.now, dry_run).await?;
            purged.comments += self.comments(COMMENTS_OF_PROJECT, project, dry_run).await?;
        }
        if !dry_run {
            self.freeze_before(keep.usage_before()).await?;
        }
        purged.evaluation_records = self.records(Log::Evaluation, keep.usage_before(), dry_run).await?;
        purged.usage_records = self.records(Log::Usage, keep.usage_before(), dry_run).await?;
        purged.usage_records += self.unchained_before(keep.usage_before(), dry_run).await?;
        purged.months = self.months(keep, dry_run).await?;
        if !dry_run && !purged.is_empty() {
            self.forget().await?;
        }
        Ok(purged)
    }

    /// Projects that hold something and whose consent was taken back.
    async fn withdrawn_projects(&self) -> Result<Vec<i64>, StoreError> {
        let sql = Sql::new(
            "SELECT p.id FROM projects p WHERE NOT EXISTS (SELECT 1 FROM consents c WHERE c.project_id = p.id) AND \
             (EXISTS (SELECT 1 FROM evaluation_records r WHERE r.project_id = p.id AND r.purged_at IS NULL) \
             OR EXISTS (SELECT 1 FROM feedback f WHERE f.project_id = p.id AND f.comment IS NOT NULL))",
        );
        Ok(sql.fetch(self.pool()).await?.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?)
    }

    async fn count(&self, from: &'static str, value: i64) -> Result<i64, StoreError> {
        let mut sql = Sql::new("SELECT COUNT(*) AS n");
        sql.push(from).bind(value);
        Ok(sql.fetch(self.pool()).await?.first().map_or(Ok(0), |row| row.try_get("n"))?)
    }

    async fn contents(
        &self,
        from: &'static str,
        value: i64,
        why: &'static str,
        now: i64,
        dry_run: bool,
    ) -> Result<i64, StoreError> {
        if dry_run {
            return self.count(from, value).await;
        }
        let mut gone = 0;
        loop {
            let mut sql = Sql::new("SELECT t.id");
            sql.push(from).bind(value).push(" LIMIT ").bind(BATCH);
            let rows = sql.fetch(self.pool()).await?;
            let ids = rows.iter().map(|row| row.try_get("id")).collect::<Result<Vec<String>, _>>()?;
            if ids.is_empty() {
                return Ok(gone);
            }
            self.purge_contents(&ids, why, now).await?;
            gone += count_of(&ids);
            tokio::task::yield_now().await;
        }
    }

    /// Takes away the contents of these records, which stay.
    pub(super) async fn purge_contents(&self, ids: &[String], why: &'static str, now: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut delete = Sql::new("DELETE FROM evaluation_contents WHERE id IN ");
        delete.bind_list(ids.iter().map(String::as_str));
        delete.fetch(&mut *tx).await?;
        // What models wrote about it goes with it.
        let mut answers = Sql::new("DELETE FROM eval_answers WHERE record_id IN ");
        answers.bind_list(ids.iter().map(String::as_str));
        answers.fetch(&mut *tx).await?;
        super::annotations::forget_remarks(&mut tx, ids).await?;
        let mut note = Sql::new("UPDATE evaluation_records SET purged_at = ");
        note.bind(now).push(", purged_why = ").bind(why).push(" WHERE purged_at IS NULL AND id IN ");
        note.bind_list(ids.iter().map(String::as_str));
        note.fetch(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    async fn comments(&self, from: &'static str, value: i64, dry_run: bool) -> Result<i64, StoreError> {
        if dry_run {
            return self.count(from, value).await;
        }
        let mut gone = 0;
        loop {
            let mut sql =
                Sql::new("UPDATE feedback SET comment = NULL, masked = NULL WHERE request_id IN (SELECT t.request_id");
            sql.push(from).bind(value).push(" LIMIT ").bind(BATCH).push(") RETURNING request_id");
            let rows = i64::try_from(sql.fetch(self.writer()).await?.len()).unwrap_or(BATCH);
            gone += rows;
            if rows == 0 {
                return Ok(gone);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Cuts the beginning of a log: whole blocks whose records are all old, up to the first that still holds a content.
    async fn records(&self, log: Log, before: i64, dry_run: bool) -> Result<i64, StoreError> {
        let mut gone = 0;
        loop {
            let mut tx = self.begin().await?;
            let mut head = Head::take(&mut *tx, log).await?;
            let start: i64 = sqlx::query_scalar("SELECT start_number FROM log_chains WHERE log = $1")
                .bind(log.as_str())
                .fetch_one(&mut *tx)
                .await?;
            let mut stop = Sql::new("SELECT COALESCE(MIN(number), 0) AS n FROM log_blocks WHERE log = ");
            stop.bind(log.as_str()).push(" AND number > ").bind(start).push(" AND (newest >= ").bind(before);
            if log == Log::Evaluation {
                stop.push(
                    " OR first_seq + records > (SELECT MIN(seq) FROM evaluation_records WHERE purged_at IS NULL)",
                );
            }
            stop.push(")");
            let stop: i64 = stop.fetch(&mut *tx).await?.first().map_or(Ok(0), |row| row.try_get("n"))?;
            let stop = if stop == 0 { i64::MAX } else { stop };
            if dry_run {
                let mut sum =
                    Sql::new("SELECT CAST(COALESCE(SUM(records), 0) AS BIGINT) AS n FROM log_blocks WHERE log = ");
                sum.bind(log.as_str()).push(" AND number > ").bind(start).push(" AND number < ").bind(stop);
                return Ok(sum.fetch(&mut *tx).await?.first().map_or(Ok(0), |row| row.try_get("n"))?);
            }
            let mut sql = Sql::new("SELECT t.* FROM log_blocks t WHERE t.log = ");
            sql.bind(log.as_str()).push(" AND t.number > ").bind(start).push(" AND t.number < ").bind(stop);
            sql.push(" ORDER BY t.number LIMIT ").bind(BLOCKS);
            let blocks = sql.fetch(&mut *tx).await?.iter().map(Block::read).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = blocks.last() else { return Ok(gone) };
            let end = last.first_seq + last.records;
            let mut delete = Sql::new(match log {
                Log::Usage => "DELETE FROM usage_records WHERE seq < ",
                Log::Evaluation => "DELETE FROM evaluation_records WHERE seq < ",
            });
            delete.bind(end);
            delete.fetch(&mut *tx).await?;
            sqlx::query("DELETE FROM log_amendments WHERE log = $1 AND (block <= $2 OR seq < $3)")
                .bind(log.as_str())
                .bind(last.number)
                .bind(end)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM log_blocks WHERE log = $1 AND number <= $2")
                .bind(log.as_str())
                .bind(last.number)
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE log_chains SET start_number = $1, start_hash = $2 WHERE log = $3")
                .bind(last.number)
                .bind(last.hash.as_str())
                .bind(log.as_str())
                .execute(&mut *tx)
                .await?;
            // Never old at this run, so that it ends.
            let newest = super::now().max(before);
            head.append(&mut *tx, Kind::Purge, &[purge_hash(last.number, &last.hash)], newest).await?;
            tx.commit().await?;
            gone += blocks.iter().map(|block| block.records).sum::<i64>();
            tokio::task::yield_now().await;
        }
    }

    /// Records stored before there was a chain.
    async fn unchained_before(&self, before: i64, dry_run: bool) -> Result<i64, StoreError> {
        const FROM: &str = " FROM usage_records t WHERE t.seq IS NULL AND t.started_at < ";
        if dry_run {
            return self.count(FROM, before).await;
        }
        let mut gone = 0;
        loop {
            let mut sql = Sql::new("DELETE FROM usage_records WHERE id IN (SELECT t.id");
            sql.push(FROM).bind(before).push(" LIMIT ").bind(BATCH).push(") RETURNING id");
            let rows = i64::try_from(sql.fetch(self.writer()).await?.len()).unwrap_or(BATCH);
            gone += rows;
            if rows == 0 {
                return Ok(gone);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Notes the counts of months before their records begin to go.
    async fn freeze_before(&self, before: i64) -> Result<(), StoreError> {
        let oldest: Option<i64> =
            sqlx::query_scalar("SELECT MIN(started_at) FROM usage_records").fetch_one(self.pool()).await?;
        let Some(oldest) = oldest.filter(|oldest| *oldest < before) else { return Ok(()) };
        for month in Month::touched(oldest, before) {
            self.freeze(&month).await?;
        }
        Ok(())
    }

    /// Notes a month's counts, once: they stay when its pseudonyms go.
    async fn freeze(&self, month: &Month) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO monthly_users (organization_id, month, requests, identified, users) \
             SELECT t.organization_id, $1, COUNT(*), COUNT(t.end_user), COUNT(DISTINCT t.end_user) \
             FROM usage_records t WHERE t.outcome <> 'refused' AND t.started_at >= $2 AND t.started_at < $3 \
             GROUP BY t.organization_id ON CONFLICT (organization_id, month) DO NOTHING",
        )
        .bind(month.name.as_str())
        .bind(month.start)
        .bind(month.end)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Keys of past months without content left, a dataset's checked items apart.
    async fn months(&self, keep: Keep, dry_run: bool) -> Result<Vec<String>, StoreError> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT month FROM pseudonym_keys ORDER BY month").fetch_all(self.pool()).await?;
        let mut gone = Vec::new();
        for month in names.iter().filter_map(|name| Month::parse(name)) {
            if month.end + GRACE > keep.now {
                continue;
            }
            // What goes at this run no longer counts, also when it is only counted.
            let mut sql = Sql::new("SELECT COUNT(*) AS n");
            let from = month.start.max(if dry_run { keep.content_before() } else { 0 });
            sql.push(OLD).bind(month.end).push(" AND t.at >= ").bind(from);
            if sql.fetch(self.pool()).await?.first().map_or(Ok(0), |row| row.try_get::<i64, _>("n"))? > 0 {
                continue;
            }
            if !dry_run {
                self.freeze(&month).await?;
                sqlx::query("DELETE FROM pseudonym_keys WHERE month = $1")
                    .bind(month.name.as_str())
                    .execute(self.writer())
                    .await?;
            }
            gone.push(month.name);
        }
        Ok(gone)
    }
}

fn count_of(ids: &[String]) -> i64 {
    i64::try_from(ids.len()).unwrap_or(i64::MAX)
}
