//! Projects: one product of an organization, with its data class.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::organizations::tidy_name;
use super::page::{Listed, Reach};
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, Page, StoreError};
use crate::config::DataClass;
use crate::prompts::Cleaning;

/// One project.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Project {
    #[schema(example = 3)]
    pub id: i64,
    #[schema(example = 1)]
    pub organization_id: i64,
    #[schema(example = "Ministère de la Culture")]
    pub organization: String,
    #[schema(example = "Docs")]
    pub name: String,
    pub data_class: DataClass,
    /// What is taken off around answers: `{"fence": true}`, `{"preamble": true}`.
    #[schema(value_type = Object, example = json!({"fence": true, "preamble": false}))]
    pub cleaning: Cleaning,
    /// Unix seconds.
    #[serde(rename = "created")]
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub created_at: Time,
    /// Unix seconds.
    #[serde(rename = "updated")]
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub updated_at: Time,
}

/// What to change in a project; absent stays.
#[derive(Clone, Debug, Default)]
pub struct ProjectPatch {
    pub name: Option<String>,
    pub data_class: Option<DataClass>,
    pub cleaning: Option<Cleaning>,
}

const COLUMNS: &str = "SELECT t.id, t.organization_id, o.name AS organization, t.name, t.data_class, t.cleaning, \
     t.created_at, t.updated_at, COUNT(*) OVER () AS total \
     FROM projects t JOIN organizations o ON o.id = t.organization_id \
     WHERE t.archived_at IS NULL AND o.archived_at IS NULL";

const TAKEN: (&str, &str) =
    ("Un projet de cette administration porte déjà ce nom.", "A project of this organization already has this name.");

/// A value only we write; one that cannot be read means that something else wrote it.
pub(super) fn column<T, E: std::fmt::Display>(name: &str, read: Result<T, E>) -> Result<T, sqlx::Error> {
    read.map_err(|error| sqlx::Error::Decode(format!("{name}: {error}").into()))
}

fn read(row: &AnyRow) -> Result<Project, sqlx::Error> {
    Ok(Project {
        id: row.try_get("id")?,
        organization_id: row.try_get("organization_id")?,
        organization: row.try_get("organization")?,
        name: row.try_get("name")?,
        data_class: column("data_class", row.try_get::<&str, _>("data_class")?.parse())?,
        cleaning: column("cleaning", serde_json::from_str(row.try_get("cleaning")?))?,
        created_at: Time(row.try_get("created_at")?),
        updated_at: Time(row.try_get("updated_at")?),
    })
}

fn cleaning_text(cleaning: Cleaning) -> Result<String, StoreError> {
    serde_json::to_string(&cleaning).map_err(|error| StoreError::Other(error.to_string()))
}

impl Database {
    pub async fn projects(
        &self,
        reach: &Reach,
        organization: Option<i64>,
        page: &Page,
    ) -> Result<Listed<Project>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reach.narrow(&mut sql, "t.organization_id", Some("t.id"));
        if let Some(id) = organization {
            sql.push(" AND t.organization_id = ").bind(id);
        }
        if let Some(name) = &page.name {
            sql.push(" AND t.name = ").bind(name.as_str());
        }
        page.close(&mut sql, "t.name");
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        Ok(Listed { items: rows.iter().map(read).collect::<Result<_, _>>()?, total })
    }

    pub async fn project(&self, id: i64) -> Result<Option<Project>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        Ok(sql.fetch(self.pool()).await?.first().map(read).transpose()?)
    }

    pub async fn project_named(&self, organization: i64, name: &str) -> Result<Option<Project>, StoreError> {
        let page = Page { name: Some(name.trim().to_owned()), ..Page::ALL };
        Ok(self.projects(&Reach::Everything, Some(organization), &page).await?.items.pop())
    }
}

impl Change {
    pub(super) async fn project(&mut self, id: i64) -> Result<Project, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(id);
        let row = sql.fetch(&mut *self.tx).await?.first().map(read).transpose()?;
        row.ok_or(StoreError::NotFound)
    }

    pub async fn create_project(
        &mut self,
        organization: i64,
        name: &str,
        data_class: DataClass,
        cleaning: Cleaning,
    ) -> Result<Project, StoreError> {
        let organization = self.organization(organization).await?;
        let name = tidy_name(name)?;
        let id = self.next_id("project").await?;
        sqlx::query(
            "INSERT INTO projects (id, organization_id, name, data_class, cleaning, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(id)
        .bind(organization.id)
        .bind(name.as_str())
        .bind(data_class.as_str())
        .bind(cleaning_text(cleaning)?)
        .bind(self.at)
        .execute(&mut *self.tx)
        .await
        .map_err(|error| StoreError::from(error).or_conflict(TAKEN.0, TAKEN.1))?;
        let made = Project {
            id,
            organization_id: organization.id,
            organization: organization.name,
            name,
            data_class,
            cleaning,
            created_at: Time(self.at),
            updated_at: Time(self.at),
        };
        self.audit(Some(made.organization_id), "project.create", format!("project:{id}"), None::<&()>, Some(&made))
            .await?;
        Ok(made)
    }

    pub async fn update_project(&mut self, id: i64, patch: ProjectPatch) -> Result<Project, StoreError> {
        let before = self.project(id).await?;
        let after = Project {
            name: patch.name.as_deref().map_or_else(|| Ok(before.name.clone()), tidy_name)?,
            data_class: patch.data_class.unwrap_or(before.data_class),
            cleaning: patch.cleaning.unwrap_or(before.cleaning),
            updated_at: Time(self.at),
            ..before.clone()
        };
        sqlx::query("UPDATE projects SET name = $1, data_class = $2, cleaning = $3, updated_at = $4 WHERE id = $5")
            .bind(after.name.as_str())
            .bind(after.data_class.as_str())
            .bind(cleaning_text(after.cleaning)?)
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await
            .map_err(|error| StoreError::from(error).or_conflict(TAKEN.0, TAKEN.1))?;
        // A collection's class is at least its project's.
        let lower = DataClass::ALL.iter().filter(|class| **class < after.data_class).map(|class| class.as_str());
        let mut sql = Sql::new("UPDATE collections SET data_class = ");
        sql.bind(after.data_class.as_str()).push(" WHERE project_id = ").bind(id).push(" AND data_class IN ");
        sql.bind_list(lower);
        sql.fetch(&mut *self.tx).await?;
        self.audit(Some(after.organization_id), "project.update", format!("project:{id}"), Some(&before), Some(&after))
            .await?;
        Ok(after)
    }

    /// Takes the project out of use, its keys and the grants on it with it. Its records stay.
    pub async fn archive_project(&mut self, id: i64) -> Result<(), StoreError> {
        let before = self.project(id).await?;
        sqlx::query("UPDATE projects SET archived_at = $1, updated_at = $1 WHERE id = $2")
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await?;
        sqlx::query("UPDATE keys SET revoked_at = $1 WHERE project_id = $2 AND revoked_at IS NULL")
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await?;
        sqlx::query("DELETE FROM grants WHERE project_id = $1").bind(id).execute(&mut *self.tx).await?;
        self.audit(Some(before.organization_id), "project.delete", format!("project:{id}"), Some(&before), None::<&()>)
            .await
    }
}
