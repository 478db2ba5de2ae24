//! Nothing leads to a forbidden deployment: not a failure, not a full fleet, not a fallback, not chance.

use serde_json::{Value, json};
use tests::engine::{Reply, faults, ms};
use tests::{Chat, FakeEngine, Key, TestApp, chat, read};
use tokio::task::JoinSet;

use crate::sovereignty::{CLASSES, HOSTINGS, deployment, may_reach, model};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_and_fallback_stay_where_the_class_may_go() {
    let (home, abroad) = (FakeEngine::start().await, FakeEngine::start().await);
    let more = format!(
        "fleet: {{health_interval: 60s, failures: 100000, retry_budget: 1.0}}\nqueue: {{length: 5, wait: 200ms}}\n\
         models:\n{}{}{}",
        model(
            "m",
            &[deployment("home", &home, "state", ", capacity: 1"), deployment("abroad", &abroad, "foreign", "")],
            "    fallback: far\n"
        ),
        model("far", &[deployment("far-d", &abroad, "foreign", "")], ""),
        model("asked-abroad", &[deployment("abroad-2", &abroad, "foreign", "")], "    fallback: at-home\n")
            + &model("at-home", &[deployment("home-2", &home, "state", "")], "")
    );
    let app = TestApp::start(&more).await;
    let sensitive = app.key("A", "sensitive").await;
    let public = app.project_key(sensitive.organization_id, "ouvert", "public").await;
    for failure in [faults::refusal(500), faults::busy(), faults::html(502), faults::garbage()] {
        home.script(failure);
        for stream in [false, true] {
            let mut body = chat("m");
            body["stream"] = json!(stream);
            let (status, answer) = app.post("/v1/chat/completions", &sensitive.secret, &body).await;
            assert!(matches!(status, 502 | 503), "{answer}");
        }
    }
    // Nor when the one it may reach is full.
    home.script(Reply::from(Chat::text("oui")).after(ms(2_000)));
    let mut requests = JoinSet::new();
    for _ in 0..4 {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &sensitive.secret).json(&chat("m"));
        requests.spawn(async move { read(request.send().await.expect("an answer")).await.0 });
    }
    let mut statuses = requests.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503, 503, 503]);
    // Nor when it is dead.
    home.stop().await;
    let (status, answer) = app.chat(&sensitive, "m").await;
    assert_eq!(status, 502, "{answer}");
    assert_eq!(abroad.posts(), 0, "no sensitive byte has left");
    // What public data may do shows that the way was open.
    let (status, answer) = app.chat(&public, "m").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(abroad.posts(), 1);
    // A model that the class may not reach is refused as such, whatever would replace it.
    let (status, answer) = app.chat(&sensitive, "asked-abroad").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (403, Some("sovereignty_policy")), "{answer}");
    assert_eq!(abroad.posts(), 1);
}

/// Random fleets, failures and requests, over many rounds: an engine only ever sees classes it may hold, and where it
/// may, work is done. The seed of a round that fails is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_random_fleet_leads_astray() {
    for seed in 0..12 {
        round(seed).await;
    }
}

struct Placed {
    engine: FakeEngine,
    hosting: &'static str,
    model: usize,
}

async fn round(seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let models = chance.usize(2..4);
    let mut placed = Vec::new();
    let mut more =
        "fleet: {health_interval: 150ms, failures: 2, eject: 200ms, slow_return: 300ms, retry_budget: 1.0}\n\
                    queue: {length: 20, wait: 400ms}\nmodels:\n"
            .to_owned();
    for number in 0..models {
        let mut deployments = Vec::new();
        for at in 0..chance.usize(1..4) {
            let engine = FakeEngine::start().await;
            let hosting = HOSTINGS[chance.usize(..4)];
            let capacity = format!(", capacity: {}, first_byte_timeout: 500ms", chance.u32(1..4));
            deployments.push(deployment(&format!("d-{number}-{at}"), &engine, hosting, &capacity));
            placed.push(Placed { engine, hosting, model: number });
        }
        let fallback = match chance.bool() {
            true => format!("    fallback: m{}\n", (number + 1) % models),
            false => String::new(),
        };
        more += &model(&format!("m{number}"), &deployments, &fallback);
    }
    for one in &placed {
        one.engine.script(match chance.u8(..6) {
            0 => faults::refusal(500),
            1 => faults::busy(),
            2 => faults::never(),
            3 => faults::html(200),
            _ => Chat::text("oui").first_byte(ms(chance.u64(..20))).into(),
        });
    }
    let app = TestApp::start(&more).await;
    let organization = app.key("A", "public").await.organization_id;
    let mut keys: Vec<(&str, Key)> = Vec::new();
    for class in CLASSES {
        keys.push((class, app.project_key(organization, class, class).await));
    }
    let mut requests = JoinSet::new();
    for _ in 0..60 {
        let (class, key) = &keys[chance.usize(..3)];
        let class = *class;
        let asked = chance.usize(..models);
        let mut body = chat(&format!("m{asked}"));
        // What an engine sees says whose data it is.
        body["class"] = json!(class);
        body["stream"] = json!(chance.bool());
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&body);
        requests.spawn(async move { (class, asked, read(request.send().await.expect("an answer")).await) });
    }
    for (class, asked, (status, answer)) in requests.join_all().await {
        let open = placed.iter().any(|one| one.model == asked && may_reach(class, one.hosting));
        let forbidden = status == 403;
        assert_eq!(forbidden, !open, "seed {seed}: {class} on m{asked}: {status} {answer}");
        assert!(matches!(status, 200 | 403 | 502 | 503 | 504), "seed {seed}: {status} {answer}");
    }
    for one in &placed {
        for call in one.engine.calls() {
            let class = call.json()["class"].as_str().map(str::to_owned).expect("a class");
            assert!(may_reach(&class, one.hosting), "seed {seed}: {class} data on {}", one.hosting);
        }
    }
    for record in app.records(60).await {
        let class = record["data_class"].as_str().expect("a class");
        let deployment = &record["deployment"];
        if *deployment != Value::Null {
            let name = deployment.as_str().expect("a name");
            let line = more.lines().find(|line| line.contains(&format!("name: {name},"))).expect("its line");
            let hosting = HOSTINGS.into_iter().find(|hosting| line.contains(&format!("hosting: {hosting},")));
            assert!(may_reach(class, hosting.expect("its hosting")), "seed {seed}: {record:#}");
        }
    }
}
