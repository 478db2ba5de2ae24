//! Keys: of a project, or of a member. Their text is never here, only its hash.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::page::{Listed, Reach};
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, Page, StoreError};
use crate::policy::key::{ApiKey, KeyId};

/// One key, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Key {
    #[schema(example = 7)]
    pub id: i64,
    /// Public part of the key, as usage records and logs name it.
    #[schema(example = "3kTbYw0QmZ8aLr5V")]
    pub key_id: String,
    #[schema(example = "Docs, production")]
    pub name: String,
    /// Set for a key of a project.
    pub project_id: Option<i64>,
    pub project: Option<String>,
    pub organization_id: Option<i64>,
    pub organization: Option<String>,
    /// Set for a key of a member.
    pub member_id: Option<i64>,
    pub email: Option<String>,
    /// Unix seconds.
    #[serde(rename = "created")]
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub created_at: Time,
    /// Member who made it; null for the command line.
    pub created_by: Option<i64>,
    /// Unix seconds; null for a key that does not expire.
    #[serde(rename = "expires")]
    #[schema(value_type = Option<i64>)]
    pub expires_at: Option<Time>,
    /// Unix seconds; null while the key is valid.
    #[serde(rename = "revoked")]
    #[schema(value_type = Option<i64>)]
    pub revoked_at: Option<Time>,
}

/// Whose key it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    Project(i64),
    Member(i64),
}

/// Which keys are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeyFilter {
    pub organization: Option<i64>,
    pub project: Option<i64>,
    pub member: Option<i64>,
    /// Revoked ones too.
    pub revoked: bool,
}

const COLUMNS: &str = "SELECT t.id, t.public_id, t.label, t.project_id, p.name AS project, t.member_id, m.email, \
     o.id AS organization_id, o.name AS organization, t.created_at, t.created_by, t.expires_at, t.revoked_at, \
     COUNT(*) OVER () AS total FROM keys t \
     LEFT JOIN projects p ON p.id = t.project_id LEFT JOIN members m ON m.id = t.member_id \
     LEFT JOIN organizations o ON o.id = COALESCE(p.organization_id, m.organization_id) WHERE t.id > 0";

fn read(row: &AnyRow) -> Result<Key, sqlx::Error> {
    Ok(Key {
        id: row.try_get("id")?,
        key_id: row.try_get("public_id")?,
        name: row.try_get("label")?,
        project_id: row.try_get("project_id")?,
        project: row.try_get("project")?,
        organization_id: row.try_get("organization_id")?,
        organization: row.try_get("organization")?,
        member_id: row.try_get("member_id")?,
        email: row.try_get("email")?,
        created_at: Time(row.try_get("created_at")?),
        created_by: row.try_get("created_by")?,
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(Time),
        revoked_at: row.try_get::<Option<i64>, _>("revoked_at")?.map(Time),
    })
}

/// A label, which may be empty.
fn tidy_label(label: &str) -> Result<String, StoreError> {
    let label = label.trim();
    if label.is_empty() { Ok(String::new()) } else { super::organizations::tidy_name(label) }
}

impl Database {
    pub async fn keys(&self, reach: &Reach, filter: KeyFilter, page: &Page) -> Result<Listed<Key>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reach.narrow(&mut sql, "o.id", Some("t.project_id"));
        if !filter.revoked {
            sql.push(" AND t.revoked_at IS NULL");
        }
        if let Some(id) = filter.organization {
            sql.push(" AND o.id = ").bind(id);
        }
        if let Some(id) = filter.project {
            sql.push(" AND t.project_id = ").bind(id);
        }
        if let Some(id) = filter.member {
            sql.push(" AND t.member_id = ").bind(id);
        }
        if let Some(name) = &page.name {
            sql.push(" AND t.label = ").bind(name.as_str());
        }
        page.close(&mut sql, "t.label");
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        Ok(Listed { items: rows.iter().map(read).collect::<Result<_, _>>()?, total })
    }

    /// A key by its number or by its public part.
    pub async fn key(&self, id: &str) -> Result<Option<Key>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        match (id.parse::<i64>(), KeyId::parse(id)) {
            // A public part may happen to be all digits; it has 16, which numbers do not reach.
            (_, Some(id)) => sql.push(" AND t.public_id = ").bind(id.as_str()),
            (Ok(id), None) => sql.push(" AND t.id = ").bind(id),
            (Err(_), None) => return Ok(None),
        };
        Ok(sql.fetch(self.pool()).await?.first().map(read).transpose()?)
    }
}

impl Change {
    async fn key(&mut self, id: i64) -> Result<Key, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        let row = sql.fetch(&mut *self.tx).await?.first().map(read).transpose()?;
        row.ok_or(StoreError::NotFound)
    }

    /// Makes a key. `expires_at` is Unix milliseconds, in the future. The text of the key is in the answer and
    /// nowhere else.
    pub async fn create_key(
        &mut self,
        holder: Holder,
        label: &str,
        expires_at: Option<i64>,
    ) -> Result<(Key, ApiKey), StoreError> {
        if expires_at.is_some_and(|at| at <= self.at) {
            return Err(StoreError::invalid("expires", "L’expiration est déjà passée.", "The expiry is already past."));
        }
        let label = tidy_label(label)?;
        match holder {
            Holder::Project(id) => drop(self.project(id).await?),
            Holder::Member(id) if self.member(id).await?.disabled_at.is_some() => {
                return Err(StoreError::conflict("Ce membre est désactivé.", "This member is disabled."));
            }
            Holder::Member(_) => {}
        }
        let (project, member) = match holder {
            Holder::Project(id) => (Some(id), None),
            Holder::Member(id) => (None, Some(id)),
        };
        let secret = ApiKey::generate().map_err(|error| StoreError::Other(error.to_string()))?;
        let id = self.next_id("key").await?;
        sqlx::query(
            "INSERT INTO keys (public_id, id, hash, project_id, member_id, label, created_at, created_by, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(secret.id().as_str())
        .bind(id)
        .bind(secret.hash().to_hex())
        .bind(project)
        .bind(member)
        .bind(label)
        .bind(self.at)
        .bind(self.actor.member_id)
        .bind(expires_at)
        .execute(&mut *self.tx)
        .await?;
        let made = self.key(id).await?;
        self.audit(made.organization_id, "key.create", format!("key:{id}"), None::<&()>, Some(&made)).await?;
        Ok((made, secret))
    }

    /// Revokes a key. Revoking twice is no error and changes nothing.
    pub async fn revoke_key(&mut self, id: i64) -> Result<Key, StoreError> {
        let before = self.key(id).await?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        sqlx::query("UPDATE keys SET revoked_at = $1 WHERE id = $2")
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await?;
        let after = Key { revoked_at: Some(Time(self.at)), ..before.clone() };
        self.audit(after.organization_id, "key.revoke", format!("key:{id}"), Some(&before), Some(&after)).await?;
        Ok(after)
    }
}
