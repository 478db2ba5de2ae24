//! `guichet eval report` and `guichet eval gate`: what a grid says of its evidence, and whether a candidate passes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::eval::catalogue::Failure as Refused;
use ::eval::gate::{self, Margins};
use ::eval::grid::{EvidenceTable, Grid};
use ::eval::report::{Provenance, Report as Made, Sources, product};
use ::eval::stats::Level;
use ::eval::table::Table;
use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{bytes, pairs, text};
use crate::cli::{Failure, Outcome};
use crate::prompts::Library;

#[derive(Args)]
pub struct Report {
    /// Grille : un fichier, ou guichet-1 / Grid: a file, or guichet-1
    #[arg(value_name = "GRID")]
    grid: PathBuf,
    /// Table de preuves, comme pour `grid score` / Table of evidence, as for `grid score`
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// Duels : first, second, winner / Duels: first, second, winner
    #[arg(long, value_name = "FILE")]
    duels: Option<PathBuf>,
    /// Indicateurs d’usage : indicator, month, value, users / Indicators of use
    #[arg(long, value_name = "FILE")]
    usage: Option<PathBuf>,
    /// Fichier à écrire, .html, .md, .json, .csv ou .parquet ; plusieurs fois si besoin / File to write; may be repeated
    #[arg(long = "output", value_name = "FILE", required = true)]
    outputs: Vec<PathBuf>,
    /// Fiche de décision à six mois de ce produit / Six-month decision sheet of this product
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// Note que le total doit atteindre à coup sûr, convenue d’avance / Score the total must surely reach, agreed before
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f64>,
    /// Ce qu’un indicateur doit atteindre le dernier mois / What an indicator must reach in its last month
    #[arg(long = "target", value_name = "INDICATOR=VALUE", requires = "product")]
    targets: Vec<String>,
    /// Graine d’un tirage antérieur, à rappeler / Seed of an earlier draw, to be recalled
    #[arg(long = "seed", value_name = "WHAT=SEED")]
    seeds: Vec<String>,
    /// Éléments écrits pour l’évaluation, sans usager derrière : rien n’est masqué / No end user behind: nothing is hidden
    #[arg(long)]
    no_end_users: bool,
    /// Dossier des consignes de juges, si ce ne sont pas les nôtres / Folder of judges’ prompts, where they are not ours
    #[arg(long, value_name = "FOLDER")]
    prompts: Option<PathBuf>,
    /// Jour du rapport ; aujourd’hui sinon / Day of the report; today otherwise
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<jiff::civil::Date>,
    /// Niveau de confiance / Confidence level
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Met de côté et compte les lignes inutilisables / Set aside and count lines that cannot be used
    #[arg(long)]
    skip_broken: bool,
}

#[derive(Args)]
pub struct Gate {
    /// Grille : un fichier, ou guichet-1 / Grid: a file, or guichet-1
    #[arg(value_name = "GRID")]
    grid: PathBuf,
    /// Preuves de la référence / Evidence of the baseline
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Preuves du candidat, sur les mêmes éléments / Evidence of the candidate, on the same items
    #[arg(long, value_name = "FILE")]
    candidate: PathBuf,
    /// Preuves où des personnes et le juge ont noté les mêmes éléments ; sinon, ce qu’en ont les deux autres / Evidence where
    /// people and the judge scored the same items; else what the two others hold of it
    #[arg(long, value_name = "FILE")]
    agreement: Option<PathBuf>,
    /// Recul accepté, en note de 0 à 1 : 0.05, ou CRITERE=0.02 ; plusieurs fois si besoin / Accepted loss; may be repeated
    #[arg(long = "margin", value_name = "[CRITERION=]SCORE")]
    margins: Vec<String>,
    /// Compare ce seul critère ; plusieurs fois si besoin / Compare this criterion only; may be repeated
    #[arg(long = "criterion", value_name = "ID")]
    criteria: Vec<String>,
    /// Part des éléments que le candidat peut avoir laissés sans réponse / Share of items the candidate may have left out
    #[arg(long, default_value_t = 0.05)]
    unpaired: f64,
    /// Niveau de confiance / Confidence level
    #[arg(long, default_value_t = 0.95)]
    level: f64,
    /// Un court texte au lieu du JSON / A short text in French, not JSON
    #[arg(long)]
    text: bool,
    /// Met de côté et compte les lignes inutilisables / Set aside and count lines that cannot be used
    #[arg(long)]
    skip_broken: bool,
}

impl Report {
    pub fn run(&self, out: &mut impl Write) -> Outcome {
        let forms = self.outputs.iter().map(|file| Form::of(file)).collect::<Result<Vec<Form>, Failure>>()?;
        let mut files = Files::default();
        let grid = grid(&self.grid)?;
        let evidence = evidence(&grid, &files.table("evidence", &self.evidence)?, self.skip_broken)?;
        let duels = self.duels.as_deref().map(|file| files.table("duels", file)).transpose()?;
        let usage = self.usage.as_deref().map(|file| files.table("usage", file)).transpose()?;
        let targets = numbers(&self.targets)?;
        let date = self.date.unwrap_or_else(crate::evaluation::today);
        let library = library(self.prompts.as_deref())?;
        let made = Made::new(Sources {
            grid: &grid,
            evidence: &evidence,
            duels: duels.as_ref(),
            usage: usage.as_ref(),
            level: Level::new(self.level)?,
            threshold: self.threshold,
            product: self.product.clone().map(|name| product::Ask { name, targets }),
            no_end_users: self.no_end_users,
            provenance: Provenance {
                date: date.to_string(),
                program: format!("guichet {}", env!("CARGO_PKG_VERSION")),
                files: files.0,
                prompts: evidence
                    .judges()
                    .into_iter()
                    .map(|judge| (judge.clone(), hash_of(&library, &judge)))
                    .collect(),
                seeds: pairs(&self.seeds)?.into_iter().collect(),
            },
        })?;
        for (file, form) in self.outputs.iter().zip(forms) {
            let name = file.display();
            std::fs::write(file, form.write(&made)?).map_err(|error| {
                Failure(format!("{name} ne s’écrit pas : {error} / {name} cannot be written: {error}"))
            })?;
            writeln!(out, "{name}")?;
        }
        Ok(())
    }
}

impl Gate {
    /// 0 pass, 1 regression, 2 inconclusive; 3 for an error, told on standard error.
    pub fn run(&self, out: &mut impl Write) -> ExitCode {
        match self.verdict(out) {
            Ok(verdict) => ExitCode::from(verdict.exit_code()),
            Err(Failure(message)) => {
                drop(writeln!(std::io::stderr(), "{message}"));
                ExitCode::from(ERROR)
            }
        }
    }

    fn verdict(&self, out: &mut impl Write) -> Result<gate::Verdict, Failure> {
        let grid = grid(&self.grid)?;
        let mut files = Files::default();
        let mut read = |name: &str, file: &Path| evidence(&grid, &files.table(name, file)?, self.skip_broken);
        let (baseline, candidate) = (read("baseline", &self.baseline)?, read("candidate", &self.candidate)?);
        let agreement = self.agreement.as_deref().map(|file| read("agreement", file)).transpose()?;
        let (own, usual): (Vec<&String>, Vec<&String>) = self.margins.iter().partition(|margin| margin.contains('='));
        let usual = match usual.as_slice() {
            [] => 0.05,
            [one] => number(one)?,
            _ => {
                return Err(Failure(
                    "une seule marge sans nom de critère / only one margin without the name of a criterion".to_owned(),
                ));
            }
        };
        let own = numbers(&own.into_iter().cloned().collect::<Vec<String>>())?;
        let ask = gate::Ask {
            margins: Margins { usual, own },
            criteria: self.criteria.clone(),
            level: Level::new(self.level)?,
            unpaired: self.unpaired,
        };
        let tables = gate::Tables { baseline: &baseline, candidate: &candidate, agreement: agreement.as_ref() };
        let said = gate::compare(&grid, &tables, &ask)?;
        match self.text {
            true => writeln!(out, "{}", said.fr)?,
            false => writeln!(out, "{}", serde_json::to_string_pretty(&json!({"gate": said, "files": files.0}))?)?,
        }
        Ok(said.verdict)
    }
}

/// Exit code of a gate that could not look.
pub const ERROR: u8 = 3;

/// Files read, with their hashes.
#[derive(Default)]
struct Files(Vec<(String, String)>);

impl Files {
    fn table(&mut self, what: &str, file: &Path) -> Result<Table, Failure> {
        let bytes = bytes(file)?;
        let hash = hex(&bytes);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        self.0.push((format!("{what} : {name}"), hash));
        Ok(Table::read(&bytes)?)
    }
}

/// What a file is written as, by its extension.
#[derive(Clone, Copy)]
enum Form {
    Html,
    Markdown,
    Json,
    Csv,
    Parquet,
}

impl Form {
    fn of(file: &Path) -> Result<Form, Failure> {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(Form::Html),
            Some("md") => Ok(Form::Markdown),
            Some("json") => Ok(Form::Json),
            Some("csv") => Ok(Form::Csv),
            Some("parquet") => Ok(Form::Parquet),
            _ => {
                let name = file.display();
                Err(Failure(format!(
                    "{name} : finissez par .html, .md, .json, .csv ou .parquet / {name}: end with one of these"
                )))
            }
        }
    }

    fn write(self, made: &Made) -> Result<Vec<u8>, Failure> {
        Ok(match self {
            Form::Html => made.html().into_bytes(),
            Form::Markdown => made.markdown().into_bytes(),
            Form::Json => serde_json::to_vec_pretty(made)?,
            Form::Csv => made.csv()?,
            Form::Parquet => ::eval::parquet::write(&made.columns())?,
        })
    }
}

/// A grid that was checked: of a file, or the shipped one by its name.
pub fn grid(file: &Path) -> Result<Grid, Failure> {
    Grid::read(&text(file)?)
        .map_err(|problems| Failure(problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()))
}

fn evidence(grid: &Grid, table: &Table, skip_broken: bool) -> Result<EvidenceTable, Failure> {
    let evidence = EvidenceTable::read(grid, table)?;
    if !evidence.broken.is_empty() && !skip_broken {
        return Err(Failure(Refused::Lines(evidence.broken).to_string()));
    }
    Ok(evidence)
}

/// SHA-256 of a file.
pub fn hash_of_file(file: &Path) -> Result<String, Failure> {
    Ok(hex(&bytes(file)?))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The shipped prompts, and those of a folder.
pub fn library(folder: Option<&Path>) -> Result<Library, Failure> {
    Library::load(folder)
        .map_err(|problems| Failure(problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()))
}

/// SHA-256 of a judge's prompt, `id@version`.
fn hash_of(library: &Library, judge: &str) -> Option<String> {
    let (id, version) = judge.split_once('@')?;
    library.get(id, Some(version), None).ok().map(|prompt| prompt.hash.clone())
}

fn number(said: &str) -> Result<f64, Failure> {
    ::eval::table::number(said)
        .ok_or_else(|| Failure(format!("« {said} » n’est pas un nombre / “{said}” is not a number")))
}

fn numbers(said: &[String]) -> Result<BTreeMap<String, f64>, Failure> {
    pairs(said)?.into_iter().map(|(name, value)| Ok((name, number(&value)?))).collect()
}
