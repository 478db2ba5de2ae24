//! Two hundred clients against ten thousand tokens a minute, streamed and not, some hanging up.
//!
//! The bound: over any minute, tokens admitted are at most the limit, plus what the requests then in flight used beyond
//! what was held for them. Here an engine counts more than is held for one request in four.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tests::Chat;
use tokio::task::JoinSet;

use crate::in_each_place;
use crate::stand::{Place, Stand, chat_of};

in_each_place!(two_hundred_clients_stay_within_the_bound);

const LIMIT: u64 = 10_000;
const CLIENTS: usize = 200;
const TURNS: usize = 5;
/// Held for an answer, and used by those that pass what was held.
const HELD: u64 = 60;
const PASSED: u64 = 120;

async fn two_hundred_clients_stay_within_the_bound(place: Place) {
    let stand = Arc::new(Stand::new(place, &format!("{{organization: [{{tokens: {LIMIT}/minute}}]}}")).await);
    let key = stand.key("Culture", "internal").await;
    let engine = &stand.engine;
    engine.script_model("fake/plain", Chat::text("un deux trois quatre").tokens(20, 50));
    engine.script_model(
        "fake/slow",
        Chat::text("un deux trois quatre").tokens(20, PASSED).delay(Duration::from_millis(5)),
    );
    let (passed, beyond) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (stand, key, passed, beyond) = (stand.clone(), key.clone(), passed.clone(), beyond.clone());
        clients.spawn(async move {
            for turn in 0..TURNS {
                let kind = (client + turn) % 4;
                let model = if kind == 3 { "fake/slow" } else { "fake/plain" };
                let mut body = chat_of(model, HELD);
                body["stream"] = json!(kind % 2 == 1);
                let mut response = stand.ask(&key, &body).await;
                if response.status() == 429 {
                    continue;
                }
                assert_eq!(response.status(), 200);
                passed.fetch_add(1, Ordering::Relaxed);
                if kind == 3 {
                    beyond.fetch_add(1, Ordering::Relaxed);
                }
                if kind == 1 && client % 3 == 0 {
                    // Hangs up after the first piece.
                    drop(response.chunk().await);
                } else {
                    drop(response.text().await);
                }
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("no client fails");
    }
    let (passed, beyond) = (passed.load(Ordering::Relaxed), beyond.load(Ordering::Relaxed));
    stand.until_settled(&key).await;
    let records = stand.records(CLIENTS * TURNS).await;
    let spent: u64 = records
        .iter()
        .filter(|record| record["status"] != 429)
        .map(|record| record["tokens_in"].as_u64().unwrap_or(0) + record["tokens_out"].as_u64().unwrap_or(0))
        .sum();
    // No request was in flight for longer than the test: the bound counts every one that passed what was held for it.
    let bound = LIMIT + beyond * (PASSED - HELD);
    assert!(spent <= bound, "{spent} admitted, at most {bound}");
    assert!(passed < (CLIENTS * TURNS) as u64, "some are refused");
    // Nor is the limit left unused: the next ask of one request did not fit.
    assert!(spent + 200 >= LIMIT, "only {spent} of {LIMIT} were admitted");
    let state = stand.state(&key, "organization", "tokens/minute").await;
    assert_eq!(state["used"].as_u64(), Some(spent), "{state}");
}

impl Stand {
    /// Waits until nothing is held any more: what is used no longer moves.
    async fn until_settled(&self, key: &tests::Key) {
        let mut last = 0;
        let mut still = 0;
        while still < 5 {
            let used = self.state(key, "organization", "tokens/minute").await["used"].as_u64().unwrap_or(0);
            still = if used == last { still + 1 } else { 0 };
            last = used;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
