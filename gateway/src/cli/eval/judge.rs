//! `guichet eval judge`: models judge the answers of another, on one criterion of a grid.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::eval::columns::Columns;
use clap::Args;
use serde_json::json;

use super::ask::{Answers, Server};
use super::{dataset, experiment, pairs, report};
use crate::cli::{Failure, Outcome};
use crate::evaluation::case::{Case, Question};

#[derive(Args)]
pub struct Judge {
    /// Grille : un fichier, ou guichet-1 / Grid: a file, or guichet-1
    #[arg(value_name = "GRID")]
    grid: PathBuf,
    /// Critère, dont une preuve est judge:…@… / Criterion, one of whose evidence is judge:…@…
    #[arg(long, value_name = "ID")]
    criterion: String,
    /// Modèle juge ; plusieurs font un panel, à la majorité / Judging model; several make a panel, by majority
    #[arg(long = "judge", value_name = "MODEL", required = true)]
    judges: Vec<String>,
    /// Jeu de données ; sans --answers, ses champs answer et model sont jugés / Dataset; its fields answer and model
    #[arg(long, value_name = "FILE")]
    dataset: PathBuf,
    /// Réponses d’`experiment run` / Answers of `experiment run`
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Candidat, MODELE ou MODELE/CONSIGNE ; tous sinon / Candidate, MODEL or MODEL/PROMPT; all otherwise
    #[arg(long, value_name = "CANDIDATE")]
    candidate: Option<String>,
    /// À comparer avec celui-ci, sur un critère par paires / To be compared with this one, on a pairwise criterion
    #[arg(long, value_name = "CANDIDATE", requires = "candidate")]
    against: Option<String>,
    /// Famille d’un modèle que le serveur ne dit pas / Family of a model that the server does not tell
    #[arg(long = "family", value_name = "MODEL=FAMILY")]
    families: Vec<String>,
    /// Dossier de consignes à ajouter aux nôtres / Folder of prompts to add to ours
    #[arg(long, value_name = "FOLDER")]
    prompts: Option<PathBuf>,
    /// Langue de la consigne, fr ou en / Language of the prompt, fr or en
    #[arg(long, default_value = "fr")]
    language: String,
    /// Demande au moteur de tenir le juge au JSON voulu (response_format) / Ask engines to hold judges to the JSON wanted
    #[arg(long)]
    constrained: bool,
    /// Ce que les juges ont répondu, une ligne par réponse ; un fichier commencé est repris / What judges answered
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Table de preuves à écrire, .csv / Table of evidence to write
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// Table de duels à écrire, .csv / Table of duels to write
    #[arg(long, value_name = "FILE", requires = "against")]
    duels: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

impl Judge {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        let grid = report::grid(&self.grid)?;
        let library = report::library(self.prompts.as_deref())?;
        let dataset = dataset::read(&self.dataset)?;
        self.server.clears(&dataset.items)?;
        let answers = self.answers.as_deref().map(|file| experiment::answers(file, &dataset.hash())).transpose()?;
        let question = Question {
            criterion: self.criterion.clone(),
            judges: self.judges.clone(),
            candidate: self.candidate.clone(),
            against: self.against.clone(),
            families: pairs(&self.families)?,
            constrained: self.constrained,
            language: self.language.clone(),
        };
        let catalogue = match self.server.families().await {
            Ok(told) => told,
            // A server that lists nothing knows no families either: those said here must do.
            Err(Failure(error)) => {
                writeln!(std::io::stderr(), "/models : {error}")?;
                HashMap::new()
            }
        };
        let family = |model: &str| catalogue.get(model).cloned();
        let case = Case::new((grid, Arc::new(library)), question.clone(), &dataset, answers.as_deref(), &family)?;
        let run = json!({
            "method": case.method()?,
            "question": question,
            "dataset": dataset.hash(),
            "answers": self.answers.as_deref().map(report::hash_of_file).transpose()?,
            "max_tokens": self.server.max_tokens,
        });
        let mut heard = Answers::open(&self.output, &run)?;
        if !self.server.run(case.asks()?, &mut heard).await? {
            return Ok(());
        }
        let verdicts = case.verdicts(&heard.by_key)?;
        write(&self.evidence, &case.evidence(&verdicts)?)?;
        if let (Some(file), Some(duels)) = (&self.duels, case.duels(&verdicts)) {
            write(file, &duels)?;
        }
        let told = json!({"judged": verdicts.tally, "unreadable": verdicts.tally.unreadable(), "run": run});
        Ok(writeln!(out, "{told:#}")?)
    }
}

fn write(file: &Path, columns: &Columns) -> Result<(), Failure> {
    std::fs::write(file, columns.csv()?).map_err(|error| Failure(format!("{} : {error}", file.display())))
}
