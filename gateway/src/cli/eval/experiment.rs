//! `guichet eval experiment`: a dataset put to models, two of them compared.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::eval::stats::Level;
use clap::{Args, Subcommand};
use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use super::ask::{Answers, Server};
use super::{bytes, dataset, pairs};
use crate::cli::{Failure, Outcome};
use crate::evaluation::ask::Answer;
use crate::evaluation::experiment::{self, Metric, SystemPrompt, Trials};

#[derive(Subcommand)]
pub enum ExperimentCommand {
    /// Soumet un jeu à des modèles et garde toutes les réponses / Put a dataset to models and keep all answers
    Run(Run),
    /// Compare deux modèles sur les mêmes éléments / Compare two models on the same items
    Compare(Compare),
}

#[derive(Args)]
pub struct Run {
    /// Jeu de données / Dataset
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// Modèle ; plusieurs fois si besoin / Model; may be repeated
    #[arg(long = "model", value_name = "ID", required = true)]
    models: Vec<String>,
    /// Consigne système, un fichier ; plusieurs fois si besoin ; aucune sinon / System prompt, a file; may be repeated
    #[arg(long = "prompt", value_name = "NAME=FILE")]
    prompts: Vec<String>,
    /// Fois que chaque question est posée / Times each question is asked
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: u32,
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    /// Réponses, une par ligne ; un fichier commencé est repris / Answers, one a line; a file begun is resumed
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
pub struct Compare {
    /// Réponses de `run` / Answers of `run`
    #[arg(long, value_name = "FILE")]
    answers: PathBuf,
    /// Le jeu qui fut soumis / The dataset that was put
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// Candidat, MODELE ou MODELE/CONSIGNE / Candidate, MODEL or MODEL/PROMPT
    #[arg(long, value_name = "CANDIDATE")]
    first: String,
    #[arg(long, value_name = "CANDIDATE")]
    second: String,
    #[arg(long, value_enum)]
    metric: Metric,
    #[arg(long, default_value_t = 0.95)]
    level: f64,
}

impl ExperimentCommand {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        match self {
            ExperimentCommand::Run(run) => run.run(out).await,
            ExperimentCommand::Compare(compare) => compare.run(out),
        }
    }
}

impl Run {
    async fn run(&self, out: &mut impl Write) -> Outcome {
        let dataset = dataset::read(&self.dataset)?;
        self.server.clears(&dataset.items)?;
        let (mut prompts, mut hashes) = (Vec::new(), Map::new());
        for (name, file) in pairs(&self.prompts)? {
            let text = bytes(Path::new(&file))?;
            hashes.insert(name.clone(), json!(hex(&Sha256::digest(&text))));
            let text = String::from_utf8(text)
                .map_err(|_| Failure(format!("{file} n’est pas de l’UTF-8 / {file} is not UTF-8")))?;
            prompts.push(SystemPrompt { name, text });
        }
        // What may grow when a run is resumed (models, repeats) is not part of what it is.
        let run = json!({
            "dataset": dataset.hash(),
            "prompts": hashes,
            "max_tokens": self.server.max_tokens,
            "temperature": self.temperature,
        });
        let trials =
            Trials { models: &self.models, prompts: &prompts, repeats: self.repeats, temperature: self.temperature };
        let asks = trials.asks(&dataset.items);
        let keys: Vec<String> = asks.iter().map(|ask| ask.key.clone()).collect();
        let mut answers = Answers::open(&self.output, &run)?;
        if !self.server.run(asks, &mut answers).await? {
            return Ok(());
        }
        let answered = keys.iter().filter(|key| answers.done(key)).count();
        let told = json!({"requests": keys.len(), "answered": answered, "failed": keys.len() - answered, "run": run});
        writeln!(out, "{told:#}")?;
        match keys.len() - answered {
            0 => Ok(()),
            failed => Err(Failure(format!(
                "{failed} requête(s) sans réponse : relancez la même commande / {failed} request(s) without an answer: run the same command again"
            ))),
        }
    }
}

impl Compare {
    fn run(&self, out: &mut impl Write) -> Outcome {
        let dataset = dataset::read(&self.dataset)?;
        let answers = answers(&self.answers, &dataset.hash())?;
        let sides = (self.first.as_str(), self.second.as_str());
        let told = experiment::compare(&dataset, &answers, sides, self.metric, Level::new(self.level)?)?;
        Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?)
    }
}

/// The answers of an experiment with this dataset.
pub fn answers(file: &Path, dataset: &str) -> Result<Vec<Answer>, Failure> {
    let read = Answers::read(file)?;
    if read.run["dataset"] != dataset {
        return Err(Failure(
            "ces réponses sont d’un autre jeu de données / these answers are of another dataset".to_owned(),
        ));
    }
    let mut answers: Vec<Answer> = read.by_key.into_values().collect();
    answers.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(answers)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
