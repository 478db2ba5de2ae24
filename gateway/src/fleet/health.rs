//! How well one engine is: failures in a row set it aside, for longer at each relapse; it comes back slowly.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::server::Fleet as Settings;

/// What people are shown of an engine, in Albert API's colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colour {
    /// Answers.
    Green,
    /// Answers, some of its capacity or of its peers is missing.
    Yellow,
    /// Comes back after having been set aside.
    Orange,
    /// Set aside.
    Red,
}

impl Colour {
    pub const fn as_str(self) -> &'static str {
        match self {
            Colour::Green => "green",
            Colour::Yellow => "yellow",
            Colour::Orange => "orange",
            Colour::Red => "red",
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Well,
    /// Set aside until then; `times` in a row.
    Ejected {
        until: Instant,
        times: u32,
    },
    /// Back since then, with a growing share.
    Returning {
        since: Instant,
        over: Duration,
        times: u32,
    },
}

/// Thousandths of its capacity that an engine may use: read on the hot path without a lock.
const FULL: u32 = 1_000;

#[derive(Debug)]
pub struct Health {
    failures: AtomicU32,
    share: AtomicU32,
    /// Times it was set aside, for the metrics.
    ejections: AtomicU64,
    state: Mutex<State>,
}

impl Default for Health {
    fn default() -> Health {
        Health {
            failures: AtomicU32::new(0),
            share: AtomicU32::new(FULL),
            ejections: AtomicU64::new(0),
            state: Mutex::new(State::Well),
        }
    }
}

impl Health {
    /// The part of `capacity` in use now: all when well, 0 when ejected, at least 1 while returning.
    pub fn share_of(&self, capacity: u32) -> u32 {
        match self.share.load(Ordering::Relaxed) {
            FULL => capacity,
            0 => 0,
            share => (u64::from(capacity) * u64::from(share) / u64::from(FULL)).max(1) as u32,
        }
    }

    pub fn success(&self) {
        // The common case writes nothing shared.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure; true when it set the engine aside.
    pub fn failure(&self, settings: &Settings, now: Instant) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let mut state = self.lock();
        let (times, relapse) = match *state {
            State::Ejected { .. } => return false,
            State::Returning { times, .. } => (times + 1, true),
            State::Well => (1, false),
        };
        if !relapse && failures < settings.failures {
            return false;
        }
        let wait = settings.eject.0.saturating_mul(1 << (times - 1).min(16)).min(settings.eject_max.0);
        *state = State::Ejected { until: now + wait, times };
        self.failures.store(0, Ordering::Relaxed);
        self.share.store(0, Ordering::Relaxed);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Notes the active check of `now`: brings the engine back when its time is over and it answers, and lets its
    /// share grow. True when it came back now.
    pub fn checked(&self, well: bool, settings: &Settings, now: Instant) -> bool {
        if !well {
            self.failure(settings, now);
            return false;
        }
        let mut state = self.lock();
        match *state {
            State::Well => {
                self.failures.store(0, Ordering::Relaxed);
                false
            }
            State::Ejected { until, times } if now >= until => {
                *state = State::Returning { since: now, over: settings.slow_return.0, times };
                self.share.store(FULL / 10, Ordering::Relaxed);
                true
            }
            State::Ejected { .. } => false,
            State::Returning { since, over, .. } => {
                let elapsed = now.saturating_duration_since(since);
                if elapsed >= over {
                    *state = State::Well;
                    self.share.store(FULL, Ordering::Relaxed);
                } else {
                    let share = FULL as f64 * elapsed.as_secs_f64() / over.as_secs_f64();
                    self.share.store((share as u32).clamp(FULL / 10, FULL), Ordering::Relaxed);
                }
                true
            }
        }
    }

    /// When an ejected engine may be asked again.
    pub fn ejected_until(&self) -> Option<Instant> {
        match *self.lock() {
            State::Ejected { until, .. } => Some(until),
            _ => None,
        }
    }

    pub fn colour(&self) -> Colour {
        match *self.lock() {
            State::Ejected { .. } => Colour::Red,
            State::Returning { .. } => Colour::Orange,
            State::Well if self.failures.load(Ordering::Relaxed) > 0 => Colour::Yellow,
            State::Well => Colour::Green,
        }
    }

    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_set_an_engine_aside_and_it_returns_slowly() {
        let settings = Settings::default();
        let health = Health::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);

        assert!(!health.failure(&settings, start));
        health.success();
        assert!(!health.failure(&settings, start));
        assert!(!health.failure(&settings, start));
        assert_eq!(health.colour(), Colour::Yellow);
        assert!(health.failure(&settings, start), "the third in a row");
        assert_eq!((health.share_of(100), health.colour()), (0, Colour::Red));

        assert!(!health.checked(true, &settings, at(1)), "its time is not over");
        assert!(health.checked(true, &settings, at(5)));
        assert_eq!((health.share_of(100), health.colour()), (10, Colour::Orange));
        assert_eq!(health.share_of(2), 1, "a small engine gets one request to prove itself");
        health.checked(true, &settings, at(15));
        assert_eq!(health.share_of(100), 50);
        health.checked(true, &settings, at(25));
        assert_eq!((health.share_of(100), health.colour()), (100, Colour::Green));
    }

    #[test]
    fn a_relapse_sets_aside_at_once_and_for_longer() {
        let settings = Settings::default();
        let health = Health::default();
        let start = Instant::now();
        for _ in 0..3 {
            health.failure(&settings, start);
        }
        let back = start + Duration::from_secs(5);
        health.checked(true, &settings, back);
        assert!(health.failure(&settings, back));
        assert_eq!(health.ejected_until(), Some(back + Duration::from_secs(10)));
    }
}
