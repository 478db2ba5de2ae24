//! Items in people's hands: one at a time to each, held for a while, answered once.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::campaigns::{Campaign, HELD};
use super::orders;
use super::sql::Sql;
use super::{Database, StoreError};

/// An item as one person holds it, with its content.
#[derive(Clone, Debug)]
pub struct Turn {
    pub item: String,
    pub pair: bool,
    pub locked_until: i64,
    pub content: Content,
}

/// What an item shows.
#[derive(Clone, Debug)]
pub enum Content {
    /// JSON of one record's content, or of each side's.
    Records(Vec<String>),
    /// JSON of a row given.
    Row(String),
}

/// What somebody says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub skipped: bool,
    /// By criterion, as [`eval::panel::Answer::written`] has it; sorted.
    pub answers: Vec<(String, Option<String>)>,
    pub comment: Option<String>,
    /// Time taken, milliseconds.
    pub taken_ms: Option<i64>,
    /// Where they do not tell it, it is the time since the item was given.
    pub timed: bool,
}

/// How an answer was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Taken,
    /// The same answer was there.
    Again,
    /// Another answer was there.
    Differs,
    /// The item went to somebody else when its time had passed.
    Lost,
    Closed,
    /// Not an item that this person was given.
    Unknown,
}

impl Database {
    /// Takes turns with all who annotate a campaign; whether it still goes on.
    async fn take_turn(&self, campaign: i64) -> Result<(Transaction<'static, Any>, bool), StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("UPDATE campaigns SET turns = turns + 1 WHERE id = $1 RETURNING closed_at")
            .bind(campaign)
            .fetch_one(&mut *tx)
            .await?;
        let open = row.try_get::<Option<i64>, _>("closed_at")?.is_none();
        Ok((tx, open))
    }

    /// Gives a member their next items, up to `most`, held until `until`: those they hold already, then those that come
    /// next by `rank`. None when the campaign is closed.
    pub async fn give_items(
        &self,
        campaign: &Campaign,
        member: i64,
        most: usize,
        until: i64,
        rank: impl Fn(&str) -> [u8; 32] + Sync,
    ) -> Result<Option<Vec<Turn>>, StoreError> {
        let now = super::now();
        let (mut tx, open) = self.take_turn(campaign.id).await?;
        if !open {
            return Ok(None);
        }
        let mut given = held(&mut tx, campaign, member, now, most).await?;
        if given.len() < most {
            let order = self.orders.of(&mut tx, campaign.id, member, rank).await?;
            let more = orders::next(&mut tx, campaign, member, now, &order, &given, most - given.len()).await?;
            given.extend(more);
        }
        for chunk in given.chunks(100) {
            let mut sql = Sql::new(
                "INSERT INTO campaign_turns (item_id, member_id, campaign_id, given_at, locked_until) VALUES ",
            );
            for (index, item) in chunk.iter().enumerate() {
                sql.push(if index == 0 { "(" } else { ", (" }).bind(item.clone()).push(", ").bind(member);
                sql.push(", ").bind(campaign.id).push(", ").bind(now).push(", ").bind(until).push(")");
            }
            // Given again before its time passed, it is never held shorter, and the clock of its first showing goes on.
            sql.push(
                " ON CONFLICT (item_id, member_id) DO UPDATE SET \
                 locked_until = CASE WHEN campaign_turns.locked_until > excluded.locked_until \
                 THEN campaign_turns.locked_until ELSE excluded.locked_until END, \
                 given_at = CASE WHEN campaign_turns.locked_until > excluded.given_at \
                 THEN campaign_turns.given_at ELSE excluded.given_at END",
            );
            sql.fetch(&mut *tx).await?;
        }
        let mut turns = Vec::with_capacity(given.len());
        for item in given {
            turns.push(shown(&mut tx, item, member).await?);
        }
        tx.commit().await?;
        Ok(Some(turns))
    }

    /// Whether an item of a campaign is a pair, if this member was ever given it.
    pub async fn given_item(&self, campaign: i64, item: &str, member: i64) -> Result<Option<bool>, StoreError> {
        let row = sqlx::query(
            "SELECT i.answers FROM campaign_items i JOIN campaign_turns t ON t.item_id = i.id AND t.member_id = $1 \
             WHERE i.id = $2 AND i.campaign_id = $3",
        )
        .bind(member)
        .bind(item)
        .bind(campaign)
        .fetch_optional(self.pool())
        .await?;
        Ok(row.map(|row| row.try_get::<i64, _>("answers")).transpose()?.map(|answers| answers == 2))
    }

    /// Whether a member was given an item of this campaign.
    pub async fn annotates(&self, campaign: i64, member: i64) -> Result<bool, StoreError> {
        let query = sqlx::query("SELECT 1 AS n FROM campaign_turns WHERE campaign_id = $1 AND member_id = $2 LIMIT 1");
        Ok(query.bind(campaign).bind(member).fetch_optional(self.pool()).await?.is_some())
    }

    /// Takes a member's answer to an item; once.
    pub async fn take_answer(
        &self,
        campaign: &Campaign,
        member: i64,
        item: &str,
        said: &Said,
    ) -> Result<Received, StoreError> {
        let now = super::now();
        let (mut tx, open) = self.take_turn(campaign.id).await?;
        let mut sql =
            Sql::new("SELECT t.given_at, t.locked_until, t.done_at, t.outcome, t.comment, i.expected, CASE WHEN ");
        sql.push(HELD).push(" THEN 1 ELSE 0 END AS there FROM campaign_turns t ");
        sql.push("JOIN campaign_items i ON i.id = t.item_id WHERE t.item_id = ").bind(item.to_owned());
        sql.push(" AND t.member_id = ").bind(member).push(" AND i.campaign_id = ").bind(campaign.id);
        let row = sql.fetch(&mut *tx).await?.pop();
        let Some(row) = row else { return Ok(Received::Unknown) };
        if row.try_get::<Option<i64>, _>("done_at")?.is_some() {
            let same = same(&mut tx, &row, item, member, said).await?;
            return Ok(if same { Received::Again } else { Received::Differs });
        }
        if !open {
            return Ok(Received::Closed);
        }
        let given_at: i64 = row.try_get("given_at")?;
        let there = row.try_get::<i64, _>("there")? != 0;
        let gold = row.try_get::<Option<String>, _>("expected")?.is_some();
        if !gold && row.try_get::<i64, _>("locked_until")? <= now {
            let taken: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM campaign_turns t WHERE t.item_id = $1 AND t.member_id <> $2 \
                 AND (t.outcome = 'answered' OR (t.done_at IS NULL AND t.locked_until > $3))",
            )
            .bind(item)
            .bind(member)
            .bind(now)
            .fetch_one(&mut *tx)
            .await?;
            if taken >= campaign.per_item {
                return Ok(Received::Lost);
            }
        }
        // What is said of a content goes with it.
        let comment = said.comment.as_deref().filter(|_| there);
        sqlx::query(
            "UPDATE campaign_turns SET done_at = $1, outcome = $2, taken_ms = $3, comment = $4 \
             WHERE item_id = $5 AND member_id = $6",
        )
        .bind(now)
        .bind(if said.skipped { "skipped" } else { "answered" })
        .bind(said.taken_ms.or_else(|| said.timed.then(|| now - given_at)))
        .bind(comment)
        .bind(item)
        .bind(member)
        .execute(&mut *tx)
        .await?;
        for (criterion, value) in &said.answers {
            sqlx::query("INSERT INTO annotations (item_id, member_id, criterion, value) VALUES ($1, $2, $3, $4)")
                .bind(item)
                .bind(member)
                .bind(criterion.as_str())
                .bind(value.as_deref())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(Received::Taken)
    }
}

/// Items that a member holds and that can still be shown, first given first.
async fn held(
    tx: &mut Transaction<'static, Any>,
    campaign: &Campaign,
    member: i64,
    now: i64,
    most: usize,
) -> Result<Vec<String>, StoreError> {
    let mut sql = Sql::new(
        "SELECT i.id FROM campaign_turns t JOIN campaign_items i ON i.id = t.item_id WHERE t.done_at IS NULL \
         AND t.campaign_id = ",
    );
    sql.bind(campaign.id).push(" AND t.member_id = ").bind(member).push(" AND t.locked_until > ").bind(now);
    sql.push(" AND ").push(HELD).push(" ORDER BY t.given_at, i.id LIMIT ");
    sql.bind(i64::try_from(most).unwrap_or(i64::MAX));
    Ok(sql.fetch(&mut **tx).await?.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?)
}

/// An item with its content.
async fn shown(tx: &mut Transaction<'static, Any>, item: String, member: i64) -> Result<Turn, StoreError> {
    let row = sqlx::query(
        "SELECT i.answers, i.content, t.locked_until, c.content AS one, d.content AS other FROM campaign_items i \
         JOIN campaign_turns t ON t.item_id = i.id AND t.member_id = $2 \
         LEFT JOIN evaluation_contents c ON c.id = i.record_id \
         LEFT JOIN evaluation_contents d ON d.id = i.against_id WHERE i.id = $1",
    )
    .bind(item.as_str())
    .bind(member)
    .fetch_one(&mut **tx)
    .await?;
    let content = match row.try_get::<Option<String>, _>("content")? {
        Some(row) => Content::Row(row),
        None => Content::Records(
            [row.try_get::<Option<String>, _>("one")?, row.try_get("other")?].into_iter().flatten().collect(),
        ),
    };
    let (pair, locked_until) = (row.try_get::<i64, _>("answers")? == 2, row.try_get("locked_until")?);
    Ok(Turn { item, pair, locked_until, content })
}

/// Whether what is said is what was already said.
async fn same(
    tx: &mut Transaction<'static, Any>,
    turn: &AnyRow,
    item: &str,
    member: i64,
    said: &Said,
) -> Result<bool, StoreError> {
    let rows = sqlx::query(
        "SELECT criterion, value FROM annotations WHERE item_id = $1 AND member_id = $2 ORDER BY criterion",
    )
    .bind(item)
    .bind(member)
    .fetch_all(&mut **tx)
    .await?;
    let answers = rows.iter().map(|row| Ok((row.try_get("criterion")?, row.try_get("value")?)));
    let mut answers: Vec<(String, Option<String>)> = answers.collect::<Result<_, sqlx::Error>>()?;
    answers.sort();
    let skipped = turn.try_get::<Option<String>, _>("outcome")?.as_deref() == Some("skipped");
    // A comment goes when its time has come: gone, it differs from none.
    let comment: Option<String> = turn.try_get("comment")?;
    let same_comment = comment.is_none() || comment == said.comment;
    Ok(answers == said.answers && skipped == said.skipped && same_comment)
}
