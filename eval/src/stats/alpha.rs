//! Krippendorff's α: agreement of any number of raters, any of whom may have skipped some items.

use super::bootstrap::{self, Plan, Resampled};
use super::units::Clusters;
use crate::refusal::{Refusal, Result};

/// What a difference between two values is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Categories: the same or not.
    Nominal,
    /// Ranks: by how many ratings lie between.
    Ordinal,
    /// Numbers: (c − k)².
    Interval,
    /// Amounts, not negative: ((c − k)/(c + k))².
    Ratio,
}

/// α of ratings.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Alpha {
    pub estimate: f64,
    /// Disagreement seen, and by chance.
    pub observed: f64,
    pub expected: f64,
    /// Items with two ratings or more, and ratings of those.
    pub items: usize,
    pub ratings: usize,
}

/// Ratings of items, ready to be counted.
pub struct Ratings {
    metric: Metric,
    /// Values used, sorted.
    values: Vec<f64>,
    /// Of each item, (place of the value, how many times).
    items: Vec<Vec<(u32, f64)>>,
    /// Items of each independent unit.
    units: Vec<Vec<u32>>,
}

impl Ratings {
    /// The values each item was given; categories as any distinct numbers. Items with fewer than two say nothing of
    /// agreement and are left out.
    pub fn new(items: &[Vec<f64>], metric: Metric) -> Result<Ratings> {
        Ratings::in_units(items, &Clusters::alone(items.len()), metric)
    }

    /// The same where items of one end user, or of one conversation, resemble each other: the interval resamples units.
    pub fn in_units(items: &[Vec<f64>], clusters: &Clusters, metric: Metric) -> Result<Ratings> {
        Refusal::same_length(items.len(), clusters.of().len())?;
        let mut units: Vec<Vec<u32>> = vec![Vec::new(); clusters.count()];
        let mut paired: Vec<&Vec<f64>> = Vec::with_capacity(items.len());
        for (item, unit) in items.iter().zip(clusters.of()).filter(|(item, _)| item.len() > 1) {
            units[*unit as usize].push(paired.len() as u32);
            paired.push(item);
        }
        units.retain(|items| !items.is_empty());
        if paired.len() < 2 {
            let fr = "éléments notés par deux personnes ou plus";
            return Err(Refusal::too_few(fr, "items rated by two people or more", paired.len(), 2));
        }
        let mut values: Vec<f64> = Vec::new();
        for item in &paired {
            Refusal::finite(item)?;
            // −0 and 0 are one value.
            values.extend(item.iter().map(|value| value + 0.0));
        }
        if metric == Metric::Ratio && values.iter().any(|value| *value < 0.0) {
            return Err(Refusal::input(
                "la métrique de rapport ne prend pas de valeur négative",
                "the ratio metric takes no negative value",
            ));
        }
        values.sort_unstable_by(f64::total_cmp);
        values.dedup();
        let place = |value: f64| values.partition_point(|known| *known < value) as u32;
        let items = paired
            .into_iter()
            .map(|item| {
                let mut counts: Vec<(u32, f64)> = Vec::new();
                for at in item.iter().map(|value| place(*value)) {
                    match counts.iter_mut().find(|count| count.0 == at) {
                        Some(count) => count.1 += 1.0,
                        None => counts.push((at, 1.0)),
                    }
                }
                counts
            })
            .collect();
        Ok(Ratings { metric, values, items, units })
    }

    /// α = 1 − Dₒ/Dₑ, by the coincidences of values within items.
    ///
    /// Dₒ = 1/n · Σᵤ Σ_{c,k} n_{uc} n_{uk} δ²_{ck}/(mᵤ−1), Dₑ = 1/n(n−1) · Σ_{c,k} n_c n_k δ²_{ck}: Krippendorff (2011),
    /// "Computing Krippendorff's Alpha-Reliability"; Hayes & Krippendorff (2007). When a single value was ever given
    /// nothing could have disagreed: α does not exist, and is not 1.
    pub fn alpha(&self) -> Result<Alpha> {
        let all: Vec<u32> = (0..self.items.len() as u32).collect();
        let (observed, expected, ratings) = self.disagreements(&all);
        if expected <= 0.0 {
            return Err(Refusal::undefined(
                "α n’est pas défini : une seule valeur a été donnée partout, rien ne pouvait être en désaccord",
                "α is undefined: one value was given everywhere, nothing could have disagreed",
            ));
        }
        let estimate = 1.0 - observed / expected;
        Ok(Alpha { estimate, observed, expected, items: self.items.len(), ratings: ratings as usize })
    }

    /// α's interval, by bootstrap over units: items where each is one (Zapf, Castell, Morawietz & Karch 2016).
    pub fn interval(&self, plan: &Plan) -> Result<Resampled> {
        self.alpha()?;
        bootstrap::of(self.units.len(), plan, |draw| {
            let items: Vec<u32> = draw.iter().flat_map(|unit| &self.units[*unit as usize]).copied().collect();
            let (observed, expected, _) = self.disagreements(&items);
            (expected > 0.0).then(|| 1.0 - observed / expected)
        })
    }

    /// Dₒ, Dₑ and the ratings of the items drawn.
    fn disagreements(&self, draw: &[u32]) -> (f64, f64, f64) {
        let mut totals = vec![0.0; self.values.len()];
        let mut n = 0.0;
        for item in draw {
            for (place, count) in &self.items[*item as usize] {
                totals[*place as usize] += count;
                n += count;
            }
        }
        let ranks;
        let positions = match self.metric {
            Metric::Ordinal => {
                ranks = middles(&totals);
                &ranks
            }
            _ => &self.values,
        };
        let observed: f64 = draw
            .iter()
            .map(|item| {
                let item = &self.items[*item as usize];
                let m: f64 = item.iter().map(|(_, count)| count).sum();
                self.spread(item.iter().map(|(place, count)| (positions[*place as usize], *count))) / (m - 1.0)
            })
            .sum();
        let expected = self.spread(positions.iter().copied().zip(totals.iter().copied()).filter(|pair| pair.1 > 0.0));
        (observed / n, expected / (n * (n - 1.0)), n)
    }

    /// Σ_{c,k} n_c n_k δ²_{ck} of values and how often they came.
    fn spread(&self, counted: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
        let n: f64 = counted.clone().map(|(_, count)| count).sum();
        match self.metric {
            Metric::Nominal => n * n - counted.map(|(_, count)| count * count).sum::<f64>(),
            // Ordinal δ is the distance of middle ranks, so both are 2(nΣx² − (Σx)²) = 2nΣ(x − x̄)².
            Metric::Ordinal | Metric::Interval => {
                let mean = counted.clone().map(|(x, count)| count * x).sum::<f64>() / n;
                2.0 * n * counted.map(|(x, count)| count * (x - mean).powi(2)).sum::<f64>()
            }
            Metric::Ratio => counted
                .clone()
                .map(|(c, one)| {
                    let against = counted.clone().map(|(k, other)| {
                        let sum = c + k;
                        if sum > 0.0 { other * ((c - k) / sum).powi(2) } else { 0.0 }
                    });
                    one * against.sum::<f64>()
                })
                .sum(),
        }
    }
}

/// Middle rank of each value: how many ratings are under it, and half of its own.
fn middles(totals: &[f64]) -> Vec<f64> {
    let mut under = 0.0;
    totals
        .iter()
        .map(|count| {
            let middle = under + count / 2.0;
            under += count;
            middle
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Section C of Krippendorff (2011): four observers, twelve units, missing values. 0.743, 0.815, 0.849, 0.797.
    pub(super) fn krippendorff_2011() -> Vec<Vec<f64>> {
        let rows = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."];
        let rows = rows.map(|row| row.chars().collect::<Vec<char>>());
        (0..12).map(|unit| rows.iter().filter_map(|row| row[unit].to_digit(10)).map(f64::from).collect()).collect()
    }

    #[test]
    fn published() {
        let items = krippendorff_2011();
        for (metric, wanted) in
            [(Metric::Nominal, 0.743), (Metric::Ordinal, 0.815), (Metric::Interval, 0.849), (Metric::Ratio, 0.797)]
        {
            let ratings = Ratings::new(&items, metric).unwrap();
            let alpha = ratings.alpha().unwrap();
            assert!((alpha.estimate - wanted).abs() < 5e-4, "{metric:?}: {alpha:?}");
            assert_eq!((alpha.items, alpha.ratings), (11, 40));
            let interval = ratings.interval(&Plan { resamples: 1_000, ..Plan::default() }).unwrap().interval;
            assert!(interval.contains(alpha.estimate) && interval.high <= 1.0, "{interval:?}");
        }
    }

    #[test]
    fn undefined_is_said_and_is_not_one() {
        let same = vec![vec![3.0, 3.0, 3.0]; 40];
        for metric in [Metric::Nominal, Metric::Ordinal, Metric::Interval, Metric::Ratio] {
            let refusal = Ratings::new(&same, metric).unwrap().alpha().unwrap_err();
            assert_eq!(refusal.code, crate::refusal::Code::Undefined);
        }
        assert!(Ratings::new(&[vec![1.0], vec![2.0], vec![1.0, 2.0]], Metric::Nominal).is_err());
        assert!(Ratings::new(&[vec![-1.0, 1.0], vec![2.0, 3.0]], Metric::Ratio).is_err());
    }

    /// Forty items of ten users, each user's items alike: as if there were ten, and not forty.
    #[test]
    fn items_of_one_user_are_one_unit() {
        let once: Vec<Vec<f64>> = (0..10).map(|i| vec![f64::from(i % 3), f64::from((i + i / 7) % 3)]).collect();
        let (items, names) = (vec![once; 4].concat(), (0..10).collect::<Vec<u32>>().repeat(4));
        let width = |ratings: Ratings| {
            let interval = ratings.interval(&Plan { resamples: 2_000, ..Plan::default() }).unwrap();
            (interval.units, interval.standard_error)
        };
        let (alone, single) = width(Ratings::new(&items, Metric::Nominal).unwrap());
        let (users, clustered) = width(Ratings::in_units(&items, &Clusters::named(&names), Metric::Nominal).unwrap());
        assert_eq!((alone, users), (40, 10));
        assert!((1.6..2.6).contains(&(clustered / single)), "{clustered} {single}");
    }

    proptest! {
        #[test]
        fn raters_have_no_order_and_interval_no_unit(
            items in prop::collection::vec(prop::collection::vec(0_u8..5, 2..5), 5..40), scale in 0.5..9.0_f64)
        {
            let plain: Vec<Vec<f64>> = items.iter().map(|i| i.iter().map(|v| f64::from(*v)).collect()).collect();
            let turned: Vec<Vec<f64>> = plain.iter().map(|i| i.iter().rev().map(|v| v * scale + 3.0).collect()).collect();
            for metric in [Metric::Nominal, Metric::Ordinal, Metric::Interval] {
                let one = Ratings::new(&plain, metric).unwrap().alpha();
                let other = Ratings::new(&turned, metric).unwrap().alpha();
                match (one, other) {
                    (Ok(one), Ok(other)) => prop_assert!((one.estimate - other.estimate).abs() < 1e-9),
                    (one, other) => prop_assert_eq!(one.is_err(), other.is_err()),
                }
            }
        }
    }
}
