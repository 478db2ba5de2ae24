//! Members: people, of one organization or of the instance.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::grants::Grant;
use super::organizations::tidy_name;
use super::page::{Listed, Reach};
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, Page, StoreError};
use crate::policy::role::Role;

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Member {
    #[schema(example = 5)]
    pub id: i64,
    #[schema(example = "camille.durand@culture.gouv.fr")]
    pub email: String,
    #[schema(example = "Camille Durand")]
    pub name: String,
    /// Organization of the member; null for a member of the instance.
    pub organization_id: Option<i64>,
    pub organization: Option<String>,
    /// Roles held.
    pub grants: Vec<Grant>,
    /// Unix seconds.
    #[serde(rename = "created")]
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub created_at: Time,
    /// Unix seconds.
    #[serde(rename = "updated")]
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub updated_at: Time,
    /// Unix seconds; null while the member is active.
    #[serde(rename = "disabled")]
    #[schema(value_type = Option<i64>)]
    pub disabled_at: Option<Time>,
}

/// What to change in a member; absent stays.
#[derive(Clone, Debug, Default)]
pub struct MemberPatch {
    pub email: Option<String>,
    pub name: Option<String>,
    pub disabled: Option<bool>,
}

const COLUMNS: &str = "SELECT t.id, t.email, t.name, t.organization_id, o.name AS organization, t.created_at, \
     t.updated_at, t.disabled_at, COUNT(*) OVER () AS total \
     FROM members t LEFT JOIN organizations o ON o.id = t.organization_id WHERE t.id > 0";

fn read(row: &AnyRow) -> Result<Member, sqlx::Error> {
    Ok(Member {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        organization_id: row.try_get("organization_id")?,
        organization: row.try_get("organization")?,
        grants: Vec::new(),
        created_at: Time(row.try_get("created_at")?),
        updated_at: Time(row.try_get("updated_at")?),
        disabled_at: row.try_get::<Option<i64>, _>("disabled_at")?.map(Time),
    })
}

/// An address in lower case. The name `admin` of the first member passes too.
pub(super) fn tidy_email(email: &str) -> Result<String, StoreError> {
    let email = email.trim().to_lowercase();
    let shaped = match email.split_once('@') {
        Some((user, host)) => !user.is_empty() && !host.is_empty() && !host.contains('@'),
        None => email == super::first_admin::EMAIL,
    };
    if !shaped || email.len() > 254 || email.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(StoreError::invalid(
            "email",
            "L’adresse électronique n’est pas valable.",
            "The email address is not valid.",
        ));
    }
    Ok(email)
}

const TAKEN: (&str, &str) =
    ("Un membre a déjà cette adresse électronique.", "A member already has this email address.");

impl Database {
    pub async fn members(
        &self,
        reach: &Reach,
        organization: Option<i64>,
        page: &Page,
    ) -> Result<Listed<Member>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reach.narrow(&mut sql, "t.organization_id", None);
        if let Some(id) = organization {
            sql.push(" AND t.organization_id = ").bind(id);
        }
        if let Some(email) = &page.name {
            sql.push(" AND t.email = ").bind(email.trim().to_lowercase());
        }
        page.close(&mut sql, "t.email");
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        let mut items: Vec<Member> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let ids: Vec<i64> = items.iter().map(|member| member.id).collect();
        for (member, grant) in self.grants_of(&ids).await? {
            if let Some(item) = items.iter_mut().find(|item| item.id == member) {
                item.grants.push(grant);
            }
        }
        Ok(Listed { items, total })
    }

    pub async fn member(&self, id: i64) -> Result<Option<Member>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        let Some(mut member) = sql.fetch(self.pool()).await?.first().map(read).transpose()? else { return Ok(None) };
        member.grants = self.grants_of(&[id]).await?.into_iter().map(|(_, grant)| grant).collect();
        Ok(Some(member))
    }

    pub async fn member_addressed(&self, email: &str) -> Result<Option<Member>, StoreError> {
        let page = Page { name: Some(email.to_owned()), ..Page::ALL };
        Ok(self.members(&Reach::Everything, None, &page).await?.items.pop())
    }
}

impl Change {
    pub(super) async fn member(&mut self, id: i64) -> Result<Member, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        let row = sql.fetch(&mut *self.tx).await?.first().map(read).transpose()?;
        let mut member = row.ok_or(StoreError::NotFound)?;
        member.grants = self.grants_of(id).await?;
        Ok(member)
    }

    pub async fn create_member(
        &mut self,
        email: &str,
        name: &str,
        organization: Option<i64>,
    ) -> Result<Member, StoreError> {
        let organization = match organization {
            Some(id) => Some(self.organization(id).await?),
            None => None,
        };
        let email = tidy_email(email)?;
        let name = tidy_name(name)?;
        let id = self.next_id("member").await?;
        sqlx::query(
            "INSERT INTO members (id, email, name, organization_id, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $5)",
        )
        .bind(id)
        .bind(email.as_str())
        .bind(name.as_str())
        .bind(organization.as_ref().map(|organization| organization.id))
        .bind(self.at)
        .execute(&mut *self.tx)
        .await
        .map_err(|error| StoreError::from(error).or_conflict(TAKEN.0, TAKEN.1))?;
        let made = Member {
            id,
            email,
            name,
            organization_id: organization.as_ref().map(|organization| organization.id),
            organization: organization.map(|organization| organization.name),
            grants: Vec::new(),
            created_at: Time(self.at),
            updated_at: Time(self.at),
            disabled_at: None,
        };
        self.audit(made.organization_id, "member.create", format!("member:{id}"), None::<&()>, Some(&made)).await?;
        Ok(made)
    }

    /// Changes a member. A disabled one keeps their keys and roles, which open nothing until they are back.
    pub async fn update_member(&mut self, id: i64, patch: MemberPatch) -> Result<Member, StoreError> {
        let before = self.member(id).await?;
        let disabled_at = match patch.disabled {
            Some(true) => before.disabled_at.or(Some(Time(self.at))),
            Some(false) => None,
            None => before.disabled_at,
        };
        let after = Member {
            email: patch.email.as_deref().map_or_else(|| Ok(before.email.clone()), tidy_email)?,
            name: patch.name.as_deref().map_or_else(|| Ok(before.name.clone()), tidy_name)?,
            disabled_at,
            updated_at: Time(self.at),
            ..before.clone()
        };
        sqlx::query("UPDATE members SET email = $1, name = $2, disabled_at = $3, updated_at = $4 WHERE id = $5")
            .bind(after.email.as_str())
            .bind(after.name.as_str())
            .bind(after.disabled_at.map(|time| time.0))
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(|error| StoreError::from(error).or_conflict(TAKEN.0, TAKEN.1))?;
        if patch.disabled == Some(true) && before.grants.iter().any(|grant| grant.role == Role::Admin) {
            self.keep_an_admin().await?;
        }
        let action = match patch.disabled {
            Some(true) => "member.disable",
            Some(false) => "member.enable",
            None => "member.update",
        };
        self.audit(after.organization_id, action, format!("member:{id}"), Some(&before), Some(&after)).await?;
        Ok(after)
    }
}
