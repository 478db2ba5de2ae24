//! Means of a stratified sample.

use super::units::Clusters;
use super::{Estimate, Level};
use crate::refusal::{Refusal, Result};

/// What was drawn from one stratum.
#[derive(Clone, Debug)]
pub struct Stratum {
    pub name: String,
    /// Everything that could have been drawn.
    pub population: f64,
    pub values: Vec<f64>,
    /// Units among the values.
    pub clusters: Clusters,
}

/// Mean of a population from a stratified sample.
///
/// ȳ = Σ Wₕ ȳₕ with Wₕ = Nₕ/N, and V = Σ Wₕ² (1 − nₕ/Nₕ) s²ₕ/nₕ (Cochran 1977, eq. 5.7); where values come in clusters,
/// s²ₕ/nₕ is the cluster-robust variance of the stratum's mean, as in [`super::units::Units::estimate`]. Bounds by Student
/// with Satterthwaite's degrees of freedom, (Σ aₕ)²/Σ aₕ²/(gₕ−1), aₕ the term of each stratum over its gₕ units (eq. 5.16).
pub fn stratified_mean(strata: &[Stratum], level: Level) -> Result<Estimate> {
    let total: f64 = strata.iter().map(|stratum| stratum.population).sum();
    if strata.is_empty() {
        return Err(Refusal::too_few("strates", "strata", 0, 1));
    }
    let (mut estimate, mut variance, mut freedom, mut n, mut units) = (0.0, 0.0, 0.0, 0, 0);
    for stratum in strata {
        let (mean, part, count) = one(stratum)?;
        let share = stratum.population / total;
        let term = share * share * part;
        estimate += share * mean;
        variance += term;
        if count > 1 {
            freedom += term * term / (count as f64 - 1.0);
        }
        n += stratum.values.len();
        units += count;
    }
    if variance <= 0.0 {
        return Err(Refusal::undefined(
            "rien ne varie dans les strates, ou tout a été observé : il n’y a pas d’erreur d’échantillonnage à donner",
            "nothing varies within strata, or all was observed: there is no sampling error to give",
        ));
    }
    Ok(Estimate::student(estimate, variance, variance * variance / freedom, n, units, level))
}

/// Mean of a stratum, the variance of that mean, its units.
fn one(stratum: &Stratum) -> Result<(f64, f64, usize)> {
    let (name, n) = (&stratum.name, stratum.values.len());
    Refusal::finite(&stratum.values)?;
    Refusal::same_length(n, stratum.clusters.of().len())?;
    if !(stratum.population.is_finite() && stratum.population >= n.max(1) as f64) {
        return Err(Refusal::input(
            format!("strate « {name} » : population {} pour {n} observations", stratum.population),
            format!("stratum “{name}”: population {} for {n} observations", stratum.population),
        ));
    }
    let units = stratum.clusters.count();
    let census = n > 0 && stratum.population == n as f64;
    if units < 2 && !census {
        let (fr, en) = (format!("unités dans la strate « {name} »"), format!("units in stratum “{name}”"));
        return Err(Refusal::too_few(&fr, &en, units, 2));
    }
    let mean = super::mean(&stratum.values);
    if census {
        return Ok((mean, 0.0, units));
    }
    let pulls = stratum.clusters.sums(stratum.values.iter().map(|value| (value - mean) / n as f64));
    let unseen = 1.0 - n as f64 / stratum.population;
    Ok((mean, unseen * super::units::robust_variance(&pulls), units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stratum(name: &str, population: f64, values: &[f64]) -> Stratum {
        let clusters = Clusters::alone(values.len());
        Stratum { name: name.to_owned(), population, values: values.to_vec(), clusters }
    }

    #[test]
    fn by_hand() {
        let strata = [stratum("a", 100.0, &[1.0, 2.0, 3.0, 4.0]), stratum("b", 300.0, &[10.0, 12.0, 14.0])];
        let got = stratified_mean(&strata, Level::default()).unwrap();
        assert!((got.estimate - (0.25 * 2.5 + 0.75 * 12.0)).abs() < 1e-12);
        let (a, b): (f64, f64) = (0.0625 * 0.96 * (5.0 / 3.0) / 4.0, 0.5625 * 0.99 * 4.0 / 3.0);
        assert!((got.standard_error - (a + b).sqrt()).abs() < 1e-12);
        assert!((got.degrees_of_freedom - (a + b) * (a + b) / (a * a / 3.0 + b * b / 2.0)).abs() < 1e-9);
    }

    #[test]
    fn a_stratum_nobody_looked_into_is_said() {
        let strata = [stratum("vue", 100.0, &[1.0, 2.0, 3.0]), stratum("oubliée", 50.0, &[])];
        let refusal = stratified_mean(&strata, Level::default()).unwrap_err();
        assert!(refusal.fr.contains("oubliée") && refusal.en.contains("at least 2"), "{refusal}");
        assert!(stratified_mean(&[stratum("a", 2.0, &[1.0, 2.0, 3.0])], Level::default()).is_err());
        assert!(stratified_mean(&[stratum("a", 3.0, &[1.0, 2.0, 3.0])], Level::default()).is_err());
    }
}
