//! Organizations: a ministry, an agency, a local authority.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::page::{Listed, Reach};
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, Page, StoreError};

/// One organization.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Organization {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "Ministère de la Culture")]
    pub name: String,
    /// Unix seconds.
    #[serde(rename = "created")]
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub created_at: Time,
    /// Unix seconds.
    #[serde(rename = "updated")]
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub updated_at: Time,
}

const COLUMNS: &str = "SELECT t.id, t.name, t.created_at, t.updated_at, COUNT(*) OVER () AS total FROM organizations t \
     WHERE t.archived_at IS NULL";

fn read(row: &AnyRow) -> Result<Organization, sqlx::Error> {
    Ok(Organization {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        created_at: Time(row.try_get("created_at")?),
        updated_at: Time(row.try_get("updated_at")?),
    })
}

/// A name people will read: trimmed, 1 to 200 characters, none of control.
pub(super) fn tidy_name(name: &str) -> Result<String, StoreError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(StoreError::invalid(
            "name",
            "Le nom doit avoir de 1 à 200 caractères, sans caractère de contrôle.",
            "The name must have 1 to 200 characters, none of control.",
        ));
    }
    Ok(name.to_owned())
}

const TAKEN: (&str, &str) = ("Une administration porte déjà ce nom.", "An organization already has this name.");

impl Database {
    pub async fn organizations(&self, reach: &Reach, page: &Page) -> Result<Listed<Organization>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reach.narrow(&mut sql, "t.id", None);
        if let Some(name) = &page.name {
            sql.push(" AND t.name = ").bind(name.as_str());
        }
        page.close(&mut sql, "t.name");
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        Ok(Listed { items: rows.iter().map(read).collect::<Result<_, _>>()?, total })
    }

    pub async fn organization(&self, id: i64) -> Result<Option<Organization>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        Ok(sql.fetch(self.pool()).await?.first().map(read).transpose()?)
    }

    pub async fn organization_named(&self, name: &str) -> Result<Option<Organization>, StoreError> {
        let page = Page { name: Some(name.trim().to_owned()), ..Page::ALL };
        Ok(self.organizations(&Reach::Everything, &page).await?.items.pop())
    }
}

impl Change {
    pub(super) async fn organization(&mut self, id: i64) -> Result<Organization, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        let row = sql.fetch(&mut *self.tx).await?.first().map(read).transpose()?;
        row.ok_or(StoreError::NotFound)
    }

    pub async fn create_organization(&mut self, name: &str) -> Result<Organization, StoreError> {
        let name = tidy_name(name)?;
        let id = self.next_id("organization").await?;
        sqlx::query("INSERT INTO organizations (id, name, created_at, updated_at) VALUES ($1, $2, $3, $3)")
            .bind(id)
            .bind(name.as_str())
            .bind(self.at)
            .execute(&mut *self.tx)
            .await
            .map_err(|error| StoreError::from(error).or_conflict(TAKEN.0, TAKEN.1))?;
        let made = Organization { id, name, created_at: Time(self.at), updated_at: Time(self.at) };
        self.audit(Some(id), "organization.create", format!("organization:{id}"), None::<&()>, Some(&made)).await?;
        Ok(made)
    }

    pub async fn rename_organization(&mut self, id: i64, name: &str) -> Result<Organization, StoreError> {
        let before = self.organization(id).await?;
        let name = tidy_name(name)?;
        sqlx::query("UPDATE organizations SET name = $1, updated_at = $2 WHERE id = $3")
            .bind(name.as_str())
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(|error| StoreError::from(error).or_conflict(TAKEN.0, TAKEN.1))?;
        let after = Organization { name, updated_at: Time(self.at), ..before.clone() };
        self.audit(Some(id), "organization.update", format!("organization:{id}"), Some(&before), Some(&after)).await?;
        Ok(after)
    }

    /// Takes the organization out of use. Refused while it holds a project or a member in use: nothing stops
    /// working by surprise. Its records stay.
    pub async fn archive_organization(&mut self, id: i64) -> Result<(), StoreError> {
        let before = self.organization(id).await?;
        let held: i64 = sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM projects WHERE organization_id = $1 AND archived_at IS NULL) \
             + (SELECT COUNT(*) FROM members WHERE organization_id = $1 AND disabled_at IS NULL)",
        )
        .bind(id)
        .fetch_one(&mut *self.tx)
        .await?;
        if held > 0 {
            return Err(StoreError::conflict(
                "Cette administration a encore des projets ou des membres ; supprimez-les d’abord.",
                "This organization still has projects or members; delete them first.",
            ));
        }
        sqlx::query("UPDATE organizations SET archived_at = $1, updated_at = $1 WHERE id = $2")
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await?;
        self.audit(Some(id), "organization.delete", format!("organization:{id}"), Some(&before), None::<&()>).await
    }
}
