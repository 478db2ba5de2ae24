//! Who changed what, before and after, written in the change's own transaction.

use serde::Serialize;
use sqlx::Row;

use super::page::{Listed, Reach};
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, StoreError};

/// By which way a change came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    Api,
    Cli,
    /// The process itself, at its first start.
    Start,
}

impl Via {
    const fn as_str(self) -> &'static str {
        match self {
            Via::Api => "api",
            Via::Cli => "cli",
            Via::Start => "start",
        }
    }
}

/// Who makes a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    pub via: Via,
    /// Public id of the key used.
    pub key_id: Option<String>,
    pub member_id: Option<i64>,
}

impl Actor {
    /// Someone with access to the machine's command line.
    pub const CLI: Actor = Actor { via: Via::Cli, key_id: None, member_id: None };
    pub const START: Actor = Actor { via: Via::Start, key_id: None, member_id: None };
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Entry {
    #[schema(example = 42)]
    pub id: i64,
    /// Unix seconds.
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub at: Time,
    /// `api`, `cli` or `start`.
    #[schema(example = "api")]
    pub via: String,
    /// Public id of the key used.
    pub actor_key: Option<String>,
    pub actor_member: Option<i64>,
    /// Organization concerned; null for the instance.
    pub organization_id: Option<i64>,
    #[schema(example = "key.revoke")]
    pub action: String,
    #[schema(example = "key:7")]
    pub object: String,
    /// The object before the change; null when it was made.
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    /// The object after the change; null when it was deleted.
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
}

impl Change {
    pub(super) async fn audit(
        &mut self,
        organization: Option<i64>,
        action: &'static str,
        object: String,
        before: Option<&(impl Serialize + Sync)>,
        after: Option<&(impl Serialize + Sync)>,
    ) -> Result<(), StoreError> {
        let json = |error: serde_json::Error| StoreError::Other(error.to_string());
        let before = before.map(serde_json::to_string).transpose().map_err(json)?;
        let after = after.map(serde_json::to_string).transpose().map_err(json)?;
        let id = self.next_id("audit").await?;
        sqlx::query(
            "INSERT INTO audit (id, at, via, actor_key, actor_member, organization_id, action, object, before_state, \
             after_state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(id)
        .bind(self.at)
        .bind(self.actor.via.as_str())
        .bind(self.actor.key_id.clone())
        .bind(self.actor.member_id)
        .bind(organization)
        .bind(action)
        .bind(object)
        .bind(before)
        .bind(after)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }
}

impl Database {
    /// Changes, newest first; `before` is the id of the last one already seen.
    pub async fn audit_entries(
        &self,
        reach: &Reach,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Listed<Entry>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.id, t.at, t.via, t.actor_key, t.actor_member, t.organization_id, t.action, t.object, \
             t.before_state, t.after_state, COUNT(*) OVER () AS total FROM audit t WHERE t.id < ",
        );
        sql.bind(before.unwrap_or(i64::MAX));
        reach.narrow(&mut sql, "t.organization_id", None);
        sql.push(" ORDER BY t.id DESC LIMIT ").bind(limit);
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        let state = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        let items = rows
            .iter()
            .map(|row| {
                Ok(Entry {
                    id: row.try_get("id")?,
                    at: Time(row.try_get("at")?),
                    via: row.try_get("via")?,
                    actor_key: row.try_get("actor_key")?,
                    actor_member: row.try_get("actor_member")?,
                    organization_id: row.try_get("organization_id")?,
                    action: row.try_get("action")?,
                    object: row.try_get("object")?,
                    before: state(row.try_get("before_state")?),
                    after: state(row.try_get("after_state")?),
                })
            })
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Listed { items, total })
    }
}
