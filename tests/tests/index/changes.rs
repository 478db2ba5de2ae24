//! What is written, replaced and deleted.

use rag::index::{Filter, IndexError, Lane, Point, Query, Space, SparseVector};
use serde_json::json;

use crate::index::stand::on_each_index;
use crate::index::stand::{DIMENSIONS, Stand, anything, point, scope, with};

on_each_index!(
    a_known_chunk_is_replaced_whole,
    documents_collections_and_chunks_are_deleted,
    what_cannot_be_compared_is_refused_and_nothing_of_its_batch_stored,
    a_space_that_is_not_there_is_empty,
    spaces_of_two_models_stay_apart,
    what_is_scrolled_is_what_was_written,
);

async fn a_known_chunk_is_replaced_whole(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(1);
    let first = Point { sparse: SparseVector { ids: vec![7], weights: vec![1.0] }, ..point(1, 10, 100, random) };
    stand.put(&[with(first, json!({"service": "RH"}))]).await;
    let word = Lane::Sparse(SparseVector { ids: vec![7], weights: vec![1.0] });
    assert_eq!(stand.found(Query::new(&scope([10]), 5), &word).await, [1]);

    let second = Point { sparse: SparseVector::default(), ..point(1, 20, 200, random) };
    stand.put(&[with(second, json!({"service": "DSI"}))]).await;
    assert_eq!(stand.index.count(&stand.space).await, Ok(1));
    assert_eq!(stand.all([10]).await, [0; 0]);
    assert_eq!(stand.all([20]).await, [1]);
    assert_eq!(stand.found(Query::new(&scope([20]), 5), &word).await, [0; 0], "the old words are still there");
    let old = Filter::Eq { key: "service".into(), value: json!("RH") };
    let scope = scope([20]);
    let query = Query { filter: Some(&old), ..Query::new(&scope, 5) };
    assert_eq!(stand.found(query, &anything()).await, [0; 0]);
    stand
}

async fn documents_collections_and_chunks_are_deleted(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(2);
    let mut points = Vec::new();
    for (chunk, (collection, document)) in (1..).zip([(1, 11), (1, 11), (1, 12), (2, 11), (2, 21), (3, 31)]) {
        points.push(point(chunk, collection, document, random));
    }
    stand.put(&points).await;
    // Document 11 of collection 1 only: the number names another in collection 2.
    stand.index.delete_document(&stand.space, 1, 11).await.expect("deleted");
    assert_eq!(stand.all([1, 2, 3]).await, [3, 4, 5, 6]);
    stand.index.delete_collection(&stand.space, 2).await.expect("deleted");
    assert_eq!(stand.all([1, 2, 3]).await, [3, 6]);
    stand.index.delete_chunks(&stand.space, &[6, 999]).await.expect("deleted");
    assert_eq!(stand.all([1, 2, 3]).await, [3]);
    // Deleting again is no error, and what was deleted can come back.
    stand.index.delete_collection(&stand.space, 2).await.expect("deleted");
    stand.put(&points[3..4]).await;
    assert_eq!(stand.all([2]).await, [4]);
    stand
}

async fn what_cannot_be_compared_is_refused_and_nothing_of_its_batch_stored(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(3);
    let good = point(1, 1, 1, random);
    let bad = |change: fn(&mut Point)| {
        let mut bad = point(2, 1, 1, &mut fastrand::Rng::with_seed(4));
        change(&mut bad);
        bad
    };
    let wrong: [fn(&mut Point); 6] = [
        |point| {
            point.dense.pop();
        },
        |point| point.dense[0] = f32::NAN,
        |point| point.dense.fill(0.0),
        |point| point.sparse = SparseVector { ids: vec![1, 2], weights: vec![1.0] },
        |point| point.sparse = SparseVector { ids: vec![2, 1], weights: vec![1.0, 1.0] },
        |point| point.sparse = SparseVector { ids: vec![1], weights: vec![f32::INFINITY] },
    ];
    for (nth, change) in wrong.into_iter().enumerate() {
        let refused = stand.index.upsert(&stand.space, &[good.clone(), bad(change)]).await.expect_err("refused");
        match (nth, refused) {
            (0, IndexError::Dimensions { expected: DIMENSIONS, found }) => assert_eq!(found, DIMENSIONS - 1),
            (1.., IndexError::Vector(_)) => {}
            (nth, other) => panic!("{nth}: {other}"),
        }
    }
    assert_eq!(stand.all([1]).await, [0; 0]);
    stand.put(&[good]).await;
    let short = Lane::Dense(vec![1.0; DIMENSIONS - 1]);
    let refused = stand.index.search(&stand.space, Query::new(&scope([1]), 3), &short).await;
    assert_eq!(refused, Err(IndexError::Dimensions { expected: DIMENSIONS, found: DIMENSIONS - 1 }));
    stand
}

async fn a_space_that_is_not_there_is_empty(stand: Stand) -> Stand {
    assert_eq!(stand.index.spaces().await, Ok(vec![]));
    assert_eq!(stand.all([1]).await, [0; 0]);
    assert_eq!(stand.index.count(&stand.space).await, Ok(0));
    assert_eq!(stand.index.scroll(&stand.space, None, 10).await, Ok(vec![]));
    for done in [
        stand.index.delete_collection(&stand.space, 1).await,
        stand.index.delete_document(&stand.space, 1, 1).await,
        stand.index.delete_chunks(&stand.space, &[1]).await,
        stand.index.upsert(&stand.space, &[]).await,
        stand.index.flush(&stand.space).await,
        stand.index.maintain(&stand.space).await,
        stand.index.drop_space(&stand.space).await,
    ] {
        assert_eq!(done, Ok(()));
    }
    assert_eq!(stand.index.spaces().await, Ok(vec![]));
    stand
}

async fn spaces_of_two_models_stay_apart(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(5);
    stand.put(&[point(1, 1, 1, random)]).await;
    let wide = Space::new("essai/large", 3);
    let other = Point { dense: vec![1.0, 0.0, 0.0], ..point(2, 1, 1, random) };
    stand.index.upsert(&wide, &[other]).await.expect("stored");
    let mut expected = vec![stand.space.clone(), wide.clone()];
    expected.sort();
    assert_eq!(stand.index.spaces().await, Ok(expected));
    assert_eq!(stand.all([1]).await, [1]);
    let found = stand.index.search(&wide, Query::new(&scope([1]), 5), &Lane::Dense(vec![1.0, 0.0, 0.0])).await;
    assert_eq!(found.expect("an answer").iter().map(|hit| hit.chunk).collect::<Vec<_>>(), [2]);
    stand.index.drop_space(&wide).await.expect("removed");
    assert_eq!(stand.index.spaces().await, Ok(vec![stand.space.clone()]));
    // A space made anew holds nothing of what it held.
    assert_eq!(stand.index.count(&wide).await, Ok(0));
    stand
}

async fn what_is_scrolled_is_what_was_written(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(6);
    let mut written: Vec<Point> = (1..=25).map(|nth| point(nth * 3, nth % 4, nth, random)).collect();
    written[0] = with(
        written[0].clone(),
        json!({"clé.à.points": "é", "liste": [1, "deux", true, 2.5], "objet": {"a": [1]}, "rien": null, "": ""}),
    );
    written[1].sparse = SparseVector::default();
    written[24].chunk = u64::MAX;
    stand.put(&written).await;
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = stand.index.scroll(&stand.space, after, 7).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = Some(last.chunk);
        read.extend(page);
    }
    assert_eq!(read.len(), written.len());
    for (read, written) in read.iter().zip(&written) {
        assert_eq!((read.chunk, read.collection, read.document), (written.chunk, written.collection, written.document));
        assert_eq!((&read.sparse, &read.metadata), (&written.sparse, &written.metadata));
        let length = written.dense.iter().map(|number| number * number).sum::<f32>().sqrt();
        for (read, written) in read.dense.iter().zip(&written.dense) {
            assert!((read - written / length).abs() < 1e-5, "{read} is not {written} over {length}");
        }
    }
    stand
}
