//! Time as limits see it: minutes run on a clock that never jumps, days and months on the wall's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One reading of both clocks, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Since an hour before this clock was made, so that the recent past has ticks too. Never goes back.
    pub tick: u64,
    /// Since 1970.
    pub wall: i64,
}

const HOUR: u64 = 3_600_000;

#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System(Instant),
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    tick: AtomicU64,
    wall: AtomicI64,
}

impl Clock {
    pub fn system() -> Clock {
        Clock(Source::System(Instant::now()))
    }

    /// A clock that only moves when told, for tests and simulations.
    pub fn manual(wall: i64) -> Clock {
        Clock(Source::Manual(Arc::new(Manual { tick: AtomicU64::new(HOUR), wall: AtomicI64::new(wall) })))
    }

    pub fn now(&self) -> Now {
        match &self.0 {
            Source::System(start) => {
                Now { tick: HOUR + millis(start.elapsed()), wall: jiff::Timestamp::now().as_millisecond() }
            }
            Source::Manual(manual) => {
                Now { tick: manual.tick.load(Ordering::Acquire), wall: manual.wall.load(Ordering::Acquire) }
            }
        }
    }

    /// Lets time pass on a manual clock; the system's cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(manual) = &self.0 {
            manual.tick.fetch_add(millis(by), Ordering::AcqRel);
            manual.wall.fetch_add(i64::try_from(millis(by)).unwrap_or(i64::MAX), Ordering::AcqRel);
        }
    }

    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Makes the wall of a manual clock jump, as a corrected server's does.
    pub fn jump(&self, by: i64) {
        if let Source::Manual(manual) = &self.0 {
            manual.wall.fetch_add(by, Ordering::AcqRel);
        }
    }
}

/// Whole milliseconds of a duration.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
