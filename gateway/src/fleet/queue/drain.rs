//! How fast slots come free: what a refused client is told to wait for.

use std::time::Duration;

/// Time over which the past is forgotten, in milliseconds.
const MEMORY: f64 = 30_000.0;

/// What a client is told, within reason: not at once, and not when all has changed.
pub const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(600);

/// Slots freed per second, as an average that forgets. No clock: milliseconds are given.
#[derive(Debug, Default)]
pub struct Drain {
    began: Option<u64>,
    last: u64,
    weight: f64,
}

impl Drain {
    /// A slot came free.
    pub fn freed(&mut self, now: u64) {
        let began = *self.began.get_or_insert(now);
        self.weight = self.faded(now.max(began)) + 1.0;
        self.last = now.max(self.last);
    }

    /// Slots per second; none while nothing is known.
    pub fn rate(&self, now: u64) -> Option<f64> {
        let began = self.began?;
        // A short past weighs as much as it is long.
        let known = 1.0 - (-(now.saturating_sub(began) as f64).max(1_000.0) / MEMORY).exp();
        Some(self.faded(now) * 1_000.0 / MEMORY / known).filter(|rate| *rate > 1e-6)
    }

    /// When `ahead` requests will have gone, of which `share` of the slots take care.
    pub fn until(&self, ahead: usize, share: f64, now: u64) -> Option<Duration> {
        let seconds = (ahead.max(1) as f64 / (self.rate(now)? * share.clamp(1e-6, 1.0))).min(LATEST.as_secs_f64());
        Some(Duration::from_secs_f64(seconds).clamp(SOONEST, LATEST))
    }

    fn faded(&self, now: u64) -> f64 {
        self.weight * (-(now.saturating_sub(self.last) as f64) / MEMORY).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_follows_what_is_freed() {
        let mut drain = Drain::default();
        assert_eq!(drain.rate(0), None, "nothing is known");
        for n in 0..20 {
            drain.freed(n * 500);
        }
        let rate = |drain: &Drain, now| drain.rate(now).unwrap();
        assert!((rate(&drain, 9_500) - 2.0).abs() < 0.2, "two a second, known early: {}", rate(&drain, 9_500));
        for n in 0..600 {
            drain.freed(10_000 + n * 100);
        }
        assert!((rate(&drain, 70_000) - 10.0).abs() < 1.5, "ten a second now: {}", rate(&drain, 70_000));
        assert!(rate(&drain, 160_000) < 1.0, "it fades when nothing comes free");
        assert_eq!(drain.rate(10_000_000), None);
    }

    #[test]
    fn the_wait_is_what_stands_ahead_over_the_rate() {
        let mut drain = Drain::default();
        for n in 0..100 {
            drain.freed(n * 500);
        }
        let seconds = |ahead, share| drain.until(ahead, share, 49_500).unwrap().as_secs_f64();
        assert!((seconds(40, 1.0) - 20.0).abs() < 2.0);
        assert!((seconds(40, 0.5) - 40.0).abs() < 4.0, "half of the slots");
        assert_eq!(seconds(0, 1.0), 1.0, "never at once");
        assert_eq!(seconds(1_000_000, 1.0), 600.0);
    }
}
