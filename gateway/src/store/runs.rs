//! Experiments and judgings: what was asked, how far they are, and every raw answer. A process holds a run by a lease; one
//! that nobody holds any more is anybody's.

use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::page::Reach;
use super::projects::column;
use super::sql::Sql;
use super::time::Time;
use super::{Database, StoreError, now};
use crate::evaluation::ask::Answer;

/// What a run does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    Experiment,
    Judging,
}

impl RunKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            RunKind::Experiment => "experiment",
            RunKind::Judging => "judging",
        }
    }
}

/// An experiment or a judging.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Run {
    #[schema(example = 1)]
    pub id: i64,
    pub kind: RunKind,
    pub organization_id: i64,
    /// Who pays for its requests.
    pub project_id: i64,
    pub dataset_id: i64,
    /// Of a judging: the experiment whose answers are judged.
    pub experiment_id: Option<i64>,
    /// What was asked for.
    #[schema(value_type = Object)]
    pub asked: Box<RawValue>,
    /// What identifies it: versions and hashes.
    #[schema(value_type = Object)]
    pub method: Box<RawValue>,
    /// `running`, `done` or `stopped`.
    #[schema(example = "done")]
    pub state: String,
    /// Why it stopped: `fr`, `en`.
    #[schema(value_type = Option<Object>)]
    pub reason: Option<Box<RawValue>>,
    /// Requests in all; those answered; those that failed when they were last tried.
    pub requests: i64,
    pub answered: i64,
    pub failed: i64,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub made: Time,
    pub made_by: Option<i64>,
    #[schema(value_type = Option<i64>)]
    pub ended: Option<Time>,
}

/// A run about to be stored.
pub struct NewRun {
    pub kind: RunKind,
    pub organization_id: i64,
    pub project_id: i64,
    pub dataset_id: i64,
    pub experiment_id: Option<i64>,
    pub asked: String,
    pub method: String,
    pub requests: usize,
    pub made_by: Option<i64>,
}

const RUNS: &str = "SELECT t.*, \
     (SELECT COUNT(*) FROM eval_answers a WHERE a.run_id = t.id AND a.failed = 0) AS answered, \
     (SELECT COUNT(*) FROM eval_answers a WHERE a.run_id = t.id AND a.failed = 1) AS failures FROM eval_runs t WHERE 1 = 1";

fn read(row: &AnyRow) -> Result<Run, sqlx::Error> {
    let raw = |name: &str| column(name, RawValue::from_string(row.try_get(name)?));
    let reason: Option<String> = row.try_get("reason")?;
    Ok(Run {
        id: row.try_get("id")?,
        kind: match row.try_get::<&str, _>("kind")? {
            "judging" => RunKind::Judging,
            _ => RunKind::Experiment,
        },
        organization_id: row.try_get("organization_id")?,
        project_id: row.try_get("project_id")?,
        dataset_id: row.try_get("dataset_id")?,
        experiment_id: row.try_get("experiment_id")?,
        asked: raw("asked")?,
        method: raw("method")?,
        state: row.try_get("state")?,
        reason: reason.map(|text| column("reason", RawValue::from_string(text))).transpose()?,
        requests: row.try_get("requests")?,
        answered: row.try_get("answered")?,
        failed: row.try_get("failures")?,
        made: Time(row.try_get("made_at")?),
        made_by: row.try_get("made_by")?,
        ended: row.try_get::<Option<i64>, _>("ended_at")?.map(Time),
    })
}

impl Database {
    /// Stores a run, to be taken up by whoever is free.
    pub async fn insert_run(&self, new: &NewRun) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        let id: i64 =
            sqlx::query_scalar("UPDATE sequences SET value = value + 1 WHERE name = 'eval_run' RETURNING value")
                .fetch_one(&mut *tx)
                .await?;
        sqlx::query(
            "INSERT INTO eval_runs (id, kind, organization_id, project_id, dataset_id, experiment_id, asked, method, state, \
             requests, made_at, made_by, lease_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'running', $9, $10, $11, 0)",
        )
        .bind(id)
        .bind(new.kind.as_str())
        .bind(new.organization_id)
        .bind(new.project_id)
        .bind(new.dataset_id)
        .bind(new.experiment_id)
        .bind(new.asked.as_str())
        .bind(new.method.as_str())
        .bind(i64::try_from(new.requests).unwrap_or(i64::MAX))
        .bind(now())
        .bind(new.made_by)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Runs of a kind in reach, newest first.
    pub async fn runs(&self, reach: &Reach, kind: RunKind, limit: i64, offset: i64) -> Result<Vec<Run>, StoreError> {
        let mut sql = Sql::new(RUNS);
        sql.push(" AND t.kind = ").bind(kind.as_str());
        reach.narrow(&mut sql, "t.organization_id", None);
        sql.push(" ORDER BY t.id DESC LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    pub async fn run(&self, reach: &Reach, kind: Option<RunKind>, id: i64) -> Result<Option<Run>, StoreError> {
        let mut sql = Sql::new(RUNS);
        sql.push(" AND t.id = ").bind(id);
        if let Some(kind) = kind {
            sql.push(" AND t.kind = ").bind(kind.as_str());
        }
        reach.narrow(&mut sql, "t.organization_id", None);
        Ok(sql.fetch(self.pool()).await?.first().map(read).transpose()?)
    }

    /// Takes up a run that nobody holds, until a moment; none when there is none.
    pub async fn claim_run(&self, owner: &str, until: i64) -> Result<Option<i64>, StoreError> {
        let mut sql = Sql::new("UPDATE eval_runs SET owner = ");
        sql.bind(owner).push(", lease_until = ").bind(until);
        sql.push(" WHERE id = (SELECT MIN(id) FROM eval_runs WHERE state = 'running' AND lease_until < ").bind(now());
        sql.push(") AND lease_until < ").bind(now()).push(" RETURNING id");
        Ok(sql.fetch(self.writer()).await?.first().map(|row| row.try_get("id")).transpose()?)
    }

    /// Keeps a run; false when it is no longer this process's, or was stopped.
    pub async fn hold_run(&self, id: i64, owner: &str, until: i64) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE eval_runs SET lease_until = $1 WHERE id = $2 AND owner = $3 AND state = 'running'")
                .bind(until)
                .bind(id)
                .bind(owner)
                .execute(self.writer())
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a run, done or stopped, with the reason as JSON; or lets go of it for another process to take up.
    pub async fn end_run(&self, id: i64, state: &'static str, reason: Option<&str>) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE eval_runs SET state = $1, reason = $2, ended_at = $3, owner = NULL, lease_until = 0 \
             WHERE id = $4 AND state = 'running'",
        )
        .bind(state)
        .bind(reason)
        .bind((state != "running").then(now))
        .bind(id)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Takes up again a run that ended: what has no answer is asked once more.
    pub async fn resume_run(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE eval_runs SET state = 'running', reason = NULL, ended_at = NULL, owner = NULL, lease_until = 0 \
             WHERE id = $1 AND state <> 'running'",
        )
        .bind(id)
        .execute(self.writer())
        .await?;
        Ok(())
    }

    /// Stores an answer. One about a record whose content is gone by now is not kept.
    pub async fn put_answer(&self, run: i64, record: Option<&str>, answer: &Answer) -> Result<(), StoreError> {
        let text = serde_json::to_string(answer).map_err(|error| StoreError::Other(error.to_string()))?;
        let mut sql = Sql::new("INSERT INTO eval_answers (run_id, key, record_id, failed, answer) SELECT ");
        sql.bind(run).push(", ").bind(answer.key.as_str()).push(", CAST(").bind(record).push(" AS TEXT), CAST(");
        // What PostgreSQL does not store, not even escaped.
        sql.bind(i64::from(answer.text.is_none())).push(" AS BIGINT), ").bind(text.replace("\\u0000", ""));
        sql.push(" WHERE EXISTS (SELECT 1 FROM eval_runs r WHERE r.id = ").bind(run).push(")");
        if let Some(record) = record {
            sql.push(" AND EXISTS (SELECT 1 FROM evaluation_contents c WHERE c.id = ").bind(record).push(")");
        }
        sql.push(" ON CONFLICT (run_id, key) DO UPDATE SET failed = excluded.failed, answer = excluded.answer");
        sql.fetch(self.writer()).await?;
        Ok(())
    }

    /// Answers of a run by their key, after one.
    pub async fn answers(&self, run: i64, after: &str, limit: i64) -> Result<Vec<Answer>, StoreError> {
        let mut sql = Sql::new("SELECT t.answer FROM eval_answers t WHERE t.run_id = ");
        sql.bind(run).push(" AND t.key > ").bind(after).push(" ORDER BY t.key LIMIT ").bind(limit);
        let rows = sql.fetch(self.pool()).await?;
        let answers = rows.iter().map(|row| column("answer", serde_json::from_str(row.try_get::<&str, _>("answer")?)));
        Ok(answers.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Takes a run away, with its answers, and the judgings of it.
    pub async fn delete_run(&self, id: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for text in [
            "DELETE FROM eval_answers WHERE run_id IN (SELECT id FROM eval_runs WHERE experiment_id = $1)",
            "DELETE FROM eval_runs WHERE experiment_id = $1",
            "DELETE FROM eval_answers WHERE run_id = $1",
            "DELETE FROM eval_runs WHERE id = $1",
        ] {
            sqlx::query(text).bind(id).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}
