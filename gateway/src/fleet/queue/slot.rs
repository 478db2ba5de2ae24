//! A place held on an engine, and the count of what is served in it.

use std::sync::Arc;

use super::fair::Account;
use crate::fleet::deployment::Deployment;
use crate::fleet::models::Model;
use crate::openai::Usage;

/// Tokens of a stream that may be relayed before they are counted: each count takes the lock of the line.
const STEP: u64 = 16;

/// A place held on an engine. Dropping it gives it back to who waits.
#[derive(Debug)]
pub struct Slot {
    pub model: Arc<Model>,
    pub deployment: Arc<Deployment>,
    pub(super) account: Account,
    pub(super) counted: Counted,
}

/// Tokens counted so far on the account.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub input: u64,
    pub output: u64,
    /// The engine was asked, and has not failed: what was counted stays.
    pub asked: bool,
}

impl Slot {
    /// The engine is asked.
    pub fn asked(&mut self) {
        self.counted.asked = true;
    }

    /// The engine failed: nothing was served.
    pub fn failed(&mut self) {
        self.counted.asked = false;
    }

    /// So many tokens of output, in all, have been relayed.
    pub fn relayed(&mut self, output: u64) {
        if output >= self.counted.output + STEP {
            self.count(self.counted.input, output);
        }
    }

    /// The end: what the engine counted, or the estimate.
    pub fn settle(&mut self, usage: &Usage) {
        self.count(usage.input, usage.output);
    }

    fn count(&mut self, input: u64, output: u64) {
        let change = signed(input) + signed(output) - signed(self.counted.input) - signed(self.counted.output);
        self.counted = Counted { input, output, ..self.counted };
        self.model.held.queue.charge(self.account, change);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.deployment.give_back();
        if !self.counted.asked {
            self.count(0, 0);
        }
        self.model.held.queue.freed(&self.model, self.account, self.counted);
    }
}

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX / 8)
}
