//! The line itself: its bounds, who leaves it, what holds a slot, and what a slot is closed to.

use serde_json::{Value, json};
use tests::engine::{Chat, Gate};
use tests::{FakeEngine, TestApp};

use crate::fairness::{
    Hall, MODEL, Place, Requests, held, in_each_place, order, saturated, says, until_waiting, waiting,
};

in_each_place!(a_full_line_says_when_to_come_back, who_waits_too_long_or_hangs_up_leaves_the_line);

const NONE: Value = Value::Null;

/// The bound of each organization, then that of the line: 503 and when to come back, and nobody else is concerned. Each
/// replica has a line of its own.
async fn a_full_line_says_when_to_come_back(place: Place) {
    let engine = FakeEngine::start().await;
    let app = Hall::new(place, &engine, 1, "queue: {length: 3, per_organization: 2}\n").await;
    let (one, two) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    engine.script(held(&gate));
    let mut requests = Requests::default();
    let replicas = app.replicas();
    for _ in 0..replicas {
        requests.send(&app, &one, &says("A", &NONE));
    }
    assert!(engine.until(|counts| counts.posts == u64::from(replicas)).await);
    for _ in 0..2 * replicas {
        requests.queue(&app, &one, &says("A", &NONE)).await;
    }

    let response = app.send("/v1/chat/completions", &one.secret, &says("A", &NONE)).await;
    let header = |name: &str| response.headers()[name].to_str().expect(name).to_owned();
    assert_eq!(response.status(), 503);
    // Nothing has come free yet, so the longest wait is all there is to say.
    assert_eq!((header("retry-after"), header("retry-after-ms")), ("30".to_owned(), "30000".to_owned()));
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "model_busy", "{body}");

    requests.queue(&app, &two, &says("B", &NONE)).await;
    assert_eq!(waiting(&app).await, f64::from(2 * replicas + 1));
    gate.open();
    requests.all().await;
    let (status, _) = app.chat(&one, MODEL).await;
    assert_eq!(status, 200);
}

/// An organization that has filled the line gives up its last place to one with a shorter one.
#[tokio::test]
async fn a_line_filled_by_one_has_room_for_another() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&saturated(&engine, 1, "queue: {length: 3, per_organization: 3}\n")).await;
    let (one, two) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    engine.script(held(&gate));
    let mut requests = Requests::default();
    requests.send(&app, &one, &says("A", &NONE));
    assert!(engine.until(|counts| counts.posts == 1).await);
    for _ in 0..3 {
        requests.queue(&app, &one, &says("A", &NONE)).await;
    }
    requests.send(&app, &two, &says("B", &NONE));
    let (who, status, answer) = requests.0.join_next().await.expect("one").expect("it ends");
    assert_eq!((who.as_str(), status, &answer["error"]["code"]), ("A", 503, &json!("model_busy")), "{answer}");
    assert_eq!(waiting(&app).await, 3.0);
    gate.open();
    requests.all().await;
    assert_eq!(order(&engine), ["A", "B", "A", "A"]);
}

/// Once slots come free, the time to come back is that of the line before.
#[tokio::test]
async fn the_time_to_come_back_follows_what_comes_free() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&saturated(&engine, 1, "queue: {per_organization: 2, wait: 200s}\n")).await;
    let key = app.key("A", "internal").await;
    for _ in 0..20 {
        assert_eq!(app.chat(&key, MODEL).await.0, 200);
    }
    let gate = Gate::closed();
    engine.script(held(&gate));
    let mut requests = Requests::default();
    requests.send(&app, &key, &says("A", &NONE));
    assert!(engine.until(|counts| counts.posts == 21).await);
    requests.queue(&app, &key, &says("A", &NONE)).await;
    requests.queue(&app, &key, &says("A", &NONE)).await;
    let response = app.send("/v1/chat/completions", &key.secret, &says("A", &NONE)).await;
    let seconds: u64 = response.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((1..=10).contains(&seconds), "twenty slots came free in a few seconds, two wait: {seconds}");
    gate.open();
    requests.all().await;
}

/// A wait too long ends in 503; one whose client hangs up ends at once, and costs the engine nothing.
async fn who_waits_too_long_or_hangs_up_leaves_the_line(place: Place) {
    let engine = FakeEngine::start().await;
    let app = Hall::new(place, &engine, 1, "queue: {wait: 300ms}\n").await;
    let (one, two) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    engine.script(held(&gate));
    let mut first = Requests::default();
    let replicas = app.replicas();
    for _ in 0..replicas {
        first.send(&app, &one, &says("A", &NONE));
    }
    assert!(engine.until(|counts| counts.posts == u64::from(replicas)).await);

    let (status, answer) = app.post("/v1/chat/completions", &two.secret, &says("late", &NONE)).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("model_busy")), "{answer}");
    assert_eq!(waiting(&app).await, 0.0);

    for _ in 0..replicas {
        let mut gone = Requests::default();
        gone.queue(&app, &two, &says("gone", &NONE)).await;
        gone.0.abort_all();
        until_waiting(&app, 0.0).await;
    }
    gate.open();
    first.all().await;
    assert_eq!(app.chat(&two, MODEL).await.0, 200, "the slot is free");
    let (last, before) = (order(&engine).pop(), u64::from(replicas));
    assert_eq!((last.as_deref(), engine.posts()), (Some("Bonjour"), before + 1));
}

/// A stream holds its slot until its last byte, or until its client hangs up.
#[tokio::test]
async fn a_stream_holds_its_slot() {
    for hangs_up in [false, true] {
        let engine = FakeEngine::start().await;
        let app = TestApp::start(&saturated(&engine, 1, "")).await;
        let (one, two) = (app.key("A", "internal").await, app.key("B", "internal").await);
        let gate = Gate::closed();
        engine.next(Chat::text("un deux trois quatre").gate(3, &gate));
        let mut stream = app.send("/v1/chat/completions", &one.secret, &says("A", &json!({"stream": true}))).await;
        let first = stream.chunk().await.expect("bytes").expect("a beginning");
        assert!(String::from_utf8_lossy(&first).contains("data:"));
        let mut requests = Requests::default();
        requests.queue(&app, &two, &says("B", &NONE)).await;
        assert_eq!(engine.posts(), 1, "the engine is full while the stream is under way");
        if hangs_up {
            drop(stream);
        } else {
            gate.open();
            let rest = stream.text().await.expect("the rest");
            assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
        }
        requests.all().await;
        assert_eq!(order(&engine), ["A", "B"]);
    }
}

/// A slot goes to the fairest request that it is open to: data of the State never goes abroad to save a wait.
#[tokio::test]
async fn a_freed_slot_goes_to_those_it_is_open_to() {
    let (home, abroad) = (FakeEngine::start().await, FakeEngine::start().await);
    let deployments = format!(
        "{{name: home, url: '{}', engine: openai, hosting: state, capacity: 1}}, \
         {{name: abroad, url: '{}', engine: openai, hosting: foreign, capacity: 1}}",
        home.url(),
        abroad.url()
    );
    let app =
        TestApp::start(&format!("models:\n  - {{id: {MODEL}, type: chat, deployments: [{deployments}]}}\n")).await;
    let (closed, open) = (app.key("A", "sensitive").await, app.key("B", "public").await);
    let (at_home, away) = (Gate::closed(), Gate::closed());
    home.script(held(&at_home));
    abroad.script(held(&away));
    let mut requests = Requests::default();
    requests.send(&app, &closed, &says("first", &NONE));
    assert!(home.until(|counts| counts.posts == 1).await);
    requests.send(&app, &open, &says("first", &NONE));
    assert!(abroad.until(|counts| counts.posts == 1).await);
    requests.queue(&app, &closed, &says("closed", &NONE)).await;
    requests.queue(&app, &open, &says("open", &NONE)).await;
    away.open();
    assert!(abroad.until(|counts| counts.posts == 2).await, "no slot stays free beside one it could serve");
    assert_eq!(waiting(&app).await, 1.0);
    at_home.open();
    requests.all().await;
    assert_eq!(
        (order(&home), order(&abroad)),
        (vec!["first".into(), "closed".into()], vec!["first".into(), "open".into()])
    );
}

/// Who waits is served by an engine that a reload brings.
#[tokio::test]
async fn a_reload_with_more_room_serves_who_waits() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&saturated(&engine, 1, "")).await;
    let key = app.key("A", "internal").await;
    let gate = Gate::closed();
    engine.script(held(&gate));
    let mut requests = Requests::default();
    requests.send(&app, &key, &says("A", &NONE));
    assert!(engine.until(|counts| counts.posts == 1).await);
    requests.queue(&app, &key, &says("A", &NONE)).await;
    app.write_configuration(&saturated(&engine, 2, ""));
    assert!(engine.until_within(tests::app::PATIENCE, |counts| counts.posts == 2).await);
    gate.open();
    requests.all().await;
}
