//! The outer gates: bursts of requests of one key and of one organization, before anything costly (governor).

use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::identity::Principal;
use super::key::KeyId;
use crate::config::server::{Gates as Settings, Rate};
use crate::error::{ApiError, ApiResult};

/// A governor quota from the configuration.
pub fn quota(rate: Rate) -> Quota {
    Quota::per_second(rate.per_second).allow_burst(rate.burst)
}

#[derive(Debug)]
struct Present {
    settings: Settings,
    by_key: Option<DefaultKeyedRateLimiter<KeyId>>,
    by_organization: Option<DefaultKeyedRateLimiter<i64>>,
}

/// The gates of the present configuration.
#[derive(Debug)]
pub struct Gates {
    present: ArcSwap<Present>,
    clock: DefaultClock,
}

impl Gates {
    pub fn new(settings: &Settings) -> Gates {
        Gates { present: ArcSwap::from_pointee(Present::new(settings)), clock: DefaultClock::default() }
    }

    /// Takes new settings. Counts start afresh only if they changed.
    pub fn reload(&self, settings: &Settings) {
        if self.present.load().settings != *settings {
            self.present.store(std::sync::Arc::new(Present::new(settings)));
        }
    }

    /// Lets a request through, or says when to come back.
    pub fn check(&self, who: &Principal) -> ApiResult<()> {
        let present = self.present.load();
        if let Some(gate) = &present.by_key
            && let Err(until) = gate.check_key(&who.key())
        {
            return Err(refusal("cette clé", "this key", present.settings.key, until.wait_time_from(self.clock.now())));
        }
        if let (Some(gate), Some(organization)) = (&present.by_organization, who.organization_id())
            && let Err(until) = gate.check_key(&organization)
        {
            let rate = present.settings.organization;
            return Err(refusal(
                "votre administration",
                "your organization",
                rate,
                until.wait_time_from(self.clock.now()),
            ));
        }
        Ok(())
    }

    /// Forgets the keys and organizations that have been quiet.
    pub fn tidy(&self) {
        let present = self.present.load();
        if let Some(gate) = &present.by_key {
            gate.retain_recent();
        }
        if let Some(gate) = &present.by_organization {
            gate.retain_recent();
        }
    }
}

impl Present {
    fn new(settings: &Settings) -> Present {
        Present {
            settings: settings.clone(),
            by_key: settings.key.map(|rate| RateLimiter::keyed(quota(rate))),
            by_organization: settings.organization.map(|rate| RateLimiter::keyed(quota(rate))),
        }
    }
}

fn refusal(french: &str, english: &str, rate: Option<Rate>, after: Duration) -> ApiError {
    let (per_second, burst) = rate.map_or((0, 0), |rate| (rate.per_second.get(), rate.burst.get()));
    ApiError::rate_limited(
        format!("Trop de requêtes à la fois pour {french} : {per_second} par seconde, {burst} d’un coup."),
        format!("Too many requests at once for {english}: {per_second} per second, {burst} in a burst."),
        after,
    )
    .limit(burst)
}
