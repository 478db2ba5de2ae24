//! What reading one file may cost, and what is left of it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Refusal;

/// Bounds on one file. The defaults take the largest codes and reports, and stop a bomb early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the file.
    pub input: u64,
    /// Bytes of all it unpacks.
    pub expanded: u64,
    /// Bytes of text made of it.
    pub text: u64,
    pub pages: u32,
    /// Levels of elements, lists or values inside each other.
    pub nesting: u32,
    /// Wall time.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            input: 64 << 20,
            expanded: 256 << 20,
            text: 32 << 20,
            pages: 5_000,
            nesting: 200,
            time: Duration::from_secs(60),
        }
    }
}

/// The limits of one reading, being spent.
#[derive(Debug)]
pub(crate) struct Budget<'a> {
    limits: &'a Limits,
    started: Instant,
    expanded: Cell<u64>,
    text: Cell<u64>,
}

impl<'a> Budget<'a> {
    pub fn new(limits: &'a Limits) -> Budget<'a> {
        Budget { limits, started: Instant::now(), expanded: Cell::new(0), text: Cell::new(0) }
    }

    /// Called often: asks only the clock.
    pub fn time(&self) -> Result<(), Refusal> {
        if self.started.elapsed() > self.limits.time {
            return Err(Refusal::TooSlow { seconds: self.limits.time.as_secs() });
        }
        Ok(())
    }

    /// Bytes that may still be unpacked.
    pub fn left_to_expand(&self) -> u64 {
        self.limits.expanded.saturating_sub(self.expanded.get())
    }

    pub fn expand(&self, bytes: u64) -> Result<(), Refusal> {
        self.expanded.set(self.expanded.get().saturating_add(bytes));
        if self.expanded.get() > self.limits.expanded {
            return Err(Refusal::TooMuchExpanded { limit: self.limits.expanded });
        }
        Ok(())
    }

    pub fn text(&self, bytes: usize) -> Result<(), Refusal> {
        self.text.set(self.text.get().saturating_add(bytes as u64));
        if self.text.get() > self.limits.text {
            return Err(Refusal::TooMuchText { limit: self.limits.text });
        }
        self.time()
    }

    pub fn pages(&self, pages: usize) -> Result<(), Refusal> {
        if pages > self.limits.pages as usize {
            return Err(Refusal::TooManyPages { pages: pages as u64, limit: self.limits.pages });
        }
        Ok(())
    }

    pub fn depth(&self, levels: usize) -> Result<(), Refusal> {
        if levels > self.limits.nesting as usize {
            return Err(Refusal::TooDeep { limit: self.limits.nesting });
        }
        Ok(())
    }
}
