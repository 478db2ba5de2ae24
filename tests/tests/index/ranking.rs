//! Order and exactness.

use rag::fuse::{self, fuse};
use rag::index::{Hybrid, Lane, Point, Query, SparseVector};

use crate::index::stand::on_each_index;
use crate::index::stand::{Stand, direction, point, scope, terms};

on_each_index!(
    exact_search_is_brute_force,
    pages_stay_put,
    a_hybrid_search_fuses_the_two_lanes,
    equal_scores_are_ordered_by_chunk,
    nothing_is_asked_for_nothing,
);

/// 600 chunks in three collections.
async fn filled(stand: &Stand) -> Vec<Point> {
    let random = &mut fastrand::Rng::with_seed(11);
    let points: Vec<Point> = (1..=600).map(|chunk| point(chunk, chunk % 3, chunk / 10, random)).collect();
    for batch in points.chunks(100) {
        stand.put(batch).await;
    }
    points
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    let dot = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
    dot(one, other) / (dot(one, one).sqrt() * dot(other, other).sqrt())
}

/// The best of what `score` gives, above 0 for words.
fn best(points: &[Point], score: impl Fn(&Point) -> Option<f32>) -> Vec<(u64, f32)> {
    let mut all: Vec<(u64, f32)> =
        points.iter().filter_map(|point| score(point).map(|score| (point.chunk, score))).collect();
    all.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    all
}

async fn exact_search_is_brute_force(stand: Stand) -> Stand {
    let points = filled(&stand).await;
    let random = &mut fastrand::Rng::with_seed(12);
    let scope = scope([0, 2]);
    let within: Vec<Point> = points.into_iter().filter(|point| point.collection != 1).collect();
    for _ in 0..20 {
        let query = Query { exact: true, ..Query::new(&scope, 10) };
        let (dense, words) = (direction(random), terms(random));
        let meaning = best(&within, |point| Some(cosine(&point.dense, &dense)));
        let wording = best(&within, |point| Some(point.sparse.dot(&words)).filter(|score| *score > 0.0));
        for (lane, expected) in [(Lane::Dense(dense), meaning), (Lane::Sparse(words), wording)] {
            let hits = stand.hits(query, &lane).await;
            assert_eq!(hits.len(), expected.len().min(10));
            for (hit, (chunk, score)) in hits.iter().zip(&expected) {
                assert!((hit.score - score).abs() < 1e-4, "{} is not {score}", hit.score);
                // Equal up to rounding may change places.
                let near = expected.iter().any(|(other, near)| *other == hit.chunk && (near - score).abs() < 1e-4);
                assert!(near, "{} in the place of {chunk}", hit.chunk);
            }
        }
    }
    stand
}

async fn pages_stay_put(stand: Stand) -> Stand {
    filled(&stand).await;
    stand.settled().await;
    let random = &mut fastrand::Rng::with_seed(13);
    let scope = scope([0, 1, 2]);
    for _ in 0..10 {
        for lane in [Lane::Dense(direction(random)), Lane::Sparse(terms(random))] {
            let whole = stand.found(Query::new(&scope, 60), &lane).await;
            for end in [10, 20, 30, 60] {
                let page = stand.found(Query::new(&scope, end), &lane).await;
                assert_eq!(page, whole[..end.min(whole.len())]);
            }
            assert_eq!(stand.found(Query::new(&scope, 60), &lane).await, whole);
        }
    }
    stand
}

async fn a_hybrid_search_fuses_the_two_lanes(stand: Stand) -> Stand {
    filled(&stand).await;
    let random = &mut fastrand::Rng::with_seed(14);
    let scope = scope([1, 2]);
    for _ in 0..10 {
        let (dense, sparse) = (direction(random), terms(random));
        let query = Query { exact: true, ..Query::new(&scope, 50) };
        let mut lanes = Vec::new();
        for (name, lane) in [("semantic", Lane::Dense(dense.clone())), ("lexical", Lane::Sparse(sparse.clone()))] {
            let hits = stand.hits(query, &lane).await;
            let hits = hits.iter().map(|hit| fuse::Hit { id: hit.chunk, score: hit.score }).collect();
            lanes.push(fuse::Lane { name, weight: 1.0, hits });
        }
        let expected = fuse(&lanes, 60.0, 50);
        let hybrid = Hybrid { dense, sparse, depth: 50, k: 60 };
        let found = stand.index.hybrid(&stand.space, Query { limit: 20, ..query }, &hybrid).await.expect("an answer");
        assert_eq!(found.len(), 20);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((f64::from(found.score) - expected.score).abs() < 1e-6, "{found:?} is not {expected:?}");
        }
    }
    stand
}

async fn equal_scores_are_ordered_by_chunk(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(15);
    let same = point(1, 1, 1, random);
    let points: Vec<Point> = (1..=30).rev().map(|chunk| Point { chunk, ..same.clone() }).collect();
    stand.put(&points).await;
    let scope = scope([1]);
    let expected: Vec<u64> = (1..=30).collect();
    for lane in [Lane::Dense(same.dense.clone()), Lane::Sparse(same.sparse.clone())] {
        assert_eq!(stand.found(Query::new(&scope, 30), &lane).await, expected);
    }
    stand
}

async fn nothing_is_asked_for_nothing(stand: Stand) -> Stand {
    filled(&stand).await;
    let scope = scope([1]);
    let dense = Lane::Dense(vec![1.0; 8]);
    assert_eq!(stand.found(Query::new(&scope, 0), &dense).await, [0; 0]);
    assert_eq!(stand.found(Query::new(&scope, 10), &Lane::Sparse(SparseVector::default())).await, [0; 0]);
    let hybrid = Hybrid { dense: vec![1.0; 8], sparse: SparseVector::default(), depth: 0, k: 60 };
    assert_eq!(stand.index.hybrid(&stand.space, Query::new(&scope, 10), &hybrid).await, Ok(vec![]));
    // Words that nobody wrote.
    let unknown = Lane::Sparse(SparseVector { ids: vec![4_000_000_000], weights: vec![1.0] });
    assert_eq!(stand.found(Query::new(&scope, 10), &unknown).await, [0; 0]);
    stand
}
