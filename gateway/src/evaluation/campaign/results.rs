//! What a campaign found, by the crate `eval`. Gold items tell how right people are, and count in nothing else.

use std::collections::{BTreeMap, HashMap};

use ::eval::Refusal;
use ::eval::grid::{Criterion, Grid, Scale};
use ::eval::panel::{self, Accuracy, Agreement, Answer, Checked, Choice, Preference, Rating, Told};
use ::eval::stats::Level;
use ::eval::stats::bootstrap::Plan;
use ::eval::stats::ranking::{Outcome, Ranking};
use ::eval::table;
use serde::Serialize;

use super::{Trouble, grid, swapped};
use crate::store::Database;
use crate::store::annotations::{CampaignItem, Done};
use crate::store::campaigns::Campaign;

/// Items read at once.
const PAGE: i64 = 5_000;

/// Everything a campaign holds, ready to be counted.
pub struct Results {
    campaign: Campaign,
    grid: Grid,
    /// In their order.
    items: Vec<CampaignItem>,
    places: HashMap<String, usize>,
    done: Vec<Done>,
}

/// How to compute intervals.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub level: Level,
    pub resamples: usize,
    pub seed: u64,
}

/// One person's work.
#[derive(Serialize)]
pub struct Work {
    /// Member's number, as figures name raters.
    pub rater: String,
    pub answered: usize,
    pub skipped: usize,
    /// Of the items whose time is known.
    pub median_seconds: Option<f64>,
}

/// What `…/agreement` answers.
#[derive(Serialize)]
pub struct AgreementFound {
    pub campaign_id: i64,
    pub grid: String,
    pub grid_hash: String,
    /// Of the bootstrap.
    pub seed: u64,
    pub annotators: Vec<Work>,
    pub criteria: Vec<Agreement>,
    /// On gold items.
    pub accuracy: Vec<Accuracy>,
}

/// Preferences on one criterion.
#[derive(Serialize)]
pub struct PreferenceFound {
    pub criterion: String,
    /// Choices between answers whose candidates are not told, or the same.
    pub unnamed: usize,
    #[serde(flatten)]
    pub preference: Preference,
}

/// What `…/pairs` answers.
#[derive(Serialize)]
pub struct PairsFound {
    pub campaign_id: i64,
    pub grid: String,
    pub grid_hash: String,
    pub criteria: Vec<PreferenceFound>,
}

/// A ranking on one criterion.
#[derive(Serialize)]
pub struct RankingFound {
    pub criterion: String,
    pub unnamed: usize,
    pub ranking: Told<Ranking>,
}

/// What `…/rankings` answers.
#[derive(Serialize)]
pub struct RankingsFound {
    pub campaign_id: i64,
    pub grid: String,
    pub grid_hash: String,
    pub criteria: Vec<RankingFound>,
}

impl Results {
    pub async fn load(database: &Database, campaign: Campaign) -> Result<Results, Trouble> {
        let grid = grid::of(database, &campaign).await?;
        let mut items: Vec<CampaignItem> = Vec::new();
        loop {
            let last = items.last().map_or(0, |item| item.place);
            let page = database.campaign_items(campaign.id, PAGE, last).await?;
            if page.is_empty() {
                break;
            }
            items.extend(page);
        }
        let places = items.iter().enumerate().map(|(at, item)| (item.id.clone(), at)).collect();
        let done = database.annotations(campaign.id).await?;
        Ok(Results { campaign, grid, items, places, done })
    }

    fn criteria(&self, of_pairs: bool) -> Vec<&Criterion> {
        grid::of_item(&self.grid, &self.campaign.criteria, of_pairs)
    }

    /// Answers with their items, gold or not.
    fn answered(&self, gold: bool) -> impl Iterator<Item = (&CampaignItem, &Done)> {
        self.done.iter().filter_map(move |done| {
            let item = &self.items[*self.places.get(&done.item)?];
            (item.gold == gold).then_some((item, done))
        })
    }

    fn ratings(&self, criterion: &Criterion) -> Vec<Rating> {
        let of_pairs = grid::is_of_pairs(criterion);
        let answered = self.answered(false).filter(|(item, _)| item.pair == of_pairs);
        answered
            .map(|(item, done)| Rating {
                item: item.id.clone(),
                rater: done.member.to_string(),
                unit: item.unit.clone(),
                answer: said(done, &criterion.id),
                words: Some(item.words as f64),
            })
            .collect()
    }

    /// Agreement on each criterion, and accuracy on gold items. Seconds of work for large campaigns.
    pub fn agreement(&self, settings: Settings) -> AgreementFound {
        let plan =
            Plan { resamples: settings.resamples, seed: settings.seed, level: settings.level, ..Plan::default() };
        let criteria = [false, true].into_iter().flat_map(|of_pairs| self.criteria(of_pairs));
        let criteria = criteria.map(|criterion| panel::agreement(criterion, &self.ratings(criterion), &plan)).collect();
        AgreementFound {
            campaign_id: self.campaign.id,
            grid: self.campaign.grid.clone(),
            grid_hash: self.campaign.grid_hash.clone(),
            seed: settings.seed,
            annotators: self.work(),
            criteria,
            accuracy: panel::accuracy(&self.checked(), settings.level),
        }
    }

    fn work(&self) -> Vec<Work> {
        let mut by: BTreeMap<i64, (usize, usize, Vec<i64>)> = BTreeMap::new();
        for (_, done) in self.answered(false).chain(self.answered(true)) {
            let (answered, skipped, times) = by.entry(done.member).or_default();
            *(if done.skipped { skipped } else { answered }) += 1;
            times.extend(done.taken_ms);
        }
        by.into_iter()
            .map(|(member, (answered, skipped, mut times))| {
                times.sort_unstable();
                let (low, high) = (times.get(times.len().saturating_sub(1) / 2), times.get(times.len() / 2));
                let median = low.zip(high).map(|(low, high)| (low + high) as f64 / 2_000.0);
                Work { rater: member.to_string(), answered, skipped, median_seconds: median }
            })
            .collect()
    }

    fn checked(&self) -> Vec<Checked> {
        let mut checked = Vec::new();
        for (item, done) in self.answered(true) {
            let expected = item.expected.as_deref().and_then(|text| serde_json::from_str(text).ok());
            let expected: BTreeMap<String, String> = expected.unwrap_or_default();
            for (criterion, expected) in expected {
                checked.push(Checked {
                    item: item.id.clone(),
                    rater: done.member.to_string(),
                    answer: said(done, &criterion),
                    expected: Answer::stored(Some(expected)),
                    criterion,
                });
            }
        }
        checked
    }

    /// Choices between two candidates that are told apart, and how many were not.
    fn choices(&self, criterion: &Criterion) -> (Vec<Choice>, usize) {
        let (mut choices, mut unnamed) = (Vec::new(), 0);
        for (item, done) in self.answered(false).filter(|(item, _)| item.pair) {
            let outcome = match said(done, &criterion.id).value() {
                Some("first") => Outcome::First,
                Some("second") => Outcome::Second,
                Some("tie") => Outcome::Tie,
                _ => continue,
            };
            match (&item.candidate, &item.against) {
                (Some(first), Some(second)) if first != second => choices.push(Choice {
                    first: first.clone(),
                    second: second.clone(),
                    outcome,
                    unit: item.unit.clone(),
                    rater: done.member.to_string(),
                    first_on_left: !swapped(&self.campaign, done.member, &item.id),
                }),
                _ => unnamed += 1,
            }
        }
        (choices, unnamed)
    }

    /// Candidates against each other, on each pairwise criterion.
    pub fn pairs(&self, level: Level) -> PairsFound {
        let of = |criterion: &Criterion| {
            let (choices, unnamed) = self.choices(criterion);
            PreferenceFound { criterion: criterion.id.clone(), unnamed, preference: panel::pairs(&choices, level) }
        };
        PairsFound {
            campaign_id: self.campaign.id,
            grid: self.campaign.grid.clone(),
            grid_hash: self.campaign.grid_hash.clone(),
            criteria: self.criteria(true).into_iter().map(of).collect(),
        }
    }

    /// Candidates by strength, on each pairwise criterion; refused where they cannot be ranked.
    pub fn rankings(&self, level: Level) -> RankingsFound {
        let of = |criterion: &Criterion| {
            let (choices, unnamed) = self.choices(criterion);
            RankingFound { criterion: criterion.id.clone(), unnamed, ranking: panel::ranking(&choices, level).into() }
        };
        RankingsFound {
            campaign_id: self.campaign.id,
            grid: self.campaign.grid.clone(),
            grid_hash: self.campaign.grid_hash.clone(),
            criteria: self.criteria(true).into_iter().map(of).collect(),
        }
    }

    /// The table that a grid is scored from (`guichet eval grid score`): one line for each answer, and one without a value
    /// for each item that nobody answered. With a candidate, only what it answered; pairs tell its wins and losses.
    ///
    /// # Errors
    /// Pairs without a candidate: nobody could tell whose wins they are.
    pub fn evidence(&self, candidate: Option<&str>) -> Result<Vec<u8>, Trouble> {
        if candidate.is_none() && self.items.iter().any(|item| item.pair) {
            let names: std::collections::BTreeSet<&str> = self
                .items
                .iter()
                .flat_map(|item| [&item.candidate, &item.against])
                .flatten()
                .map(String::as_str)
                .collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Trouble::wrong(
                "candidate",
                format!("une paire se lit du côté d’un candidat : dites lequel de {names}"),
                format!("a pair is read from one candidate’s side: say which of {names}"),
            ));
        }
        let header = ["criterion", "value", "source", "item", "rater", "cluster", "probability", "words"];
        let mut lines: Vec<Vec<String>> = vec![header.map(str::to_owned).to_vec()];
        let mut by_item: HashMap<&str, Vec<&Done>> = HashMap::new();
        for done in &self.done {
            by_item.entry(&done.item).or_default().push(done);
        }
        for item in self.items.iter().filter(|item| !item.gold) {
            let is = |name: &Option<String>| candidate.is_none_or(|wanted| name.as_deref() == Some(wanted));
            let turned = match (item.pair, is(&item.candidate), is(&item.against)) {
                // Against itself, a candidate neither wins nor loses.
                (true, true, true) => continue,
                (true, false, true) => true,
                (_, true, _) => false,
                _ => continue,
            };
            for criterion in self.criteria(item.pair) {
                let answers: Vec<(String, String)> = by_item
                    .get(item.id.as_str())
                    .into_iter()
                    .flatten()
                    .filter_map(|done| {
                        Some((told(criterion, &said(done, &criterion.id), turned)?, done.member.to_string()))
                    })
                    .collect();
                let none = vec![(String::new(), String::new())];
                for (value, rater) in if answers.is_empty() { none } else { answers } {
                    let words = match criterion.scale {
                        Scale::Severity { .. } => item.words.to_string(),
                        _ => String::new(),
                    };
                    lines.push(vec![
                        criterion.id.clone(),
                        value,
                        "human".to_owned(),
                        item.label.clone(),
                        rater,
                        item.unit.clone(),
                        item.probability.to_string(),
                        words,
                    ]);
                }
            }
        }
        table::write(b',', lines).map_err(|Refusal { fr, en, .. }| Trouble::wrong("evidence", fr, en))
    }
}

/// What somebody answered to a criterion.
fn said(done: &Done, criterion: &str) -> Answer {
    let found = done.answers.iter().find(|(id, _)| id == criterion);
    found.map_or(Answer::Skipped, |(_, value)| Answer::stored(value.clone()))
}

/// An answer as a table of evidence says it; none where it was left out.
fn told(criterion: &Criterion, answer: &Answer, turned: bool) -> Option<String> {
    let written = answer.written()?;
    Some(match (&criterion.scale, written, turned) {
        (Scale::Pairwise, "first", false) | (Scale::Pairwise, "second", true) => "win".to_owned(),
        (Scale::Pairwise, "second", false) | (Scale::Pairwise, "first", true) => "loss".to_owned(),
        _ => written.to_owned(),
    })
}
