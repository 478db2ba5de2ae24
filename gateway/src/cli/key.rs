//! `guichet key`.

use std::io::Write;

use clap::{ArgGroup, Subcommand};
use serde_json::json;

use super::{Failure, Outcome, Source, member, project};
use crate::config::Span;
use crate::store::keys::{Holder, KeyFilter};
use crate::store::page::Reach;
use crate::store::{Actor, Page, now};

#[derive(Subcommand)]
pub enum Command {
    /// Make a key of a project (calls models) or of a member (administers). It is shown once
    #[command(group = ArgGroup::new("holder").required(true).args(["project", "member"]))]
    Create {
        /// Name or id of the project
        #[arg(long, requires = "organization")]
        project: Option<String>,
        /// Name or id of the project's organization
        #[arg(long)]
        organization: Option<String>,
        /// Email address of the member
        #[arg(long)]
        member: Option<String>,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
        /// Time it is valid for: 90d, 12h. Absent: until it is revoked
        #[arg(long, value_name = "TIME")]
        expires_in: Option<String>,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys, without their secret
    List {
        /// Revoked ones too
        #[arg(long)]
        revoked: bool,
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, by its public part or its number
    Revoke {
        /// Public part or number, as `guichet key list` shows them
        id: String,
        #[command(flatten)]
        source: Source,
    },
}

/// When a key made now and valid for that long expires.
fn expiry(said: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = said else { return Ok(None) };
    let span = Span::parse(text).filter(|span| !span.0.is_zero());
    let at = span.and_then(|span| i64::try_from(span.0.as_millis()).ok()).and_then(|millis| now().checked_add(millis));
    at.map(Some).ok_or_else(|| Failure(format!("{text:?} is not a length of time; write for instance 90d or 12h")))
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Create { project, organization, member, name, expires_in, source, json } => {
                let expires_at = expiry(expires_in.as_deref())?;
                let database = source.database().await?;
                let holder = match (project, organization, member) {
                    (Some(said), Some(organization), _) => {
                        Holder::Project(project::find(&database, organization, said).await?.id)
                    }
                    (_, _, Some(email)) => Holder::Member(member::find(&database, email).await?.id),
                    _ => return Err(Failure("name --organization and --project, or --member".to_owned())),
                };
                let mut change = database.change(Actor::CLI).await?;
                let (key, text) = change.create_key(holder, name, expires_at).await?;
                change.commit().await?;
                if *json {
                    let expires = key.expires_at.map(crate::store::time::Time::seconds);
                    writeln!(
                        out,
                        "{}",
                        json!({"id": key.key_id, "key": text.reveal(), "name": key.name, "expires": expires})
                    )?;
                } else {
                    writeln!(out, "{}", text.reveal())?;
                    out.flush()?;
                    // On its own line and apart from the key, so that `key create > file` keeps the key alone.
                    writeln!(std::io::stderr(), "Key {} made. It is shown this once.", key.key_id)?;
                }
            }
            Command::List { revoked, source, json } => {
                let database = source.database().await?;
                let filter = KeyFilter { revoked: *revoked, ..KeyFilter::default() };
                let list = database.keys(&Reach::Everything, filter, &Page::ALL).await?.items;
                if *json {
                    writeln!(out, "{}", serde_json::to_string(&list)?)?;
                    return Ok(());
                }
                for key in list {
                    let of = match (&key.project, &key.email) {
                        (Some(project), _) => {
                            format!("{} / {project}", key.organization.as_deref().unwrap_or_default())
                        }
                        (None, Some(email)) => email.clone(),
                        (None, None) => String::new(),
                    };
                    let expires = key.expires_at.map(|at| format!(", expires {at}")).unwrap_or_default();
                    let state = key.revoked_at.map(|at| format!(", revoked {at}")).unwrap_or_default();
                    writeln!(out, "{:>5}  {}  {of}  {}{expires}{state}", key.id, key.key_id, key.name)?;
                }
            }
            Command::Revoke { id, source } => {
                let database = source.database().await?;
                let key = database.key(id).await?;
                let key =
                    key.ok_or_else(|| Failure(format!("there is no key {id:?}; `guichet key list` shows them")))?;
                let mut change = database.change(Actor::CLI).await?;
                change.revoke_key(key.id).await?;
                change.commit().await?;
                writeln!(out, "Key {} revoked; a running gateway refuses it within two seconds.", key.key_id)?;
            }
        }
        Ok(())
    }
}
