//! `service_tier`: batches take what is left, priority is for plans that have it, and no engine is told what it would
//! refuse.

use serde_json::{Value, json};
use tests::engine::Gate;
use tests::{FakeEngine, TestApp};

use crate::fairness::{Hall, MODEL, Place, Requests, held, in_each_place, order, saturated, says};

in_each_place!(what_is_not_allowed_or_not_known_is_refused_by_its_name);

const NONE: Value = Value::Null;

#[tokio::test]
async fn batches_are_served_from_what_is_left() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&saturated(&engine, 1, "")).await;
    let (batch, people) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    engine.script(held(&gate));
    let flex = json!({"service_tier": "flex"});
    let mut requests = Requests::default();
    // Beside a free slot, a batch is served like any other.
    requests.send(&app, &batch, &says("batch", &flex));
    assert!(engine.until(|counts| counts.posts == 1).await);
    requests.queue(&app, &batch, &says("batch", &flex)).await;
    requests.queue(&app, &batch, &says("batch", &flex)).await;
    for tier in [NONE, json!("auto"), json!("default")] {
        requests.queue(&app, &people, &says("people", &json!({"service_tier": tier}))).await;
    }
    gate.open();
    requests.all().await;
    assert_eq!(order(&engine), ["batch", "people", "people", "people", "batch", "batch"]);
}

/// Under a flood that never ends, a batch that has waited its time is served.
#[tokio::test]
async fn a_batch_ages() {
    let engine = FakeEngine::start().await;
    let app = TestApp::start(&saturated(&engine, 1, "queue: {flex_aging: 400ms}\n")).await;
    let (batch, people) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    engine.script(held(&gate));
    let mut flood = Requests::default();
    flood.send(&app, &people, &says("people", &NONE));
    assert!(engine.until(|counts| counts.posts == 1).await);
    flood.queue(&app, &people, &says("people", &NONE)).await;
    let mut requests = Requests::default();
    requests.queue(&app, &batch, &says("batch", &json!({"service_tier": "flex"}))).await;
    // There is always somebody else: each one served is replaced before the next.
    let mut served = 1;
    while !order(&engine).contains(&"batch".to_owned()) {
        assert!(served < 1_000, "the batch starves");
        flood.queue(&app, &people, &says("people", &NONE)).await;
        served += 1;
        gate.admit(1);
        assert!(engine.until(|counts| counts.posts == served).await);
    }
    assert!(served > 2, "not before its time");
    gate.open();
    requests.all().await;
    flood.all().await;
}

/// Where the plan has it, priority comes before the turn of who was there first.
#[tokio::test]
async fn priority_goes_first_where_the_plan_allows_it() {
    let engine = FakeEngine::start().await;
    let plan = "plans: {p: {priority: true}}\nlimits: {default_plan: p}\n";
    let app = TestApp::start(&saturated(&engine, 1, plan)).await;
    let (hurried, people) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let gate = Gate::closed();
    engine.script(held(&gate).tokens(10, 200));
    let mut requests = Requests::default();
    requests.send(&app, &hurried, &says("first", &NONE));
    assert!(engine.until(|counts| counts.posts == 1).await);
    for _ in 0..2 {
        requests.queue(&app, &people, &says("people", &NONE)).await;
        requests.queue(&app, &hurried, &says("later", &NONE)).await;
        requests.queue(&app, &hurried, &says("priority", &json!({"service_tier": "priority"}))).await;
    }
    gate.open();
    requests.all().await;
    assert_eq!(order(&engine), ["first", "priority", "priority", "people", "people", "later", "later"]);
}

async fn what_is_not_allowed_or_not_known_is_refused_by_its_name(place: Place) {
    let engine = FakeEngine::start().await;
    let app = Hall::new(place, &engine, 1, "").await;
    let key = app.key("A", "internal").await;
    for tier in [json!("priority"), json!("scale"), json!("Flex"), json!(1), json!({})] {
        let (status, answer) =
            app.post("/v1/chat/completions", &key.secret, &says("A", &json!({"service_tier": tier}))).await;
        assert_eq!((status, &answer["error"]["param"]), (400, &json!("service_tier")), "{tier}: {answer}");
    }
    assert_eq!(engine.posts(), 0);
}

/// The line obeys the field; an engine gets it only if it takes it, and no answer tells of a tier that was not served.
#[tokio::test]
async fn engines_that_may_refuse_the_field_do_not_see_it() {
    for (kind, sees) in [("openai", false), ("vllm", true), ("sglang", false), ("llamacpp", false), ("mistral", false)]
    {
        let engine = FakeEngine::start().await;
        let models = saturated(&engine, 1, "").replace("engine: openai", &format!("engine: {kind}"));
        let app = TestApp::start(&models).await;
        let key = app.key("A", "internal").await;
        let body = says("A", &json!({"service_tier": "flex", "top_k": 3}));
        let (status, answer) = app.post("/v1/chat/completions", &key.secret, &body).await;
        assert_eq!(status, 200, "{kind}: {answer}");
        let sent = engine.last().json();
        assert_eq!((sent.get("service_tier").is_some(), &sent["top_k"]), (sees, &json!(3)), "{kind}: {sent}");
        assert_eq!(answer.get("service_tier"), None, "{kind}: {answer}");
        let (status, answer) = app
            .post("/v1/completions", &key.secret, &json!({"model": MODEL, "prompt": "A", "service_tier": "flex"}))
            .await;
        assert_eq!((status, engine.last().json().get("service_tier").is_some()), (200, sees), "{kind}: {answer}");
    }
}
