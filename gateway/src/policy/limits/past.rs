//! What was used before anything was counted, from the usage records: a restart, an emptied Redis.

use std::collections::BTreeMap;

use super::rule::{CounterId, Kind, Window};
use super::window::{Moment, STEP};

/// One use of a limit's past.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Past {
    pub id: CounterId,
    /// The project whose guaranteed share it also counts for, where the limit has guarantees.
    pub project: Option<i64>,
    /// Unix milliseconds.
    pub at: i64,
    pub amount: u64,
}

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

/// Adds up what falls together and drops what no window holds any more: the last minute by steps, the rest by hours, each
/// under its latest moment.
pub fn sum(moment: &Moment, past: &[Past]) -> Vec<Past> {
    let recent = moment.now.wall.saturating_sub(MINUTE + 2 * STEP.cast_signed());
    let mut sums: BTreeMap<(&CounterId, Option<i64>, i64), Past> = BTreeMap::new();
    for one in past {
        let since = match one.id.kind {
            Kind::Rate { window: Window::Minute, .. } => recent,
            Kind::Rate { window: Window::Day, .. } => moment.periods.day.start,
            Kind::Rate { window: Window::Month, .. } => moment.periods.month.start,
            Kind::Concurrent => continue,
        };
        if one.at < since {
            continue;
        }
        let together = if one.at >= recent { one.at.div_euclid(STEP.cast_signed()) } else { -one.at.div_euclid(HOUR) };
        sums.entry((&one.id, one.project, together))
            .and_modify(|sum| {
                sum.amount = sum.amount.saturating_add(one.amount);
                sum.at = sum.at.max(one.at);
            })
            .or_insert_with(|| one.clone());
    }
    sums.into_values().collect()
}
