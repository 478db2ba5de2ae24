//! `guichet eval dataset`: items in and out of files.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::eval::dataset::{Columns, Dataset, Format, Votes};
use clap::Subcommand;
use serde_json::json;

use super::{bytes, pairs};
use crate::cli::{Failure, Outcome};

#[derive(Subcommand)]
pub enum DatasetCommand {
    /// Lit un jeu (JSONL, CSV, Parquet ; colonnes d’evalap, de compar:IA) et l’écrit / Read a dataset and write it
    Import {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Fichier à écrire, .jsonl, .csv ou .parquet / File to write
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
        /// Quelle colonne joue un rôle / Which column plays a role
        #[arg(long = "column", value_name = "ROLE=COLUMN")]
        columns: Vec<String>,
    },
    /// Lit les votes de compar:IA et les écrit en duels / Read compar:IA's votes and write them as duels
    Votes {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Table de duels à écrire, .csv / Table of duels to write
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
}

impl DatasetCommand {
    pub fn run(&self, out: &mut impl Write) -> Outcome {
        let (output, written, told) = match self {
            DatasetCommand::Import { file, output, columns } => {
                let columns = Columns(pairs(columns)?);
                let read = Dataset::import(&bytes(file)?, format(file)?, &columns)?;
                let told =
                    json!({"items": read.dataset.items.len(), "hash": read.dataset.hash(), "set_aside": read.broken});
                (output, read.dataset.export(format(output)?)?, told)
            }
            DatasetCommand::Votes { file, output } => {
                let read = Votes::import(&bytes(file)?, format(file)?)?;
                (output, read.columns().csv()?, json!({"votes": read.votes.len(), "set_aside": read.broken}))
            }
        };
        std::fs::write(output, written).map_err(|error| Failure(format!("{} : {error}", output.display())))?;
        Ok(writeln!(out, "{told:#}")?)
    }
}

/// A dataset of which every line is an item.
pub fn read(file: &Path) -> Result<Dataset, Failure> {
    let read = Dataset::import(&bytes(file)?, format(file)?, &Columns::default())?;
    if let Some(broken) = read.broken.first() {
        return Err(Failure(format!(
            "{broken}\n{} ligne(s) inutilisable(s) : `guichet eval dataset import` les met de côté / {} line(s) cannot be used: `guichet eval dataset import` sets them aside",
            read.broken.len(),
            read.broken.len()
        )));
    }
    Ok(read.dataset)
}

fn format(file: &Path) -> Result<Format, Failure> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
        Some("csv" | "tsv") => Ok(Format::Csv),
        Some("parquet") => Ok(Format::Parquet),
        _ => Err(Failure(format!("{} : .jsonl, .csv, .tsv, .parquet ?", file.display()))),
    }
}
