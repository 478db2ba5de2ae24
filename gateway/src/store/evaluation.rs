//! Evaluation records: redacted content of requests whose project agreed, apart from usage records.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::chain::{self, Head, Log, hex, record_hash};
use super::page::Reach;
use super::projects::column;
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, StoreError};

/// What stays of a request whose content was kept, when the content goes. Its hash in the chain covers every field.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct EvaluationRecord {
    /// Of the request, as in the usage records.
    #[schema(example = "req_0198f2c1d0ab7cc2a1b0c2d3e4f50617")]
    pub id: String,
    /// Unix milliseconds.
    pub at: i64,
    pub organization_id: i64,
    pub project_id: i64,
    /// Pseudonym of the end user in that month.
    pub end_user: Option<String>,
    #[schema(example = "chat.completions")]
    pub endpoint: String,
    pub streamed: bool,
    /// Model that answered.
    pub model: String,
    pub deployment: Option<String>,
    pub data_class: String,
    /// `fr` or `en`, of what the user wrote; null when neither is clear.
    pub language: Option<String>,
    /// What the caller does with the answer: the named prompt, or `metadata.use`.
    #[serde(rename = "use")]
    pub use_case: Option<String>,
    pub prompt_id: Option<String>,
    pub prompt_version: Option<String>,
    pub prompt_hash: Option<String>,
    /// `success`, `cut` or `client_gone`.
    pub outcome: String,
    /// Version of the notice in force.
    pub notice: String,
    /// Rule of live sampling that took it.
    pub rule: Option<String>,
    /// Chance that live sampling takes such a request.
    pub probability: f64,
    /// How many of each kind were masked.
    pub masked: BTreeMap<String, u64>,
    /// SHA-256 of the salt and the content.
    pub content_hash: String,
}

/// A record and its redacted content, about to be stored.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its `content_hash` is that of the two texts below.
    pub record: EvaluationRecord,
    pub salt: String,
    pub content: String,
}

/// The hash by which a content is known in the chain.
pub fn content_hash(salt: &str, content: &str) -> String {
    hex(&Sha256::new().chain_update(salt).chain_update(content).finalize())
}

/// A record as people see it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Seen {
    #[serde(flatten)]
    pub record: EvaluationRecord,
    /// Unix seconds; null while the content is there.
    #[schema(value_type = Option<i64>)]
    pub purged: Option<Time>,
    /// `age`, `consent` or `erasure`.
    pub purged_why: Option<String>,
    /// `{"messages": […], "answers": […], "passages": […]}`, redacted; only when one record is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub content: Option<Box<RawValue>>,
}

/// Which records are wanted. Times are Unix milliseconds, `start` included, `end` not.
#[derive(Clone, Debug)]
pub struct EvaluationFilter {
    pub reach: Reach,
    pub organization: Option<i64>,
    pub project: Option<i64>,
    pub model: Option<String>,
    pub start: i64,
    pub end: i64,
    /// Only those whose content is still there.
    pub held: bool,
}

impl EvaluationFilter {
    /// The conditions on the table named `t`.
    pub(super) fn narrow(&self, sql: &mut Sql) {
        sql.push(" WHERE t.at >= ").bind(self.start).push(" AND t.at < ").bind(self.end);
        self.reach.narrow(sql, "t.organization_id", Some("t.project_id"));
        if let Some(id) = self.organization {
            sql.push(" AND t.organization_id = ").bind(id);
        }
        if let Some(id) = self.project {
            sql.push(" AND t.project_id = ").bind(id);
        }
        if let Some(model) = &self.model {
            sql.push(" AND t.model = ").bind(model.as_str());
        }
        if self.held {
            sql.push(" AND t.purged_at IS NULL");
        }
    }
}

pub(super) fn read(row: &AnyRow) -> Result<EvaluationRecord, sqlx::Error> {
    Ok(EvaluationRecord {
        id: row.try_get("id")?,
        at: row.try_get("at")?,
        organization_id: row.try_get("organization_id")?,
        project_id: row.try_get("project_id")?,
        end_user: row.try_get("end_user")?,
        endpoint: row.try_get("endpoint")?,
        streamed: row.try_get::<i64, _>("streamed")? != 0,
        model: row.try_get("model")?,
        deployment: row.try_get("deployment")?,
        data_class: row.try_get("data_class")?,
        language: row.try_get("language")?,
        use_case: row.try_get("use_case")?,
        prompt_id: row.try_get("prompt_id")?,
        prompt_version: row.try_get("prompt_version")?,
        prompt_hash: row.try_get("prompt_hash")?,
        outcome: row.try_get("outcome")?,
        notice: row.try_get("notice")?,
        rule: row.try_get("rule")?,
        probability: row.try_get("probability")?,
        masked: column("masked", serde_json::from_str(row.try_get("masked")?))?,
        content_hash: row.try_get("content_hash")?,
    })
}

fn seen(row: &AnyRow, content: Option<Box<RawValue>>) -> Result<Seen, sqlx::Error> {
    Ok(Seen {
        record: read(row)?,
        purged: row.try_get::<Option<i64>, _>("purged_at")?.map(Time),
        purged_why: row.try_get("purged_why")?,
        content,
    })
}

const INSERT: &str = "INSERT INTO evaluation_records (id, seq, at, organization_id, project_id, end_user, endpoint, \
     streamed, model, deployment, data_class, language, use_case, prompt_id, prompt_version, prompt_hash, outcome, notice, \
     rule, probability, masked, content_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
     $16, $17, $18, $19, $20, $21, $22) ON CONFLICT (id) DO NOTHING";

impl Database {
    /// Stores records with their content, all or none, and chains them.
    pub async fn insert_kept(&self, batch: &[Kept]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut head = Head::take(&mut *tx, Log::Evaluation).await?;
        let (mut seq, mut hashes, mut newest) = (head.next_seq, Vec::with_capacity(batch.len()), 0);
        for Kept { record, salt, content } in batch {
            let masked = serde_json::to_string(&record.masked).map_err(|error| StoreError::Other(error.to_string()))?;
            let stored = sqlx::query(INSERT)
                .bind(record.id.as_str())
                .bind(seq)
                .bind(record.at)
                .bind(record.organization_id)
                .bind(record.project_id)
                .bind(record.end_user.as_deref())
                .bind(record.endpoint.as_str())
                .bind(i64::from(record.streamed))
                .bind(record.model.as_str())
                .bind(record.deployment.as_deref())
                .bind(record.data_class.as_str())
                .bind(record.language.as_deref())
                .bind(record.use_case.as_deref())
                .bind(record.prompt_id.as_deref())
                .bind(record.prompt_version.as_deref())
                .bind(record.prompt_hash.as_deref())
                .bind(record.outcome.as_str())
                .bind(record.notice.as_str())
                .bind(record.rule.as_deref())
                .bind(record.probability)
                .bind(masked)
                .bind(record.content_hash.as_str())
                .execute(&mut *tx)
                .await?;
            if stored.rows_affected() == 0 {
                continue;
            }
            sqlx::query("INSERT INTO evaluation_contents (id, salt, content) VALUES ($1, $2, $3)")
                .bind(record.id.as_str())
                .bind(salt.as_str())
                .bind(content.as_str())
                .execute(&mut *tx)
                .await?;
            hashes.push(record_hash(record)?);
            newest = newest.max(record.at);
            seq += 1;
        }
        if !hashes.is_empty() {
            head.append(&mut *tx, chain::Kind::Records, &hashes, newest).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Records without their content, newest first; `before` is the id of the last one already seen.
    pub async fn evaluation_records(
        &self,
        filter: &EvaluationFilter,
        limit: i64,
        before: Option<&str>,
    ) -> Result<Vec<Seen>, StoreError> {
        let mut sql = Sql::new("SELECT t.* FROM evaluation_records t");
        filter.narrow(&mut sql);
        if let Some(id) = before {
            let mut last = Sql::new("SELECT t.at FROM evaluation_records t");
            filter.narrow(&mut last);
            last.push(" AND t.id = ").bind(id);
            let Some(row) = last.fetch(self.pool()).await?.pop() else { return Ok(Vec::new()) };
            let at: i64 = row.try_get("at")?;
            sql.push(" AND (t.at < ").bind(at).push(" OR (t.at = ").bind(at).push(" AND t.id < ").bind(id).push("))");
        }
        sql.push(" ORDER BY t.at DESC, t.id DESC LIMIT ").bind(limit);
        Ok(sql.fetch(self.pool()).await?.iter().map(|row| seen(row, None)).collect::<Result<_, _>>()?)
    }

    /// One record with its content, if it is still there and in reach.
    pub async fn evaluation_record(&self, reach: &Reach, id: &str) -> Result<Option<Seen>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.*, c.content FROM evaluation_records t LEFT JOIN evaluation_contents c ON c.id = t.id WHERE t.id = ",
        );
        sql.bind(id);
        reach.narrow(&mut sql, "t.organization_id", None);
        let Some(row) = sql.fetch(self.pool()).await?.pop() else { return Ok(None) };
        let content = row.try_get::<Option<String>, _>("content")?.map(RawValue::from_string);
        let content = content.transpose().map_err(|error| StoreError::Other(error.to_string()))?;
        Ok(Some(seen(&row, content)?))
    }
}

/// What a campaign needs to know of a record.
#[derive(Clone, Debug)]
pub struct Annotated {
    pub id: String,
    pub organization_id: i64,
    pub model: String,
    /// `id@version` of the prompt that was named.
    pub prompt: Option<String>,
    /// None once it is gone.
    pub content: Option<String>,
}

impl Database {
    /// Records by their ids, in no order; unknown ones are left out.
    pub async fn annotated(&self, ids: &[String]) -> Result<Vec<Annotated>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.id, t.organization_id, t.model, t.prompt_id, t.prompt_version, c.content FROM evaluation_records t \
             LEFT JOIN evaluation_contents c ON c.id = t.id WHERE t.id IN ",
        );
        sql.bind_list(ids.iter().map(String::as_str));
        let rows = sql.fetch(self.pool()).await?;
        let read = |row: &AnyRow| {
            let version: Option<String> = row.try_get("prompt_version")?;
            let prompt: Option<String> = row.try_get("prompt_id")?;
            Ok(Annotated {
                id: row.try_get("id")?,
                organization_id: row.try_get("organization_id")?,
                model: row.try_get("model")?,
                prompt: prompt.map(|id| version.map_or_else(|| id.clone(), |version| format!("{id}@{version}"))),
                content: row.try_get("content")?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// A content that a person checked and keeps for a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct KeptItem {
    pub record_id: String,
    #[schema(example = "accueil-2026")]
    pub dataset: String,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub checked: Time,
    /// Member who looked at it.
    pub checked_by: i64,
}

impl Change {
    /// Keeps a content past its retention, for a dataset: a person looked at it and found nobody in it.
    pub async fn keep_content(&mut self, id: &str, dataset: &str) -> Result<KeptItem, StoreError> {
        let member = self.actor.member_id.ok_or(StoreError::NotFound)?;
        let mut sql = Sql::new(
            "SELECT t.organization_id FROM evaluation_records t JOIN evaluation_contents c ON c.id = t.id WHERE t.id = ",
        );
        sql.bind(id);
        let row = sql.fetch(&mut *self.tx).await?.pop().ok_or(StoreError::NotFound)?;
        let organization: i64 = row.try_get("organization_id")?;
        let item = KeptItem {
            record_id: id.to_owned(),
            dataset: dataset.to_owned(),
            checked: Time(self.at),
            checked_by: member,
        };
        sqlx::query(
            "INSERT INTO evaluation_kept (record_id, dataset, checked_at, checked_by) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (record_id, dataset) DO UPDATE SET checked_at = excluded.checked_at, \
             checked_by = excluded.checked_by",
        )
        .bind(id)
        .bind(dataset)
        .bind(self.at)
        .bind(member)
        .execute(&mut *self.tx)
        .await?;
        self.audit(Some(organization), "content.keep", format!("record:{id}"), None::<&()>, Some(&item)).await?;
        Ok(item)
    }

    /// Lets go of a content kept for a dataset: its retention applies again.
    pub async fn release_content(&mut self, organization: i64, id: &str, dataset: &str) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM evaluation_kept WHERE record_id = $1 AND dataset = $2");
        if query.bind(id).bind(dataset).execute(&mut *self.tx).await?.rows_affected() == 0 {
            return Err(StoreError::NotFound);
        }
        let before = serde_json::json!({"record_id": id, "dataset": dataset});
        self.audit(Some(organization), "content.release", format!("record:{id}"), Some(&before), None::<&()>).await
    }
}
