//! A budget of second tries, so that retries never multiply the load of a failing fleet.
//!
//! Each request deposits its share, each retry withdraws one; a reserve lets a quiet model retry too
//! (Finagle's `RetryBudget`).

use std::sync::atomic::{AtomicI64, Ordering};

/// Thousandths of a retry.
const ONE: i64 = 1_000;
/// Retries in hand at the start, and the most that can be saved.
const RESERVE: i64 = 10 * ONE;
const MOST: i64 = 100 * ONE;

#[derive(Debug)]
pub struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicI64::new(RESERVE))
    }
}

impl Budget {
    /// One request came in; `share` is the configured part of a retry it brings.
    pub fn deposit(&self, share: f64) {
        if self.0.load(Ordering::Relaxed) < MOST {
            self.0.fetch_add((share * ONE as f64) as i64, Ordering::Relaxed);
        }
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left >= ONE).then_some(left - ONE)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_within_the_reserve_and_the_share() {
        let budget = Budget::default();
        let spent = (0..1_000)
            .filter(|_| {
                budget.deposit(0.2);
                budget.withdraw()
            })
            .count();
        assert!((205..=211).contains(&spent), "10 in reserve and one in five: {spent}");
    }
}
