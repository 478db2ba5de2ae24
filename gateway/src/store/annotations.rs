//! What people answered, read back for figures and tables; and what goes with the content it is about.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::campaigns::HELD;
use super::sql::Sql;
use super::{Database, StoreError};

/// One item as whoever runs a campaign sees it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CampaignItem {
    #[schema(example = "it_5f0c1d2e3a4b5c6d7e8f9a0b")]
    pub id: String,
    /// From 1.
    pub place: i64,
    pub pair: bool,
    /// Its answer is known.
    pub gold: bool,
    pub record_id: Option<String>,
    /// The other record, of a pair.
    pub against_id: Option<String>,
    /// What answered: the model, with its prompt when one was named; or as its row says.
    pub candidate: Option<String>,
    pub against: Option<String>,
    /// What tables of evidence call it.
    pub label: String,
    /// The independent unit it belongs to: the end user's pseudonym, or as its row says, or itself.
    pub unit: String,
    /// Chance that it had of being here.
    pub probability: f64,
    /// Its content is gone: nobody is given it any more.
    pub purged: bool,
    pub answered: i64,
    pub skipped: i64,
    #[serde(skip)]
    pub words: i64,
    #[serde(skip)]
    pub expected: Option<String>,
}

/// What one person answered to one item.
#[derive(Clone, Debug, Default)]
pub struct Done {
    pub item: String,
    pub member: i64,
    pub skipped: bool,
    pub comment: Option<String>,
    pub taken_ms: Option<i64>,
    /// By criterion, as stored.
    pub answers: Vec<(String, Option<String>)>,
}

fn read(row: &AnyRow) -> Result<CampaignItem, sqlx::Error> {
    let id: String = row.try_get("id")?;
    let record_id: Option<String> = row.try_get("record_id")?;
    let pair = row.try_get::<i64, _>("answers")? == 2;
    let expected: Option<String> = row.try_get("expected")?;
    let unit = match row.try_get::<Option<String>, _>("unit")? {
        Some(unit) => Some(unit),
        None => row.try_get("end_user")?,
    };
    // A judge's evidence on the same record must meet people's: they go by one name.
    let label = row.try_get::<Option<String>, _>("label")?.or_else(|| record_id.clone().filter(|_| !pair));
    Ok(CampaignItem {
        place: row.try_get("place")?,
        pair,
        gold: expected.is_some(),
        record_id,
        against_id: row.try_get("against_id")?,
        candidate: row.try_get("candidate")?,
        against: row.try_get("against")?,
        label: label.unwrap_or_else(|| id.clone()),
        unit: unit.unwrap_or_else(|| id.clone()),
        probability: row.try_get("probability")?,
        purged: row.try_get::<i64, _>("there")? == 0,
        answered: row.try_get("answered")?,
        skipped: row.try_get("skipped")?,
        words: row.try_get("words")?,
        expected,
        id,
    })
}

impl Database {
    /// Items of a campaign in their order.
    pub async fn campaign_items(
        &self,
        campaign: i64,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<CampaignItem>, StoreError> {
        let mut sql = Sql::new(
            "SELECT i.id, i.place, i.answers, i.record_id, i.against_id, i.candidate, i.against, i.label, i.unit, \
             i.probability, i.words, i.expected, r.end_user, CASE WHEN ",
        );
        sql.push(HELD).push(
            " THEN 1 ELSE 0 END AS there, (SELECT COUNT(*) FROM campaign_turns a WHERE a.item_id = i.id \
             AND a.outcome = 'answered') AS answered, (SELECT COUNT(*) FROM campaign_turns a WHERE a.item_id = i.id \
             AND a.outcome = 'skipped') AS skipped FROM campaign_items i \
             LEFT JOIN evaluation_records r ON r.id = i.record_id WHERE i.campaign_id = ",
        );
        sql.bind(campaign).push(" AND i.place > ").bind(offset).push(" ORDER BY i.place LIMIT ").bind(limit);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Everything that was answered, gold items too.
    pub async fn annotations(&self, campaign: i64) -> Result<Vec<Done>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.item_id, t.member_id, t.outcome, t.comment, t.taken_ms FROM campaign_turns t \
             WHERE t.done_at IS NOT NULL AND t.campaign_id = ",
        );
        sql.bind(campaign).push(" ORDER BY t.member_id, t.item_id");
        let mut places = HashMap::new();
        let mut done: Vec<Done> = Vec::new();
        for row in &sql.fetch(self.pool()).await? {
            let one = Done {
                item: row.try_get("item_id")?,
                member: row.try_get("member_id")?,
                skipped: row.try_get::<Option<String>, _>("outcome")?.as_deref() == Some("skipped"),
                comment: row.try_get("comment")?,
                taken_ms: row.try_get("taken_ms")?,
                answers: Vec::new(),
            };
            places.insert((one.item.clone(), one.member), done.len());
            done.push(one);
        }
        let mut sql = Sql::new(
            "SELECT a.item_id, a.member_id, a.criterion, a.value FROM annotations a \
             JOIN campaign_items i ON i.id = a.item_id WHERE i.campaign_id = ",
        );
        sql.bind(campaign).push(" ORDER BY a.member_id, a.item_id, a.criterion");
        for row in &sql.fetch(self.pool()).await? {
            let of: (String, i64) = (row.try_get("item_id")?, row.try_get("member_id")?);
            if let Some(at) = places.get(&of) {
                done[*at].answers.push((row.try_get("criterion")?, row.try_get("value")?));
            }
        }
        Ok(done)
    }

    /// Lets go of rows given to campaigns before then that nobody checked; of how many. `dry_run` only counts.
    pub(super) async fn purge_rows(&self, before: i64, dry_run: bool) -> Result<i64, StoreError> {
        let mut sql = Sql::new(match dry_run {
            true => "SELECT t.id FROM campaign_items t WHERE t.content IS NOT NULL AND t.campaign_id IN ",
            false => "UPDATE campaign_items SET content = NULL WHERE content IS NOT NULL AND campaign_id IN ",
        });
        sql.push("(SELECT c.id FROM campaigns c WHERE c.checked = 0 AND c.made_at < ").bind(before);
        sql.push(if dry_run { ")" } else { ") RETURNING id" });
        Ok(i64::try_from(sql.fetch(self.writer()).await?.len()).unwrap_or(i64::MAX))
    }

    /// Lets go of comments on items given before then; of how many. `dry_run` only counts.
    pub(super) async fn purge_remarks(&self, before: i64, dry_run: bool) -> Result<i64, StoreError> {
        let mut sql = Sql::new(match dry_run {
            true => "SELECT t.item_id FROM campaign_turns t WHERE t.comment IS NOT NULL AND t.given_at < ",
            false => "UPDATE campaign_turns SET comment = NULL WHERE comment IS NOT NULL AND given_at < ",
        });
        sql.bind(before).push(if dry_run { "" } else { " RETURNING item_id" });
        Ok(i64::try_from(sql.fetch(self.writer()).await?.len()).unwrap_or(i64::MAX))
    }
}

/// Takes away what annotators wrote about these records, in the transaction that takes their contents away.
pub(super) async fn forget_remarks(
    tx: &mut sqlx::Transaction<'static, sqlx::Any>,
    records: &[String],
) -> Result<(), StoreError> {
    let mut sql = Sql::new("UPDATE campaign_turns SET comment = NULL WHERE comment IS NOT NULL AND item_id IN ");
    sql.push("(SELECT i.id FROM campaign_items i WHERE i.record_id IN ");
    sql.bind_list(records.iter().map(String::as_str)).push(" OR i.against_id IN ");
    sql.bind_list(records.iter().map(String::as_str)).push(")");
    sql.fetch(&mut **tx).await.map(|_| ())
}
