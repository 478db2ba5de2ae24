//! Estimates from a sample in which each observation had its own chance of being drawn.

use super::units::{Clusters, Units};
use super::{Estimate, FEWEST_UNITS, Level};
use crate::refusal::{Refusal, Result};

/// Chances of being drawn: above 0, at most 1.
fn weights(values: &[f64], probabilities: &[f64]) -> Result<Vec<f64>> {
    Refusal::same_length(values.len(), probabilities.len())?;
    Refusal::finite(values)?;
    if let Some(place) = probabilities.iter().position(|p| p.is_nan() || *p <= 0.0 || *p > 1.0) {
        let p = probabilities[place];
        return Err(Refusal::input(
            format!("probabilité d’inclusion n° {} : {p} n’est pas dans ]0, 1]", place + 1),
            format!("inclusion probability {}: {p} is not in (0, 1]", place + 1),
        ));
    }
    Ok(probabilities.iter().map(|p| 1.0 / p).collect())
}

/// What units add to Hájek's mean.
pub fn hajek_units(values: &[f64], probabilities: &[f64], clusters: &Clusters) -> Result<Units> {
    let weights = weights(values, probabilities)?;
    let top: Vec<f64> = values.iter().zip(&weights).map(|(y, w)| y * w).collect();
    Units::ratio(&top, &weights, clusters)
}

/// Hájek's mean, for a population whose size need not be known.
///
/// Σ yᵢ/πᵢ over Σ 1/πᵢ (Hájek 1971), with the linearized variance of a ratio over units (Särndal, Swensson & Wretman 1992,
/// §5.7, as if drawn with replacement: slightly too large when much of the population is drawn).
pub fn hajek_mean(values: &[f64], probabilities: &[f64], clusters: &Clusters, level: Level) -> Result<Estimate> {
    hajek_units(values, probabilities, clusters)?.estimate(level)
}

/// Horvitz and Thompson's total.
///
/// T = Σ yᵢ/πᵢ (Horvitz & Thompson 1952). Variance by Hansen & Hurwitz's formula over G units, G/(G−1)·Σ(zᵤ − T/G)² with
/// zᵤ the sum of y/π of a unit: with replacement, hence slightly too large without.
pub fn horvitz_thompson_total(
    values: &[f64],
    probabilities: &[f64],
    clusters: &Clusters,
    level: Level,
) -> Result<Estimate> {
    let weights = weights(values, probabilities)?;
    Refusal::same_length(values.len(), clusters.of().len())?;
    let count = clusters.count();
    if count < FEWEST_UNITS {
        return Err(Refusal::too_few("unités indépendantes", "independent units", count, FEWEST_UNITS));
    }
    let sums = clusters.sums(values.iter().zip(&weights).map(|(y, w)| y * w));
    let total: f64 = sums.iter().sum();
    let mean = total / count as f64;
    let pulls: Vec<f64> = sums.iter().map(|sum| sum - mean).collect();
    let variance = super::units::robust_variance(&pulls);
    if variance <= 0.0 {
        return Err(Refusal::undefined(
            "rien ne varie d’une unité à l’autre",
            "nothing varies from one unit to another",
        ));
    }
    Ok(Estimate::student(total, variance, count as f64 - 1.0, values.len(), count, level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::units::clustered_mean;

    #[test]
    fn equal_chances_are_the_plain_mean_and_unequal_ones_are_undone() {
        let values: Vec<f64> = (0..30).map(|i| f64::from(i % 5)).collect();
        let alone = Clusters::alone(30);
        let weighted = hajek_mean(&values, &[0.1; 30], &alone, Level::default()).unwrap();
        let plain = clustered_mean(&values, &alone, Level::default()).unwrap();
        assert!((weighted.estimate - plain.estimate).abs() < 1e-12);
        assert!((weighted.standard_error - plain.standard_error).abs() < 1e-12);
        let total = horvitz_thompson_total(&values, &[0.1; 30], &alone, Level::default()).unwrap();
        assert!((total.estimate - 600.0).abs() < 1e-9);
        // Tens drawn ten times as often as ones: the plain mean would be 7.75.
        let (mut mixed, mut chances) = (vec![10.0; 27], vec![1.0; 27]);
        mixed.extend([1.0; 9]);
        chances.extend([0.1; 9]);
        let undone = hajek_mean(&mixed, &chances, &Clusters::alone(36), Level::default()).unwrap();
        assert!((undone.estimate - 360.0 / 117.0).abs() < 1e-12);
    }

    #[test]
    fn a_chance_of_zero_is_refused() {
        for wrong in [0.0, -0.5, 1.5, f64::NAN] {
            let mut chances = [0.5; 10];
            chances[3] = wrong;
            let values: Vec<f64> = (0..10).map(f64::from).collect();
            let refusal = hajek_mean(&values, &chances, &Clusters::alone(10), Level::default()).unwrap_err();
            assert!(refusal.fr.contains("n° 4"), "{refusal}");
        }
    }
}
