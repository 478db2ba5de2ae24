//! Rankings from duels: Bradley and Terry's model, with ties as Davidson has them.

mod graph;

use nalgebra::{DMatrix, DVector};

use super::units::Clusters;
use super::{Interval, Level, paired, two_sided};
use crate::refusal::{Refusal, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    First,
    Second,
    Tie,
}

/// Two models on one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duel {
    pub first: u32,
    pub second: u32,
    pub outcome: Outcome,
}

/// One model's place.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Place {
    pub name: String,
    pub rank: usize,
    /// Ranks it may have: all of them hold together, at the level asked.
    pub rank_low: usize,
    pub rank_high: usize,
    /// Logarithm of its strength; the mean of all is 0. Of two models a lead of d apart, the first wins exp(d) times as
    /// often as it loses.
    pub strength: f64,
    pub standard_error: f64,
    #[serde(flatten)]
    pub interval: Interval,
    pub wins: u64,
    pub losses: u64,
    pub ties: u64,
}

/// Models, best first.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Ranking {
    pub places: Vec<Place>,
    /// Davidson's ν: how ready people are to call a tie. 0 when nobody did.
    pub tie_rate: f64,
    pub duels: usize,
    /// Independent units, when duels were clustered.
    pub units: Option<usize>,
}

const ROUNDS: usize = 100;

/// Strengths of models by their duels.
///
/// P(i beats j) = πᵢ/D, P(tie) = ν√(πᵢπⱼ)/D, D = πᵢ + πⱼ + ν√(πᵢπⱼ): Davidson (1970), which is Bradley & Terry (1952) when
/// nobody ties. Maximum likelihood by Newton's method on log π and log ν, where it is concave. Errors from the inverse
/// information; with clusters, the sandwich H⁻¹MH⁻¹ with M summed by cluster. The largest likelihood exists only if any two
/// models are linked by chains of wins both ways (Ford 1957), a tie counting both ways: else it is refused. Rank intervals:
/// i may rank from 1 + the number surely better to m − the number surely worse, after Holm's correction over all pairs, so
/// that all intervals hold at once (Al Mohamad, Goeman & van Zwet 2022).
pub fn davidson(names: &[String], duels: &[Duel], clusters: Option<&Clusters>, level: Level) -> Result<Ranking> {
    let tally = Tally::new(names, duels)?;
    graph::strongly_connected(names, &tally)?;
    if tally.ties == tally.duels {
        return Err(Refusal::undefined("tous les duels sont nuls", "all duels are ties"));
    }
    let fit = Fit::new(&tally)?;
    let covariance = match clusters {
        None => fit.inverse.clone(),
        Some(clusters) => fit.sandwich(duels, clusters)?,
    };
    Ok(rank(names, &tally, &fit, &covariance, clusters.map(Clusters::count), level))
}

/// Wins and ties of each pair.
struct Tally {
    models: usize,
    /// wins[i·m + j]: times i beat j.
    wins: Vec<f64>,
    /// Times i and j tied, both ways round.
    drawn: Vec<f64>,
    ties: f64,
    duels: f64,
}

impl Tally {
    fn new(names: &[String], duels: &[Duel]) -> Result<Tally> {
        let models = names.len();
        if models < 2 {
            return Err(Refusal::too_few("modèles", "models", models, 2));
        }
        let (mut wins, mut drawn, mut ties) = (vec![0.0; models * models], vec![0.0; models * models], 0.0);
        for (place, duel) in duels.iter().enumerate() {
            let (i, j) = (duel.first as usize, duel.second as usize);
            if i == j || i >= models || j >= models {
                return Err(Refusal::input(
                    format!("le duel n° {} n’oppose pas deux modèles de la liste", place + 1),
                    format!("duel {} is not between two models of the list", place + 1),
                ));
            }
            match duel.outcome {
                Outcome::First => wins[i * models + j] += 1.0,
                Outcome::Second => wins[j * models + i] += 1.0,
                Outcome::Tie => {
                    drawn[i * models + j] += 1.0;
                    drawn[j * models + i] += 1.0;
                    ties += 1.0;
                }
            }
        }
        Ok(Tally { models, wins, drawn, ties, duels: duels.len() as f64 })
    }

    /// i against j: wins, losses, ties.
    fn pair(&self, i: usize, j: usize) -> (f64, f64, f64) {
        (self.wins[i * self.models + j], self.wins[j * self.models + i], self.drawn[i * self.models + j])
    }

    fn against_all(&self, i: usize) -> (f64, f64, f64) {
        (0..self.models).map(|j| self.pair(i, j)).fold((0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
    }
}

/// Probabilities that the first wins, that the second does, that they tie.
fn chances(lead: f64, tie: Option<f64>) -> (f64, f64, f64) {
    // Divided by √(πᵢπⱼ): e^{d/2}, e^{−d/2}, ν.
    let (one, two, tie) = ((lead / 2.0).exp(), (-lead / 2.0).exp(), tie.map_or(0.0, f64::exp));
    let sum = one + two + tie;
    (one / sum, two / sum, tie / sum)
}

struct Fit {
    /// log π, then log ν where somebody tied.
    parameters: DVector<f64>,
    models: usize,
    inverse: DMatrix<f64>,
}

impl Fit {
    fn new(tally: &Tally) -> Result<Fit> {
        let models = tally.models;
        let with_ties = tally.ties > 0.0;
        let mut parameters = DVector::zeros(models + usize::from(with_ties));
        let mut likelihood = log_likelihood(tally, &parameters);
        for _ in 0..ROUNDS {
            let (gradient, information) = derivatives(tally, &parameters);
            let Some(factor) = information.cholesky() else { break };
            let step = factor.solve(&gradient);
            let mut size = 1.0;
            loop {
                let next = &parameters + size * &step;
                let reached = log_likelihood(tally, &next);
                if reached >= likelihood - 1e-12 * likelihood.abs() {
                    (parameters, likelihood) = (next, reached);
                    break;
                }
                size /= 2.0;
                if size < 1e-12 {
                    return Err(unsettled());
                }
            }
            if step.amax() * size < 1e-10 {
                let (_, information) = derivatives(tally, &parameters);
                let inverse = information.cholesky().ok_or_else(unsettled)?.inverse();
                return Ok(Fit { parameters, models, inverse });
            }
        }
        Err(unsettled())
    }

    fn tie(&self) -> Option<f64> {
        (self.parameters.len() > self.models).then(|| self.parameters[self.models])
    }

    /// H⁻¹ M H⁻¹, M = G/(G−1) Σ gᵤgᵤᵀ over the gradients of units.
    fn sandwich(&self, duels: &[Duel], clusters: &Clusters) -> Result<DMatrix<f64>> {
        Refusal::same_length(duels.len(), clusters.of().len())?;
        let (size, count) = (self.parameters.len(), clusters.count());
        let needed = super::FEWEST_UNITS.max(2 * size);
        if count < needed {
            return Err(Refusal::too_few("unités indépendantes", "independent units", count, needed));
        }
        let mut order: Vec<u32> = (0..duels.len() as u32).collect();
        order.sort_by_key(|duel| clusters.of()[*duel as usize]);
        let mut meat = DMatrix::<f64>::zeros(size, size);
        let mut pull = vec![0.0; size];
        let mut touched: Vec<usize> = Vec::new();
        let tie = self.tie();
        for unit in order.chunk_by(|a, b| clusters.of()[*a as usize] == clusters.of()[*b as usize]) {
            for duel in unit.iter().map(|duel| duels[*duel as usize]) {
                let (i, j) = (duel.first as usize, duel.second as usize);
                let (win, _, tied) = chances(self.parameters[i] - self.parameters[j], tie);
                let got = match duel.outcome {
                    Outcome::First => 1.0,
                    Outcome::Second => 0.0,
                    Outcome::Tie => 0.5,
                };
                let surprise = got - win - tied / 2.0;
                pull[i] += surprise;
                pull[j] -= surprise;
                touched.extend([i, j]);
                if tie.is_some() {
                    pull[self.models] += f64::from(u8::from(duel.outcome == Outcome::Tie)) - tied;
                    touched.push(self.models);
                }
            }
            touched.sort_unstable();
            touched.dedup();
            for a in &touched {
                for b in &touched {
                    meat[(*a, *b)] += pull[*a] * pull[*b];
                }
            }
            for place in touched.drain(..) {
                pull[place] = 0.0;
            }
        }
        Ok(&self.inverse * meat * &self.inverse * (count as f64 / (count as f64 - 1.0)))
    }
}

fn unsettled() -> Refusal {
    Refusal::undefined("le calcul du classement ne se stabilise pas", "the ranking does not settle")
}

fn pairs(models: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..models).flat_map(move |i| (i + 1..models).map(move |j| (i, j)))
}

fn log_likelihood(tally: &Tally, parameters: &DVector<f64>) -> f64 {
    let tie = (parameters.len() > tally.models).then(|| parameters[tally.models]);
    let told = |times: f64, chance: f64| if times > 0.0 { times * chance.ln() } else { 0.0 };
    pairs(tally.models)
        .map(|(i, j)| {
            let (win, lose, tied) = chances(parameters[i] - parameters[j], tie);
            let (won, lost, drawn) = tally.pair(i, j);
            told(won, win) + told(lost, lose) + told(drawn, tied)
        })
        .sum()
}

/// Gradient and information. Only differences of strengths count: the information gets 1 in every cell of the strengths,
/// which pins their sum to 0 and changes nothing else.
fn derivatives(tally: &Tally, parameters: &DVector<f64>) -> (DVector<f64>, DMatrix<f64>) {
    let (models, size) = (tally.models, parameters.len());
    let tie = (size > models).then(|| parameters[models]);
    let mut gradient = DVector::zeros(size);
    let mut information = DMatrix::zeros(size, size);
    information.view_mut((0, 0), (models, models)).fill(1.0);
    for (i, j) in pairs(models) {
        let (won, lost, drawn) = tally.pair(i, j);
        let n = won + lost + drawn;
        if n == 0.0 {
            continue;
        }
        let (win, _, tied) = chances(parameters[i] - parameters[j], tie);
        let expected = win + tied / 2.0;
        let surprise = won + drawn / 2.0 - n * expected;
        gradient[i] += surprise;
        gradient[j] -= surprise;
        let spread = n * (win + tied / 4.0 - expected * expected);
        information[(i, i)] += spread;
        information[(j, j)] += spread;
        information[(i, j)] -= spread;
        information[(j, i)] -= spread;
        if tie.is_some() {
            gradient[models] += drawn - n * tied;
            information[(models, models)] += n * tied * (1.0 - tied);
            let cross = n * tied * (0.5 - expected);
            for (place, cross) in [(i, cross), (j, -cross)] {
                information[(place, models)] += cross;
                information[(models, place)] += cross;
            }
        }
    }
    (gradient, information)
}

fn rank(
    names: &[String],
    tally: &Tally,
    fit: &Fit,
    covariance: &DMatrix<f64>,
    units: Option<usize>,
    level: Level,
) -> Ranking {
    let models = tally.models;
    let lead = |i: usize, j: usize| fit.parameters[i] - fit.parameters[j];
    let compared: Vec<(usize, usize)> = pairs(models).collect();
    let p_values: Vec<f64> = compared
        .iter()
        .map(|(i, j)| {
            let variance = covariance[(*i, *i)] + covariance[(*j, *j)] - 2.0 * covariance[(*i, *j)];
            if variance > 0.0 { two_sided(lead(*i, *j) / variance.sqrt()).clamp(0.0, 1.0) } else { 1.0 }
        })
        .collect();
    let adjusted = paired::holm(&p_values).unwrap_or_else(|_| vec![1.0; compared.len()]);
    let (mut better, mut worse) = (vec![0; models], vec![0; models]);
    for ((i, j), p) in compared.into_iter().zip(adjusted) {
        if p < 1.0 - level.share() {
            let (up, down) = if lead(i, j) > 0.0 { (i, j) } else { (j, i) };
            better[down] += 1;
            worse[up] += 1;
        }
    }
    let mut order: Vec<usize> = (0..models).collect();
    order.sort_by(|a, b| fit.parameters[*b].total_cmp(&fit.parameters[*a]).then(names[*a].cmp(&names[*b])));
    // The pinned sum adds 1/m² to every cell of the inverse information; the sandwich has none.
    let pinned = if units.is_some() { 0.0 } else { 1.0 / (models * models) as f64 };
    let places = order
        .iter()
        .enumerate()
        .map(|(place, i)| {
            let strength = fit.parameters[*i];
            let standard_error = (covariance[(*i, *i)] - pinned).max(0.0).sqrt();
            let (wins, losses, ties) = tally.against_all(*i);
            Place {
                name: names[*i].clone(),
                rank: place + 1,
                rank_low: 1 + better[*i],
                rank_high: models - worse[*i],
                strength,
                standard_error,
                interval: Interval::around(strength, level.z() * standard_error, level),
                wins: wins as u64,
                losses: losses as u64,
                ties: ties as u64,
            }
        })
        .collect();
    Ranking { places, tie_rate: fit.tie().map_or(0.0, f64::exp), duels: tally.duels as usize, units }
}

#[cfg(test)]
mod tests;
