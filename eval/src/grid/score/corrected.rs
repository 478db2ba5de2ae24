//! A judge's scores corrected by people's.

use std::collections::{HashMap, HashSet};

use super::super::evidence::{Answer, Line};
use super::super::model::Evidence;
use super::super::part::Part;
use super::{Estimated, Figure, Item, enough, is_judge};
use crate::refusal::{Refusal, Result};
use crate::stats::corrected::{Judged, Scored, Trust, corrected_mean, weighted_corrected_mean};
use crate::stats::units::Clusters;
use crate::stats::{Interval, Level, mean};

/// Whether all had one chance of being drawn.
fn alike(items: &[Item<'_>]) -> bool {
    items.windows(2).all(|two| (two[0].probability - two[1].probability).abs() <= 1e-9 * two[0].probability)
}

/// The corrected mean, or why people are listened to alone.
///
/// An item whose verdict could not be read counts with the judge's mean: any number will do for the correction, as long as
/// what people saw and what they did not are treated alike; to leave such items out would not be.
pub(super) fn estimated(
    human: &[Item<'_>],
    judge: &[Item<'_>],
    lines: &[Line],
    minimum: usize,
    level: Level,
) -> Result<Estimated> {
    let by_people: HashMap<&str, &Item<'_>> = human.iter().map(|item| (item.name, item)).collect();
    let judged = with_silent(judge, lines, &by_people);
    let (both, alone): (Vec<&Item<'_>>, Vec<&Item<'_>>) =
        judged.iter().partition(|item| by_people.contains_key(item.name));
    if both.len() < human.len() {
        let left = human.len() - both.len();
        return Err(Refusal::input(
            format!("{left} éléments notés par des personnes n’ont pas été soumis au juge"),
            format!("{left} items scored by people were not given to the judge"),
        ));
    }
    let read: HashSet<&str> = judge.iter().map(|item| item.name).collect();
    let n = both.len() + alone.iter().filter(|item| read.contains(item.name)).count();
    enough(n, minimum)?;
    let (figure, units, part) = if alike(human) && alike(&judged) {
        plain(&both, &alone, &by_people, level)?
    } else {
        weighted(&judged, &by_people, level)?
    };
    Ok(Estimated { basis: "judge_corrected", figure, n, units, part })
}

/// What the judge scored, and what it was asked and gave no verdict of, people's « sans objet » apart.
fn with_silent<'a>(judge: &[Item<'a>], lines: &'a [Line], by_people: &HashMap<&str, &Item<'_>>) -> Vec<Item<'a>> {
    let people = lines.iter().filter(|line| line.source == Evidence::Human && line.answer == Answer::NotApplicable);
    let outside: HashSet<&str> =
        people.map(|line| line.item.as_str()).filter(|item| !by_people.contains_key(item)).collect();
    let mut known: HashSet<&str> = judge.iter().map(|item| item.name).collect();
    let average = mean(&judge.iter().map(|item| item.score).collect::<Vec<f64>>());
    let mut judged: Vec<Item<'a>> = judge.iter().copied().filter(|item| !outside.contains(item.name)).collect();
    for line in lines.iter().filter(|line| is_judge(&line.source)) {
        let (name, unit, probability) = (line.item.as_str(), line.unit.as_str(), line.probability);
        let wanted = match line.answer {
            Answer::Missing => !outside.contains(name),
            Answer::NotApplicable => by_people.contains_key(name),
            Answer::Score { .. } => false,
        };
        if wanted && known.insert(name) {
            judged.push(Item { name, unit, score: average, size: 1.0, probability });
        }
    }
    judged
}

type Told = (Figure, usize, Part);

fn figure(estimate: f64, interval: Interval, level: Level) -> Figure {
    let interval = Interval::new(interval.low.clamp(0.0, 1.0), interval.high.clamp(0.0, 1.0), level);
    Figure { estimate: estimate.clamp(0.0, 1.0), interval }
}

fn plain(both: &[&Item<'_>], alone: &[&Item<'_>], by_people: &HashMap<&str, &Item<'_>>, level: Level) -> Result<Told> {
    let scores = |items: &[&Item<'_>]| items.iter().map(|item| item.score).collect::<Vec<f64>>();
    let (judged, judge_alone) = (scores(both), scores(alone));
    let people: Vec<f64> = both.iter().map(|item| by_people[item.name].score).collect();
    let clusters = Clusters::named(both.iter().map(|item| item.unit));
    let clusters_alone = Clusters::named(alone.iter().map(|item| item.unit));
    let (human, judge, judge_alone) = (&people[..], &judged[..], &judge_alone[..]);
    let input = Judged { human, judge, clusters: &clusters, judge_alone, clusters_alone: &clusters_alone };
    let got = corrected_mean(&input, Trust::Tuned, level)?;
    let trust = got.trust;
    let figure = figure(got.estimate.estimate, got.estimate.interval, level);
    let mut part =
        Part { estimate: figure.estimate, freedom: Some(got.estimate.degrees_of_freedom), ..Part::default() };
    let rectified: Vec<f64> = people.iter().zip(&judged).map(|(y, f)| y - trust * f).collect();
    let trusted: Vec<f64> = judge_alone.iter().map(|f| trust * f).collect();
    for (items, values, clusters) in [(both, &rectified, &clusters), (alone, &trusted, &clusters_alone)] {
        let (mean, n, count) = (mean(values), values.len() as f64, clusters.count() as f64);
        for (item, value) in items.iter().zip(values) {
            let pull = (value - mean) / n * (count / (count - 1.0)).sqrt();
            *part.pulls.entry(item.unit.to_owned()).or_insert(0.0) += pull;
        }
    }
    Ok((figure, got.estimate.units, part))
}

fn weighted(judged: &[Item<'_>], by_people: &HashMap<&str, &Item<'_>>, level: Level) -> Result<Told> {
    let scored: Vec<Scored> = judged
        .iter()
        .map(|item| Scored {
            judge: item.score,
            probability: item.probability,
            human: by_people.get(item.name).map(|said| (said.score, said.probability)),
        })
        .collect();
    let clusters = Clusters::named(judged.iter().map(|item| item.unit));
    let got = weighted_corrected_mean(&scored, &clusters, level)?;
    let figure = figure(got.estimate.estimate, got.estimate.interval, level);
    let mut part =
        Part { estimate: figure.estimate, freedom: Some(got.estimate.degrees_of_freedom), ..Part::default() };
    let count = clusters.count() as f64;
    for (item, unit) in judged.iter().zip(clusters.of()) {
        let pull = got.pulls[*unit as usize] * (count / (count - 1.0)).sqrt();
        part.pulls.insert(item.unit.to_owned(), pull);
    }
    Ok((figure, clusters.count(), part))
}
