//! Each annotator's own order of a campaign's items, and which of them come next.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quick_cache::sync::Cache;
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use super::StoreError;
use super::campaigns::{Campaign, HELD};
use super::sql::Sql;

/// Items to choose from, and what the choice depends on.
struct Free {
    id: String,
    /// Where it comes in the annotator's order.
    at: usize,
    gold: bool,
}

/// Orders of annotators that are kept.
const ORDERS: usize = 256;
/// Items looked at together: few, as most often one of the first will do, then more.
const LOOK: usize = 50;
const LOOK_MOST: usize = 5_000;

/// One annotator's order of a campaign's items, worked out once: items of a campaign never change.
pub(super) struct Order {
    /// Places of items, first first.
    places: Vec<i64>,
    /// Where the last look found something: what comes before was done or in other hands, and is looked at last.
    from: AtomicUsize,
}

/// Orders lately used, by campaign and annotator.
pub(super) struct Orders(Cache<(i64, i64), Arc<Order>>);

impl Orders {
    pub(super) fn new() -> Orders {
        Orders(Cache::new(ORDERS))
    }

    /// A member's order of a campaign's items, by `rank` where it is not known yet.
    pub(super) async fn of(
        &self,
        tx: &mut Transaction<'static, Any>,
        campaign: i64,
        member: i64,
        rank: impl Fn(&str) -> [u8; 32],
    ) -> Result<Arc<Order>, StoreError> {
        if let Some(known) = self.0.get(&(campaign, member)) {
            return Ok(known);
        }
        let query = sqlx::query("SELECT i.id, i.place FROM campaign_items i WHERE i.campaign_id = $1").bind(campaign);
        let rows = query.fetch_all(&mut **tx).await?;
        let mut ranked = Vec::with_capacity(rows.len());
        for row in &rows {
            ranked.push((rank(row.try_get("id")?), row.try_get::<i64, _>("place")?));
        }
        ranked.sort_unstable();
        let places = ranked.into_iter().map(|(_, place)| place).collect();
        let order = Arc::new(Order { places, from: AtomicUsize::new(0) });
        self.0.insert((campaign, member), order.clone());
        Ok(order)
    }
}

/// The next `most` items that a member may be given, besides those they hold.
pub(super) async fn next(
    tx: &mut Transaction<'static, Any>,
    campaign: &Campaign,
    member: i64,
    now: i64,
    order: &Order,
    held: &[String],
    most: usize,
) -> Result<Vec<String>, StoreError> {
    let (all, from) = (order.places.len(), order.from.load(Ordering::Relaxed));
    let mut found: Vec<Free> = Vec::new();
    // Items whose answer is known go to who takes part, never alone.
    let mut takes_part = None;
    let (mut looked, mut look) = (0, LOOK);
    while looked < all {
        let indexes: Vec<usize> = (looked..all.min(looked + look)).map(|step| (from + step) % all).collect();
        looked += indexes.len();
        look = (look * 4).min(LOOK_MOST);
        let free = free(tx, campaign, member, now, order, &indexes).await?;
        found.extend(free.into_iter().filter(|one| !held.contains(&one.id)));
        if found.len() < most {
            continue;
        }
        if found.iter().any(|one| !one.gold) || took_part(tx, campaign, member, now, &mut takes_part).await? {
            break;
        }
    }
    if found.iter().all(|one| one.gold) && !took_part(tx, campaign, member, now, &mut takes_part).await? {
        found.clear();
    }
    found.truncate(most);
    if let Some(one) = found.first() {
        order.from.store(one.at, Ordering::Relaxed);
    }
    Ok(found.into_iter().map(|one| one.id).collect())
}

/// Of the items at these places of an order, in it: those that can be shown, that this member has not done, and that are
/// not in enough other hands.
async fn free(
    tx: &mut Transaction<'static, Any>,
    campaign: &Campaign,
    member: i64,
    now: i64,
    order: &Order,
    indexes: &[usize],
) -> Result<Vec<Free>, StoreError> {
    let turns: HashMap<i64, usize> = indexes.iter().enumerate().map(|(turn, at)| (order.places[*at], turn)).collect();
    let mut sql = Sql::new("SELECT i.id, i.place, i.expected FROM campaign_items i WHERE i.campaign_id = ");
    sql.bind(campaign.id).push(" AND i.place IN ").bind_list(turns.keys().copied()).push(" AND ").push(HELD);
    sql.push(" AND NOT EXISTS (SELECT 1 FROM campaign_turns t WHERE t.item_id = i.id AND t.member_id = ").bind(member);
    sql.push(" AND t.done_at IS NOT NULL) AND (i.expected IS NOT NULL OR ");
    sql.push("(SELECT COUNT(*) FROM campaign_turns t WHERE t.item_id = i.id AND t.member_id <> ").bind(member);
    sql.push(" AND (t.outcome = 'answered' OR (t.done_at IS NULL AND t.locked_until > ").bind(now);
    sql.push("))) < ").bind(campaign.per_item).push(")");
    let read = |row: &AnyRow| {
        let gold = row.try_get::<Option<String>, _>("expected")?.is_some();
        let turn = turns.get(&row.try_get("place")?).copied().unwrap_or_default();
        Ok((turn, Free { id: row.try_get("id")?, at: indexes[turn], gold }))
    };
    let mut free = sql.fetch(&mut **tx).await?.iter().map(read).collect::<Result<Vec<_>, sqlx::Error>>()?;
    free.sort_unstable_by_key(|(turn, _)| *turn);
    Ok(free.into_iter().map(|(_, one)| one).collect())
}

/// Whether a member answered or holds an item that is no gold; asked once.
async fn took_part(
    tx: &mut Transaction<'static, Any>,
    campaign: &Campaign,
    member: i64,
    now: i64,
    known: &mut Option<bool>,
) -> Result<bool, StoreError> {
    if let Some(known) = *known {
        return Ok(known);
    }
    let row = sqlx::query(
        "SELECT 1 AS n FROM campaign_turns t JOIN campaign_items i ON i.id = t.item_id WHERE t.campaign_id = $1 \
         AND t.member_id = $2 AND i.expected IS NULL AND (t.done_at IS NOT NULL OR t.locked_until > $3) LIMIT 1",
    )
    .bind(campaign.id)
    .bind(member)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(*known.insert(row.is_some()))
}
