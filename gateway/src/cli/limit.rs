//! `guichet limit`.

use std::io::Write;

use clap::{Args, Subcommand};

use super::{Failure, Outcome, Source, member, organization, project};
use crate::config::Config;
use crate::config::limits::ALL_MODELS;
use crate::policy::key::KeyId;
use crate::policy::limits::plan::{Book, Payer};
use crate::policy::limits::rule::{Kind, Scope, parse_amount};
use crate::store::overrides::{Line, Own, Setting};
use crate::store::{Actor, Database};

/// Whose limits.
#[derive(Args, Clone, Debug)]
pub struct Holder {
    /// Name or id of the organization
    #[arg(long)]
    organization: String,
    /// Name or id of a project of it
    #[arg(long, conflicts_with_all = ["key", "member"])]
    project: Option<String>,
    /// A key of it, by its public part or its number
    #[arg(long, conflicts_with = "member")]
    key: Option<String>,
    /// Address of a member of it
    #[arg(long)]
    member: Option<String>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show the limits of an organization, a project, a key or a member
    Show {
        #[command(flatten)]
        holder: Holder,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set one limit over the plan's. A running gateway takes it within a second
    Set {
        /// requests, tokens, input_tokens or output_tokens over /minute, /day or /month; or concurrent
        limit: String,
        /// A quantity such as 600, 200k or 5M; `none` lifts the plan's limit
        // What looks like an option is a wrong quantity, and gets the words for that.
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Id of a model or name of a group. Default: all models together
        #[arg(long, default_value = ALL_MODELS)]
        models: String,
        #[command(flatten)]
        holder: Holder,
        #[command(flatten)]
        source: Source,
    },
    /// Take back what was set, so that the plan's limit applies
    Unset {
        /// As for `set`. Absent: all limits that were set
        limit: Option<String>,
        /// Id of a model or name of a group
        #[arg(long, default_value = ALL_MODELS)]
        models: String,
        #[command(flatten)]
        holder: Holder,
        #[command(flatten)]
        source: Source,
    },
    /// Set what a project is guaranteed of its organization's quota, and what it may not pass, in percent
    Share {
        /// Percent that others may not eat
        #[arg(long, value_name = "PERCENT")]
        guaranteed: Option<u32>,
        /// Percent that it may not pass
        #[arg(long, value_name = "PERCENT")]
        ceiling: Option<u32>,
        /// Share of its organization's place in line
        #[arg(long)]
        weight: Option<u32>,
        /// Name or id of the organization
        #[arg(long)]
        organization: String,
        /// Name or id of the project
        #[arg(long)]
        project: String,
        #[command(flatten)]
        source: Source,
    },
}

struct Found {
    organization: i64,
    project: i64,
    scope: Scope,
}

impl Holder {
    async fn find(&self, database: &Database) -> Result<Found, Failure> {
        let organization = organization::find(database, &self.organization).await?.id;
        let absent = |what: &str| Failure(format!("this organization has no {what}"));
        if let Some(said) = &self.project {
            let project = project::find(database, &self.organization, said).await?.id;
            return Ok(Found { organization, project, scope: Scope::Project(project) });
        }
        if let Some(said) = &self.key {
            let key = database.key(said).await?.filter(|key| key.organization_id == Some(organization));
            let key = key.ok_or_else(|| absent(&format!("key {said:?}")))?;
            let (Some(project), Some(id)) = (key.project_id, KeyId::parse(&key.key_id)) else {
                return Err(Failure("a member's key calls no model and has no limit".to_owned()));
            };
            return Ok(Found { organization, project, scope: Scope::Key(id) });
        }
        if let Some(said) = &self.member {
            let member = member::find(database, said).await?;
            if member.organization_id != Some(organization) {
                return Err(absent(&format!("member {said:?}")));
            }
            return Ok(Found { organization, project: 0, scope: Scope::Member(member.id) });
        }
        Ok(Found { organization, project: 0, scope: Scope::Organization(organization) })
    }
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Show { holder, source, json } => show(holder, source, *json, out).await,
            Command::Set { limit, value, models, holder, source } => {
                let kind = kind(limit)?;
                let value = match value.as_str() {
                    "none" => None,
                    text => Some(parse_amount(text).map_err(|wrong| Failure(format!("{text:?} {wrong}")))?),
                };
                let (config, _) = source.read()?;
                let known = models == ALL_MODELS
                    || config.model_groups.contains_key(models)
                    || config.models.iter().any(|model| model.id == *models);
                if !known {
                    return Err(Failure(format!("there is no model or group {models:?} in the configuration")));
                }
                change(holder, source, &config, out, |setting| {
                    setting.limits.retain(|line| !(line.models == *models && line.limit == kind));
                    setting.limits.push(Line { models: models.clone(), limit: kind, value });
                })
                .await
            }
            Command::Unset { limit, models, holder, source } => {
                let kind = limit.as_deref().map(kind).transpose()?;
                let (config, _) = source.read()?;
                change(holder, source, &config, out, |setting| match kind {
                    Some(kind) => setting.limits.retain(|line| !(line.models == *models && line.limit == kind)),
                    None => setting.limits.clear(),
                })
                .await
            }
            Command::Share { guaranteed, ceiling, weight, organization, project, source } => {
                let (config, _) = source.read()?;
                let holder = Holder {
                    organization: organization.clone(),
                    project: Some(project.clone()),
                    key: None,
                    member: None,
                };
                change(&holder, source, &config, out, |setting| {
                    setting.guaranteed_percent = *guaranteed;
                    setting.ceiling_percent = *ceiling;
                    setting.weight = *weight;
                })
                .await
            }
        }
    }
}

fn kind(text: &str) -> Result<Kind, Failure> {
    Kind::parse(text).ok_or_else(|| {
        Failure(format!("{text:?} is not a limit; write for instance requests/minute, tokens/day or concurrent"))
    })
}

/// Changes what is set for one holder, in the audit trail as any other change.
async fn change(
    holder: &Holder,
    source: &Source,
    config: &Config,
    out: &mut impl Write,
    edit: impl FnOnce(&mut Setting),
) -> Outcome {
    let database = source.database().await?;
    let found = holder.find(&database).await?;
    let mut change = database.change(Actor::CLI).await?;
    let own = change.quota(found.organization).await?;
    let mut setting = own.setting(found.scope);
    edit(&mut setting);
    let book = Book::new(config, [(found.organization, own.clone())].into());
    if let Some(above) = book.above_organization(&own, found.scope, found.organization, &setting) {
        let (kind, value, most) = (above.kind, above.value, above.most);
        return Err(Failure(format!("{kind}: {value} is above the organization's own limit, {most}")));
    }
    let after = change.set_limits(found.organization, found.scope, &setting).await?;
    change.commit().await?;
    writeln!(out, "{}: {}", found.scope, serde_json::to_string(&after)?)?;
    Ok(())
}

async fn show(holder: &Holder, source: &Source, json: bool, out: &mut impl Write) -> Outcome {
    let (config, _) = source.read()?;
    let database = source.database().await?;
    let found = holder.find(&database).await?;
    let own: Own = database.quota(found.organization).await?;
    let setting = own.setting(found.scope);
    let book = Book::new(&config, [(found.organization, own)].into());
    let payer = Payer {
        organization: found.organization,
        project: found.project,
        key: if let Scope::Key(id) = found.scope { Some(id) } else { None },
        member: if let Scope::Member(id) = found.scope { Some(id) } else { None },
    };
    let plan = book.plan(book.own(found.organization)).map(|plan| plan.name.clone());
    let chain = book.chain(&payer, None);
    let limits = chain.limits.iter().filter(|limit| limit.id.scope == found.scope);
    if json {
        let limits: Vec<_> = limits
            .map(|limit| serde_json::json!({"models": &*limit.id.models, "limit": limit.id.kind, "max": limit.max}))
            .collect();
        let page =
            serde_json::json!({"scope": found.scope.to_string(), "plan": plan, "limits": limits, "set": setting});
        writeln!(out, "{page}")?;
        return Ok(());
    }
    writeln!(out, "{}  (plan: {})", found.scope, plan.as_deref().unwrap_or("none"))?;
    for limit in limits {
        writeln!(out, "{:>16}  {:<22} {}", limit.max, limit.id.kind.to_string(), limit.id.models)?;
    }
    Ok(())
}
