//! How many items to look at before a wanted difference can be seen.

use super::normal_quantile;
use crate::refusal::{Refusal, Result};

/// What is wanted of a test.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Smallest difference worth seeing.
    pub difference: f64,
    /// Chance of a false alarm, two-sided.
    pub alpha: f64,
    /// Chance of seeing a difference that is there.
    pub power: f64,
    /// Correlation within a unit, and observations of each: 0 and 1 when all are independent.
    pub correlation: f64,
    pub per_unit: f64,
}

/// Number of observations, of each group where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Size {
    pub n: u64,
    /// Independent units that hold them.
    pub units: u64,
}

impl Wanted {
    pub fn new(difference: f64, alpha: f64, power: f64) -> Wanted {
        Wanted { difference, alpha, power, correlation: 0.0, per_unit: 1.0 }
    }

    fn quantiles(&self) -> Result<(f64, f64)> {
        let sound = self.difference.is_finite()
            && self.difference != 0.0
            && self.alpha > 0.0
            && self.alpha < 1.0
            && self.power > 0.5
            && self.power < 1.0
            && (0.0..=1.0).contains(&self.correlation)
            && self.per_unit >= 1.0;
        if !sound {
            return Err(Refusal::input(
                "il faut une différence non nulle, α entre 0 et 1, une puissance entre 0,5 et 1, une corrélation entre 0 et 1",
                "a difference that is not zero, α between 0 and 1, a power between 0.5 and 1, a correlation between 0 and 1 \
                 are needed",
            ));
        }
        Ok((normal_quantile(1.0 - self.alpha / 2.0), normal_quantile(self.power)))
    }

    /// n inflated by Kish's (1965) design effect 1 + (m − 1)ρ.
    fn size(&self, n: f64) -> Size {
        let n = n * (1.0 + (self.per_unit - 1.0) * self.correlation);
        let units = (n / self.per_unit - 1e-9).ceil().max(1.0);
        Size { n: (units * self.per_unit - 1e-9).ceil() as u64, units: units as u64 }
    }
}

/// Items for a paired comparison of means, differences having this standard deviation.
///
/// n = ((z₁₋α⸝₂ + z_power)·σ/δ)² + z²₁₋α⸝₂/2, the last term for Student's t (Guenther 1981): within one of the exact n.
pub fn paired(wanted: &Wanted, deviation: f64) -> Result<Size> {
    let (z, power) = wanted.quantiles()?;
    positive(deviation)?;
    Ok(wanted.size(((z + power) * deviation / wanted.difference).powi(2) + z * z / 2.0))
}

/// Items of each of two independent groups, scores having this standard deviation.
///
/// n = 2((z₁₋α⸝₂ + z_power)·σ/δ)² + z²₁₋α⸝₂/4 (Guenther 1981).
pub fn means(wanted: &Wanted, deviation: f64) -> Result<Size> {
    let (z, power) = wanted.quantiles()?;
    positive(deviation)?;
    Ok(wanted.size(2.0 * ((z + power) * deviation / wanted.difference).powi(2) + z * z / 4.0))
}

/// Items of each of two independent groups, for shares `base` and `base + difference`.
///
/// n = (z₁₋α⸝₂·√(2p̄q̄) + z_power·√(p₁q₁ + p₂q₂))² / δ² (Fleiss, Levin & Paik 2003, eq. 4.14, without continuity).
pub fn shares(wanted: &Wanted, base: f64) -> Result<Size> {
    let (z, power) = wanted.quantiles()?;
    let other = base + wanted.difference;
    if !(base > 0.0 && base < 1.0 && other > 0.0 && other < 1.0) {
        return Err(Refusal::input(
            format!("les parts {base} et {other} ne sont pas toutes deux entre 0 et 1"),
            format!("the shares {base} and {other} are not both between 0 and 1"),
        ));
    }
    let middle = f64::midpoint(base, other);
    let spread = |p: f64| p * (1.0 - p);
    let root = z * (2.0 * spread(middle)).sqrt() + power * (spread(base) + spread(other)).sqrt();
    Ok(wanted.size((root / wanted.difference).powi(2)))
}

fn positive(deviation: f64) -> Result<()> {
    if deviation > 0.0 && deviation.is_finite() {
        return Ok(());
    }
    Err(Refusal::input("l’écart-type est un nombre positif", "the standard deviation is a positive number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_numbers() {
        let wanted = Wanted::new(0.5, 0.05, 0.8);
        // Cohen (1988): 34 pairs, 64 a group, for d = 0.5.
        assert_eq!(paired(&wanted, 1.0).unwrap().n, 34);
        assert_eq!(means(&wanted, 1.0).unwrap().n, 64);
        let shares = shares(&Wanted::new(0.1, 0.05, 0.8), 0.6).unwrap();
        assert_eq!(shares.n, 356);
        let clustered = Wanted { correlation: 0.2, per_unit: 5.0, ..wanted };
        let got = paired(&clustered, 1.0).unwrap();
        assert!(got.n >= 60 && got.units == got.n.div_ceil(5), "{got:?}");
        assert!(paired(&Wanted::new(0.0, 0.05, 0.8), 1.0).is_err() && paired(&wanted, -1.0).is_err());
    }
}
