//! A judging with all it needs: the same from files and from the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ::eval::columns::Columns;
use ::eval::dataset::Dataset;
use ::eval::grid::Grid;
use ::eval::refusal::{Refusal, Result};
use serde::{Deserialize, Serialize};

use super::ask::{Answer, Ask};
use super::judging::{self, Judging, Method, Subject, Verdicts};
use crate::prompts::Library;

/// What judges are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// A criterion of the grid, one of whose evidence is `judge:id@version`.
    #[schema(example = "juste")]
    pub criterion: String,
    /// Models of the gateway; several make a panel, which decides by majority.
    #[schema(example = json!(["mistral-small"]))]
    pub judges: Vec<String>,
    /// `MODEL`, or `MODEL/PROMPT`; absent: all answers.
    #[serde(default)]
    pub candidate: Option<String>,
    /// On a pairwise criterion: who the candidate is compared with.
    #[serde(default)]
    pub against: Option<String>,
    /// Families of models that the catalogue does not name. What the catalogue says stands.
    #[serde(default)]
    pub families: BTreeMap<String, String>,
    /// Asks engines to hold judges to the JSON wanted (`response_format`), where they can: quotes are chosen among the
    /// sentences of the answer.
    #[serde(default)]
    pub constrained: bool,
    /// Language of the prompt: `fr` or `en`.
    #[serde(default = "french")]
    pub language: String,
}

fn french() -> String {
    "fr".to_owned()
}

/// A question about the answers that are there.
pub struct Case {
    grid: Grid,
    library: Arc<Library>,
    question: Question,
    subjects: Vec<Subject>,
    /// With whom each is compared.
    pairs: Option<Vec<(Subject, Subject)>>,
}

impl Case {
    /// Prepares a question. `answers`: those of an experiment; else items hold their own. `family`: what the catalogue says.
    ///
    /// # Errors
    /// What [`Judging::new`] refuses, nothing to judge, a judge of a candidate's family or of none that is known.
    pub fn new(
        (grid, library): (Grid, Arc<Library>),
        question: Question,
        dataset: &Dataset,
        answers: Option<&[Answer]>,
        family: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Case> {
        let of = |candidate: Option<&str>| judging::subjects(dataset, answers, candidate);
        let pairwise = judging(&grid, &question, &library)?.compares_pairs();
        let two = question.candidate.is_some() && question.against.is_some();
        if (pairwise && !two) || (!pairwise && question.against.is_some()) {
            return Err(Refusal::input(
                "« candidate » et « against » vont ensemble avec un critère par paires, et « against » avec lui seul",
                "“candidate” and “against” go together with a pairwise criterion, and “against” with no other",
            ));
        }
        let subjects = of(question.candidate.as_deref())?;
        let others = question.against.as_deref().map(|other| of(Some(other))).transpose()?.unwrap_or_default();
        let models = subjects.iter().chain(&others).map(|subject| subject.model.as_str());
        let known = |model: &str| family(model).or_else(|| question.families.get(model).cloned());
        judging::check_families(&question.judges, models, &known)?;
        let pairs = pairwise.then(|| judging::pairs(subjects.clone(), others));
        if pairs.as_ref().is_some_and(Vec::is_empty) {
            return Err(Refusal::input(
                "les deux candidats n’ont répondu à aucun élément commun",
                "the two candidates answered no item in common",
            ));
        }
        Ok(Case { grid, library, question, subjects, pairs })
    }

    fn judging(&self) -> Result<Judging<'_>> {
        judging(&self.grid, &self.question, &self.library)
    }

    pub fn method(&self) -> Result<Method> {
        Ok(self.judging()?.method(&self.grid))
    }

    /// The requests to judges.
    pub fn asks(&self) -> Result<Vec<Ask>> {
        match &self.pairs {
            Some(pairs) => self.judging()?.asks_of_pairs(pairs),
            None => self.judging()?.asks(&self.subjects),
        }
    }

    /// What the judges' answers come to.
    pub fn verdicts(&self, answers: &HashMap<String, Answer>) -> Result<Verdicts> {
        Ok(match &self.pairs {
            Some(pairs) => self.judging()?.settle_pairs(pairs, answers),
            None => self.judging()?.settle(&self.subjects, answers),
        })
    }

    /// The verdicts as a table of evidence.
    pub fn evidence(&self, verdicts: &Verdicts) -> Result<Columns> {
        Ok(match &self.pairs {
            Some(pairs) => self.judging()?.evidence(verdicts, pairs.iter().map(|(first, _)| first)),
            None => self.judging()?.evidence(verdicts, self.subjects.iter()),
        })
    }

    /// The verdicts as duels; none when answers were judged one by one.
    pub fn duels(&self, verdicts: &Verdicts) -> Option<Columns> {
        let (first, second) = self.question.candidate.as_deref().zip(self.question.against.as_deref())?;
        Some(verdicts.duels(self.pairs.as_ref()?, first, second))
    }
}

fn judging<'a>(grid: &'a Grid, question: &'a Question, library: &'a Library) -> Result<Judging<'a>> {
    let Question { criterion, judges, language, constrained, .. } = question;
    Judging::new(grid, criterion, judges, library, (language, *constrained))
}
