//! `guichet member`.

use std::io::Write;

use clap::Subcommand;

use super::{Failure, Outcome, Source, organization, project};
use crate::policy::role::Role;
use crate::store::members::Member;
use crate::store::page::Reach;
use crate::store::{Actor, Database, Page};

#[derive(Subcommand)]
pub enum Command {
    /// Make a member, and give them a role
    Create {
        /// The person's email address
        email: String,
        /// The person's name
        #[arg(long)]
        name: String,
        /// admin (instance), manager (organization), builder (project), evaluator or auditor
        #[arg(long)]
        role: Option<Role>,
        /// Name or id of the organization. Absent: a member of the instance
        #[arg(long)]
        organization: Option<String>,
        /// Name or id of the project, for a builder
        #[arg(long, requires = "organization")]
        project: Option<String>,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List members and their roles
    List {
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The member of an address.
pub async fn find(database: &Database, email: &str) -> Result<Member, Failure> {
    let found = database.member_addressed(email).await?;
    found.ok_or_else(|| Failure(format!("there is no member {email:?}; `guichet member list` shows them")))
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Create { email, name, role, organization, project, source, json } => {
                let database = source.database().await?;
                let organization_id = match organization {
                    Some(said) => Some(organization::find(&database, said).await?.id),
                    None => None,
                };
                let project_id = match (organization, project) {
                    (Some(organization), Some(said)) => Some(project::find(&database, organization, said).await?.id),
                    _ => None,
                };
                let mut change = database.change(Actor::CLI).await?;
                let made = change.create_member(email, name, organization_id).await?;
                if let Some(role) = role {
                    let on = if project_id.is_some() { None } else { organization_id };
                    change.grant(made.id, *role, on, project_id).await?;
                }
                change.commit().await?;
                let made = find(&database, &made.email).await?;
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&made)?)?;
                } else {
                    writeln!(
                        out,
                        "Member {} made: {}. Their key: guichet key create --member {}",
                        made.id, made.email, made.email
                    )?;
                }
            }
            Command::List { source, json } => {
                let database = source.database().await?;
                let list = database.members(&Reach::Everything, None, &Page::ALL).await?.items;
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&list)?)?;
                    return Ok(());
                }
                for member in list {
                    let roles: Vec<String> = member
                        .grants
                        .iter()
                        .map(|grant| match grant.held() {
                            Some(held) => format!("{} on {}", held.role, held.scope),
                            None => grant.role.to_string(),
                        })
                        .collect();
                    let of = member.organization.as_deref().unwrap_or("instance");
                    let state = if member.disabled_at.is_some() { " (disabled)" } else { "" };
                    writeln!(
                        out,
                        "{:>5}  {} <{}> of {of}: {}{state}",
                        member.id,
                        member.name,
                        member.email,
                        roles.join(", ")
                    )?;
                }
            }
        }
        Ok(())
    }
}
