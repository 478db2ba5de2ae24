//! Which engine answers: two drawn at random, the less loaded taken (power of two choices).

use std::sync::Arc;

use super::deployment::Deployment;
use super::models::Model;
use crate::config::DataClass;

/// What the search for an engine found.
#[derive(Debug)]
pub enum Pick {
    /// One of its slots is taken.
    Taken(Arc<Deployment>),
    /// Some could take it later.
    Busy,
    /// All that may are set aside, or were tried.
    Down,
    /// No engine of this model may receive this class.
    Forbidden,
}

/// Looks for a free engine among those the data class may reach and that were not tried yet. It is taken only when
/// `take` says so: else any that could answer is busy.
pub fn pick(model: &Model, class: DataClass, tried: &[Arc<str>], take: bool) -> Pick {
    let allowed = || model.deployments.iter().filter(|deployment| deployment.allows(class));
    if allowed().next().is_none() {
        return Pick::Forbidden;
    }
    let usable = |deployment: &&Arc<Deployment>| deployment.present_capacity() > 0 && !tried.contains(&deployment.name);
    let count = allowed().filter(usable).count();
    if count == 0 {
        return Pick::Down;
    }
    if !take {
        return Pick::Busy;
    }
    let nth = |n: usize| allowed().filter(usable).nth(n);
    let take = |deployment: &Arc<Deployment>| deployment.try_take().then(|| Pick::Taken(deployment.clone()));
    let first = fastrand::usize(..count);
    let chosen = if count == 1 {
        nth(0)
    } else {
        let second = (first + 1 + fastrand::usize(..count - 1)) % count;
        match (nth(first), nth(second)) {
            (Some(one), Some(two)) => Some(if two.load() < one.load() { two } else { one }),
            (one, two) => one.or(two),
        }
    };
    chosen
        .and_then(take)
        // The two drawn are full: any other with room will do, since work must not wait beside a free slot.
        .or_else(|| allowed().filter(usable).find_map(take))
        .unwrap_or(Pick::Busy)
}

/// Whether an engine that this class may reach has a free slot.
pub fn has_room(model: &Model, class: DataClass) -> bool {
    model.deployments.iter().any(|one| one.allows(class) && one.inflight() < one.present_capacity())
}
