//! What the database says of limits: an organization's plan, a project's shares, and limits set one by one.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::projects::column;
use super::sql::Sql;
use super::{Change, Database, StoreError};
use crate::policy::key::KeyId;
use crate::policy::limits::rule::{Kind, LARGEST, Scope};

const WEEK: i64 = 7 * 86_400_000;

/// One limit of one holder, over the plan's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    pub scope: Scope,
    /// `*`, a group's name, or a model's id.
    pub models: String,
    pub kind: Kind,
    /// `None` lifts the plan's limit.
    pub value: Option<u64>,
}

/// What one project may count on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Share {
    /// Percent of each of the organization's limits that others may not eat.
    pub guaranteed: Option<u32>,
    /// Percent of each of the organization's limits that it may not pass.
    pub ceiling: Option<u32>,
    pub weight: Option<u32>,
}

/// All that is set for one organization and what is in it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Own {
    pub plan: Option<String>,
    pub weight: Option<u32>,
    pub projects: Vec<(i64, Share)>,
    pub overrides: Vec<Override>,
}

/// What is set for one holder, as a whole: what a change replaces and the audit trail shows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Setting {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guaranteed_percent: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling_percent: Option<u32>,
    pub limits: Vec<Line>,
}

/// One limit in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    pub models: String,
    /// `tokens/day`, `concurrent`.
    pub limit: Kind,
    /// Null: the plan's limit is lifted.
    pub value: Option<u64>,
}

impl Own {
    pub fn share(&self, project: i64) -> Share {
        self.projects.iter().find(|(id, _)| *id == project).map(|(_, share)| *share).unwrap_or_default()
    }

    pub fn overrides(&self, scope: Scope) -> impl Iterator<Item = &Override> {
        self.overrides.iter().filter(move |one| one.scope == scope)
    }

    /// What is set for one holder.
    pub fn setting(&self, scope: Scope) -> Setting {
        let limits = self
            .overrides(scope)
            .map(|one| Line { models: one.models.clone(), limit: one.kind, value: one.value })
            .collect();
        match scope {
            Scope::Organization(_) => {
                Setting { plan: self.plan.clone(), weight: self.weight, limits, ..Setting::default() }
            }
            Scope::Project(id) => {
                let share = self.share(id);
                Setting {
                    weight: share.weight,
                    guaranteed_percent: share.guaranteed,
                    ceiling_percent: share.ceiling,
                    limits,
                    ..Setting::default()
                }
            }
            Scope::Key(_) | Scope::Member(_) => Setting { limits, ..Setting::default() },
        }
    }
}

/// The number or public id of a holder.
fn holder(scope: Scope) -> String {
    match scope {
        Scope::Organization(id) | Scope::Project(id) | Scope::Member(id) => id.to_string(),
        Scope::Key(id) => id.to_string(),
    }
}

fn scope(word: &str, holder: &str) -> Result<Scope, String> {
    let number = || holder.parse::<i64>().map_err(|error| error.to_string());
    Ok(match word {
        "organization" => Scope::Organization(number()?),
        "project" => Scope::Project(number()?),
        "member" => Scope::Member(number()?),
        "key" => Scope::Key(KeyId::parse(holder).ok_or("not a key's id")?),
        _ => return Err(format!("unknown scope {word:?}")),
    })
}

fn small(row: &AnyRow, name: &'static str) -> Result<Option<u32>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(name)?.map(|number| column(name, u32::try_from(number))).transpose()
}

fn read_override(row: &AnyRow) -> Result<Override, sqlx::Error> {
    let value = row.try_get::<Option<i64>, _>("value")?;
    Ok(Override {
        scope: column("scope", scope(row.try_get("scope")?, row.try_get("holder")?))?,
        models: row.try_get("models")?,
        kind: column("kind", Kind::parse(row.try_get("kind")?).ok_or("not a limit"))?,
        value: value.map(|value| column("value", u64::try_from(value))).transpose()?,
    })
}

const ORGANIZATIONS: &str = "SELECT t.organization_id, t.plan, t.weight FROM organization_quotas t";
const PROJECTS: &str = "SELECT t.organization_id, t.project_id, t.guaranteed, t.ceiling, t.weight FROM project_quotas t \
     JOIN projects p ON p.id = t.project_id WHERE p.archived_at IS NULL";
const OVERRIDES: &str = "SELECT t.organization_id, t.scope, t.holder, t.models, t.kind, t.value FROM limit_overrides t";
const ORDER: &str = " ORDER BY t.scope, t.holder, t.models, t.kind";

type Rows = [Vec<AnyRow>; 3];

fn gather(rows: Rows) -> Result<HashMap<i64, Own>, sqlx::Error> {
    let [organizations, projects, overrides] = rows;
    let mut all: HashMap<i64, Own> = HashMap::new();
    for row in &organizations {
        let own = all.entry(row.try_get("organization_id")?).or_default();
        (own.plan, own.weight) = (row.try_get("plan")?, small(row, "weight")?);
    }
    for row in &projects {
        let share = Share {
            guaranteed: small(row, "guaranteed")?,
            ceiling: small(row, "ceiling")?,
            weight: small(row, "weight")?,
        };
        let own = all.entry(row.try_get("organization_id")?).or_default();
        own.projects.push((row.try_get("project_id")?, share));
    }
    for row in &overrides {
        all.entry(row.try_get("organization_id")?).or_default().overrides.push(read_override(row)?);
    }
    Ok(all)
}

impl Database {
    /// Version of what the database says of limits.
    pub async fn limits_version(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT version FROM limits_version WHERE id = 1").fetch_one(self.pool()).await?)
    }

    /// What is set, for each organization that something is set for.
    pub async fn quotas(&self) -> Result<HashMap<i64, Own>, StoreError> {
        let mut overrides = Sql::new(OVERRIDES);
        overrides.push(ORDER);
        let rows = [
            Sql::new(ORGANIZATIONS).fetch(self.pool()).await?,
            Sql::new(PROJECTS).fetch(self.pool()).await?,
            overrides.fetch(self.pool()).await?,
        ];
        Ok(gather(rows)?)
    }

    /// What is set for one organization and what is in it.
    pub async fn quota(&self, organization: i64) -> Result<Own, StoreError> {
        let [organizations, projects, overrides] = of_one(organization);
        let rows = [
            organizations.fetch(self.pool()).await?,
            projects.fetch(self.pool()).await?,
            overrides.fetch(self.pool()).await?,
        ];
        Ok(gather(rows)?.remove(&organization).unwrap_or_default())
    }

    /// Notes that a warning goes out. False when it already did, here or on another replica.
    pub async fn first_warning(&self, counter: &str, window_end: i64, level: i64) -> Result<bool, StoreError> {
        let query = sqlx::query(
            "INSERT INTO limit_warnings (counter, window_end, level, told_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (counter, window_end, level) DO NOTHING",
        );
        let done = query.bind(counter).bind(window_end).bind(level).bind(super::now()).execute(self.writer()).await?;
        // Windows long past warn no more; a week outlives any correction of a clock.
        let old = sqlx::query("DELETE FROM limit_warnings WHERE counter = $1 AND window_end < $2");
        if let Err(error) = old.bind(counter).bind(super::now() - WEEK).execute(self.writer()).await {
            tracing::debug!(%error, "old warnings stay until the next one");
        }
        Ok(done.rows_affected() > 0)
    }
}

fn of_one(organization: i64) -> [Sql; 3] {
    let mut organizations = Sql::new(ORGANIZATIONS);
    organizations.push(" WHERE t.organization_id = ").bind(organization);
    let mut projects = Sql::new(PROJECTS);
    projects.push(" AND t.organization_id = ").bind(organization);
    let mut overrides = Sql::new(OVERRIDES);
    overrides.push(" WHERE t.organization_id = ").bind(organization).push(ORDER);
    [organizations, projects, overrides]
}

impl Change {
    /// What is set for an organization, as this change sees it.
    pub async fn quota(&mut self, organization: i64) -> Result<Own, StoreError> {
        let [organizations, projects, overrides] = of_one(organization);
        let rows = [
            organizations.fetch(&mut *self.tx).await?,
            projects.fetch(&mut *self.tx).await?,
            overrides.fetch(&mut *self.tx).await?,
        ];
        Ok(gather(rows)?.remove(&organization).unwrap_or_default())
    }

    /// Replaces what is set for one holder of an organization. Whether it fits its organization's own limits is for
    /// [`crate::policy::limits::plan`] to say.
    pub async fn set_limits(
        &mut self,
        organization: i64,
        scope: Scope,
        setting: &Setting,
    ) -> Result<Setting, StoreError> {
        self.organization(organization).await?;
        let own = self.quota(organization).await?;
        let before = own.setting(scope);
        check(&own, scope, setting)?;
        sqlx::query("DELETE FROM limit_overrides WHERE scope = $1 AND holder = $2")
            .bind(scope.word())
            .bind(holder(scope))
            .execute(&mut *self.tx)
            .await?;
        for line in &setting.limits {
            sqlx::query(
                "INSERT INTO limit_overrides (scope, holder, organization_id, models, kind, value) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(scope.word())
            .bind(holder(scope))
            .bind(organization)
            .bind(line.models.as_str())
            .bind(line.limit.to_string())
            .bind(line.value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
            .execute(&mut *self.tx)
            .await?;
        }
        match scope {
            Scope::Organization(id) => {
                sqlx::query(
                    "INSERT INTO organization_quotas (organization_id, plan, weight) VALUES ($1, $2, $3) \
                     ON CONFLICT (organization_id) DO UPDATE SET plan = excluded.plan, weight = excluded.weight",
                )
                .bind(id)
                .bind(setting.plan.as_deref())
                .bind(setting.weight.map(i64::from))
                .execute(&mut *self.tx)
                .await?;
            }
            Scope::Project(id) => {
                sqlx::query(
                    "INSERT INTO project_quotas (project_id, organization_id, guaranteed, ceiling, weight) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (project_id) DO UPDATE SET \
                     guaranteed = excluded.guaranteed, ceiling = excluded.ceiling, weight = excluded.weight",
                )
                .bind(id)
                .bind(organization)
                .bind(setting.guaranteed_percent.map(i64::from))
                .bind(setting.ceiling_percent.map(i64::from))
                .bind(setting.weight.map(i64::from))
                .execute(&mut *self.tx)
                .await?;
            }
            Scope::Key(_) | Scope::Member(_) => {}
        }
        sqlx::query("UPDATE limits_version SET version = version + 1 WHERE id = 1").execute(&mut *self.tx).await?;
        let after = self.quota(organization).await?.setting(scope);
        self.audit(Some(organization), "limits.update", scope.to_string(), Some(&before), Some(&after)).await?;
        Ok(after)
    }
}

/// What makes no sense whatever the plans are.
fn check(own: &Own, scope: Scope, setting: &Setting) -> Result<(), StoreError> {
    let mut seen = std::collections::HashSet::new();
    for line in &setting.limits {
        if !seen.insert((line.models.as_str(), line.limit)) {
            return Err(StoreError::invalid(
                "limits",
                "La même limite est écrite deux fois pour les mêmes modèles.",
                "The same limit is written twice for the same models.",
            ));
        }
        if line.value.is_some_and(|value| !(1..=LARGEST).contains(&value)) {
            return Err(StoreError::invalid(
                "limits",
                "Une limite va de 1 à 1 000 000 000 000 000.",
                "A limit goes from 1 to 1,000,000,000,000,000.",
            ));
        }
    }
    if setting.weight.is_some_and(|weight| !(1..=1_000).contains(&weight)) {
        return Err(StoreError::invalid("weight", "Un poids va de 1 à 1000.", "A weight goes from 1 to 1000."));
    }
    let Scope::Project(id) = scope else { return Ok(()) };
    let percent = |param: &'static str, share: Option<u32>| match share {
        Some(share) if !(1..=100).contains(&share) => Err(StoreError::invalid(
            param,
            "Une part va de 1 à 100 % du quota de l’administration.",
            "A share goes from 1 to 100 % of the organization’s quota.",
        )),
        _ => Ok(()),
    };
    percent("guaranteed_percent", setting.guaranteed_percent)?;
    percent("ceiling_percent", setting.ceiling_percent)?;
    if let (Some(guaranteed), Some(ceiling)) = (setting.guaranteed_percent, setting.ceiling_percent)
        && guaranteed > ceiling
    {
        return Err(StoreError::invalid(
            "guaranteed_percent",
            "La part garantie dépasse le plafond du projet.",
            "The guaranteed share is above the project’s ceiling.",
        ));
    }
    let others: u32 = own.projects.iter().filter(|(other, _)| *other != id).filter_map(|(_, s)| s.guaranteed).sum();
    if setting.guaranteed_percent.unwrap_or(0) + others > 100 {
        return Err(StoreError::invalid(
            "guaranteed_percent",
            "Les parts garanties des projets dépassent ensemble le quota de l’administration.",
            "The projects’ guaranteed shares together exceed the organization’s quota.",
        ));
    }
    Ok(())
}
