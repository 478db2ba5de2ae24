//! Campaigns of annotation: who is asked what, of which items.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::page::Reach;
use super::projects::column;
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, StoreError};

/// A campaign, without its items.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Campaign {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "accueil, novembre")]
    pub name: String,
    /// Null: over all organizations.
    pub organization_id: Option<i64>,
    pub instructions: String,
    /// `id@version` of its grid.
    #[schema(example = "guichet@1")]
    pub grid: String,
    pub grid_hash: String,
    #[serde(skip)]
    pub grid_number: i64,
    /// Ids of the criteria that are asked.
    pub criteria: Vec<String>,
    pub sample_id: Option<i64>,
    /// People who answer each item.
    pub per_item: i64,
    /// How long an item is held for who was given it.
    #[serde(rename = "lock_seconds", serialize_with = "seconds")]
    #[schema(value_type = i64)]
    pub lock_ms: i64,
    /// Of the order of items and the sides of pairs.
    pub seed: i64,
    /// Members who may annotate; empty: whoever evaluates that organization.
    pub annotators: Vec<i64>,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub made: Time,
    /// Member who made it; null from the command line.
    pub made_by: Option<i64>,
    /// Unix seconds; null while it goes on.
    #[schema(value_type = Option<i64>)]
    pub closed: Option<Time>,
}

fn seconds<S: serde::Serializer>(ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(ms / 1_000)
}

/// How far a campaign is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// Items to annotate; those answered by as many people as wanted; those that somebody may still be given.
    pub items: i64,
    pub complete: i64,
    pub left: i64,
    /// Items whose answer is known, mixed with the others.
    pub gold: i64,
    /// Items whose content is gone: nobody is given them any more.
    pub purged: i64,
    /// Answers to items, gold apart.
    pub answered: i64,
    pub skipped: i64,
    /// Items in somebody's hands now.
    pub held: i64,
}

impl Progress {
    /// Whether nothing is left to annotate.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }
}

/// One item about to be stored.
#[derive(Clone, Debug, Default)]
pub struct NewItem {
    /// A pair, or one answer.
    pub pair: bool,
    pub record_id: Option<String>,
    pub against_id: Option<String>,
    /// JSON of a row given.
    pub content: Option<String>,
    pub candidate: Option<String>,
    pub against: Option<String>,
    pub label: Option<String>,
    pub unit: Option<String>,
    pub probability: f64,
    pub words: i64,
    /// JSON of the answer expected to each criterion.
    pub expected: Option<String>,
}

/// A campaign about to be stored.
pub struct NewCampaign {
    pub name: String,
    pub organization_id: Option<i64>,
    pub instructions: String,
    pub grid_number: i64,
    pub criteria: Vec<String>,
    pub sample_id: Option<i64>,
    pub per_item: i64,
    pub lock_ms: i64,
    pub seed: i64,
    pub checked: bool,
    pub annotators: Vec<i64>,
    pub items: Vec<NewItem>,
}

/// Rows of one insert.
const ROWS: usize = 100;

const COLUMNS: &str = "SELECT t.id, t.name, t.organization_id, t.instructions, t.grid_id, t.criteria, t.sample_id, \
     t.per_item, t.lock_ms, t.seed, t.made_at, t.made_by, t.closed_at, g.name AS grid_name, g.version AS grid_version, \
     g.hash AS grid_hash FROM campaigns t JOIN eval_grids g ON g.id = t.grid_id WHERE 1 = 1";

fn read(row: &AnyRow) -> Result<Campaign, sqlx::Error> {
    let (grid, version): (String, String) = (row.try_get("grid_name")?, row.try_get("grid_version")?);
    Ok(Campaign {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        organization_id: row.try_get("organization_id")?,
        instructions: row.try_get("instructions")?,
        grid: format!("{grid}@{version}"),
        grid_hash: row.try_get("grid_hash")?,
        grid_number: row.try_get("grid_id")?,
        criteria: column("criteria", serde_json::from_str(row.try_get("criteria")?))?,
        sample_id: row.try_get("sample_id")?,
        per_item: row.try_get("per_item")?,
        lock_ms: row.try_get("lock_ms")?,
        seed: row.try_get("seed")?,
        annotators: Vec::new(),
        made: Time(row.try_get("made_at")?),
        made_by: row.try_get("made_by")?,
        closed: row.try_get::<Option<i64>, _>("closed_at")?.map(Time),
    })
}

/// Whether an item's content is still there, of a table named `i`.
pub(super) const HELD: &str = "(i.content IS NOT NULL OR (i.record_id IS NOT NULL \
     AND EXISTS (SELECT 1 FROM evaluation_contents c WHERE c.id = i.record_id) AND (i.against_id IS NULL \
     OR EXISTS (SELECT 1 FROM evaluation_contents c WHERE c.id = i.against_id))))";

fn opaque() -> Result<String, StoreError> {
    let mut noise = [0_u8; 12];
    getrandom::fill(&mut noise).map_err(|error| StoreError::Other(error.to_string()))?;
    Ok(format!("it_{}", super::chain::hex(&noise)))
}

impl Database {
    /// Campaigns of what may be read, and those where `member` is named, newest first.
    pub async fn campaigns(
        &self,
        reach: &Reach,
        member: Option<i64>,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<Campaign>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        if let Reach::Only { organizations, .. } = reach {
            sql.push(" AND (t.organization_id IN ").bind_list(organizations.iter().copied());
            if let Some(member) = member {
                sql.push(
                    " OR EXISTS (SELECT 1 FROM campaign_annotators a WHERE a.campaign_id = t.id AND a.member_id = ",
                );
                sql.bind(member).push(")");
            }
            sql.push(")");
        }
        sql.push(" ORDER BY t.id DESC LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        let rows = sql.fetch(self.pool()).await?;
        let mut campaigns: Vec<Campaign> = rows.iter().map(read).collect::<Result<_, _>>()?;
        self.with_annotators(&mut campaigns).await?;
        Ok(campaigns)
    }

    /// One campaign, whoever asks: who may see it is for the caller to say.
    pub async fn campaign(&self, id: i64) -> Result<Option<Campaign>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        let rows = sql.fetch(self.pool()).await?;
        let mut found: Vec<Campaign> = rows.iter().map(read).collect::<Result<_, _>>()?;
        self.with_annotators(&mut found).await?;
        Ok(found.pop())
    }

    async fn with_annotators(&self, campaigns: &mut [Campaign]) -> Result<(), StoreError> {
        let mut sql = Sql::new("SELECT t.campaign_id, t.member_id FROM campaign_annotators t WHERE t.campaign_id IN ");
        sql.bind_list(campaigns.iter().map(|campaign| campaign.id)).push(" ORDER BY t.member_id");
        for row in &sql.fetch(self.pool()).await? {
            let (of, member): (i64, i64) = (row.try_get("campaign_id")?, row.try_get("member_id")?);
            if let Some(campaign) = campaigns.iter_mut().find(|campaign| campaign.id == of) {
                campaign.annotators.push(member);
            }
        }
        Ok(())
    }

    /// How far a campaign is now.
    pub async fn campaign_progress(&self, campaign: &Campaign) -> Result<Progress, StoreError> {
        let mut progress = Progress::default();
        let mut sql = Sql::new(
            "SELECT COUNT(*) AS items, COUNT(u.expected) AS gold, \
             COUNT(CASE WHEN u.there = 0 THEN 1 END) AS purged, \
             COUNT(CASE WHEN u.expected IS NULL AND u.answers >= ",
        );
        sql.bind(campaign.per_item);
        sql.push(" THEN 1 END) AS complete, COUNT(CASE WHEN u.expected IS NULL AND u.there = 1 AND u.answers < ");
        sql.bind(campaign.per_item);
        sql.push(
            " THEN 1 END) AS remaining FROM (SELECT i.expected, \
             (SELECT COUNT(*) FROM campaign_turns a WHERE a.item_id = i.id AND a.outcome = 'answered') AS answers, \
             CASE WHEN ",
        );
        sql.push(HELD).push(" THEN 1 ELSE 0 END AS there FROM campaign_items i WHERE i.campaign_id = ");
        sql.bind(campaign.id).push(") u");
        if let Some(row) = sql.fetch(self.pool()).await?.first() {
            progress.gold = row.try_get("gold")?;
            progress.items = row.try_get::<i64, _>("items")? - progress.gold;
            progress.purged = row.try_get("purged")?;
            progress.complete = row.try_get("complete")?;
            progress.left = row.try_get("remaining")?;
        }
        let mut sql = Sql::new(
            "SELECT COUNT(CASE WHEN a.outcome = 'answered' AND i.expected IS NULL THEN 1 END) AS answered, \
             COUNT(CASE WHEN a.outcome = 'skipped' AND i.expected IS NULL THEN 1 END) AS skipped, \
             COUNT(CASE WHEN a.done_at IS NULL AND a.locked_until > ",
        );
        sql.bind(super::now());
        sql.push(
            " THEN 1 END) AS held FROM campaign_turns a JOIN campaign_items i ON i.id = a.item_id \
             WHERE a.campaign_id = ",
        );
        sql.bind(campaign.id);
        if let Some(row) = sql.fetch(self.pool()).await?.first() {
            progress.answered = row.try_get("answered")?;
            progress.skipped = row.try_get("skipped")?;
            progress.held = row.try_get("held")?;
        }
        Ok(progress)
    }
}

impl Change {
    /// Stores a campaign whole; from now on its grid never changes.
    pub async fn create_campaign(&mut self, new: &NewCampaign) -> Result<Campaign, StoreError> {
        let json = |error: serde_json::Error| StoreError::Other(error.to_string());
        let name = super::organizations::tidy_name(&new.name)?;
        self.use_grid(new.grid_number).await?;
        let id = self.next_id("campaign").await?;
        sqlx::query(
            "INSERT INTO campaigns (id, name, organization_id, instructions, grid_id, criteria, sample_id, per_item, \
             lock_ms, seed, checked, made_at, made_by, turns) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0)",
        )
        .bind(id)
        .bind(name)
        .bind(new.organization_id)
        .bind(new.instructions.as_str())
        .bind(new.grid_number)
        .bind(serde_json::to_string(&new.criteria).map_err(json)?)
        .bind(new.sample_id)
        .bind(new.per_item)
        .bind(new.lock_ms)
        .bind(new.seed)
        .bind(i64::from(new.checked))
        .bind(self.at)
        .bind(self.actor.member_id)
        .execute(&mut *self.tx)
        .await?;
        for member in &new.annotators {
            let query = sqlx::query("INSERT INTO campaign_annotators (campaign_id, member_id) VALUES ($1, $2)");
            query.bind(id).bind(*member).execute(&mut *self.tx).await?;
        }
        let mut place = 0_i64;
        for chunk in new.items.chunks(ROWS) {
            let mut sql = Sql::new(
                "INSERT INTO campaign_items (id, campaign_id, place, answers, record_id, against_id, content, \
                 candidate, against, label, unit, probability, words, expected) VALUES ",
            );
            for (index, item) in chunk.iter().enumerate() {
                place += 1;
                sql.push(if index == 0 { "(" } else { ", (" }).bind(opaque()?).push(", ").bind(id).push(", ");
                sql.bind(place).push(", ").bind(if item.pair { 2_i64 } else { 1 });
                let texts = [&item.record_id, &item.against_id, &item.content, &item.candidate, &item.against];
                for text in texts.into_iter().chain([&item.label, &item.unit]) {
                    sql.push(", ").bind(text.clone());
                }
                sql.push(", ").bind(item.probability).push(", ").bind(item.words).push(", ");
                sql.bind(item.expected.clone()).push(")");
            }
            sql.fetch(&mut *self.tx).await?;
        }
        let made = self.campaign(id).await?;
        let made = Campaign { annotators: new.annotators.clone(), ..made };
        let object = format!("campaign:{id}");
        self.audit(made.organization_id, "campaign.create", object, None::<&()>, Some(&made)).await?;
        Ok(made)
    }

    async fn campaign(&mut self, id: i64) -> Result<Campaign, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        sql.fetch(&mut *self.tx).await?.first().map(read).transpose()?.ok_or(StoreError::NotFound)
    }

    /// Closes a campaign, or opens it again.
    pub async fn close_campaign(&mut self, id: i64, closed: bool) -> Result<(), StoreError> {
        let before = self.campaign(id).await?;
        if before.closed.is_some() == closed {
            return Ok(());
        }
        let at = closed.then_some(self.at);
        let query = sqlx::query("UPDATE campaigns SET closed_at = $1 WHERE id = $2").bind(at).bind(id);
        query.execute(&mut *self.tx).await?;
        let after = Campaign { closed: at.map(Time), ..before.clone() };
        let action = if closed { "campaign.close" } else { "campaign.reopen" };
        self.audit(before.organization_id, action, format!("campaign:{id}"), Some(&before), Some(&after)).await
    }
}
