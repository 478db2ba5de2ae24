//! Which engine answers: two drawn at random, the less loaded taken (power of two choices).

use std::sync::Arc;

use super::deployment::Deployment;
use super::models::Model;
use crate::config::DataClass;

/// A place held on an engine. Dropping it gives it back and wakes who waits.
#[derive(Debug)]
pub struct Slot {
    pub model: Arc<Model>,
    pub deployment: Arc<Deployment>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.deployment.give_back();
        self.model.held.queue.wake(&self.deployment);
    }
}

/// What the search for an engine found.
#[derive(Debug)]
pub enum Pick {
    Slot(Slot),
    /// Some could take it later.
    Busy,
    /// All that may are set aside, or were tried.
    Down,
    /// No engine of this model may receive this class.
    Forbidden,
}

/// Looks for a free engine among those the data class may reach and that were not tried yet.
pub fn pick(model: &Arc<Model>, class: DataClass, tried: &[Arc<str>]) -> Pick {
    let allowed = || model.deployments.iter().filter(|deployment| deployment.allows(class));
    if allowed().next().is_none() {
        return Pick::Forbidden;
    }
    let usable = |deployment: &&Arc<Deployment>| deployment.present_capacity() > 0 && !tried.contains(&deployment.name);
    let count = allowed().filter(usable).count();
    if count == 0 {
        return Pick::Down;
    }
    let nth = |n: usize| allowed().filter(usable).nth(n);
    let take = |deployment: &Arc<Deployment>| {
        deployment.try_take().then(|| Pick::Slot(Slot { model: model.clone(), deployment: deployment.clone() }))
    };
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
