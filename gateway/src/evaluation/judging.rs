//! Answers put before judges: which requests that makes, and what the judges' words come to.

use std::collections::{BTreeMap, HashMap};

use ::eval::columns::{Column, Columns};
use ::eval::dataset::{Dataset, Item};
use ::eval::grid::{Criterion, Evidence, Grid, Scale};
use ::eval::judge::{self, Heard, Level, Preferred, Tally, Unreadable};
use ::eval::refusal::{Refusal, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ask::{Answer, Ask};
use crate::prompts::{Library, Prompt, PromptError};

/// Letters of the reason that a judge held to a schema may give: a small model would fill the whole answer with it.
const REASON: usize = 240;

/// An answer to judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub item: String,
    /// `MODEL`, or `MODEL/PROMPT` where several prompts were put.
    pub candidate: String,
    /// The model that answered, as the catalogue names it.
    pub model: String,
    /// Which time the item was asked.
    pub repeat: u64,
    pub cluster: Option<String>,
    /// Chance that the item had of being sampled.
    pub probability: Option<String>,
    pub question: String,
    pub reference: Option<String>,
    pub passages: Vec<String>,
    /// None when the candidate did not answer: missing evidence, which no judge is asked about.
    pub answer: Option<String>,
}

impl Subject {
    fn new(item: &Item, (model, prompt): (&str, &str), repeat: u64, answer: Option<&String>) -> Subject {
        Subject {
            item: item.id.clone(),
            candidate: if prompt.is_empty() { model.to_owned() } else { format!("{model}/{prompt}") },
            model: model.to_owned(),
            repeat,
            cluster: item.cluster.clone(),
            probability: item.fields.get("probability").cloned(),
            question: item.question.clone(),
            reference: item.reference.clone(),
            passages: item.passages.clone(),
            // Nothing written is no answer.
            answer: answer.filter(|text| !text.trim().is_empty()).cloned(),
        }
    }

    fn is_of(&self, candidate: Option<&str>) -> bool {
        candidate.is_none_or(|candidate| self.candidate == candidate || self.model == candidate)
    }
}

/// The answers of one candidate: of an experiment, or else those that items hold in their fields `answer` and `model`.
///
/// # Errors
/// A candidate without an answer.
pub fn subjects(dataset: &Dataset, answers: Option<&[Answer]>, candidate: Option<&str>) -> Result<Vec<Subject>> {
    let all: Vec<Subject> = match answers {
        Some(answers) => {
            let items: HashMap<&str, &Item> = dataset.items.iter().map(|item| (item.id.as_str(), item)).collect();
            let subject = |answer: &Answer| {
                let item = items.get(answer.about("item"))?;
                let repeat = answer.about.get("repeat").and_then(Value::as_u64).unwrap_or(1);
                Some(Subject::new(item, (&answer.model, answer.about("prompt")), repeat, answer.text.as_ref()))
            };
            answers.iter().filter_map(subject).collect()
        }
        None => {
            let subject = |item: &Item| {
                let (model, answer) = (item.fields.get("model")?, item.fields.get("answer")?);
                let prompt = item.fields.get("prompt").map_or("", String::as_str);
                Some(Subject::new(item, (model, prompt), 1, Some(answer)))
            };
            dataset.items.iter().filter_map(subject).collect()
        }
    };
    let found: Vec<Subject> = all.into_iter().filter(|subject| subject.is_of(candidate)).collect();
    if found.is_empty() {
        let of = candidate.map(|candidate| format!(" de « {candidate} »")).unwrap_or_default();
        let by = candidate.map(|candidate| format!(" of “{candidate}”")).unwrap_or_default();
        return Err(Refusal::input(
            format!("il n’y a aucune réponse{of} à juger"),
            format!("there is no answer{by} to judge"),
        ));
    }
    Ok(found)
}

/// One criterion, as judges are asked about it.
pub struct Judging<'a> {
    library: &'a Library,
    prompt: &'a Prompt,
    criterion: &'a Criterion,
    source: String,
    french: bool,
    constrained: bool,
    /// Empty: answers are compared in pairs.
    levels: Vec<Level>,
    judges: &'a [String],
}

/// What identifies a judging: whoever repeats it does the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Method {
    pub criterion: String,
    pub grid_hash: String,
    pub source: String,
    pub prompt: String,
    pub prompt_version: String,
    pub prompt_hash: String,
    pub judges: Vec<String>,
}

/// What judges said, put together.
#[derive(Debug)]
pub struct Verdicts {
    pub tally: Tally,
    /// By subject or pair, in order: the value of the evidence, if there is one.
    values: Vec<Option<String>>,
    preferred: Vec<Option<Preferred>>,
}

impl<'a> Judging<'a> {
    /// Prepares a criterion of a grid, whose evidence names the prompt: `judge:id@version`.
    ///
    /// # Errors
    /// An unknown criterion, one without a judge among its evidence, a prompt that is not there, a scale without levels.
    pub fn new(
        grid: &'a Grid,
        criterion: &str,
        judges: &'a [String],
        library: &'a Library,
        (language, constrained): (&str, bool),
    ) -> Result<Judging<'a>> {
        let mut all = grid.facets.iter().flat_map(|facet| &facet.criteria);
        let Some(criterion) = all.find(|one| one.id == criterion) else {
            return Err(Refusal::input(
                format!("la grille n’a pas de critère « {criterion} »"),
                format!("the grid has no criterion “{criterion}”"),
            ));
        };
        let Some(named) = criterion.evidence.iter().find_map(|evidence| match evidence {
            Evidence::Judge(named) => Some(named),
            _ => None,
        }) else {
            return Err(Refusal::input(
                format!("le critère « {} » n’a pas de juge parmi ses preuves (judge:…@…)", criterion.id),
                format!("the criterion “{}” has no judge among its evidence (judge:…@…)", criterion.id),
            ));
        };
        let (id, version) = named.split_once('@').unwrap_or((named, ""));
        let prompt = library.get(id, Some(version), Some(language)).map_err(|error| prompted(&error))?;
        let french = language == "fr";
        let levels = match judge::levels(&criterion.scale, french) {
            Some(levels) => levels,
            None if criterion.scale == Scale::Pairwise => Vec::new(),
            None => {
                return Err(Refusal::input(
                    format!("l’échelle « {} » n’a pas de niveaux à montrer à un juge", criterion.scale.name()),
                    format!("the scale “{}” has no levels to show a judge", criterion.scale.name()),
                ));
            }
        };
        if judges.is_empty() {
            return Err(Refusal::input("il faut au moins un juge", "at least one judge is needed"));
        }
        Ok(Judging {
            library,
            prompt,
            criterion,
            source: format!("judge:{named}"),
            french,
            constrained,
            levels,
            judges,
        })
    }

    pub fn compares_pairs(&self) -> bool {
        self.levels.is_empty()
    }

    pub fn method(&self, grid: &Grid) -> Method {
        Method {
            criterion: self.criterion.id.clone(),
            grid_hash: grid.hash.clone(),
            source: self.source.clone(),
            prompt: self.prompt.id.clone(),
            prompt_version: self.prompt.version.to_string(),
            prompt_hash: self.prompt.hash.clone(),
            judges: self.judges.to_vec(),
        }
    }

    /// The requests for answers judged one by one.
    ///
    /// # Errors
    /// A prompt that does not take what judges are given.
    pub fn asks(&self, subjects: &[Subject]) -> Result<Vec<Ask>> {
        let mut asks = Vec::new();
        for subject in subjects {
            let Some(answer) = &subject.answer else { continue };
            for judge in self.judges {
                let variables = [("scale", json!(self.levels)), ("answer", json!(answer))];
                asks.push(self.ask(subject, judge, ("one", &[("quote", answer)]), variables.to_vec())?);
            }
        }
        Ok(asks)
    }

    /// The requests for pairs: each judge sees both orders.
    ///
    /// # Errors
    /// As [`Judging::asks`].
    pub fn asks_of_pairs(&self, pairs: &[(Subject, Subject)]) -> Result<Vec<Ask>> {
        let mut asks = Vec::new();
        for (first, second) in pairs {
            let (Some(one), Some(other)) = (&first.answer, &second.answer) else { continue };
            for judge in self.judges {
                for (order, a, b) in [("straight", one, other), ("swapped", other, one)] {
                    let variables = [("answer_a", json!(a)), ("answer_b", json!(b))];
                    let quoted = [("quote_a", a.as_str()), ("quote_b", b.as_str())];
                    asks.push(self.ask(first, judge, (order, &quoted), variables.to_vec())?);
                }
            }
        }
        Ok(asks)
    }

    /// `quoted`: each key of the verdict that holds a quote, and the answer it is from.
    fn ask(
        &self,
        subject: &Subject,
        judge: &str,
        (order, quoted): (&str, &[(&str, &str)]),
        own: Vec<(&str, Value)>,
    ) -> Result<Ask> {
        let question = if self.french { &self.criterion.question.fr } else { &self.criterion.question.en };
        let mut variables = Map::new();
        let all = [("criterion", json!(question)), ("question", json!(subject.question))];
        variables.extend(all.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value)));
        if let Some(reference) = &subject.reference {
            variables.insert("reference".to_owned(), json!(reference));
        }
        if !subject.passages.is_empty() {
            variables.insert("passages".to_owned(), json!(subject.passages));
        }
        let rendered = self.library.render(self.prompt, &variables).map_err(|error| prompted(&error))?;
        let about = [
            ("item", json!(subject.item)),
            ("candidate", json!(subject.candidate)),
            ("repeat", json!(subject.repeat)),
            ("order", json!(order)),
        ];
        Ok(Ask {
            key: key(subject, judge, order),
            model: judge.to_owned(),
            messages: json!(rendered.messages),
            settings: self.settings(quoted),
            about: about.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        })
    }

    fn settings(&self, quoted: &[(&str, &str)]) -> Map<String, Value> {
        let mut settings = Map::from_iter([("temperature".to_owned(), json!(0))]);
        if self.constrained {
            settings.insert("response_format".to_owned(), self.verdict(quoted));
        }
        settings
    }

    /// The JSON that a judge is held to: a reason that ends, quotes chosen among what was written, a value of the scale.
    fn verdict(&self, quoted: &[(&str, &str)]) -> Value {
        let mut properties = Map::from_iter([("reason".to_owned(), json!({"type": "string", "maxLength": REASON}))]);
        for (key, answer) in quoted {
            let pieces: Vec<&str> = judge::quotable(answer).into_iter().chain([""]).collect();
            properties.insert((*key).to_owned(), json!({"enum": pieces}));
        }
        let (key, values) = match self.compares_pairs() {
            true => ("winner", vec!["A", "B", "tie"]),
            false => ("value", self.levels.iter().map(|level| level.value.as_str()).chain(["n/a"]).collect()),
        };
        properties.insert(key.to_owned(), json!({"enum": values}));
        let required: Vec<&String> = properties.keys().collect();
        let schema =
            json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
        json!({"type": "json_schema", "json_schema": {"name": "verdict", "strict": true, "schema": schema}})
    }

    /// What the answers to [`Judging::asks`] come to.
    pub fn settle(&self, subjects: &[Subject], answers: &HashMap<String, Answer>) -> Verdicts {
        let mut verdicts = Verdicts { tally: Tally::default(), values: Vec::new(), preferred: Vec::new() };
        for subject in subjects {
            let Some(answer) = &subject.answer else {
                verdicts.values.push(None);
                continue;
            };
            let heard = |judge: &String| {
                let said = text(answers, &key(subject, judge, "one"));
                (judge.clone(), read(said, |text| judge::score(text, &self.levels, answer)))
            };
            let panel: Vec<_> = self.judges.iter().map(heard).collect();
            verdicts.values.push(verdicts.tally.score(&panel).map(str::to_owned));
        }
        verdicts
    }

    /// What the answers to [`Judging::asks_of_pairs`] come to: of the first, `win`, `tie` or `loss`.
    pub fn settle_pairs(&self, pairs: &[(Subject, Subject)], answers: &HashMap<String, Answer>) -> Verdicts {
        let mut verdicts = Verdicts { tally: Tally::default(), values: Vec::new(), preferred: Vec::new() };
        for (first, second) in pairs {
            let (Some(one), Some(other)) = (&first.answer, &second.answer) else {
                verdicts.values.push(None);
                verdicts.preferred.push(None);
                continue;
            };
            let heard = |judge: &String| {
                let order = |order: &str, a: &str, b: &str| {
                    read(text(answers, &key(first, judge, order)), |text| judge::pair(text, a, b))
                };
                (judge.clone(), [order("straight", one, other), order("swapped", other, one)])
            };
            let panel: Vec<_> = self.judges.iter().map(heard).collect();
            let decided = verdicts.tally.pair(&panel);
            let value = decided.map(|preferred| match preferred {
                Preferred::First => "win",
                Preferred::Second => "loss",
                Preferred::Tie => "tie",
            });
            verdicts.values.push(value.map(str::to_owned));
            verdicts.preferred.push(decided);
        }
        verdicts
    }

    /// Evidence, as `guichet eval grid score` reads it. An answer without a verdict is a line without a value: missing.
    pub fn evidence<'s>(&self, verdicts: &Verdicts, subjects: impl Iterator<Item = &'s Subject>) -> Columns {
        type Row<'s> = (&'s Subject, Option<String>);
        let rows: Vec<Row<'_>> = subjects.zip(verdicts.values.iter().cloned()).collect();
        let text = |of: &dyn Fn(&Row<'_>) -> Option<String>| Column::Text(rows.iter().map(of).collect());
        Columns(vec![
            ("criterion".to_owned(), text(&|_| Some(self.criterion.id.clone()))),
            ("value".to_owned(), text(&|(_, value)| value.clone())),
            ("source".to_owned(), text(&|_| Some(self.source.clone()))),
            ("item".to_owned(), text(&|(subject, _)| Some(subject.item.clone()))),
            ("rater".to_owned(), text(&|_| Some(self.judges.join("+")))),
            ("cluster".to_owned(), text(&|(subject, _)| subject.cluster.clone())),
            ("probability".to_owned(), text(&|(subject, _)| subject.probability.clone())),
        ])
    }
}

impl Verdicts {
    /// Duels that were decided, as `bradley-terry` and reports read them.
    pub fn duels(&self, pairs: &[(Subject, Subject)], first: &str, second: &str) -> Columns {
        let rows: Vec<(&Subject, Preferred)> = pairs
            .iter()
            .zip(&self.preferred)
            .filter_map(|((subject, _), preferred)| Some((subject, (*preferred)?)))
            .collect();
        let text = |of: &dyn Fn(&(&Subject, Preferred)) -> String| {
            Column::Text(rows.iter().map(|row| Some(of(row))).collect())
        };
        Columns(vec![
            ("first".to_owned(), text(&|_| first.to_owned())),
            ("second".to_owned(), text(&|_| second.to_owned())),
            ("winner".to_owned(), text(&|(_, preferred)| preferred.word().to_owned())),
            (
                "cluster".to_owned(),
                text(&|(subject, _)| subject.cluster.clone().unwrap_or_else(|| subject.item.clone())),
            ),
            ("item".to_owned(), text(&|(subject, _)| subject.item.clone())),
        ])
    }
}

/// Two candidates' answers to the same item at the same repeat. What only one was put to makes no pair.
pub fn pairs(first: Vec<Subject>, second: Vec<Subject>) -> Vec<(Subject, Subject)> {
    let mut others: BTreeMap<(String, u64), Subject> =
        second.into_iter().map(|subject| ((subject.item.clone(), subject.repeat), subject)).collect();
    let paired = first.into_iter().filter_map(|subject| {
        let other = others.remove(&(subject.item.clone(), subject.repeat))?;
        Some((subject, other))
    });
    paired.collect()
}

/// Refuses judges of a candidate's family, or of none that is known.
///
/// # Errors
/// Why not.
pub fn check_families<'s>(
    judges: &[String],
    models: impl Iterator<Item = &'s str>,
    family: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    let models: std::collections::BTreeSet<&str> = models.collect();
    for judge in judges {
        let of = family(judge);
        for model in &models {
            judge::may_judge((judge, of.as_deref()), (model, family(model).as_deref()))
                .map_err(|(fr, en)| Refusal::input(fr, en))?;
        }
    }
    Ok(())
}

/// One subject before one judge, in one order.
fn key(subject: &Subject, judge: &str, order: &str) -> String {
    json!([subject.item, subject.candidate, subject.repeat, judge, order]).to_string()
}

fn text<'a>(answers: &'a HashMap<String, Answer>, key: &str) -> Option<&'a str> {
    answers.get(key)?.text.as_deref()
}

fn read<T>(said: Option<&str>, read: impl Fn(&str) -> std::result::Result<T, Unreadable>) -> Heard<T> {
    match said.map(read) {
        None => Heard::Failed,
        Some(Ok(said)) => Heard::Said(said),
        Some(Err(why)) => Heard::Unreadable(why),
    }
}

fn prompted(error: &PromptError) -> Refusal {
    Refusal::input(
        format!("la consigne du juge ne convient pas : {error}"),
        format!("the judge’s prompt will not do: {error}"),
    )
}
