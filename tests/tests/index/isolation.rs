//! No result ever outside of its scope, whatever was written, moved and deleted before.

use std::collections::{BTreeMap, BTreeSet};

use rag::index::{Filter, Hybrid, Lane, Point, Query, Scope, SparseVector};
use serde_json::json;

use crate::index::stand::on_each_index;
use crate::index::stand::{Stand, direction, point, terms, with};

on_each_index!(no_result_is_outside_of_its_scope);

const ROUNDS: u64 = 60;
const COLLECTIONS: u64 = 6;
const DOCUMENTS: u64 = 12;
const CHUNKS: u64 = 150;

async fn no_result_is_outside_of_its_scope(stand: Stand) -> Stand {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let random = &mut fastrand::Rng::with_seed(seed);
    let mut model: BTreeMap<u64, Point> = BTreeMap::new();
    for round in 0..ROUNDS {
        change(&stand, &mut model, random).await;
        if round % 20 == 19 {
            stand.index.maintain(&stand.space).await.expect("upkeep");
        }
        for _ in 0..4 {
            look(&stand, &model, random, seed).await;
        }
    }
    stand
}

/// Writes, moves (to another collection or document) or deletes, in the index and in the model of it.
async fn change(stand: &Stand, model: &mut BTreeMap<u64, Point>, random: &mut fastrand::Rng) {
    let (collection, document) = (random.u64(1..=COLLECTIONS), random.u64(1..=DOCUMENTS));
    match random.u8(0..10) {
        0..7 => {
            let points: Vec<Point> = (0..random.usize(1..25))
                .map(|_| {
                    let (chunk, document) = (random.u64(1..=CHUNKS), random.u64(1..=DOCUMENTS));
                    let service = json!({"service": random.u8(0..3)});
                    with(point(chunk, random.u64(1..=COLLECTIONS), document, random), service)
                })
                .map(|point| (point.chunk, point))
                .collect::<BTreeMap<_, _>>()
                .into_values()
                .collect();
            stand.put(&points).await;
            model.extend(points.into_iter().map(|point| (point.chunk, point)));
        }
        7 => {
            stand.index.delete_document(&stand.space, collection, document).await.expect("deleted");
            model.retain(|_, point| (point.collection, point.document) != (collection, document));
        }
        8 => {
            stand.index.delete_collection(&stand.space, collection).await.expect("deleted");
            model.retain(|_, point| point.collection != collection);
        }
        _ => {
            let gone: Vec<u64> = model.keys().copied().filter(|_| random.u8(0..10) == 0).collect();
            stand.index.delete_chunks(&stand.space, &gone).await.expect("deleted");
            model.retain(|chunk, _| !gone.contains(chunk));
        }
    }
}

async fn look(stand: &Stand, model: &BTreeMap<u64, Point>, random: &mut fastrand::Rng, seed: u64) {
    let some = |most: u64, random: &mut fastrand::Rng| -> Vec<u64> {
        (0..random.usize(1..4)).map(|_| random.u64(1..=most + 1)).collect()
    };
    let mut scope = Scope::new(some(COLLECTIONS, random)).expect("a scope");
    if random.bool() {
        scope = scope.only(some(DOCUMENTS, random)).expect("a scope");
    }
    let service = random.u8(0..3);
    let filter = random.bool().then(|| Filter::Eq { key: "service".into(), value: json!(service) });
    let inside = |point: &&Point| {
        scope.holds(point.collection, point.document)
            && (filter.is_none() || point.metadata.get("service") == Some(&json!(service)))
    };
    let expected: BTreeSet<u64> = model.values().filter(inside).map(|point| point.chunk).collect();
    let query = Query { filter: filter.as_ref(), exact: random.bool(), ..Query::new(&scope, random.usize(1..200)) };

    let dense = direction(random);
    let found = stand.found(query, &Lane::Dense(dense.clone())).await;
    holds(&found, &expected, query.limit, seed);

    let words = terms(random);
    let shares = |chunk: &u64| model[chunk].sparse.dot(&words) > 0.0;
    let worded: BTreeSet<u64> = expected.iter().copied().filter(|chunk| shares(chunk)).collect();
    let found = stand.found(query, &Lane::Sparse(words.clone())).await;
    holds(&found, &worded, query.limit, seed);

    let sparse = if random.bool() { words } else { SparseVector::default() };
    let hybrid = Hybrid { dense, sparse, depth: 200, k: 60 };
    let found = stand.index.hybrid(&stand.space, query, &hybrid).await.expect("an answer");
    let found: Vec<u64> = found.iter().map(|hit| hit.chunk).collect();
    holds(&found, &expected, query.limit, seed);
}

/// Each once, all inside, and as many as there are or were asked for.
fn holds(found: &[u64], expected: &BTreeSet<u64>, limit: usize, seed: u64) {
    let distinct: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(distinct.len(), found.len(), "a chunk twice (seed {seed})");
    assert!(distinct.is_subset(expected), "outside of the scope: {distinct:?} in {expected:?} (seed {seed})");
    assert_eq!(found.len(), expected.len().min(limit), "missing (seed {seed})");
}
