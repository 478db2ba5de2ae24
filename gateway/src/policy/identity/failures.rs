//! The gate against floods of wrong keys: counts failures of an address, never successes.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;

use crate::config::server::Rate;
use crate::store::now;

/// Addresses remembered at most. Past it new ones go uncounted rather than fill memory.
const ADDRESSES: usize = 50_000;

/// Addresses set aside remembered at most.
const BLOCKED: usize = 10_000;

/// Failed authentications by address.
pub struct Failures {
    rate: Rate,
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    /// Until when, in Unix milliseconds: the limiter itself cannot be asked without being charged.
    blocked: Cache<IpAddr, i64>,
}

impl Failures {
    pub fn new(rate: Rate) -> Failures {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Failures { rate, limiter: RateLimiter::keyed(quota), blocked: Cache::new(BLOCKED) }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How long the address still has to wait, when it has failed too often.
    pub fn blocked(&self, client: IpAddr) -> Option<Duration> {
        let left = self.blocked.get(&network(client))?.saturating_sub(now());
        u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
    }

    /// Counts a failure. The error is how long to wait.
    pub fn count(&self, client: IpAddr) -> Result<(), Duration> {
        let client = network(client);
        if self.limiter.len() >= ADDRESSES {
            self.limiter.retain_recent();
            if self.limiter.len() >= ADDRESSES {
                return Ok(());
            }
        }
        self.limiter.check_key(&client).map_err(|refusal| {
            let wait = refusal.wait_time_from(self.limiter.clock().now()).max(Duration::from_millis(1));
            self.blocked.insert(client, now().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
            wait
        })
    }

    /// Forgets addresses that have behaved long enough.
    pub fn tidy(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        let now = now();
        self.blocked.retain(|_, until| *until > now);
    }
}

/// One subscriber holds a whole /64 of IPv6.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn failures(burst: u32) -> Failures {
        Failures::new(Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(burst).unwrap() })
    }

    #[test]
    fn an_address_is_set_aside_and_its_neighbour_is_not() {
        let gate = failures(3);
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..3 {
            assert!(gate.count(client).is_ok());
            assert!(gate.blocked(client).is_none());
        }
        assert!(gate.count(client).unwrap_err() <= Duration::from_secs(1));
        assert!(gate.blocked(client).is_some());
        let neighbour = "192.0.2.2".parse().unwrap();
        assert!(gate.blocked(neighbour).is_none() && gate.count(neighbour).is_ok());
        gate.tidy();
        assert!(gate.blocked(client).is_some(), "tidying forgets nobody too early");
    }

    #[test]
    fn a_whole_ipv6_network_is_one_address() {
        let gate = failures(1);
        assert!(gate.count("2001:db8::1".parse().unwrap()).is_ok());
        assert!(gate.count("2001:db8::2".parse().unwrap()).is_err());
        assert!(gate.count("2001:db8:0:1::1".parse().unwrap()).is_ok());
        assert!(gate.count("::ffff:192.0.2.1".parse().unwrap()).is_ok());
        assert!(gate.count("192.0.2.1".parse().unwrap()).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let gate = failures(1);
        for n in 0..(u32::try_from(ADDRESSES).unwrap() + 1_000) {
            let _ = gate.count(IpAddr::from(n.to_be_bytes()));
        }
        assert!(gate.limiter.len() <= ADDRESSES);
    }
}
