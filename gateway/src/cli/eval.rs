//! `guichet eval`: statistics, grids and retrieval on files, without a server; and what is kept of requests, drawn from,
//! checked, let go of. Standard output is JSON where nothing else is said, problems are told in words.

mod ask;
mod campaign;
mod dataset;
mod experiment;
mod judge;
mod logs;
pub mod report;
#[cfg(feature = "retrieval")]
mod retrieval;
mod sample;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::eval::catalogue::{self, Ask};
use ::eval::grid::{EvidenceTable, GUICHET_1, Grid};
use ::eval::stats::Level;
use ::eval::table::Table;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome};

#[derive(Subcommand)]
pub enum Command {
    /// Une statistique d’une table CSV, en JSON / One statistic of a CSV table, as JSON
    Stat(Stat),
    /// Grilles d’évaluation / Evaluation grids
    #[command(subcommand)]
    Grid(GridCommand),
    /// Recherche : nDCG, MRR, rappel de vos questions sur vos documents / Retrieval: your queries on your documents
    #[cfg(feature = "retrieval")]
    Retrieval(Box<retrieval::Retrieval>),
    /// Jeux de données / Datasets
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Expériences : un jeu soumis à des modèles / Experiments: a dataset put to models
    #[command(subcommand)]
    Experiment(experiment::ExperimentCommand),
    /// Des modèles jugent les réponses d’un autre, jamais de leur famille / Models judge another’s answers
    Judge(Box<judge::Judge>),
    /// Rapport d’une grille sur ses preuves / Report of a grid on its evidence
    Report(report::Report),
    /// Le candidat peut-il remplacer la référence ? / May the candidate replace the baseline?
    Gate(report::Gate),
    /// Échantillons des contenus gardés / Samples of what was kept
    #[command(subcommand)]
    Sample(sample::Command),
    /// Campagnes d’annotation / Campaigns of annotation
    #[command(subcommand)]
    Campaign(campaign::Command),
    /// Vérifie que rien n’a été modifié, ôté ni déplacé / Check that nothing was altered, removed or moved
    VerifyLog(logs::VerifyLog),
    /// Supprime ce qui a fait son temps, comme le service le fait seul / Take away what is past its time, as the service does
    Purge(logs::Purge),
    /// Efface un usager dans son mois / Erase one end user within a month
    Erase(logs::Erase),
}

#[derive(Args)]
pub struct Stat {
    /// Nom de la statistique, voir --list / Its name, see --list
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// Dit ce qui existe, avec colonnes et réglages / Tell what there is, with columns and settings
    #[arg(long)]
    list: bool,
    /// La liste en JSON / The list as JSON
    #[arg(long, requires = "list")]
    json: bool,
    /// Table CSV, ou - pour l’entrée standard / CSV table, or - for standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Quelle colonne joue un rôle / Which column plays a role
    #[arg(long = "column", value_name = "ROLE=COLUMN")]
    columns: Vec<String>,
    /// Un réglage / A setting
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Met de côté et compte les lignes inutilisables / Set aside and count lines that cannot be used
    #[arg(long)]
    skip_broken: bool,
}

#[derive(Subcommand)]
pub enum GridCommand {
    /// Écrit la grille livrée, à copier et changer / Print the shipped grid, to copy and change
    Show,
    /// Relit une grille et dit tous ses problèmes / Check a grid and tell all its problems
    Check {
        #[arg(value_name = "GRID")]
        file: PathBuf,
        /// Les problèmes en JSON / Problems as JSON
        #[arg(long)]
        json: bool,
    },
    /// Note une grille d’après une table de preuves / Score a grid from a table of evidence
    Score {
        #[arg(value_name = "GRID")]
        file: PathBuf,
        /// Table de preuves, ou - pour l’entrée standard / Table of evidence, or - for standard input
        #[arg(long, value_name = "FILE")]
        evidence: PathBuf,
        /// Niveau de confiance / Confidence level
        #[arg(long, default_value_t = 0.95)]
        level: f64,
        /// Met de côté et compte les lignes inutilisables / Set aside and count lines that cannot be used
        #[arg(long)]
        skip_broken: bool,
    },
}

impl Command {
    /// Does it; the exit code is a gate's verdict, and success for all others.
    pub async fn run(&self, out: &mut impl Write) -> Result<ExitCode, Failure> {
        if let Command::Gate(gate) = self {
            return Ok(gate.run(out));
        }
        self.told(out).await.map(|()| ExitCode::SUCCESS)
    }

    async fn told(&self, out: &mut impl Write) -> Outcome {
        match self {
            #[cfg(feature = "retrieval")]
            Command::Retrieval(retrieval) => retrieval.run(out).await,
            Command::Gate(_) => Ok(()),
            Command::Sample(command) => command.run(out).await,
            Command::Campaign(command) => command.run(out).await,
            Command::VerifyLog(verify) => verify.run(out).await,
            Command::Purge(purge) => purge.run(out).await,
            Command::Erase(erase) => erase.run(out).await,
            Command::Stat(stat) => stat.run(out),
            Command::Report(report) => report.run(out),
            Command::Dataset(dataset) => dataset.run(out),
            Command::Experiment(experiment) => experiment.run(out).await,
            Command::Judge(judge) => judge.run(out).await,
            Command::Grid(GridCommand::Show) => Ok(write!(out, "{GUICHET_1}")?),
            Command::Grid(GridCommand::Check { file, json }) => check(file, *json, out),
            Command::Grid(GridCommand::Score { file, evidence, level, skip_broken }) => {
                score(file, evidence, *level, *skip_broken, out)
            }
        }
    }
}

impl Stat {
    fn run(&self, out: &mut impl Write) -> Outcome {
        let Some(name) = self.name.as_deref().filter(|_| !self.list) else { return self.told(out) };
        let ask =
            Ask { columns: pairs(&self.columns)?, settings: pairs(&self.settings)?, skip_broken: self.skip_broken };
        let table = match &self.input {
            Some(file) => Table::read(&bytes(file)?)?,
            None => Table::default(),
        };
        match catalogue::run(name, &table, &ask) {
            Ok(told) => Ok(writeln!(out, "{told:#}")?),
            Err(failure) => {
                writeln!(out, "{:#}", json!({"statistic": name, "refused": &failure}))?;
                Err(Failure(failure.to_string()))
            }
        }
    }

    fn told(&self, out: &mut impl Write) -> Outcome {
        let mut entries = catalogue::list();
        if let Some(name) = &self.name {
            entries.retain(|entry| entry.name == name);
        }
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&entries)?)?);
        }
        for entry in entries {
            writeln!(out, "{}\n  {} / {}\n  source: {}", entry.name, entry.fr, entry.en, entry.source)?;
            for column in entry.columns {
                let optional = if column.optional { " (optionnelle / optional)" } else { "" };
                writeln!(out, "  --column {}={optional}  {} / {}", column.role, column.fr, column.en)?;
            }
            for setting in entry.settings {
                writeln!(
                    out,
                    "  --set {}={}  {} / {}",
                    setting.name,
                    setting.default.unwrap_or("…"),
                    setting.fr,
                    setting.en
                )?;
            }
        }
        Ok(())
    }
}

fn check(file: &Path, as_json: bool, out: &mut impl Write) -> Outcome {
    match Grid::read(&text(file)?) {
        Ok(_) if as_json => Ok(writeln!(out, "[]")?),
        Ok(grid) => {
            let criteria: usize = grid.facets.iter().map(|facet| facet.criteria.len()).sum();
            writeln!(
                out,
                "{} {} : aucun problème / no problem ; {} pans / facets, {criteria} critères / criteria\nsha256 {}",
                grid.id,
                grid.version,
                grid.facets.len(),
                grid.hash
            )?;
            Ok(())
        }
        Err(problems) => {
            if as_json {
                writeln!(out, "{}", serde_json::to_string_pretty(&problems)?)?;
            }
            let mut told: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
            told.push_str(&format!("{} problème(s) / problem(s)", problems.len()));
            Err(Failure(told))
        }
    }
}

fn score(file: &Path, evidence: &Path, level: f64, skip_broken: bool, out: &mut impl Write) -> Outcome {
    let level = Level::new(level)?;
    let grid = Grid::read(&text(file)?)
        .map_err(|problems| Failure(problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()))?;
    let evidence = EvidenceTable::read(&grid, &Table::read(&bytes(evidence)?)?)?;
    if !evidence.broken.is_empty() && !skip_broken {
        let failure = catalogue::Failure::Lines(evidence.broken);
        writeln!(out, "{:#}", json!({"grid": grid.id, "refused": &failure}))?;
        return Err(Failure(failure.to_string()));
    }
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(&grid.score(&evidence, level))?)?)
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        _ => std::fs::read(file),
    };
    let name = file.display();
    read.map_err(|error| Failure(format!("{name} ne se lit pas : {error} / {name} cannot be read: {error}")))
}

/// A grid's text: of a file, or the shipped one by its name.
fn text(file: &Path) -> Result<String, Failure> {
    if file.to_str() == Some("guichet-1") {
        return Ok(GUICHET_1.to_owned());
    }
    let name = file.display();
    String::from_utf8(bytes(file)?).map_err(|_| Failure(format!("{name} n’est pas de l’UTF-8 / {name} is not UTF-8")))
}

fn pairs(said: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    said.iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(Failure(format!("« {pair} » : écrivez NOM=VALEUR / “{pair}”: write NAME=VALUE"))),
        })
        .collect()
}
