//! What survives: a flush, a restart, a kill, upkeep under load, a log that ends.

use std::process::{Command, Stdio};
use std::sync::Arc;

use rag::index::edge::Edge;
use rag::index::server::Server;
use rag::index::{IndexError, Lane, Point, Query, Scope, Space, VectorIndex};
use tokio::task::JoinSet;

use crate::index::stand::on_each_index;
use crate::index::stand::{DIMENSIONS, Stand, direction, point, scope};

on_each_index!(what_was_flushed_is_there_after_a_restart, upkeep_goes_beside_searches_and_changes);

fn points(chunks: std::ops::RangeInclusive<u64>) -> Vec<Point> {
    let random = &mut fastrand::Rng::with_seed(*chunks.start());
    chunks.map(|chunk| point(chunk, chunk % 3, chunk % 7, random)).collect()
}

async fn what_was_flushed_is_there_after_a_restart(stand: Stand) -> Stand {
    stand.put(&points(1..=300)).await;
    stand.index.delete_collection(&stand.space, 2).await.expect("deleted");
    stand.index.flush(&stand.space).await.expect("flushed");
    let stand = stand.reopened().await;
    let kept: Vec<u64> = (1..=300).filter(|chunk| chunk % 3 != 2).collect();
    assert_eq!(stand.all([0, 1, 2]).await, kept);
    // It goes on as before: replaced, deleted, and restarted again.
    stand.put(&points(299..=320)).await;
    stand.index.delete_chunks(&stand.space, &[1]).await.expect("deleted");
    stand.index.flush(&stand.space).await.expect("flushed");
    let stand = stand.reopened().await;
    assert_eq!(stand.index.count(&stand.space).await, Ok(199 + 1 + 20));
    assert_eq!(stand.all([1]).await.first(), Some(&4));
    stand
}

/// Writes, deletes, searches, flushes and upkeep at once: none fails, and the end is what was written.
async fn upkeep_goes_beside_searches_and_changes(stand: Stand) -> Stand {
    stand.put(&points(1..=1_500)).await;
    let writes = async {
        for start in (1..=1_500).step_by(50) {
            stand.index.delete_chunks(&stand.space, &[start, start + 1]).await.expect("deleted");
            stand.put(&points(2_000 + start..=2_009 + start)).await;
        }
    };
    let flushes = async {
        for _ in 0..10 {
            stand.index.flush(&stand.space).await.expect("flushed");
        }
    };
    let upkeep = async {
        for _ in 0..5 {
            stand.index.maintain(&stand.space).await.expect("upkeep");
        }
    };
    let searches = async {
        let random = &mut fastrand::Rng::with_seed(3);
        for _ in 0..100 {
            let scope = scope([0, 1]);
            let found = stand.found(Query::new(&scope, 10), &Lane::Dense(direction(random))).await;
            assert_eq!(found.len(), 10);
        }
    };
    tokio::join!(writes, flushes, upkeep, searches);
    stand.index.maintain(&stand.space).await.expect("upkeep");
    let expected: Vec<u64> = (1..=1_500)
        .filter(|chunk| !matches!(chunk % 50, 1 | 2))
        .chain((1..=1_500).step_by(50).flat_map(|start| 2_000 + start..=2_009 + start))
        .collect();
    assert_eq!(stand.all([0, 1, 2]).await, expected);
    let stand = stand.reopened().await;
    assert_eq!(stand.all([0, 1, 2]).await, expected);
    stand
}

/// Names the folder to a process that is to die in it.
const DOOMED: &str = "GUICHET_TEST_INDEX_DOOMED";

/// Not a test of its own: the process that [`a_kill_loses_only_what_was_not_flushed`] starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doomed() {
    let Ok(folder) = std::env::var(DOOMED) else { return };
    let index = Edge::open(folder.as_ref()).expect("an index");
    let space = Space::new("essai", DIMENSIONS);
    let first = index.count(&space).await.expect("a count") == 0;
    if first {
        index.upsert(&space, &points(1..=2_000)).await.expect("stored");
        index.delete_collection(&space, 2).await.expect("deleted");
        index.maintain(&space).await.expect("upkeep");
    } else {
        index.upsert(&space, &points(3_001..=3_100)).await.expect("stored");
    }
    index.flush(&space).await.expect("flushed");
    // Not flushed: new chunks, replaced ones, deleted ones.
    index.upsert(&space, &points(5_001..=5_100)).await.expect("stored");
    index.upsert(&space, &points(1..=30)).await.expect("stored");
    index.delete_chunks(&space, &(100..200).collect::<Vec<_>>()).await.expect("deleted");
    std::process::abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_only_what_was_not_flushed() {
    let folder = tempfile::tempdir().expect("a folder");
    let die = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["index::durability::doomed", "--exact", "--nocapture"]).env(DOOMED, folder.path());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a process");
        assert!(!status.success(), "it was to abort");
    };
    let space = Space::new("essai", DIMENSIONS);
    let mut expected: Vec<u64> = (1..=2_000).filter(|chunk| chunk % 3 != 2).collect();
    for more in [None, Some(3_001..=3_100)] {
        die();
        expected.extend(more.into_iter().flatten());
        let index = Edge::open(folder.path()).expect("an index");
        let read: Vec<Point> = index.scroll(&space, None, 10_000).await.expect("points");
        let read: std::collections::BTreeSet<u64> = read.iter().map(|point| point.chunk).collect();
        let lost: Vec<&u64> = expected.iter().filter(|chunk| !read.contains(chunk)).collect();
        // Chunks written anew without a flush are of those that may be lost; the database knows them.
        assert!(lost.iter().all(|chunk| **chunk <= 30), "flushed and lost: {lost:?}");
        // What is found has vectors and is found.
        let scope = Scope::new([0, 1, 2]).expect("a scope");
        let lane = Lane::Dense(vec![1.0; DIMENSIONS]);
        let query = Query { exact: true, ..Query::new(&scope, 10_000) };
        let found = index.search(&space, query, &lane).await.expect("an answer");
        assert_eq!(found.iter().map(|hit| hit.chunk).collect::<std::collections::BTreeSet<_>>(), read);
    }
    // Told again, as the database would have it, everything is as if nothing had happened.
    let index = Edge::open(folder.path()).expect("an index");
    index.upsert(&space, &points(1..=30)).await.expect("stored");
    index.delete_collection(&space, 2).await.expect("deleted");
    index.delete_chunks(&space, &(5_001..=5_100).collect::<Vec<_>>()).await.expect("deleted");
    index.flush(&space).await.expect("flushed");
    drop(index);
    let index = Edge::open(folder.path()).expect("an index");
    expected.retain(|chunk| chunk % 3 != 2);
    assert_eq!(index.count(&space).await, Ok(expected.len() as u64));
}

/// Names the folder to a process that is to die in it while a graph is built.
const DOOMED_IN_UPKEEP: &str = "GUICHET_TEST_INDEX_DOOMED_IN_UPKEEP";
/// Numbers of vectors of which some thousand want a graph.
const WIDE: usize = 1_024;
/// Chunks that want a graph, and those that come while it is built.
const BEFORE: u64 = 3_000;
const MEANWHILE: u64 = 200;

fn wide(chunk: u64) -> Point {
    let random = &mut fastrand::Rng::with_seed(chunk);
    Point { dense: (0..WIDE).map(|_| random.f32() - 0.5).collect(), ..point(chunk, 1, 1, random) }
}

/// Not a test of its own: the process that [`what_is_kept_beside_upkeep_survives_a_kill`] starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doomed_in_upkeep() {
    let Ok(folder) = std::env::var(DOOMED_IN_UPKEEP) else { return };
    let index = Arc::new(Edge::open(folder.as_ref()).expect("an index"));
    let space = Space::new("large", WIDE);
    for start in (1..=BEFORE).step_by(500) {
        index.upsert(&space, &(start..start + 500).map(wide).collect::<Vec<_>>()).await.expect("stored");
    }
    index.flush(&space).await.expect("flushed");
    let mut upkeep = JoinSet::new();
    upkeep.spawn({
        let (index, space) = (index.clone(), space.clone());
        async move { index.maintain(&space).await }
    });
    // A full flush waits from the moment that upkeep has begun.
    while tokio::time::timeout(std::time::Duration::from_millis(200), index.flush(&space)).await.is_ok() {
        assert!(upkeep.try_join_next().is_none(), "upkeep was too short to see");
    }
    let (new, again) = (BEFORE + 1..=BEFORE + MEANWHILE, 1..=50);
    index.upsert(&space, &new.chain(again).map(wide).collect::<Vec<_>>()).await.expect("stored");
    index.keep(&space).await.expect("kept");
    assert!(upkeep.try_join_next().is_none(), "upkeep was too short to see");
    std::process::abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_beside_upkeep_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["index::durability::doomed_in_upkeep", "--exact"]).env(DOOMED_IN_UPKEEP, folder.path());
    let output = command.output().expect("a process");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && !said.contains("FAILED"), "it was to abort: {said}");
    let (space, scope) = (Space::new("large", WIDE), scope([1]));
    let index = Edge::open(folder.path()).expect("an index");
    let query = Query { exact: true, ..Query::new(&scope, 10_000) };
    let found = index.search(&space, query, &Lane::Dense(vec![1.0; WIDE])).await.expect("an answer");
    let mut found: Vec<u64> = found.iter().map(|hit| hit.chunk).collect();
    found.sort_unstable();
    assert!(found.iter().copied().eq(1..=BEFORE + MEANWHILE), "{} chunks are there", found.len());
    // What was written anew beside upkeep stands in two parts until they are joined; only a count sees it.
    let counted = index.count(&space).await.expect("a count");
    assert!((BEFORE + MEANWHILE..=BEFORE + MEANWHILE + 50).contains(&counted), "{counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_at_a_time_opens_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Edge::open(folder.path()).expect("an index");
    match Edge::open(folder.path()) {
        Err(IndexError::Locked(place)) => assert_eq!(place, folder.path().display().to_string()),
        other => panic!("{:?}", other.map(|_| "opened").map_err(|error| error.to_string())),
    }
    drop(first);
    Edge::open(folder.path()).expect("free again");
}

/// Searches then answer 503 and ingestion waits; anything else would be told as a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_told_apart() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a free port");
    let index = Server::new(&format!("http://{closed}"), Some("clé"), "essai").expect("an address");
    let (space, scope) = (Space::new("essai", DIMENSIONS), scope([1]));
    let lane = Lane::Dense(vec![1.0; DIMENSIONS]);
    for answer in [
        index.search(&space, Query::new(&scope, 3), &lane).await.map(|_| ()),
        index.upsert(&space, &points(1..=3)).await,
        index.delete_collection(&space, 1).await,
        index.spaces().await.map(|_| ()),
    ] {
        assert!(matches!(answer, Err(IndexError::Unavailable(_))), "{answer:?}");
    }
}

/// Spaces that many make at once are made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_space_is_made_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Arc::new(Edge::open(folder.path()).expect("an index"));
    let space = Space::new("essai", DIMENSIONS);
    let writes = (0..8).map(|nth| {
        let (index, space) = (index.clone(), space.clone());
        async move { index.upsert(&space, &points(nth * 10 + 1..=nth * 10 + 10)).await }
    });
    for done in futures_util::future::join_all(writes).await {
        assert_eq!(done, Ok(()));
    }
    assert_eq!(index.count(&space).await, Ok(80));
}

/// A caller that goes away while a space is made leaves it whole; a process that ends leaves what the next one removes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_begun_is_finished_or_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let left = folder.path().join(".unfinished-essai-00000000-8");
    std::fs::create_dir_all(left.join("segments")).expect("a folder");
    let index = Edge::open(folder.path()).expect("an index");
    assert!(!left.exists());
    let space = Space::new("essai", DIMENSIONS);
    let first = points(1..=10);
    let gone = tokio::time::timeout(std::time::Duration::ZERO, index.upsert(&space, &first)).await;
    assert!(gone.is_err(), "it was too quick to leave");
    index.upsert(&space, &points(11..=20)).await.expect("stored");
    index.upsert(&space, &first).await.expect("stored");
    assert_eq!(index.count(&space).await, Ok(20));
}

/// The engine never shortens its log; we do, and its numbers go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_changes_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let space = Space::new("large", WIDE);
    let closed = || {
        let entries = std::fs::read_dir(folder.path().join(space.name()).join("wal")).expect("a log");
        entries
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("closed")))
            .count()
    };
    let random = &mut fastrand::Rng::with_seed(5);
    let mut anew = |chunk: u64, collection: u64| Point {
        dense: (0..WIDE).map(|_| random.f32() - 0.5).collect(),
        ..point(chunk, collection, 1, random)
    };
    let mut most = 0;
    for round in 0..3 {
        let index = Edge::open(folder.path()).expect("an index");
        for _ in 0..10 {
            // The same chunks again: the log grows, the index does not.
            let batch: Vec<Point> = (1..=250).map(|chunk| anew(chunk, round)).collect();
            index.upsert(&space, &batch).await.expect("stored");
            most = most.max(closed());
        }
        index.flush(&space).await.expect("flushed");
        assert!(closed() <= 1, "{} pieces of the log are left", closed());
        // Changes are still taken, and not for old ones.
        assert_eq!(index.count(&space).await, Ok(250));
        let scope = scope([round]);
        let lane = Lane::Dense(vec![1.0; WIDE]);
        assert_eq!(index.search(&space, Query::new(&scope, 300), &lane).await.expect("an answer").len(), 250);
    }
    assert!(most >= 2, "the log was too short to see");
}
