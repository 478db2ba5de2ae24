//! Which projects let their content be kept, and by which notice their end users were told.

use serde::Serialize;
use sqlx::Row;

use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, StoreError};

/// A project's consent. Where there is none, no content is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Consent {
    #[schema(example = 3)]
    pub project_id: i64,
    /// Version of the notice by which end users were told.
    #[schema(example = "2026-1")]
    pub notice: String,
    /// Unix seconds.
    #[schema(value_type = i64, example = 1_790_000_000)]
    pub given: Time,
    /// Member who said so; null from the command line.
    pub given_by: Option<i64>,
}

const COLUMNS: &str = "SELECT t.project_id, t.notice, t.given_at, t.given_by FROM consents t WHERE t.project_id = ";

fn query(project: i64) -> Sql {
    let mut sql = Sql::new(COLUMNS);
    sql.bind(project);
    sql
}

fn read(rows: &[sqlx::any::AnyRow]) -> Result<Option<Consent>, sqlx::Error> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Consent {
        project_id: row.try_get("project_id")?,
        notice: row.try_get("notice")?,
        given: Time(row.try_get("given_at")?),
        given_by: row.try_get("given_by")?,
    }))
}

impl Database {
    pub async fn consent(&self, project: i64) -> Result<Option<Consent>, StoreError> {
        Ok(read(&query(project).fetch(self.pool()).await?)?)
    }
}

impl Change {
    /// Lets content of a project be kept from now on, under a version of its notice.
    pub async fn give_consent(&mut self, project: i64, notice: &str) -> Result<Consent, StoreError> {
        let project = self.project(project).await?;
        let notice = super::organizations::tidy_name(notice).map_err(|_| {
            StoreError::invalid(
                "notice",
                "Dites en 1 à 200 caractères quelle version de la notice informe les usagers.",
                "Say in 1 to 200 characters which version of the notice tells end users.",
            )
        })?;
        let before = read(&query(project.id).fetch(&mut *self.tx).await?)?;
        let after = Consent { project_id: project.id, notice, given: Time(self.at), given_by: self.actor.member_id };
        sqlx::query(
            "INSERT INTO consents (project_id, notice, given_at, given_by) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (project_id) DO UPDATE SET notice = excluded.notice, given_at = excluded.given_at, \
             given_by = excluded.given_by",
        )
        .bind(project.id)
        .bind(after.notice.as_str())
        .bind(self.at)
        .bind(after.given_by)
        .execute(&mut *self.tx)
        .await?;
        let object = format!("project:{}", project.id);
        self.audit(Some(project.organization_id), "consent.give", object, before.as_ref(), Some(&after)).await?;
        Ok(after)
    }

    /// Takes the consent back: nothing more is kept, and the next retention takes away what was, a dataset's checked items
    /// apart.
    pub async fn withdraw_consent(&mut self, project: i64) -> Result<(), StoreError> {
        let project = self.project(project).await?;
        let before = read(&query(project.id).fetch(&mut *self.tx).await?)?.ok_or(StoreError::NotFound)?;
        sqlx::query("DELETE FROM consents WHERE project_id = $1").bind(project.id).execute(&mut *self.tx).await?;
        let object = format!("project:{}", project.id);
        self.audit(Some(project.organization_id), "consent.withdraw", object, Some(&before), None::<&()>).await
    }
}
