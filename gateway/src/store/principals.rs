//! What identity needs to know of keys, read for many at once.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::projects::column;
use super::sql::Sql;
use super::{Database, StoreError};
use crate::policy::identity::{MemberKey, Owner, Principal, ProjectKey};
use crate::policy::key::{KeyHash, KeyId};
use crate::policy::role::Held;

/// Keys asked for in one query.
const CHUNK: usize = 500;

/// A key that opens something, at a version of the directory.
#[derive(Clone, Debug)]
pub struct Known {
    pub hash: KeyHash,
    pub principal: Principal,
    /// Version of the directory when it was read.
    pub version: i64,
}

// Neither revoked, nor of something archived or disabled. Expiry is left to the reader's clock.
const COLUMNS: &str = "SELECT v.version, t.public_id, t.hash, t.expires_at, t.member_id, t.project_id, \
     p.name AS project, p.data_class, p.cleaning, s.notice, o.id AS organization_id, o.name AS organization, m.email, \
     m.name AS member, c.id AS made_by FROM keys t JOIN directory_version v ON v.id = 1 \
     LEFT JOIN projects p ON p.id = t.project_id LEFT JOIN members m ON m.id = t.member_id \
     LEFT JOIN consents s ON s.project_id = p.id \
     LEFT JOIN organizations o ON o.id = COALESCE(p.organization_id, m.organization_id) \
     LEFT JOIN members c ON c.id = t.created_by AND c.organization_id = o.id \
     WHERE t.revoked_at IS NULL AND p.archived_at IS NULL AND o.archived_at IS NULL AND m.disabled_at IS NULL";

impl Database {
    /// Version of the directory: it rises with every change of identity.
    pub async fn directory_version(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT version FROM directory_version WHERE id = 1").fetch_one(self.pool()).await?)
    }

    /// What these keys open. One that is unknown, revoked, or of something archived or disabled is left out.
    pub async fn principals(&self, keys: &[KeyId]) -> Result<Vec<(KeyId, Known)>, StoreError> {
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(CHUNK) {
            let mut sql = Sql::new(COLUMNS);
            sql.push(" AND t.public_id IN ").bind_list(chunk.iter().map(KeyId::as_str));
            found.extend(self.known(sql.fetch(self.pool()).await?).await?);
        }
        Ok(found)
    }

    /// What the `limit` newest keys open.
    pub async fn newest_principals(&self, limit: i64) -> Result<Vec<(KeyId, Known)>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" ORDER BY t.id DESC LIMIT ").bind(limit);
        let rows = sql.fetch(self.pool()).await?;
        self.known(rows).await
    }

    async fn known(&self, rows: Vec<AnyRow>) -> Result<Vec<(KeyId, Known)>, StoreError> {
        let mut members: Vec<i64> = Vec::new();
        for row in &rows {
            members.extend(row.try_get::<Option<i64>, _>("member_id")?);
        }
        members.sort_unstable();
        members.dedup();
        let mut grants: HashMap<i64, Vec<Held>> = HashMap::new();
        for (member, grant) in self.grants_of(&members).await? {
            grants.entry(member).or_default().extend(grant.held());
        }
        rows.iter().map(|row| Ok(read(row, &grants)?)).collect()
    }
}

fn read(row: &AnyRow, grants: &HashMap<i64, Vec<Held>>) -> Result<(KeyId, Known), sqlx::Error> {
    let id = column("public_id", KeyId::parse(row.try_get("public_id")?).ok_or("not a key's id"))?;
    let hash = column("hash", KeyHash::from_hex(row.try_get("hash")?).ok_or("not a hash"))?;
    let owner = match row.try_get::<Option<i64>, _>("member_id")? {
        Some(member_id) => Owner::Member(MemberKey {
            member_id,
            email: row.try_get("email")?,
            name: row.try_get("member")?,
            organization_id: row.try_get("organization_id")?,
            organization: row.try_get("organization")?,
            grants: grants.get(&member_id).cloned().unwrap_or_default(),
        }),
        None => Owner::Project(ProjectKey {
            project_id: row.try_get("project_id")?,
            project: row.try_get("project")?,
            organization_id: row.try_get("organization_id")?,
            organization: row.try_get("organization")?,
            data_class: column("data_class", row.try_get::<&str, _>("data_class")?.parse())?,
            cleaning: column("cleaning", serde_json::from_str(row.try_get("cleaning")?))?,
            made_by: row.try_get("made_by")?,
            notice: row.try_get::<Option<String>, _>("notice")?.map(Into::into),
        }),
    };
    let principal = Principal::new(id, row.try_get("expires_at")?, owner);
    Ok((id, Known { hash, principal, version: row.try_get("version")? }))
}
