//! Several rankings into one, by reciprocal rank.
//!
//! What is fused are chunks, by their ids: two passages of one document are two results. Grouping them by document is
//! a step of its own, after.

use std::collections::HashMap;
use std::hash::Hash;

/// One ranking: the best first, each id once.
#[derive(Clone, Debug)]
pub struct Lane<Id> {
    /// `semantic`, `lexical`: told in the answer.
    pub name: &'static str,
    /// How much its ranks count; 1 is usual.
    pub weight: f64,
    pub hits: Vec<Hit<Id>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit<Id> {
    pub id: Id,
    /// The lane's own score, kept for whoever looks.
    pub score: f32,
}

/// A result of the fusion.
#[derive(Clone, Debug, PartialEq)]
pub struct Fused<Id> {
    pub id: Id,
    pub score: f64,
    /// Where each lane that found it had it.
    pub ranks: Vec<Rank>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    pub lane: &'static str,
    /// From 1.
    pub rank: usize,
    pub score: f32,
}

/// Reciprocal rank fusion: `Σ weight / (k + rank)`; 60 is the usual `k`.
///
/// Pages stay put: ranks are fused by windows of `window`. A result belongs to the window of its best rank, only ranks
/// of that window count in its score, and windows follow each other. So lanes asked for more depth, as later pages
/// need, add results at the end and move none: give each lane's first `depth(offset + limit, window)` hits.
pub fn fuse<Id: Copy + Eq + Hash + Ord>(lanes: &[Lane<Id>], k: f64, window: usize) -> Vec<Fused<Id>> {
    let window = window.max(1);
    let mut found: HashMap<Id, (usize, Fused<Id>)> = HashMap::new();
    for lane in lanes {
        for (rank, hit) in (1..).zip(&lane.hits) {
            let blank = Fused { id: hit.id, score: 0.0, ranks: Vec::new() };
            let (best, fused) = found.entry(hit.id).or_insert((rank, blank));
            // A lane that repeats an id counts it once, where it is best.
            if !fused.ranks.iter().any(|known| known.lane == lane.name) {
                *best = (*best).min(rank);
                fused.ranks.push(Rank { lane: lane.name, rank, score: hit.score });
            }
        }
    }
    let weight = |name: &str| lanes.iter().find(|lane| lane.name == name).map_or(0.0, |lane| lane.weight);
    let mut all: Vec<(usize, usize, Fused<Id>)> = found
        .into_values()
        .map(|(best, mut fused)| {
            let home = (best - 1) / window;
            let counted = fused.ranks.iter().filter(|rank| (rank.rank - 1) / window == home);
            fused.score = counted.map(|rank| weight(rank.lane) / (k + rank.rank as f64)).sum();
            (home, best, fused)
        })
        .collect();
    all.sort_by(|(home, best, fused), (other_home, other_best, other)| {
        home.cmp(other_home)
            .then(other.score.total_cmp(&fused.score))
            .then(best.cmp(other_best))
            .then(fused.id.cmp(&other.id))
    });
    all.into_iter().map(|(.., fused)| fused).collect()
}

/// How many hits to ask of each lane so that the first `wanted` results are final: whole windows.
pub fn depth(wanted: usize, window: usize) -> usize {
    let window = window.max(1);
    wanted.div_ceil(window).max(1).saturating_mul(window)
}

/// The results of one document, the best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<Document, Id> {
    pub document: Document,
    pub chunks: Vec<Fused<Id>>,
}

/// By document, in the order of each document's best chunk.
pub fn group<Document: Copy + Eq + Hash, Id>(
    results: Vec<Fused<Id>>,
    document: impl Fn(&Id) -> Document,
) -> Vec<Group<Document, Id>> {
    let mut places: HashMap<Document, usize> = HashMap::new();
    let mut groups: Vec<Group<Document, Id>> = Vec::new();
    for result in results {
        let document = document(&result.id);
        let place = *places.entry(document).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.chunks.push(result),
            None => groups.push(Group { document, chunks: vec![result] }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lane(name: &'static str, ids: &[u32]) -> Lane<u32> {
        Lane { name, weight: 1.0, hits: ids.iter().map(|id| Hit { id: *id, score: 0.5 }).collect() }
    }

    fn ids(fused: &[Fused<u32>]) -> Vec<u32> {
        fused.iter().map(|fused| fused.id).collect()
    }

    #[test]
    fn found_by_both_lanes_comes_first_and_keeps_its_ranks() {
        let fused = fuse(&[lane("semantic", &[1, 2, 3]), lane("lexical", &[4, 2])], 60.0, 100);
        assert_eq!(ids(&fused), [2, 1, 4, 3]);
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-12);
        let ranks: Vec<_> = fused[0].ranks.iter().map(|rank| (rank.lane, rank.rank)).collect();
        assert_eq!(ranks, [("semantic", 2), ("lexical", 2)]);
        // Equal scores: the better rank, then the id.
        assert_eq!((fused[1].score, fused[1].id), (fused[2].score, 1));
    }

    #[test]
    fn passages_of_one_document_stay_distinct_until_grouped() {
        let fused = fuse(&[lane("semantic", &[11, 12, 21])], 60.0, 100);
        assert_eq!(ids(&fused), [11, 12, 21]);
        let groups = group(fused, |id| id / 10);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].document, ids(&groups[0].chunks)), (1, vec![11, 12]));
    }

    #[test]
    fn a_lane_that_repeats_itself_gains_nothing() {
        let fused = fuse(&[lane("semantic", &[1, 2, 2, 2])], 60.0, 100);
        assert!((fused[1].score - 1.0 / 62.0).abs() < 1e-12);
    }

    #[test]
    fn depths_are_whole_windows() {
        assert_eq!((depth(0, 50), depth(50, 50), depth(51, 50), depth(10, 0)), (50, 50, 100, 10));
    }

    proptest! {
        /// What later pages ask of the lanes moves nothing on earlier pages.
        #[test]
        fn deeper_lanes_only_add_at_the_end(
            one in Just((0..120_u32).collect::<Vec<_>>()).prop_shuffle(),
            two in Just((60..200_u32).collect::<Vec<_>>()).prop_shuffle(),
            windows in 1..4_usize,
        ) {
            let cut = windows * 25;
            let whole = fuse(&[lane("semantic", &one), lane("lexical", &two)], 60.0, 25);
            let first = fuse(&[lane("semantic", &one[..cut]), lane("lexical", &two[..cut])], 60.0, 25);
            prop_assert_eq!(&ids(&whole)[..first.len()], &ids(&first)[..]);
            let mut unique = ids(&whole);
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), whole.len());
            prop_assert_eq!(whole.len(), 200);
        }
    }
}
