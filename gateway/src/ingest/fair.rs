//! Turns between organizations: whoever has been served least, for its weight, is next.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Served so far, over weight. One that comes back after a rest starts level with those who were there.
#[derive(Debug, Default)]
pub struct Fair {
    served: Mutex<Served>,
}

#[derive(Debug, Default)]
struct Served {
    shares: HashMap<i64, f64>,
    /// The share of whoever was last called: no credit is saved below it.
    level: f64,
}

impl Fair {
    /// The next of those who wait, who is charged `expected` at once so that two workers do not call the same one.
    pub fn next(&self, waiting: &[i64], expected: f64) -> Option<i64> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let level = served.level;
        // Those who rest are forgotten once the others have passed them.
        served.shares.retain(|organization, share| waiting.contains(organization) || *share > level);
        let share_of = |organization: &i64| served.shares.get(organization).copied().unwrap_or(level).max(level);
        let next = waiting
            .iter()
            .copied()
            .min_by(|one, other| share_of(one).total_cmp(&share_of(other)).then(one.cmp(other)))?;
        let share = share_of(&next);
        served.level = share;
        served.shares.insert(next, share + expected);
        Some(next)
    }

    /// Corrects what was charged: so much was served instead.
    pub fn settle(&self, organization: i64, expected: f64, served_now: f64) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let level = served.level;
        let share = served.shares.entry(organization).or_insert(level);
        *share += served_now - expected;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_served_is_next() {
        let fair = Fair::default();
        let turns: Vec<_> = (0..6).filter_map(|_| fair.next(&[1, 2], 1.0)).collect();
        assert_eq!(turns, [1, 2, 1, 2, 1, 2]);
        fair.settle(1, 1.0, 10.0);
        let turns: Vec<_> = (0..5).filter_map(|_| fair.next(&[1, 2], 1.0)).collect();
        assert_eq!(turns, [2; 5]);
    }

    #[test]
    fn a_newcomer_is_next_and_saves_no_credit() {
        let fair = Fair::default();
        for _ in 0..1_000 {
            assert_eq!(fair.next(&[1], 1.0), Some(1));
        }
        assert_eq!(fair.next(&[1, 2], 1.0), Some(2));
        // Level with who was there, not a thousand turns ahead.
        let turns: Vec<_> = (0..4).filter_map(|_| fair.next(&[1, 2], 1.0)).collect();
        assert_eq!(turns.iter().filter(|turn| **turn == 2).count(), 2, "{turns:?}");
        assert_eq!(fair.next(&[], 1.0), None);
    }
}
