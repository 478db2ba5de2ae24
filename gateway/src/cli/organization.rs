//! `guichet organization`.

use std::io::Write;

use clap::Subcommand;

use super::{Failure, Outcome, Source};
use crate::policy::limits::rule::Scope;
use crate::store::organizations::Organization;
use crate::store::overrides::Setting;
use crate::store::page::Reach;
use crate::store::{Actor, Database, Page};

#[derive(Subcommand)]
pub enum Command {
    /// Make an organization
    Create {
        /// Its name, such as "Ministère de la Culture"
        name: String,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give an organization a plan of the configuration. A running gateway takes it within a second
    Plan {
        /// Name or id of the organization
        organization: String,
        /// Name of the plan; absent: back to the default one
        plan: Option<String>,
        /// Share of a busy model among organizations that wait, over the plan's
        #[arg(long)]
        weight: Option<u32>,
        #[command(flatten)]
        source: Source,
    },
    /// List organizations
    List {
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The organization of a name or an id.
pub async fn find(database: &Database, said: &str) -> Result<Organization, Failure> {
    let by_name = database.organization_named(said).await?;
    let found = match (by_name, said.parse::<i64>()) {
        (Some(organization), _) => Some(organization),
        (None, Ok(id)) => database.organization(id).await?,
        (None, Err(_)) => None,
    };
    found.ok_or_else(|| Failure(format!("there is no organization {said:?}; `guichet organization list` shows them")))
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Create { name, source, json } => {
                let database = source.database().await?;
                let mut change = database.change(Actor::CLI).await?;
                let made = change.create_organization(name).await?;
                change.commit().await?;
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&made)?)?;
                } else {
                    writeln!(out, "Organization {} made: {}", made.id, made.name)?;
                }
            }
            Command::Plan { organization, plan, weight, source } => {
                let (config, _) = source.read()?;
                if let Some(name) = plan.as_ref().filter(|name| !config.plans.contains_key(*name)) {
                    let known: Vec<&str> = config.plans.keys().map(String::as_str).collect();
                    let known = known.join(", ");
                    return Err(Failure(format!("there is no plan {name:?}; the configuration has: {known}")));
                }
                let database = source.database().await?;
                let organization = find(&database, organization).await?;
                let mut change = database.change(Actor::CLI).await?;
                let scope = Scope::Organization(organization.id);
                let before = change.quota(organization.id).await?.setting(scope);
                let setting = Setting { plan: plan.clone(), weight: *weight, ..before };
                change.set_limits(organization.id, scope, &setting).await?;
                change.commit().await?;
                let default = config.limits.default_plan.as_deref().unwrap_or("none");
                writeln!(out, "{}: plan {}", organization.name, plan.as_deref().unwrap_or(default))?;
            }
            Command::List { source, json } => {
                let database = source.database().await?;
                let list = database.organizations(&Reach::Everything, &Page::ALL).await?.items;
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&list)?)?;
                } else {
                    for organization in list {
                        writeln!(out, "{:>5}  {}", organization.id, organization.name)?;
                    }
                }
            }
        }
        Ok(())
    }
}
