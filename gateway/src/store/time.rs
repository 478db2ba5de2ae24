//! An instant, kept as Unix milliseconds and shown as Unix seconds, as OpenAI's and Albert's APIs do.

use serde::{Serialize, Serializer};

/// Unix milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Time(pub i64);

impl Time {
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.seconds())
    }
}

impl std::fmt::Display for Time {
    /// `2026-11-24T04:52:52Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_second(self.seconds()) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{}", self.seconds()),
        }
    }
}
