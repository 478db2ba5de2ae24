//! `guichet eval verify-log`, `purge` and `erase`: what is kept, checked and let go of.

use std::io::Write;

use clap::Args;
use serde_json::json;

use crate::cli::{Failure, Outcome, Source, organization};
use crate::evaluation::retention;
use crate::policy::pseudonym::Pseudonyms;
use crate::store::chain::Log;
use crate::store::people::Month;
use crate::store::verify::Point;
use crate::store::{Actor, now};

/// Faults shown of each log.
const SHOWN: usize = 20;

#[derive(Args)]
pub struct VerifyLog {
    /// Un seul journal : usage ou evaluation / One log only: usage or evaluation
    #[arg(long, value_parser = ["usage", "evaluation"])]
    log: Option<String>,
    /// Point noté auparavant, qui doit encore être dans la chaîne ; avec --log / Point noted earlier, that must still be in
    /// the chain; with --log
    #[arg(long, value_name = "NUMBER:HASH", requires = "log")]
    expect: Option<Point>,
    #[command(flatten)]
    source: Source,
    /// En JSON / As JSON
    #[arg(long)]
    json: bool,
}

impl VerifyLog {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        let database = self.source.database().await?;
        let mut wrong = 0;
        let mut all = Vec::new();
        for log in Log::ALL.into_iter().filter(|log| self.log.as_deref().is_none_or(|said| said == log.as_str())) {
            let found = database.verify(log, self.expect.as_ref()).await?;
            wrong += found.wrong;
            if self.json {
                all.push(found);
                continue;
            }
            let name = found.log;
            writeln!(out, "{name}: {} bloc(s) / blocks, {} enregistrement(s) / records", found.blocks, found.records)?;
            if log == Log::Evaluation {
                writeln!(out, "  {} contenu(s) / contents, {} purgé(s) / purged", found.contents, found.purged)?;
            }
            if found.unchained > 0 {
                writeln!(out, "  {} d’avant la chaîne / from before the chain", found.unchained)?;
            }
            writeln!(out, "  tête, à noter ailleurs / head, to be noted elsewhere: {}", found.head)?;
            for fault in found.faults.iter().take(SHOWN) {
                writeln!(out, "  {fault}")?;
            }
            if found.wrong > SHOWN {
                writeln!(out, "  … {} en tout / in all", found.wrong)?;
            }
            if found.intact {
                writeln!(out, "  intact")?;
            }
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        }
        match wrong {
            0 => Ok(()),
            n => Err(Failure(format!("{n} défaut(s) / fault(s)"))),
        }
    }
}

#[derive(Args)]
pub struct Purge {
    /// Compte sans rien supprimer / Count, taking nothing away
    #[arg(long)]
    dry_run: bool,
    /// Compte ce qui partirait ce jour-là, 2027-03-01 / Count what would go on that day
    #[arg(long, value_name = "DAY", requires = "dry_run")]
    on: Option<jiff::civil::Date>,
    #[command(flatten)]
    source: Source,
    /// En JSON / As JSON
    #[arg(long)]
    json: bool,
}

impl Purge {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        let (config, _) = self.source.read()?;
        let database = self.source.database().await?;
        let at = match self.on {
            Some(day) => day.to_zoned_datetime(jiff::tz::TimeZone::UTC)?.timestamp().as_millisecond(),
            None => now(),
        };
        let purged = database.purge(retention::keep(&config, at), self.dry_run).await?;
        if self.json {
            let told = json!({"dry_run": self.dry_run, "purged": purged});
            writeln!(out, "{told:#}")?;
            return Ok(());
        }
        writeln!(out, "{}", if self.dry_run { "Partiraient / Would go:" } else { "Partis / Gone:" })?;
        writeln!(out, "  contenus / contents: {}", purged.contents)?;
        writeln!(out, "  commentaires / comments: {}", purged.comments)?;
        writeln!(out, "  enregistrements d’usage / usage records: {}", purged.usage_records)?;
        writeln!(out, "  enregistrements d’évaluation / evaluation records: {}", purged.evaluation_records)?;
        writeln!(out, "  clés de mois / keys of months: {}", purged.months.join(", "))?;
        Ok(())
    }
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("whom").required(true))]
pub struct Erase {
    /// Nom ou numéro de l’administration / Name or id of the organization
    #[arg(long)]
    organization: String,
    /// L’identifiant que l’application envoie comme `user` ; - le lit de l’entrée standard / The identifier that the
    /// application sends as `user`; - reads it from standard input
    #[arg(long, group = "whom")]
    user: Option<String>,
    /// Ou son pseudonyme / Or the pseudonym
    #[arg(long, group = "whom")]
    pseudonym: Option<String>,
    /// 2026-11 ; par défaut ce mois / this month by default
    #[arg(long)]
    month: Option<String>,
    #[command(flatten)]
    source: Source,
    /// En JSON / As JSON
    #[arg(long)]
    json: bool,
}

impl Erase {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        let month = match &self.month {
            Some(text) => Month::parse(text),
            None => Month::holding(now()),
        };
        let month = month.ok_or_else(|| Failure("un mois s’écrit 2026-11 / a month is written 2026-11".to_owned()))?;
        let database = self.source.database().await?;
        let organization = organization::find(&database, &self.organization).await?;
        let pseudonym = match (&self.user, &self.pseudonym) {
            (Some(user), _) => {
                let user = match user.as_str() {
                    "-" => std::io::read_to_string(std::io::stdin())?.trim_end_matches(['\r', '\n']).to_owned(),
                    user => user.to_owned(),
                };
                Pseudonyms::past(&database, &month.name, organization.id, &user).await?.ok_or_else(|| {
                    let name = &month.name;
                    Failure(format!(
                        "la clé de {name} n’existe plus : ses pseudonymes ne désignent plus personne / \
                         the key of {name} is gone: its pseudonyms stand for nobody any more"
                    ))
                })?
            }
            (None, pseudonym) => pseudonym.clone().unwrap_or_default(),
        };
        let erased = database.erase(organization.id, &month, &pseudonym).await?;
        let mut change = database.change(Actor::CLI).await?;
        change.note_erasure(&erased).await?;
        change.commit().await?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&erased)?)?;
        } else {
            writeln!(
                out,
                "{}, {}: {} contenu(s) / contents, {} enregistrement(s) / records",
                organization.name,
                month.name,
                erased.contents,
                erased.usage_records + erased.evaluation_records
            )?;
        }
        Ok(())
    }
}
