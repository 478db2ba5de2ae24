//! Agreement beyond chance: Cohen's and Fleiss' κ.

use super::bootstrap::{self, Plan, Resampled};
use super::{Interval, Level};
use crate::refusal::{Refusal, Result};

/// How far apart two categories are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// The same or not.
    None,
    /// By the number of steps between them.
    Linear,
    /// By its square.
    Quadratic,
}

/// κ of two raters.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Kappa {
    pub estimate: f64,
    pub standard_error: f64,
    #[serde(flatten)]
    pub interval: Interval,
    /// Share of agreement seen, and by chance.
    pub agreement: f64,
    pub chance: f64,
    pub n: usize,
}

/// Cohen's κ of two raters over categories 0..k, ordered when weighted.
///
/// (pₒ − pₑ)/(1 − pₑ), with agreement weights 1 − |i−j|/(k−1) (linear) or 1 − (i−j)²/(k−1)² (quadratic): Cohen (1960, 1968).
/// Standard error for large samples by Fleiss, Cohen & Everitt (1969), eq. 13.
pub fn cohen(first: &[usize], second: &[usize], categories: usize, weights: Weights, level: Level) -> Result<Kappa> {
    Refusal::same_length(first.len(), second.len())?;
    let n = first.len();
    if n < 2 {
        return Err(Refusal::too_few("éléments notés par les deux", "items rated by both", n, 2));
    }
    if first.iter().chain(second).any(|category| *category >= categories) {
        return Err(Refusal::input("une catégorie est hors de la liste", "a category is out of the list"));
    }
    let mut table = vec![vec![0.0; categories]; categories];
    for (a, b) in first.iter().zip(second) {
        table[*a][*b] += 1.0 / n as f64;
    }
    let rows: Vec<f64> = table.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<f64> = (0..categories).map(|j| table.iter().map(|row| row[j]).sum()).collect();
    let weight = |i: usize, j: usize| {
        let apart = i.abs_diff(j) as f64 / (categories as f64 - 1.0).max(1.0);
        match weights {
            Weights::None => f64::from(u8::from(i == j)),
            Weights::Linear => 1.0 - apart,
            Weights::Quadratic => 1.0 - apart * apart,
        }
    };
    let cells = || (0..categories).flat_map(|i| (0..categories).map(move |j| (i, j)));
    let agreement: f64 = cells().map(|(i, j)| weight(i, j) * table[i][j]).sum();
    let chance: f64 = cells().map(|(i, j)| weight(i, j) * rows[i] * columns[j]).sum();
    if 1.0 - chance < 1e-12 {
        return Err(Refusal::undefined(
            "κ n’est pas défini : les deux n’ont employé qu’une même catégorie",
            "κ is undefined: both used one and the same category only",
        ));
    }
    let estimate = (agreement - chance) / (1.0 - chance);
    let by_row: Vec<f64> = (0..categories).map(|i| (0..categories).map(|j| weight(i, j) * columns[j]).sum()).collect();
    let by_column: Vec<f64> = (0..categories).map(|j| (0..categories).map(|i| weight(i, j) * rows[i]).sum()).collect();
    let spread: f64 = cells()
        .map(|(i, j)| {
            let pull = weight(i, j) * (1.0 - chance) - (by_row[i] + by_column[j]) * (1.0 - agreement);
            table[i][j] * pull * pull
        })
        .sum();
    let centre = agreement * chance - 2.0 * chance + agreement;
    let variance = (spread - centre * centre).max(0.0) / (n as f64 * (1.0 - chance).powi(4));
    let standard_error = variance.sqrt();
    let interval = Interval::around(estimate, level.z() * standard_error, level);
    Ok(Kappa { estimate, standard_error, interval, agreement, chance, n })
}

/// Fleiss' κ: as many raters for each item, not always the same ones. Counts by item and category.
///
/// (P̄ − P̄ₑ)/(1 − P̄ₑ), P̄ the mean share of agreeing pairs of an item, P̄ₑ = Σ pⱼ² (Fleiss 1971). Interval by bootstrap over
/// items: Fleiss' own standard error only holds where nobody agrees.
pub fn fleiss(counts: &[Vec<u32>], plan: &Plan) -> Result<Resampled> {
    let raters: u32 = counts.first().map_or(0, |item| item.iter().sum());
    if raters < 2 {
        return Err(Refusal::too_few("notes par élément", "ratings of an item", raters as usize, 2));
    }
    if let Some(place) = counts.iter().position(|item| item.iter().sum::<u32>() != raters) {
        return Err(Refusal::input(
            format!("l’élément n° {} n’a pas {raters} notes : employez l’α de Krippendorff", place + 1),
            format!("item {} does not have {raters} ratings: use Krippendorff's α", place + 1),
        ));
    }
    let value = |draw: &[u32]| fleiss_value(draw.iter().map(|item| &counts[*item as usize][..]), f64::from(raters));
    if value(&(0..counts.len() as u32).collect::<Vec<_>>()).is_none() {
        return Err(Refusal::undefined(
            "κ n’est pas défini : une seule catégorie a été employée",
            "κ is undefined: only one category was used",
        ));
    }
    bootstrap::of(counts.len(), plan, value)
}

fn fleiss_value<'a>(items: impl Iterator<Item = &'a [u32]>, raters: f64) -> Option<f64> {
    let (mut agreement, mut n) = (0.0, 0.0);
    let mut totals: Vec<f64> = Vec::new();
    for item in items {
        totals.resize(totals.len().max(item.len()), 0.0);
        let mut squares = 0.0;
        for (total, count) in totals.iter_mut().zip(item) {
            *total += f64::from(*count);
            squares += f64::from(*count).powi(2);
        }
        agreement += (squares - raters) / (raters * (raters - 1.0));
        n += 1.0;
    }
    let chance: f64 = totals.iter().map(|total| (total / (n * raters)).powi(2)).sum();
    (1.0 - chance > 1e-12).then(|| (agreement / n - chance) / (1.0 - chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Fleiss (1971), as everyone copies it: 10 items, 14 raters, 5 categories, κ = 0.210.
    #[test]
    fn fleiss_published() {
        let counts: Vec<Vec<u32>> = [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
        .iter()
        .map(|row| row.to_vec())
        .collect();
        let got = fleiss(&counts, &Plan { method: bootstrap::Method::Percentile, ..Plan::default() }).unwrap();
        assert!((got.estimate - 0.210).abs() < 5e-4, "{got:?}");
        assert!(got.interval.contains(got.estimate));
    }

    /// 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: κ = 0.4.
    #[test]
    fn cohen_by_hand_and_its_silences() {
        let mut pairs = vec![(0, 0); 20];
        pairs.extend([(0, 1); 5]);
        pairs.extend([(1, 0); 10]);
        pairs.extend([(1, 1); 15]);
        let (first, second): (Vec<usize>, Vec<usize>) = pairs.into_iter().unzip();
        for weights in [Weights::None, Weights::Linear, Weights::Quadratic] {
            let got = cohen(&first, &second, 2, weights, Level::default()).unwrap();
            assert!((got.estimate - 0.4).abs() < 1e-12, "{got:?}");
        }
        let all = vec![1; 30];
        assert_eq!(
            cohen(&all, &all, 2, Weights::None, Level::default()).unwrap_err().code,
            crate::refusal::Code::Undefined
        );
        assert!(fleiss(&vec![vec![3, 0]; 20], &Plan::default()).is_err());
        assert!(fleiss(&[vec![2, 1], vec![2, 0]], &Plan::default()).is_err());
    }
}
