//! The loads against the real mock engine, straight and through a proxy that spoils answers.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Pace, Target, idle, soak, stream, unary};
use crate::engine;

const PACE: Pace = Pace { chunks: 20, gap_ms: 5 };

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// An engine that ends with the set, and how to reach it; the process measured is this one.
async fn engine() -> (JoinSet<()>, Target) {
    let (listener, address) = listen().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { engine::serve(listener).await.unwrap() });
    let (key, pid) = ("key".to_owned(), std::process::id());
    (tasks, Target { address, key, pid })
}

/// Passes each answer on up to `limit` bytes, then closes.
async fn cutter(tasks: &mut JoinSet<()>, engine: &Target, limit: u64) -> Target {
    let (listener, address) = listen().await;
    let behind = engine.address.clone();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&behind).await.unwrap();
            connections.spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let mut limited = from_server.take(limit);
                tokio::select! {
                    _ = copy(&mut from_client, &mut to_server) => {}
                    _ = copy(&mut limited, &mut to_client) => {}
                }
            });
        }
    });
    Target { address, ..engine.clone() }
}

#[tokio::test]
async fn plain_chats_are_counted_and_timed() {
    let (_tasks, target) = engine().await;
    target.probe().await.unwrap();
    let seen = unary::run(&target, 2, 0.2, Duration::ZERO).await;
    assert_eq!(seen.failures.first, None);
    assert!(seen.requests > 10 && seen.latency_us.p50 > 1.0);
    assert!((seen.requests_per_second - seen.requests as f64 / 0.2).abs() < seen.requests_per_second / 2.0);
}

#[tokio::test]
async fn a_soak_sends_all_its_requests_and_reads_memory_along_the_way() {
    let (_tasks, target) = engine().await;
    let seen = soak::run(&target, 500, Duration::from_secs(20)).await;
    assert_eq!((seen.failures.first, seen.memory_mib.len()), (None, 20));
    assert!(seen.memory_mib.iter().all(|mib| *mib > 0.5));
}

#[tokio::test]
async fn whole_streams_are_whole_and_every_chunk_is_timed() {
    let (_tasks, target) = engine().await;
    let seen = stream::run(&target, 10, PACE).await;
    assert_eq!((seen.failures.first, seen.whole, seen.chunks), (None, 10, 200));
    assert!(seen.first_chunk_us.p50 >= 5_000.0, "the first chunk waits for its gap");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_a_failure() {
    let (mut tasks, target) = engine().await;
    let cut = cutter(&mut tasks, &target, 1_500).await;
    let seen = stream::run(&cut, 3, PACE).await;
    assert_eq!((seen.failures.count, seen.whole), (3, 0));
    assert!(seen.chunks < 60);
}

#[tokio::test]
async fn a_refusal_is_a_failure_told_with_its_words() {
    let (listener, address) = listen().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let _ = client.read(&mut [0; 1024]).await;
            let _ = client.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 7\r\n\r\nno key!").await;
        }
    });
    let target = Target { address, key: String::new(), pid: 0 };
    assert_eq!(target.probe().await, Err("status 401: no key!".to_owned()));
    let streamed = stream::run(&target, 1, PACE).await;
    assert_eq!(streamed.failures.first.as_deref(), Some("status 401: no key!"));
    assert!(unary::run(&target, 1, 0.1, Duration::ZERO).await.failures.count > 0);
}

#[tokio::test]
async fn hanging_up_ends_the_streams_of_the_engine() {
    let (_tasks, target) = engine().await;
    let seen = idle::run(&target, &target.address, 20).await;
    assert_eq!(seen.failures.first, None);
    assert!(seen.released_s.is_some_and(|seconds| seconds < 5.0));
}
