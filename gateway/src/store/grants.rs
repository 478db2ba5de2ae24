//! Grants: which member holds which role where.

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::members::Member;
use super::projects::column;
use super::sql::Sql;
use super::{Change, Database, StoreError};
use crate::policy::role::{Held, Role, Scope};

/// A role held somewhere, as shown.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Grant {
    #[schema(example = 9)]
    pub id: i64,
    pub role: Role,
    /// Null for a role held on the instance.
    pub organization_id: Option<i64>,
    /// Set for a role held on one project.
    pub project_id: Option<i64>,
}

impl Grant {
    /// The same as policy reads it; `None` for a role that means nothing where it is, which then opens nothing.
    pub fn held(&self) -> Option<Held> {
        let scope = match (self.organization_id, self.project_id) {
            (None, None) => Scope::Instance,
            (Some(organization), None) => Scope::Organization(organization),
            (Some(organization), Some(project)) => Scope::Project { organization, project },
            (None, Some(_)) => return None,
        };
        self.role.fits(scope).then_some(Held { role: self.role, scope })
    }
}

const COLUMNS: &str =
    "SELECT t.member_id, t.id, t.role, t.organization_id, t.project_id FROM grants t WHERE t.member_id IN ";

fn read(row: &AnyRow) -> Result<(i64, Grant), sqlx::Error> {
    let grant = Grant {
        id: row.try_get("id")?,
        role: column("role", row.try_get::<&str, _>("role")?.parse())?,
        organization_id: row.try_get("organization_id")?,
        project_id: row.try_get("project_id")?,
    };
    Ok((row.try_get("member_id")?, grant))
}

impl Database {
    /// The grants of these members, with whose each is.
    pub async fn grants_of(&self, members: &[i64]) -> Result<Vec<(i64, Grant)>, StoreError> {
        let mut grants = Vec::new();
        for chunk in members.chunks(500) {
            let mut sql = Sql::new(COLUMNS);
            sql.bind_list(chunk.iter().copied()).push(" ORDER BY t.id");
            for row in &sql.fetch(self.pool()).await? {
                grants.push(read(row)?);
            }
        }
        Ok(grants)
    }
}

impl Change {
    pub(super) async fn grants_of(&mut self, member: i64) -> Result<Vec<Grant>, StoreError> {
        let mut sql = Sql::new(COLUMNS);
        sql.bind_list([member]).push(" ORDER BY t.id");
        let rows = sql.fetch(&mut *self.tx).await?;
        Ok(rows.iter().map(|row| read(row).map(|(_, grant)| grant)).collect::<Result<_, _>>()?)
    }

    /// Gives a role. `project` alone is enough for a builder; its organization is looked up.
    ///
    /// A member of one organization holds roles in it only; roles on the instance go to members of the instance.
    pub async fn grant(
        &mut self,
        member: i64,
        role: Role,
        organization: Option<i64>,
        project: Option<i64>,
    ) -> Result<Grant, StoreError> {
        let member: Member = self.member(member).await?;
        let scope = match (organization, project) {
            (None, None) => Scope::Instance,
            (Some(id), None) => Scope::Organization(self.organization(id).await?.id),
            (organization, Some(id)) => {
                let project = self.project(id).await?;
                if organization.is_some_and(|id| id != project.organization_id) {
                    return Err(StoreError::NotFound);
                }
                Scope::Project { organization: project.organization_id, project: id }
            }
        };
        if !role.fits(scope) {
            return Err(StoreError::invalid(
                "role",
                "Ce rôle ne se donne pas là : « admin » sur l’instance, « manager » sur une administration, « builder » sur \
                 un projet, « evaluator » et « auditor » sur l’instance ou une administration.",
                "This role is not given there: admin on the instance, manager on an organization, builder on a project, \
                 evaluator and auditor on the instance or an organization.",
            ));
        }
        if member.organization_id.is_some() && member.organization_id != scope.organization() {
            return Err(StoreError::invalid(
                "member_id",
                "Un membre d’une administration n’a de rôle que dans celle-ci.",
                "A member of an organization holds roles in it only.",
            ));
        }
        let id = self.next_id("grant").await?;
        sqlx::query(
            "INSERT INTO grants (id, member_id, role, organization_id, project_id, scope, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(member.id)
        .bind(role.as_str())
        .bind(scope.organization())
        .bind(scope.project())
        .bind(scope.to_string())
        .bind(self.at)
        .execute(&mut *self.tx)
        .await
        .map_err(|error| {
            StoreError::from(error).or_conflict("Ce membre a déjà ce rôle.", "This member already holds this role.")
        })?;
        let grant = Grant { id, role, organization_id: scope.organization(), project_id: scope.project() };
        let object = format!("member:{}", member.id);
        self.audit(scope.organization().or(member.organization_id), "grant.create", object, None::<&()>, Some(&grant))
            .await?;
        Ok(grant)
    }

    /// Takes a role back.
    pub async fn revoke_grant(&mut self, member: i64, grant: i64) -> Result<(), StoreError> {
        let member = self.member(member).await?;
        let grant = member.grants.iter().find(|held| held.id == grant).ok_or(StoreError::NotFound)?;
        sqlx::query("DELETE FROM grants WHERE id = $1").bind(grant.id).execute(&mut *self.tx).await?;
        if grant.role == Role::Admin {
            self.keep_an_admin().await?;
        }
        let object = format!("member:{}", member.id);
        self.audit(grant.organization_id.or(member.organization_id), "grant.delete", object, Some(grant), None::<&()>)
            .await
    }

    /// Refuses the change when it leaves nobody to administer the instance.
    pub(super) async fn keep_an_admin(&mut self) -> Result<(), StoreError> {
        let left: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM grants g JOIN members m ON m.id = g.member_id \
             WHERE g.role = 'admin' AND g.scope = 'instance' AND m.disabled_at IS NULL",
        )
        .fetch_one(&mut *self.tx)
        .await?;
        if left > 0 {
            return Ok(());
        }
        Err(StoreError::conflict(
            "Il doit rester au moins un administrateur de l’instance.",
            "At least one administrator of the instance must remain.",
        ))
    }
}
