//! `guichet project`.

use std::io::Write;

use clap::Subcommand;

use super::{Failure, Outcome, Source, organization};
use crate::config::DataClass;
use crate::prompts::Cleaning;
use crate::store::page::Reach;
use crate::store::people::Month;
use crate::store::projects::Project;
use crate::store::{Actor, Database, Page};

#[derive(Subcommand)]
pub enum Command {
    /// Make a project of an organization
    Create {
        /// Its name, such as "Docs"
        name: String,
        /// Name or id of its organization
        #[arg(long)]
        organization: String,
        /// How confidential what it sends is: public, internal or sensitive
        #[arg(long, default_value = "sensitive")]
        data_class: DataClass,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Import the monthly active users that a product counts itself
    ActiveUsers {
        /// Name or id of the project
        project: String,
        /// How many
        users: i64,
        /// Name or id of its organization
        #[arg(long)]
        organization: String,
        /// 2026-11
        #[arg(long)]
        month: String,
        /// Who says so, and how they counted
        #[arg(long = "from", value_name = "SOURCE")]
        said_by: String,
        #[command(flatten)]
        source: Source,
    },
    /// Let a project's content be kept for evaluation, redacted; show or take back that consent
    Consent {
        /// Name or id of the project
        project: String,
        /// Name or id of its organization
        #[arg(long)]
        organization: String,
        /// Version of the notice that tells end users
        #[arg(long, conflicts_with = "withdraw")]
        notice: Option<String>,
        /// Take it back: nothing more is kept, and what was goes
        #[arg(long)]
        withdraw: bool,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List projects
    List {
        /// Only those of this organization
        #[arg(long)]
        organization: Option<String>,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The project of a name or an id in an organization.
pub async fn find(database: &Database, organization: &str, said: &str) -> Result<Project, Failure> {
    let organization = organization::find(database, organization).await?;
    let by_name = database.project_named(organization.id, said).await?;
    let found = match (by_name, said.parse::<i64>()) {
        (Some(project), _) => Some(project),
        (None, Ok(id)) => database.project(id).await?.filter(|project| project.organization_id == organization.id),
        (None, Err(_)) => None,
    };
    found.ok_or_else(|| {
        Failure(format!("{} has no project {said:?}; `guichet project list` shows them", organization.name))
    })
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Create { name, organization, data_class, source, json } => {
                let database = source.database().await?;
                let organization = organization::find(&database, organization).await?;
                let mut change = database.change(Actor::CLI).await?;
                let made = change.create_project(organization.id, name, *data_class, Cleaning::default()).await?;
                change.commit().await?;
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&made)?)?;
                } else {
                    let class = made.data_class.as_str();
                    writeln!(out, "Project {} made: {} of {}, {class} data", made.id, made.name, made.organization)?;
                }
            }
            Command::ActiveUsers { project, users, organization, month, said_by, source } => {
                let month = Month::parse(month).ok_or_else(|| Failure(format!("{month:?} is not a month: 2026-11")))?;
                let database = source.database().await?;
                let project = find(&database, organization, project).await?;
                let mut change = database.change(Actor::CLI).await?;
                let made = change.attest_users(project.id, &month, *users, said_by).await?;
                change.commit().await?;
                writeln!(
                    out,
                    "{} / {}: {} active users in {}",
                    project.organization, project.name, made.users, made.month
                )?;
            }
            Command::Consent { project, organization, notice, withdraw, source, json } => {
                let database = source.database().await?;
                let project = find(&database, organization, project).await?;
                if *withdraw {
                    let mut change = database.change(Actor::CLI).await?;
                    change.withdraw_consent(project.id).await?;
                    change.commit().await?;
                } else if let Some(notice) = notice {
                    let mut change = database.change(Actor::CLI).await?;
                    change.give_consent(project.id, notice).await?;
                    change.commit().await?;
                }
                let consent = database.consent(project.id).await?;
                let named = format!("{} / {}", project.organization, project.name);
                match consent {
                    consent if *json => writeln!(out, "{}", serde_json::to_string(&consent)?)?,
                    Some(consent) => writeln!(out, "{named}: content may be kept, notice {}", consent.notice)?,
                    None => writeln!(out, "{named}: no content is kept")?,
                }
            }
            Command::List { organization, source, json } => {
                let database = source.database().await?;
                let of = match organization {
                    Some(said) => Some(organization::find(&database, said).await?.id),
                    None => None,
                };
                let list = database.projects(&Reach::Everything, of, &Page::ALL).await?.items;
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&list)?)?;
                } else {
                    for project in list {
                        let class = project.data_class.as_str();
                        writeln!(out, "{:>5}  {} / {}  ({class})", project.id, project.organization, project.name)?;
                    }
                }
            }
        }
        Ok(())
    }
}
