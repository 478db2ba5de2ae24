//! Five hundred streams at once, a third of whose clients hang up at random: every request has its record, every engine
//! call that nobody wants ends, and the process is afterwards what it was before.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::engine::ms;
use tests::{Backend, Chat, FakeEngine, Key, Process, chat, on_each_database};
use tokio::task::JoinSet;

const STREAMS: usize = 500;
const MODEL: &str = "m";

on_each_database!(every_request_is_recorded_and_memory_returns,);

/// What one client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    Stays,
    /// Hangs up after so many pieces; 0 is before any.
    Leaves(usize),
}

/// What one client saw.
struct Seen {
    plan: Plan,
    /// Of the answer, if its head came.
    id: Option<String>,
    whole: bool,
}

async fn client(request: reqwest::RequestBuilder, plan: Plan, pause: Duration) -> Seen {
    if plan == Plan::Leaves(0) {
        // At any moment from before the connection to the middle of the stream.
        let answer = tokio::time::timeout(pause, request.send()).await;
        return Seen { plan, id: answer.ok().and_then(|answer| id(&answer.ok()?)), whole: false };
    }
    let mut response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let id = id(&response);
    let mut text = Vec::new();
    let mut pieces = 0;
    while let Some(piece) = response.chunk().await.expect("a stream") {
        text.extend_from_slice(&piece);
        pieces += 1;
        if plan == Plan::Leaves(pieces) {
            break;
        }
    }
    Seen { plan, id, whole: text.ends_with(b"data: [DONE]\n\n") }
}

fn id(response: &reqwest::Response) -> Option<String> {
    Some(response.headers().get("x-request-id")?.to_str().ok()?.to_owned())
}

/// One storm, and what each client saw of it.
async fn storm(gateway: &Process, key: &Key, seed: u64) -> Vec<Seen> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut plans: Vec<Plan> = (0..STREAMS)
        .map(|at| match at % 3 {
            0 => Plan::Leaves(chance.usize(0..12)),
            _ => Plan::Stays,
        })
        .collect();
    chance.shuffle(&mut plans);
    // Connections of its own: a client that hangs up closes its connection, and so do all at the end.
    let client_of = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    let mut body = chat(MODEL);
    body["stream"] = json!(true);
    let mut clients = JoinSet::new();
    for plan in plans {
        let request =
            client_of.post(format!("{}/v1/chat/completions", gateway.url)).bearer_auth(&key.secret).json(&body);
        clients.spawn(client(request, plan, ms(chance.u64(1..500))));
    }
    clients.join_all().await
}

/// All records, page after page.
async fn everything(gateway: &Process) -> Vec<Value> {
    let mut records: Vec<Value> = Vec::new();
    loop {
        let before = records.last().map(|last| format!("&before={}", last["id"].as_str().expect("an id")));
        let path = format!("/v1/admin/records?limit=1000{}", before.unwrap_or_default());
        let (status, page) = gateway.get(&path, &gateway.admin_key).await;
        assert_eq!(status, 200, "{page}");
        let page = page["data"].as_array().expect("a list");
        if page.is_empty() {
            return records;
        }
        records.extend(page.iter().cloned());
    }
}

/// Memory once what was freed has been given back: the least seen within some seconds.
async fn settled(gateway: &Process) -> u64 {
    let mut least = gateway.memory();
    for _ in 0..20 {
        tokio::time::sleep(ms(100)).await;
        least = least.min(gateway.memory());
    }
    least
}

async fn every_request_is_recorded_and_memory_returns(backend: Backend) {
    let engine = FakeEngine::start().await;
    let words = "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze";
    engine.script(Chat::text(words).delay(ms(40)));
    let more = format!(
        "fleet: {{connect_timeout: 20s, idle_connections: 8}}\nmodels:\n  - {{id: {MODEL}, type: chat, deployments: [{{name: d, url: '{}', engine: openai, hosting: state, \
         capacity: 400}}]}}\n",
        engine.url()
    );
    let gateway = Process::start(backend, &more).await;
    let key = gateway.key("A", "internal").await;
    let mut memory = Vec::new();
    let mut admitted = 0;
    for seed in 0..2 {
        engine.forget();
        let seen = storm(&gateway, &key, seed).await;
        let ended = engine.until_within(Duration::from_secs(20), |counts| counts.streams.open == 0).await;
        assert!(ended, "seed {seed}: the engine works for nobody: {:?}", engine.counts());
        for (gauge, rest) in [
            ("guichet_requests_open", 0.0),
            ("guichet_deployment_inflight{gen_ai_request_model=\"m\",guichet_deployment=\"d\"}", 0.0),
            ("guichet_queue_waiting{gen_ai_request_model=\"m\"}", 0.0),
            ("guichet_records_waiting", 0.0),
            // Those of the one that asks.
            ("guichet_open_connections", 3.0),
        ] {
            gateway.until_metric(gauge, |value| value <= rest).await;
        }
        // A slot is given back when its stream is let go, a moment before the engine has noticed.
        assert!(engine.counts().peak <= 440, "seed {seed}: {:?}", engine.counts());
        let records = everything(&gateway).await;
        let of_storm = &records[..records.len() - admitted];
        admitted = records.len();
        let stayed = seen.iter().filter(|one| one.plan == Plan::Stays).count();
        assert!(seen.iter().all(|one| one.whole || one.plan != Plan::Stays), "seed {seed}: a stream was not whole");
        for one in &seen {
            let Some(id) = &one.id else { continue };
            let record = of_storm.iter().find(|record| record["id"] == **id);
            let record = record.unwrap_or_else(|| panic!("seed {seed}: {id} ({:?}) has no record", one.plan));
            if one.whole {
                assert_eq!(record["outcome"], "success", "seed {seed}: {record:#}");
            }
            assert!(record["tokens_in"].as_i64() > Some(0), "seed {seed}: {record:#}");
        }
        // Who left before the head may have left before the gateway read the request; the engine's calls are all there.
        let outcome = |wanted: &str| of_storm.iter().filter(|record| record["outcome"] == wanted).count();
        let (success, gone) = (outcome("success"), outcome("client_gone"));
        assert_eq!(success + gone, of_storm.len(), "seed {seed}: {success} and {gone}");
        assert!(success >= stayed && of_storm.len() <= STREAMS, "seed {seed}: {success} of {stayed}");
        for call in engine.calls() {
            let id = call.header("x-request-id").expect("an id");
            assert!(
                of_storm.iter().any(|record| record["id"] == *id),
                "seed {seed}: an engine worked for {id}, unrecorded"
            );
        }
        assert!(gone >= STREAMS / 3 / 2, "seed {seed}: {gone} hung up");
        memory.push(settled(&gateway).await);
    }
    // The first storm brings the allocator to its size; the second adds next to nothing.
    let grown = memory[1].saturating_sub(memory[0]);
    let in_mib: Vec<u64> = memory.iter().map(|bytes| bytes >> 20).collect();
    assert!(grown < (12 << 20), "{in_mib:?} MiB");
}
