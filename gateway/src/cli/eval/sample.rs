//! `guichet eval sample`: drawn from what was kept, with a seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use ::eval::stats::Level;
use ::eval::table::{Broken, Table, number};
use clap::{Args, Subcommand};

use super::bytes;
use crate::cli::{Failure, Outcome, Source, organization, project};
use crate::evaluation::sample::{self, Ask};
use crate::store::Database;
use crate::store::page::Reach;
use crate::store::samples::Sample;

/// Items read at once.
const PAGE: i64 = 5_000;

#[derive(Subcommand)]
pub enum Command {
    /// Tire un échantillon stratifié / Draw a stratified sample
    Draw(Draw),
    /// Liste les échantillons / List samples
    List {
        #[command(flatten)]
        source: Source,
        /// En JSON / As JSON
        #[arg(long)]
        json: bool,
    },
    /// Écrit les éléments d’un échantillon en CSV : record_id, stratum, probability / Print its items as CSV
    Items {
        /// Numéro de l’échantillon / Number of the sample
        id: i64,
        #[command(flatten)]
        source: Source,
    },
    /// Estime une moyenne sur tout ce que l’échantillon représente / Estimate a mean over all that the sample stands for
    Estimate {
        /// Numéro de l’échantillon / Number of the sample
        id: i64,
        /// CSV record_id,value, ou - / or -
        #[arg(long, value_name = "FILE")]
        input: PathBuf,
        /// Niveau de confiance / Confidence level
        #[arg(long, default_value_t = 0.95)]
        level: f64,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Args)]
pub struct Draw {
    /// Son nom / Its name
    name: String,
    /// Champs des strates / Fields of the strata
    #[arg(long, value_delimiter = ',', default_value = "organization,model,use,language")]
    by: Vec<String>,
    /// Éléments en tout / Items in all
    #[arg(long, conflicts_with = "per_stratum", required_unless_present = "per_stratum")]
    size: Option<u64>,
    /// Éléments de chaque strate / Items of each stratum
    #[arg(long)]
    per_stratum: Option<u64>,
    /// La même graine retire le même échantillon / The same seed draws the same sample
    #[arg(long, default_value_t = 1)]
    seed: i64,
    /// Une seule administration, par son nom ou numéro / One organization only, by its name or id
    #[arg(long)]
    organization: Option<String>,
    /// Un seul de ses projets / One of its projects only
    #[arg(long, requires = "organization")]
    project: Option<String>,
    /// Un seul modèle / One model only
    #[arg(long)]
    model: Option<String>,
    /// Premier jour, 2026-11-01 / First day
    #[arg(long)]
    start: Option<jiff::civil::Date>,
    /// Lendemain du dernier / Day after the last
    #[arg(long)]
    end: Option<jiff::civil::Date>,
    #[command(flatten)]
    source: Source,
    /// En JSON / As JSON
    #[arg(long)]
    json: bool,
}

impl Draw {
    async fn run(&self, out: &mut impl Write) -> Outcome {
        let database = self.source.database().await?;
        let organization = match &self.organization {
            Some(said) => Some(organization::find(&database, said).await?.id),
            None => None,
        };
        let project = match (&self.organization, &self.project) {
            (Some(organization), Some(said)) => Some(project::find(&database, organization, said).await?.id),
            _ => None,
        };
        let ask = Ask {
            name: self.name.clone(),
            organization_id: organization,
            project_id: project,
            model: self.model.clone(),
            start: self.start,
            end: self.end,
            by: self.by.clone(),
            size: self.size,
            per_stratum: self.per_stratum,
            seed: self.seed,
        };
        let id = sample::draw(&database, &ask, None).await?;
        let drawn = find(&database, id).await?;
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&drawn)?)?;
            return Ok(());
        }
        writeln!(
            out,
            "Échantillon / Sample {id}: {} sur / of {}, graine / seed {}",
            drawn.drawn, drawn.captured, drawn.seed
        )?;
        for stratum in &drawn.strata {
            let (name, population) = (stratum.name.get(), stratum.population);
            writeln!(out, "  {:>6} / {:>8}  (pour / for {population:.0})  {name}", stratum.drawn, stratum.captured)?;
        }
        Ok(())
    }
}

async fn find(database: &Database, id: i64) -> Result<Sample, Failure> {
    let found = database.sample(&Reach::Everything, id).await?;
    found.ok_or_else(|| Failure(format!("il n’y a pas d’échantillon {id} / there is no sample {id}")))
}

impl Command {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            Command::Draw(draw) => draw.run(out).await,
            Command::List { source, json } => {
                let samples = source.database().await?.samples(&Reach::Everything, 1_000, 0).await?;
                if *json {
                    return Ok(writeln!(out, "{}", serde_json::to_string(&samples)?)?);
                }
                for one in samples {
                    writeln!(out, "{:>5}  {}  {} / {}  {}", one.id, one.made, one.drawn, one.captured, one.name)?;
                }
                Ok(())
            }
            Command::Items { id, source } => {
                let database = source.database().await?;
                find(&database, *id).await?;
                writeln!(out, "record_id,stratum,probability")?;
                let mut last = 0;
                loop {
                    let page = database.sample_items(*id, PAGE, last).await?;
                    let Some((item, _)) = page.last() else { return Ok(()) };
                    last = item.place;
                    for (item, _) in page {
                        writeln!(out, "{},{},{}", item.record_id, item.stratum, item.probability)?;
                    }
                }
            }
            Command::Estimate { id, input, level, source } => {
                let values = values(&Table::read(&bytes(input)?)?)?;
                let database = source.database().await?;
                let sample = find(&database, *id).await?;
                let told = sample::estimate(&database, &sample, &values, Level::new(*level)?).await?;
                writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
                match told.refused {
                    Some(refusal) => Err(Failure(refusal.to_string())),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The values of a table, by record; one left empty is missing.
fn values(table: &Table) -> Result<BTreeMap<String, f64>, Failure> {
    let (records, numbers) = (table.column("record_id")?, table.column("value")?);
    let mut broken = table.broken().to_vec();
    let mut values = BTreeMap::new();
    for row in table.rows().iter().filter(|row| !row.cell(numbers).is_empty()) {
        match number(row.cell(numbers)) {
            Some(value) => drop(values.insert(row.cell(records).to_owned(), value)),
            None => broken.push(Broken::new(row.line, "ce n’est pas un nombre", "this is not a number")),
        }
    }
    match broken.is_empty() {
        true => Ok(values),
        false => Err(Failure(broken.iter().map(|line| format!("{line}\n")).collect())),
    }
}
