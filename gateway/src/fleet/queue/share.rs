//! Those who share one thing: organizations a model, projects their organization's part of it.
//!
//! Each has a counter of the tokens it was served, divided by its weight, and the next turn is the lowest counter's. Who
//! comes back after a time away is lifted to the lowest counter among those who wait, so that nobody saves up turns.

use std::collections::HashMap;

use quick_cache::DefaultHashBuilder;

use super::fair::{CLASSES, Open};
use super::tenant::{Lane, Tier};

/// One token of weight 1, in a counter: fine enough that dividing by a weight loses nothing that matters.
const TOKEN: i128 = 1 << 32;

/// Tokens by which priority may be ahead of its share.
pub const HEAD_START: u64 = 16_384;

/// What one of those who share was served, and what it waits for.
#[derive(Clone, Debug)]
pub(super) struct Share {
    served: [i128; 2],
    weight: u32,
    /// When it last had a turn: among equals, the one who has waited longest since.
    turn: u64,
    waiting: [[u32; CLASSES]; 3],
    running: u32,
    /// Input of those running: an estimate until they end.
    estimated: [u64; 2],
}

impl Default for Share {
    fn default() -> Share {
        Share { served: [0; 2], weight: 1, turn: 0, waiting: [[0; CLASSES]; 3], running: 0, estimated: [0; 2] }
    }
}

impl Share {
    pub fn waiting(&self) -> u32 {
        self.waiting.iter().flatten().sum()
    }

    fn waits_in(&self, lane: Lane) -> bool {
        Tier::ALL.iter().any(|tier| tier.lane() == lane && self.waiting[*tier as usize].iter().any(|n| *n > 0))
    }

    fn waits_for(&self, tier: Tier, open: Open) -> bool {
        self.waiting[tier as usize].iter().zip(open).any(|(waiting, open)| open && *waiting > 0)
    }

    fn waits_in_class(&self, lane: Lane, class: usize) -> bool {
        Tier::ALL.iter().any(|tier| tier.lane() == lane && self.waiting[*tier as usize][class] > 0)
    }

    pub fn served(&self, lane: Lane) -> i128 {
        self.served[lane as usize]
    }

    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// What it was served for sure. A newcomer lifted to an estimate would wait for the correction of it.
    fn sure(&self, lane: Lane) -> i128 {
        self.served(lane) - self.tokens(self.estimated[lane as usize])
    }

    fn tokens(&self, tokens: u64) -> i128 {
        i128::from(tokens) * TOKEN / i128::from(self.weight)
    }

    /// Where it stands in the order of turns: the lowest is next.
    fn standing(&self, lane: Lane, open: Open) -> i128 {
        let ahead = match lane {
            Lane::Interactive if self.waits_for(Tier::Priority, open) => self.tokens(HEAD_START),
            _ => 0,
        };
        self.served(lane) - ahead
    }

    pub fn charge(&mut self, lane: Lane, tokens: i64) {
        let amount = self.tokens(tokens.unsigned_abs());
        let served = &mut self.served[lane as usize];
        *served += if tokens < 0 { -amount } else { amount };
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting() == 0
    }
}

/// Has a share, beside what else it holds.
pub(super) trait Peer: Default {
    fn share(&self) -> &Share;
    fn share_mut(&mut self) -> &mut Share;
}

#[derive(Debug)]
pub(super) struct Peers<P> {
    all: HashMap<i64, P, DefaultHashBuilder>,
    /// Those with somebody waiting: a turn looks at no other.
    active: Vec<i64>,
    /// The counter of the last turn open to a class: what a newcomer is lifted to when nobody waits.
    floor: [[i128; CLASSES]; 2],
    /// How many there may be before the idle are looked for.
    sweep_at: usize,
}

impl<P> Default for Peers<P> {
    fn default() -> Self {
        Peers { all: HashMap::default(), active: Vec::new(), floor: [[0; CLASSES]; 2], sweep_at: 64 }
    }
}

impl<P: Peer> Peers<P> {
    pub fn get(&self, id: i64) -> Option<&P> {
        self.all.get(&id)
    }

    pub fn get_mut(&mut self, id: i64) -> Option<&mut P> {
        self.all.get_mut(&id)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Those with somebody waiting.
    pub fn active(&self) -> impl Iterator<Item = (i64, &P)> {
        self.active.iter().filter_map(|id| self.all.get(id).map(|peer| (*id, peer)))
    }

    /// One more request waits.
    pub fn joins(&mut self, id: i64, weight: u32, tier: Tier, class: usize) -> &mut P {
        let lane = tier.lane();
        let lift = match self.all.get(&id) {
            Some(peer) if peer.share().waits_in(lane) => peer.share().served(lane),
            _ => self
                .active()
                .filter(|(_, peer)| peer.share().waits_in_class(lane, class))
                .map(|(_, peer)| peer.share().sure(lane))
                .min()
                .unwrap_or(self.floor[lane as usize][class]),
        };
        if self.all.len() >= self.sweep_at {
            let floor = self.floor;
            self.all.retain(|_, peer| !is_forgettable(peer.share(), &floor));
            self.sweep_at = (2 * self.all.len()).max(64);
        }
        let peer = self.all.entry(id).or_default();
        let share = peer.share_mut();
        share.weight = weight.max(1);
        share.served[lane as usize] = share.served[lane as usize].max(lift);
        if share.waiting() == 0 {
            self.active.push(id);
        }
        share.waiting[tier as usize][class] += 1;
        peer
    }

    /// One request waits no more, served or gone.
    pub fn leaves(&mut self, id: i64, tier: Tier, class: usize) {
        let Some(peer) = self.all.get_mut(&id) else { return };
        let share = peer.share_mut();
        let waiting = &mut share.waiting[tier as usize][class];
        *waiting = waiting.saturating_sub(1);
        if share.waiting() == 0
            && let Some(at) = self.active.iter().position(|active| *active == id)
        {
            self.active.swap_remove(at);
        }
    }

    /// Whose turn it is.
    pub fn fairest(&self, lane: Lane, open: Open) -> Option<i64> {
        let waits = |share: &Share| Tier::ALL.iter().any(|tier| tier.lane() == lane && share.waits_for(*tier, open));
        self.active()
            .filter(|(_, peer)| waits(peer.share()))
            .min_by_key(|(id, peer)| (peer.share().standing(lane, open), peer.share().turn, *id))
            .map(|(id, _)| id)
    }

    /// A turn begins. Called while the request still counts as waiting.
    pub fn served(&mut self, id: i64, lane: Lane, open: Open, tokens: u64, turn: u64) {
        let Some(peer) = self.all.get_mut(&id) else { return };
        let share = peer.share_mut();
        let standing = share.standing(lane, open).min(share.sure(lane));
        for (floor, open) in self.floor[lane as usize].iter_mut().zip(open) {
            if open {
                *floor = (*floor).max(standing);
            }
        }
        share.served[lane as usize] += share.tokens(tokens);
        share.estimated[lane as usize] += tokens;
        share.turn = turn;
        share.running += 1;
    }

    /// A turn of which so many tokens were estimated ends. What was served while nobody waited cost nobody anything: others are lifted to it.
    pub fn ended(&mut self, id: i64, lane: Lane, tokens: u64) {
        let contested = self.active().any(|(_, peer)| peer.share().waits_in(lane));
        if let Some(peer) = self.all.get_mut(&id) {
            let share = peer.share_mut();
            share.running = share.running.saturating_sub(1);
            share.estimated[lane as usize] = share.estimated[lane as usize].saturating_sub(tokens);
            if !contested {
                let served = share.sure(lane);
                for floor in &mut self.floor[lane as usize] {
                    *floor = (*floor).max(served);
                }
            }
        }
        self.forget(id);
    }

    /// Gives back the memory of one that is away: it would come back lifted as high.
    pub fn forget(&mut self, id: i64) {
        if self.all.get(&id).is_some_and(|peer| is_forgettable(peer.share(), &self.floor)) {
            self.all.remove(&id);
        }
    }
}

/// It would come back lifted to where it stands, whatever its class.
fn is_forgettable(share: &Share, floor: &[[i128; CLASSES]; 2]) -> bool {
    share.is_idle()
        && Lane::ALL.iter().all(|lane| {
            let served = share.served(*lane);
            let mut used = floor[*lane as usize].iter().filter(|floor| **floor > 0).peekable();
            served <= 0 || used.peek().is_some() && used.all(|floor| served <= *floor)
        })
}
