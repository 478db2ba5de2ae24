//! Two candidates on the same items.

use statrs::distribution::{Binomial, DiscreteCDF};

use super::units::{Clusters, clustered_mean};
use super::{Estimate, Level};
use crate::refusal::{Refusal, Result};

/// Mean difference, first minus second, over paired items.
///
/// Mean of dᵢ = aᵢ − bᵢ with its (clustered) standard error: the paired t of Student (1908), cluster-robust when items come
/// in units (Miller 2024, §3 and §4). Pairing removes what is hard or easy about an item.
pub fn difference(first: &[f64], second: &[f64], clusters: &Clusters, level: Level) -> Result<Estimate> {
    Refusal::same_length(first.len(), second.len())?;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    clustered_mean(&differences, clusters, level)
}

/// McNemar's exact test.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct McNemar {
    pub p_value: f64,
    /// Items only the first passed, and only the second.
    pub only_first: usize,
    pub only_second: usize,
    pub n: usize,
    /// Share of the first minus share of the second.
    pub difference: f64,
}

/// Whether two candidates pass as often, from items both tried.
///
/// Two-sided exact binomial test on discordant pairs: min(1, 2·P(X ≤ min(b, c))), X ~ Binomial(b + c, ½). McNemar (1947),
/// exact form as in Agresti (2013), §11.1.
pub fn mcnemar(first: &[bool], second: &[bool]) -> Result<McNemar> {
    Refusal::same_length(first.len(), second.len())?;
    let count = |wanted: (bool, bool)| first.iter().zip(second).filter(|pair| (*pair.0, *pair.1) == wanted).count();
    let (b, c) = (count((true, false)), count((false, true)));
    if b + c == 0 {
        return Err(Refusal::undefined(
            format!("les deux candidats ont le même résultat sur les {} éléments : rien ne les départage", first.len()),
            format!("both candidates have the same result on all {} items: nothing tells them apart", first.len()),
        ));
    }
    let law = Binomial::new(0.5, (b + c) as u64)
        .map_err(|error| Refusal::input(format!("loi binomiale : {error}"), format!("binomial law: {error}")))?;
    let p_value = (2.0 * law.cdf(b.min(c) as u64)).min(1.0);
    let n = first.len();
    Ok(McNemar { p_value, only_first: b, only_second: c, n, difference: (b as f64 - c as f64) / n as f64 })
}

/// p-values adjusted so that the chance of a single false alarm among them stays under the threshold one reads them at.
///
/// Step-down: p₍ᵢ₎ · (m − i + 1), made non-decreasing, at most 1. Holm (1979).
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>> {
    if p_values.is_empty() {
        return Err(Refusal::too_few("valeurs p", "p-values", 0, 1));
    }
    if let Some(place) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(Refusal::input(
            format!("la valeur p n° {} n’est pas entre 0 et 1", place + 1),
            format!("p-value {} is not between 0 and 1", place + 1),
        ));
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut floor = 0.0_f64;
    for (rank, place) in order.into_iter().enumerate() {
        floor = floor.max((p_values[place] * (p_values.len() - rank) as f64).min(1.0));
        adjusted[place] = floor;
    }
    Ok(adjusted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let pairs = |n: usize, pair: (bool, bool)| vec![pair; n];
        let all = [pairs(10, (true, true)), pairs(1, (true, false)), pairs(7, (false, true))].concat();
        let (first, second): (Vec<bool>, Vec<bool>) = all.into_iter().unzip();
        let got = mcnemar(&first, &second).unwrap();
        // 2 (1 + 8) / 2⁸
        assert!((got.p_value - 18.0 / 256.0).abs() < 1e-12, "{got:?}");
        assert!((got.difference + 6.0 / 18.0).abs() < 1e-12);
        assert!(mcnemar(&[true; 5], &[true; 5]).is_err());
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]).unwrap();
        for (got, wanted) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - wanted).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(holm(&[1.5]).is_err() && holm(&[]).is_err());
    }

    proptest! {
        #[test]
        fn swapping_candidates_changes_the_sign_only(pairs in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 10..60)) {
            let (first, second): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let alone = Clusters::alone(first.len());
            let one = difference(&first, &second, &alone, Level::default()).unwrap();
            let other = difference(&second, &first, &alone, Level::default()).unwrap();
            prop_assert!((one.estimate + other.estimate).abs() < 1e-12);
            prop_assert!((one.interval.low + other.interval.high).abs() < 1e-9);
        }

        #[test]
        fn holm_never_lowers_and_keeps_the_order(p in prop::collection::vec(0.0..1.0_f64, 1..30)) {
            let adjusted = holm(&p).unwrap();
            for i in 0..p.len() {
                prop_assert!(adjusted[i] >= p[i] && adjusted[i] <= 1.0);
                for j in 0..p.len() {
                    prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
                }
            }
        }
    }
}
