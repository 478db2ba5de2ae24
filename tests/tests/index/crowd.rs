//! Ten thousand small collections in one space.

use rag::index::{Lane, Query};

use crate::index::stand::on_each_index;
use crate::index::stand::{Stand, direction, point, scope};

on_each_index!(ten_thousand_collections_share_a_space);

const COLLECTIONS: u64 = 10_000;

async fn ten_thousand_collections_share_a_space(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(21);
    for start in (1..=COLLECTIONS).step_by(500) {
        let points: Vec<_> = (start..start + 500).map(|id| point(id, id, id, random)).collect();
        stand.put(&points).await;
    }
    stand.settled().await;
    assert_eq!(stand.index.count(&stand.space).await, Ok(COLLECTIONS));
    for _ in 0..50 {
        let collection = random.u64(1..=COLLECTIONS);
        let lane = Lane::Dense(direction(random));
        assert_eq!(stand.found(Query::new(&scope([collection]), 10), &lane).await, [collection]);
    }
    // A scope of a thousand collections, and one of all.
    let thousand = scope((1..=COLLECTIONS).step_by(10));
    let found = stand.found(Query::new(&thousand, 2_000), &Lane::Dense(direction(random))).await;
    assert_eq!(found.len(), 1_000);
    assert!(found.iter().all(|chunk| chunk % 10 == 1));
    let all = scope(1..=COLLECTIONS);
    assert_eq!(stand.found(Query::new(&all, 10), &Lane::Dense(direction(random))).await.len(), 10);
    stand.index.delete_collection(&stand.space, 77).await.expect("deleted");
    assert_eq!(stand.index.count(&stand.space).await, Ok(COLLECTIONS - 1));
    stand
}
