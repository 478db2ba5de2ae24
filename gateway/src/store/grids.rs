//! Evaluation grids as files. One that was used never changes.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::page::Reach;
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, StoreError};

/// A grid that is stored.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StoredGrid {
    #[serde(skip)]
    pub number: i64,
    /// `id@version`, as the file says them.
    #[schema(example = "guichet@1")]
    pub id: String,
    /// Null: every organization may use it.
    pub organization_id: Option<i64>,
    /// SHA-256 of the canonical document.
    pub hash: String,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub made: Time,
    /// Member who stored it; null from the command line.
    pub made_by: Option<i64>,
    /// When it was first used, Unix seconds: from then on it never changes. Null before.
    #[schema(value_type = Option<i64>)]
    pub used: Option<Time>,
    /// The file; only when one grid is asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub document: String,
}

/// The name by which a grid is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridName {
    pub name: String,
    pub version: String,
}

impl GridName {
    /// Reads `id@version`.
    pub fn parse(text: &str) -> Option<GridName> {
        let (name, version) = text.split_once('@')?;
        (!name.is_empty() && !version.is_empty())
            .then(|| GridName { name: name.to_owned(), version: version.to_owned() })
    }

    /// Whether it can stand in an address as it is.
    pub fn is_plain(&self) -> bool {
        let plain = |text: &str| {
            text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        plain(&self.name) && plain(&self.version)
    }
}

impl std::fmt::Display for GridName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

const COLUMNS: &str = "SELECT t.id, t.organization_id, t.name, t.version, t.hash, t.document, t.made_at, t.made_by, \
     t.used_at FROM eval_grids t WHERE 1 = 1";

fn read(row: &AnyRow) -> Result<StoredGrid, sqlx::Error> {
    let (name, version): (String, String) = (row.try_get("name")?, row.try_get("version")?);
    Ok(StoredGrid {
        number: row.try_get("id")?,
        id: format!("{name}@{version}"),
        organization_id: row.try_get("organization_id")?,
        hash: row.try_get("hash")?,
        made: Time(row.try_get("made_at")?),
        made_by: row.try_get("made_by")?,
        used: row.try_get::<Option<i64>, _>("used_at")?.map(Time),
        document: row.try_get("document")?,
    })
}

/// Grids of these organizations, and those that are everybody's.
fn narrow(reach: &Reach, sql: &mut Sql) {
    let Reach::Only { organizations, .. } = reach else { return };
    sql.push(" AND (t.organization_id IS NULL OR t.organization_id IN ").bind_list(organizations.iter().copied());
    sql.push(")");
}

fn named(sql: &mut Sql, wanted: &GridName) {
    sql.push(" AND t.name = ").bind(wanted.name.clone()).push(" AND t.version = ").bind(wanted.version.clone());
}

impl Database {
    /// Grids that may be read, newest first.
    pub async fn grids(&self, reach: &Reach, limit: i64, offset: i64) -> Result<Vec<StoredGrid>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        narrow(reach, &mut sql);
        sql.push(" ORDER BY t.id DESC LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Grids of a name that may be read: one at most of each organization, and one of everybody's, first.
    pub async fn grids_named(&self, reach: &Reach, wanted: &GridName) -> Result<Vec<StoredGrid>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        narrow(reach, &mut sql);
        named(&mut sql, wanted);
        sql.push(" ORDER BY COALESCE(t.organization_id, 0)");
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// One grid by its number.
    pub async fn grid(&self, number: i64) -> Result<Option<StoredGrid>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.push(" AND t.id = ").bind(number);
        Ok(sql.fetch(self.pool()).await?.first().map(read).transpose()?)
    }
}

const USED: (&str, &str) = (
    "Cette grille a déjà servi : elle ne change plus. Donnez à la nouvelle une autre version.",
    "This grid was already used: it no longer changes. Give the new one another version.",
);

impl Change {
    /// Stores a grid that was checked, under the id and version it says. The same again changes nothing; another of that
    /// name replaces it until it is used. Also tells whether anything was stored.
    pub async fn store_grid(
        &mut self,
        organization: Option<i64>,
        wanted: &GridName,
        hash: &str,
        document: &str,
    ) -> Result<(StoredGrid, bool), StoreError> {
        // The number is taken first: its row is the lock of whoever stores grids.
        let number = self.next_id("grid").await?;
        let mut sql = Sql::new(COLUMNS);
        named(&mut sql, wanted);
        sql.push(" AND COALESCE(t.organization_id, 0) = ").bind(organization.unwrap_or(0));
        let before = sql.fetch(&mut *self.tx).await?.first().map(read).transpose()?;
        if let Some(before) = &before {
            if before.hash == hash {
                return Ok((before.clone(), false));
            }
            if before.used.is_some() {
                return Err(StoreError::conflict(USED.0, USED.1));
            }
            sqlx::query("DELETE FROM eval_grids WHERE id = $1").bind(before.number).execute(&mut *self.tx).await?;
        }
        let after = StoredGrid {
            number,
            id: wanted.to_string(),
            organization_id: organization,
            hash: hash.to_owned(),
            made: Time(self.at),
            made_by: self.actor.member_id,
            used: None,
            document: document.to_owned(),
        };
        sqlx::query(
            "INSERT INTO eval_grids (id, organization_id, name, version, hash, document, made_at, made_by) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(number)
        .bind(organization)
        .bind(wanted.name.as_str())
        .bind(wanted.version.as_str())
        .bind(after.hash.as_str())
        .bind(document)
        .bind(self.at)
        .bind(after.made_by)
        .execute(&mut *self.tx)
        .await?;
        let noted = |grid: &StoredGrid| StoredGrid { document: String::new(), ..grid.clone() };
        let (before, object) = (before.as_ref().map(noted), format!("grid:{}", after.id));
        self.audit(organization, "grid.store", object, before.as_ref(), Some(&noted(&after))).await?;
        Ok((after, true))
    }

    /// Notes that a grid is used: from now on it never changes.
    pub async fn use_grid(&mut self, number: i64) -> Result<(), StoreError> {
        let query = sqlx::query("UPDATE eval_grids SET used_at = COALESCE(used_at, $1) WHERE id = $2");
        if query.bind(self.at).bind(number).execute(&mut *self.tx).await?.rows_affected() == 0 {
            // Replaced since it was read.
            return Err(StoreError::conflict(
                "Cette grille vient d’être remplacée ; recommencez.",
                "This grid has just been replaced; try again.",
            ));
        }
        Ok(())
    }
}
