//! Collections: what is searched together, of one project, embedded by one model.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::organizations::tidy_name;
use super::page::Listed;
use super::projects::column;
use super::removals::Removed;
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, Page, StoreError};
use crate::config::DataClass;
use crate::policy::corpora::{Reading, Writing};

/// Who may read a collection beside its project.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Nobody.
    Private,
    /// All projects of its organization.
    Shared,
    /// All projects of the instance.
    Public,
}

impl Visibility {
    pub const fn as_str(self) -> &'static str {
        match self {
            Visibility::Private => "private",
            Visibility::Shared => "shared",
            Visibility::Public => "public",
        }
    }
}

impl FromStr for Visibility {
    type Err = String;
    fn from_str(text: &str) -> Result<Visibility, String> {
        [Visibility::Private, Visibility::Shared, Visibility::Public]
            .into_iter()
            .find(|one| one.as_str() == text)
            .ok_or_else(|| format!("unknown visibility {text:?}"))
    }
}

/// Language of the texts: how their words are analysed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tongue {
    #[default]
    Fr,
    En,
}

impl Tongue {
    pub const fn as_str(self) -> &'static str {
        match self {
            Tongue::Fr => "fr",
            Tongue::En => "en",
        }
    }
}

/// One collection.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Collection {
    #[schema(example = "collection")]
    pub object: &'static str,
    #[schema(example = 12)]
    pub id: i64,
    #[schema(example = "Fiches du service public")]
    pub name: String,
    pub description: Option<String>,
    pub visibility: Visibility,
    /// Class of what it holds, at least its project's: a search in it is of this class at least.
    pub data_class: DataClass,
    pub language: Tongue,
    /// Model of its vectors, and how many numbers each has.
    #[schema(example = "openweight-embeddings")]
    pub embedding_model: String,
    #[schema(example = 1024)]
    pub dimensions: i64,
    pub organization_id: i64,
    pub project_id: i64,
    /// Name of its project.
    #[schema(example = "Docs")]
    pub owner: String,
    pub documents: i64,
    pub chunks: i64,
    /// Terms of all its chunks.
    #[serde(skip)]
    pub terms: i64,
    /// Bytes of its files, and of chunks given without one.
    pub bytes: i64,
    /// Unix seconds.
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub created: Time,
    /// Unix seconds.
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub updated: Time,
}

/// What a collection is made of.
#[derive(Clone, Debug)]
pub struct NewCollection {
    pub project: i64,
    pub name: String,
    pub description: Option<String>,
    pub visibility: Visibility,
    /// Absent: its project's.
    pub data_class: Option<DataClass>,
    pub language: Tongue,
    pub embedding_model: String,
    pub dimensions: i64,
}

/// What to change in a collection; absent stays.
#[derive(Clone, Debug, Default)]
pub struct CollectionPatch {
    pub name: Option<String>,
    pub description: Option<String>,
    pub visibility: Option<Visibility>,
    pub data_class: Option<DataClass>,
    pub project: Option<i64>,
}

const COLUMNS: &str = "SELECT t.id, t.organization_id, t.project_id, p.name AS owner, t.name, t.description, \
     t.visibility, t.data_class, t.language, t.embedding_model, t.dimensions, t.documents, t.chunks, t.terms, t.bytes, \
     t.created_at, t.updated_at, COUNT(*) OVER () AS total \
     FROM collections t JOIN projects p ON p.id = t.project_id WHERE t.deleted_at IS NULL";

fn read(row: &AnyRow) -> Result<Collection, sqlx::Error> {
    let text = |name: &str| row.try_get::<&str, _>(name);
    Ok(Collection {
        object: "collection",
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        visibility: column("visibility", text("visibility")?.parse())?,
        data_class: column("data_class", text("data_class")?.parse())?,
        language: if text("language")? == "en" { Tongue::En } else { Tongue::Fr },
        embedding_model: row.try_get("embedding_model")?,
        dimensions: row.try_get("dimensions")?,
        organization_id: row.try_get("organization_id")?,
        project_id: row.try_get("project_id")?,
        owner: row.try_get("owner")?,
        documents: row.try_get("documents")?,
        chunks: row.try_get("chunks")?,
        terms: row.try_get("terms")?,
        bytes: row.try_get("bytes")?,
        created: Time(row.try_get("created_at")?),
        updated: Time(row.try_get("updated_at")?),
    })
}

/// A description: at most 2000 characters; an empty one is none.
fn tidy_description(text: Option<&str>) -> Result<Option<String>, StoreError> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    if text.is_some_and(|text| text.chars().count() > 2_000 || text.contains('\0')) {
        return Err(StoreError::invalid(
            "description",
            "La description a au plus 2000 caractères.",
            "The description has at most 2000 characters.",
        ));
    }
    Ok(text.map(str::to_owned))
}

fn below_project() -> StoreError {
    StoreError::invalid(
        "data_class",
        "La classe de données d’une collection ne peut être inférieure à celle de son projet.",
        "The data class of a collection cannot be lower than its project’s.",
    )
}

impl Database {
    /// Collections that someone may read.
    pub async fn collections(
        &self,
        reading: &Reading,
        visibility: Option<Visibility>,
        page: &Page,
    ) -> Result<Listed<Collection>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reading.narrow(&mut sql, "t");
        if let Some(visibility) = visibility {
            sql.push(" AND t.visibility = ").bind(visibility.as_str());
        }
        if let Some(name) = &page.name {
            sql.push(" AND t.name = ").bind(name.as_str());
        }
        page.close(&mut sql, "t.name");
        let rows = sql.fetch(self.pool()).await?;
        let total = rows.first().map_or(Ok(0), |row| row.try_get("total"))?;
        Ok(Listed { items: rows.iter().map(read).collect::<Result<_, _>>()?, total })
    }

    /// One collection, if it may be read.
    pub async fn collection(&self, reading: &Reading, id: i64) -> Result<Option<Collection>, StoreError> {
        Ok(self.collections_among(reading, &[id]).await?.pop())
    }

    /// Those of these collections that may be read, by id.
    pub async fn collections_among(&self, reading: &Reading, ids: &[i64]) -> Result<Vec<Collection>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        reading.narrow(&mut sql, "t");
        sql.push(" AND t.id IN ").bind_list(ids.iter().copied()).push(" ORDER BY t.id");
        let rows = sql.fetch(self.pool()).await?;
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }
}

impl Change {
    /// Makes a collection. [`StoreError::NotFound`] without such a project.
    pub async fn create_collection(&mut self, new: NewCollection) -> Result<Collection, StoreError> {
        let project = self.project(new.project).await?;
        let name = tidy_name(&new.name)?;
        let description = tidy_description(new.description.as_deref())?;
        let data_class = new.data_class.unwrap_or(project.data_class);
        if data_class < project.data_class {
            return Err(below_project());
        }
        let id = self.next_id("collection").await?;
        sqlx::query(
            "INSERT INTO collections (id, organization_id, project_id, name, description, visibility, data_class, \
             language, embedding_model, dimensions, documents, chunks, terms, bytes, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0, $11, $11)",
        )
        .bind(id)
        .bind(project.organization_id)
        .bind(project.id)
        .bind(name.as_str())
        .bind(description.clone())
        .bind(new.visibility.as_str())
        .bind(data_class.as_str())
        .bind(new.language.as_str())
        .bind(new.embedding_model.as_str())
        .bind(new.dimensions)
        .bind(self.at)
        .execute(&mut *self.tx)
        .await?;
        let made = Collection {
            object: "collection",
            id,
            name,
            description,
            visibility: new.visibility,
            data_class,
            language: new.language,
            embedding_model: new.embedding_model,
            dimensions: new.dimensions,
            organization_id: project.organization_id,
            project_id: project.id,
            owner: project.name,
            documents: 0,
            chunks: 0,
            terms: 0,
            bytes: 0,
            created: Time(self.at),
            updated: Time(self.at),
        };
        let organization = Some(made.organization_id);
        self.audit(organization, "collection.create", format!("collection:{id}"), None::<&()>, Some(&made)).await?;
        Ok(made)
    }

    /// Locks a collection that may be changed, until the end of the change.
    pub async fn hold_collection(&mut self, writing: &Writing, id: i64) -> Result<Option<Collection>, StoreError> {
        sqlx::query("UPDATE collections SET updated_at = updated_at WHERE id = $1")
            .bind(id)
            .execute(&mut *self.tx)
            .await?;
        let mut sql = Sql::new(COLUMNS);
        writing.narrow(&mut sql, "t");
        sql.push(" AND t.id = ").bind(id);
        Ok(sql.fetch(&mut *self.tx).await?.first().map(read).transpose()?)
    }

    /// What a collection would become. It only moves within its organization, and its class rises to that of the project
    /// it moves to.
    pub async fn revise_collection(
        &mut self,
        before: &Collection,
        patch: CollectionPatch,
    ) -> Result<Collection, StoreError> {
        let mut after = Collection { updated: Time(self.at), ..before.clone() };
        if let Some(name) = &patch.name {
            after.name = tidy_name(name)?;
        }
        if let Some(description) = &patch.description {
            after.description = tidy_description(Some(description))?;
        }
        after.visibility = patch.visibility.unwrap_or(before.visibility);
        if patch.project.is_some() || patch.data_class.is_some() {
            let project = self.project(patch.project.unwrap_or(before.project_id)).await?;
            if project.organization_id != before.organization_id {
                return Err(StoreError::NotFound);
            }
            after.data_class = patch.data_class.unwrap_or(before.data_class.max(project.data_class));
            if after.data_class < project.data_class {
                return Err(below_project());
            }
            (after.project_id, after.owner) = (project.id, project.name);
        }
        Ok(after)
    }

    /// Writes what a held collection becomes.
    pub async fn save_collection(&mut self, before: &Collection, after: &Collection) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE collections SET name = $1, description = $2, visibility = $3, data_class = $4, project_id = $5, \
             updated_at = $6 WHERE id = $7",
        )
        .bind(after.name.as_str())
        .bind(after.description.clone())
        .bind(after.visibility.as_str())
        .bind(after.data_class.as_str())
        .bind(after.project_id)
        .bind(self.at)
        .bind(after.id)
        .execute(&mut *self.tx)
        .await?;
        let action = match (before.visibility, after.visibility) {
            (Visibility::Private | Visibility::Shared, Visibility::Public) => "collection.publish",
            _ if before.project_id != after.project_id => "collection.move",
            _ => "collection.update",
        };
        let object = format!("collection:{}", after.id);
        self.audit(Some(after.organization_id), action, object, Some(before), Some(after)).await
    }

    /// Takes a collection away from everybody at once; what it holds follows ([`Database::purge_collection`]).
    /// [`StoreError::NotFound`] when there is none that may be changed.
    pub async fn delete_collection(&mut self, writing: &Writing, id: i64) -> Result<Collection, StoreError> {
        // The jobs first, as workers do: they hold their job and then the collection.
        let held: Option<i64> = sqlx::query_scalar(
            "SELECT MAX(lease_until) FROM ingestion_jobs WHERE owner IS NOT NULL AND document_id IN \
             (SELECT id FROM documents WHERE collection_id = $1)",
        )
        .bind(id)
        .fetch_one(&mut *self.tx)
        .await?;
        let mut sql = Sql::new(
            "DELETE FROM ingestion_jobs WHERE document_id IN (SELECT d.id FROM documents d \
             JOIN collections c ON c.id = d.collection_id WHERE c.id = ",
        );
        sql.bind(id);
        writing.narrow(&mut sql, "c");
        sql.push(")");
        sql.fetch(&mut *self.tx).await?;
        let before = self.hold_collection(writing, id).await?.ok_or(StoreError::NotFound)?;
        sqlx::query("UPDATE collections SET deleted_at = $1, updated_at = $1 WHERE id = $2")
            .bind(self.at)
            .bind(id)
            .execute(&mut *self.tx)
            .await?;
        self.remove_later(id, Removed::Collection, held).await?;
        let organization = Some(before.organization_id);
        self.audit(organization, "collection.delete", format!("collection:{id}"), Some(&before), None::<&()>).await?;
        Ok(before)
    }
}
