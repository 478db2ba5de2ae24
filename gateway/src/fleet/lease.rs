//! This replica's part of every engine's slots, when several replicas share the engines.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many replicas live, and which of them this one is. Alone until told otherwise.
#[derive(Debug)]
pub struct Lease(AtomicU64);

impl Default for Lease {
    fn default() -> Lease {
        Lease(AtomicU64::new(1))
    }
}

impl Lease {
    /// Of `count` replicas, this is the one of that rank, from 0. True when that is new.
    pub fn set(&self, rank: u32, count: u32) -> bool {
        let count = count.max(1);
        let packed = u64::from(rank.min(count - 1)) << 32 | u64::from(count);
        self.0.swap(packed, Ordering::Relaxed) != packed
    }

    pub fn replicas(&self) -> u32 {
        self.read().1
    }

    /// This replica's slots of so many: together the replicas hold all and no more, except that each keeps one of an
    /// engine with fewer slots than there are replicas.
    pub fn part(&self, slots: u32) -> u32 {
        let (rank, count) = self.read();
        if slots == 0 {
            return 0;
        }
        (slots / count + u32::from(rank < slots % count)).max(1)
    }

    fn read(&self) -> (u32, u32) {
        let packed = self.0.load(Ordering::Relaxed);
        ((packed >> 32) as u32, packed as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_the_whole() {
        let lease = Lease::default();
        assert_eq!((lease.part(7), lease.part(0)), (7, 0), "alone, all of it");
        for count in 1..9 {
            for slots in 0..40_u32 {
                let parts = (0..count).map(|rank| {
                    lease.set(rank, count);
                    lease.part(slots)
                });
                let whole = if slots == 0 { 0 } else { slots.max(count) };
                assert_eq!(parts.sum::<u32>(), whole, "{slots} slots of {count} replicas");
            }
        }
    }
}
