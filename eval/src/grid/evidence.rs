//! The table of evidence: one line for each answer to a criterion.

use std::collections::{HashMap, HashSet};

use super::model::{Criterion, Direction, Evidence, Grid, Scale};
use crate::refusal::Result;
use crate::table::{Broken, Row, Table, number, yes_or_no};

/// What a line answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    /// A score from 0 (worst) to 1 (best), and its weight in a mean: words for a severity, 1 otherwise.
    Score {
        score: f64,
        size: f64,
    },
    NotApplicable,
    /// Asked, and not answered.
    Missing,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub source: Evidence,
    pub item: String,
    pub rater: String,
    /// The independent unit the item belongs to.
    pub unit: String,
    pub answer: Answer,
    /// Its chance of being drawn.
    pub probability: f64,
    /// Bounds of a fact, when whoever computed it gave some.
    pub bounds: Option<(f64, f64)>,
}

/// Evidence by criterion; lines that are not evidence.
#[derive(Debug, Default)]
pub struct EvidenceTable {
    pub(super) lines: HashMap<String, Vec<Line>>,
    /// Items that some line names, for coverage: answers, and pairs of them.
    pub(super) items: HashSet<String>,
    pub(super) pairs: HashSet<String>,
    pub rows: usize,
    pub broken: Vec<Broken>,
}

/// Places of columns; only the first two must be there.
struct Columns {
    criterion: usize,
    value: usize,
    others: HashMap<&'static str, usize>,
}

const OTHERS: [&str; 11] =
    ["source", "item", "rater", "cluster", "probability", "words", "document", "date", "signatory", "low", "high"];

pub(crate) type Told<T> = std::result::Result<T, (String, String)>;

fn told<T>(fr: impl Into<String>, en: impl Into<String>) -> Told<T> {
    Err((fr.into(), en.into()))
}

impl EvidenceTable {
    /// Reads a table beside its grid. Columns: `criterion`, `value`; where they serve `source`, `item`, `rater`, `cluster`,
    /// `probability`, `words` (severity), `document`, `date`, `signatory` (attestation), `low`, `high` (usage).
    pub fn read(grid: &Grid, table: &Table) -> Result<EvidenceTable> {
        let columns = Columns {
            criterion: table.column("criterion")?,
            value: table.column("value")?,
            others: OTHERS.into_iter().filter_map(|name| Some((name, table.place(name)?))).collect(),
        };
        let criteria: HashMap<&str, &Criterion> = grid
            .facets
            .iter()
            .flat_map(|facet| &facet.criteria)
            .map(|criterion| (criterion.id.as_str(), criterion))
            .collect();
        let mut evidence = EvidenceTable { broken: table.broken().to_vec(), ..EvidenceTable::default() };
        for row in table.rows() {
            match line(&criteria, &columns, row) {
                Ok((criterion, line)) => {
                    evidence.rows += 1;
                    if !line.source.is_fact() {
                        let pair = criteria.get(criterion.as_str()).is_some_and(|one| one.scale == Scale::Pairwise);
                        let items = if pair { &mut evidence.pairs } else { &mut evidence.items };
                        items.insert(line.item.clone());
                    }
                    evidence.lines.entry(criterion).or_default().push(line);
                }
                Err((fr, en)) => evidence.broken.push(Broken::new(row.line, fr, en)),
            }
        }
        evidence.broken.sort_by_key(|broken| broken.line);
        Ok(evidence)
    }

    /// Of each item a source scored on a criterion: the mean of its scores, and its independent unit.
    pub fn by_item(&self, criterion: &str, source: &Evidence) -> HashMap<String, (f64, String)> {
        let mut sums: HashMap<&str, (f64, f64, &str)> = HashMap::new();
        for line in self.lines.get(criterion).into_iter().flatten().filter(|line| line.source == *source) {
            if let Answer::Score { score, .. } = line.answer {
                let sum = sums.entry(&line.item).or_insert((0.0, 0.0, &line.unit));
                (sum.0, sum.1) = (sum.0 + score, sum.1 + 1.0);
            }
        }
        sums.into_iter().map(|(item, (sum, n, unit))| (item.to_owned(), (sum / n, unit.to_owned()))).collect()
    }

    /// The same table without what it says of some criteria.
    pub fn without(&self, criteria: &[&str]) -> EvidenceTable {
        let kept = self.lines.iter().filter(|(id, _)| !criteria.contains(&id.as_str()));
        EvidenceTable {
            lines: kept.map(|(id, lines)| (id.clone(), lines.clone())).collect(),
            items: self.items.clone(),
            pairs: self.pairs.clone(),
            rows: self.rows,
            broken: Vec::new(),
        }
    }

    /// Judges that some line names, `id@version`.
    pub fn judges(&self) -> std::collections::BTreeSet<String> {
        let sources = self.lines.values().flatten().map(|line| &line.source);
        sources
            .filter_map(|source| if let Evidence::Judge(judge) = source { Some(judge.clone()) } else { None })
            .collect()
    }
}

impl Columns {
    fn cell<'r>(&self, row: &'r Row, name: &str) -> &'r str {
        self.others.get(name).map_or("", |place| row.cell(*place))
    }
}

fn line(criteria: &HashMap<&str, &Criterion>, columns: &Columns, row: &Row) -> Told<(String, Line)> {
    let id = row.cell(columns.criterion);
    let Some(criterion) = criteria.get(id) else {
        return told(format!("la grille n’a pas de critère « {id} »"), format!("the grid has no criterion “{id}”"));
    };
    let source = source(criterion, columns.cell(row, "source"))?;
    let (value, words) = (row.cell(columns.value), columns.cell(row, "words"));
    let answer = match value.to_lowercase().as_str() {
        "" => Answer::Missing,
        "na" | "n/a" | "sans objet" => Answer::NotApplicable,
        _ => score(criterion, value, words)?,
    };
    if source == Evidence::Attestation {
        for (name, fr) in [("document", "le document"), ("date", "la date"), ("signatory", "le signataire")] {
            if columns.cell(row, name).is_empty() {
                return told(
                    format!("attestation : il manque {fr} (colonne {name})"),
                    format!("attestation: {name} is missing"),
                );
            }
        }
        let date = columns.cell(row, "date");
        if !is_date(date) {
            return told(
                format!("« {date} » n’est pas une date comme 2026-11-25"),
                format!("“{date}” is not a date such as 2026-11-25"),
            );
        }
    }
    let probability = match columns.cell(row, "probability") {
        "" => 1.0,
        text => match number(text).filter(|p| *p > 0.0 && *p <= 1.0) {
            Some(probability) => probability,
            None => {
                return told(
                    format!("la probabilité « {text} » n’est pas dans ]0, 1]"),
                    format!("the probability “{text}” is not in (0, 1]"),
                );
            }
        },
    };
    let bounds = match (columns.cell(row, "low"), columns.cell(row, "high")) {
        ("", "") => None,
        (low, high) => match (score(criterion, low, "")?, score(criterion, high, "")?) {
            (Answer::Score { score: one, .. }, Answer::Score { score: other, .. }) => {
                Some((one.min(other), one.max(other)))
            }
            _ => None,
        },
    };
    let own = |name: &str, otherwise: &str| match columns.cell(row, name) {
        "" => otherwise.to_owned(),
        text => text.to_owned(),
    };
    let item = own("item", &format!("line {}", row.line));
    let unit = own("cluster", &item);
    let rater = own("rater", "");
    Ok((id.to_owned(), Line { source, item, rater, unit, answer, probability, bounds }))
}

fn source(criterion: &Criterion, said: &str) -> Told<Evidence> {
    let known = || criterion.evidence.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if said.is_empty() {
        return match &criterion.evidence[..] {
            [one] => Ok(one.clone()),
            _ => {
                told(format!("dites la source, l’une de : {}", known()), format!("say the source, one of: {}", known()))
            }
        };
    }
    match criterion.evidence.iter().find(|evidence| evidence.to_string() == said) {
        Some(evidence) => Ok(evidence.clone()),
        None => told(
            format!("la source « {said} » n’est pas de ce critère ({})", known()),
            format!("the source “{said}” is not of this criterion ({})", known()),
        ),
    }
}

/// A value as a score from 0 to 1, 1 being best.
pub(crate) fn score(criterion: &Criterion, value: &str, words: &str) -> Told<Answer> {
    let wrong = |fr: &str, en: &str| (format!("« {value} » n’est pas {fr}"), format!("“{value}” is not {en}"));
    let as_number = || number(value).ok_or_else(|| wrong("un nombre", "a number"));
    let rising = match &criterion.scale {
        Scale::Boolean => match yes_or_no(value) {
            Some(yes) => f64::from(u8::from(yes)),
            None => return Err(wrong("oui ou non", "yes or no")),
        },
        Scale::Nominal(scores) => match scores.iter().find(|(name, _)| name == value) {
            Some((_, score)) => *score,
            None => return Err(wrong("une catégorie de ce critère", "a category of this criterion")),
        },
        Scale::Ordinal(levels) => {
            let given = as_number()?;
            let (Some((first, _)), Some((last, _))) = (levels.first(), levels.last()) else {
                return Err(wrong("un niveau", "a level"));
            };
            if !levels.iter().any(|(level, _)| *level == given) {
                return Err(wrong("un niveau de ce critère", "a level of this criterion"));
            }
            (given - first) / (last - first)
        }
        Scale::Interval { low, high } => ((as_number()? - low) / (high - low)).clamp(0.0, 1.0),
        Scale::Pairwise => match value.to_lowercase().as_str() {
            "win" | "gagné" | "1" => 1.0,
            "tie" | "nul" | "0.5" | "0,5" => 0.5,
            "loss" | "perdu" | "0" => 0.0,
            _ => return Err(wrong("win, tie ou loss", "win, tie or loss")),
        },
        Scale::Severity { worst } => {
            let points = as_number()?;
            let Some(size) = number(words).filter(|size| *size > 0.0) else {
                return told(
                    "une sévérité veut le nombre de mots (colonne words)",
                    "a severity wants the number of words (column words)",
                );
            };
            if points < 0.0 {
                return Err(wrong("un nombre de points", "a number of points"));
            }
            return Ok(Answer::Score { score: 1.0 - 1_000.0 * points / (worst * size), size });
        }
    };
    let score = if criterion.direction == Direction::Lower { 1.0 - rising } else { rising };
    Ok(Answer::Score { score, size: 1.0 })
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let within = |part: &str, digits: usize, most: u32| {
        part.len() == digits && part.parse::<u32>().is_ok_and(|value| (1..=most).contains(&value))
    };
    matches!(parts[..], [year, month, day] if within(year, 4, 9_999) && within(month, 2, 12) && within(day, 2, 31))
}
