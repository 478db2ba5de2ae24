//! One record a request, whatever its end.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Backend, FakeEngine, TestApp, chat, model, on_each_database, read};

use crate::accounting::{fields, models};

on_each_database!(
    /// Who, what, where, how much and how long: every field of a success.
    a_success_is_recorded_whole,
    /// The time to the first token, and the engine's own counts, of a stream.
    a_stream_is_recorded_with_its_first_token,
    /// An engine that counts nothing leaves an estimate, marked as such.
    counts_the_engine_does_not_give_are_estimated,
    refusals_and_failures_are_recorded,
    /// The status of a cut stream is the one the client saw, 200; its outcome says the rest.
    a_cut_stream_is_recorded_with_what_was_relayed,
    a_client_that_hangs_up_before_the_answer_is_recorded_and_the_engine_stopped,
    a_client_that_hangs_up_in_a_stream_is_recorded_and_the_engine_stopped,
    a_client_that_hangs_up_in_line_is_recorded_and_costs_nothing,
    every_endpoint_records_under_its_own_name,
);

async fn a_success_is_recorded_whole(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(
        backend,
        &format!(
            "models:\n  - {{id: petit, aliases: [guichet-small], type: chat, \
             impact: {{method: measured-2026-03, wh_per_1000_input: 1.0, wh_per_1000_output: 10.0, g_per_kwh: 50.0}}, \
             deployments: [{{name: salle-1, url: '{}', engine: openai, engine_model: fake/plain, hosting: state}}]}}\n",
            engine.url()
        ),
    )
    .await;
    let key = app.key("Préfecture « d’été » '; --", "internal").await;
    let body = json!({"model": "guichet-small", "user": "alice@example.org", "temperature": 0.5, "max_tokens": 3,
        "messages": [{"role": "user", "content": "secret de l’usager"}]});
    let response = app
        .request(reqwest::Method::POST, "/v1/chat/completions", &key.secret)
        .header("x-stainless-retry-count", "2")
        .json(&body)
        .send()
        .await
        .expect("an answer");
    let id = response.headers()["x-request-id"].to_str().expect("an id").to_owned();
    let place = "state_operated=true; country=FR; jurisdiction=FR; qualification=none; zone=\"paris\"";
    let hosting = response.headers()["x-guichet-hosting"].to_str().expect("a hosting").to_owned();
    assert_eq!(hosting, format!("operator=%\"Minist%c3%a8re\"; {place}"));
    let (status, answer) = read(response).await;
    assert_eq!(status, 200, "{answer}");

    let record = app.records(1).await.remove(0);
    assert_eq!(
        fields(
            &record,
            &[
                "id",
                "organization_id",
                "project_id",
                "member_id",
                "key_id",
                "endpoint",
                "streamed",
                "model_asked",
                "model_served",
                "deployment",
                "hosting",
                "data_class",
                "tokens_in",
                "tokens_out",
                "tokens_estimated",
                "first_token_ms",
                "status",
                "outcome",
                "error_code",
                "finish_reason",
                "client_retry",
                "attempts",
                "impact_method",
                "prompt_id",
            ]
        ),
        [
            json!(id),
            json!(key.organization_id),
            json!(key.project_id),
            Value::Null,
            json!(key.id),
            json!("chat.completions"),
            json!(false),
            json!("guichet-small"),
            json!("petit"),
            json!("salle-1"),
            json!(format!("operator=\"Ministère\"; {place}")),
            json!("internal"),
            answer["usage"]["prompt_tokens"].clone(),
            json!(3),
            json!(false),
            Value::Null,
            json!(200),
            json!("success"),
            Value::Null,
            json!("length"),
            json!(2),
            json!(1),
            json!("measured-2026-03"),
            Value::Null,
        ],
        "{record:#}"
    );
    // 12 tokens in at 1 Wh a thousand, 3 out at 10.
    let energy = record["energy_wh"].as_f64().expect("an energy");
    let carbon = record["carbon_g"].as_f64().expect("a carbon");
    assert!((energy - 0.042).abs() < 1e-9 && (carbon - 0.0021).abs() < 1e-9, "{energy} {carbon}");
    let told = answer["usage"]["impacts"]["kWh"].as_f64().expect("a plain number");
    assert!((told - energy / 1_000.0).abs() < 1e-12, "{answer}");
    assert!(record["duration_ms"].as_i64().is_some_and(|ms| (0..60_000).contains(&ms)), "{record}");
    let parameters: Value = serde_json::from_str(record["parameters"].as_str().expect("parameters")).expect("JSON");
    assert_eq!(parameters, json!({"temperature": 0.5, "max_tokens": 3}));
    // The end user is a pseudonym; content and secrets are nowhere.
    assert!(record["end_user"].as_str().is_some_and(|user| !user.is_empty()), "{record}");
    let text = record.to_string();
    for secret in ["alice", "secret de l’usager", key.secret.as_str()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

async fn a_stream_is_recorded_with_its_first_token(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &models(&engine, &["fake/plain"])).await;
    let key = app.key("A", "internal").await;
    let mut body = chat("fake/plain");
    body["stream"] = json!(true);
    let (status, text) = app.post("/v1/chat/completions", &key.secret, &body).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.as_str().is_some_and(|text| text.ends_with("data: [DONE]\n\n")), "{text}");
    let record = app.records(1).await.remove(0);
    let names = ["streamed", "outcome", "status", "tokens_estimated", "tokens_in", "finish_reason"];
    let wanted = [json!(true), json!("success"), json!(200), json!(false), json!(12), json!("stop")];
    assert_eq!(fields(&record, &names), wanted, "{record:#}");
    let first = record["first_token_ms"].as_i64().expect("a first token");
    assert!(first <= record["duration_ms"].as_i64().expect("a duration"), "{record}");
    assert!(record["tokens_out"].as_i64() > Some(5), "{record}");
}

async fn counts_the_engine_does_not_give_are_estimated(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &models(&engine, &["fake/no-usage"])).await;
    let key = app.key("A", "internal").await;
    let mut body = chat("fake/no-usage");
    for streamed in [false, true] {
        body["stream"] = json!(streamed);
        let (status, answer) = app.post("/v1/chat/completions", &key.secret, &body).await;
        assert_eq!(status, 200, "{answer}");
    }
    for record in app.records(2).await {
        assert_eq!(record["tokens_estimated"], json!(true), "{record:#}");
        assert!(record["tokens_in"].as_i64() > Some(0) && record["tokens_out"].as_i64() > Some(0), "{record:#}");
    }
}

/// What is sent, and the status and code that the answer and the record must both hold.
type Case = (&'static str, Vec<u8>, u16, &'static str, &'static str);

async fn refusals_and_failures_are_recorded(backend: Backend) {
    let engine = FakeEngine::start().await;
    let mut more = models(&engine, &["fake/plain", "fake/500", "fake/400", "fake/busy", "fake/html"]);
    more.push_str(&model("fake/embeddings", "embeddings", &engine.url(), ""));
    more.push_str(&format!(
        "  - {{id: abroad, type: chat, deployments: [{{name: far, url: '{}', engine: openai, hosting: foreign}}]}}\n",
        engine.url()
    ));
    more.push_str("server: {listen: '127.0.0.1:0', body_limit: 64KiB}\n");
    let app = TestApp::on(backend, &more).await;
    let key = app.key("A", "internal").await;
    let ask = |model: &str| chat(model).to_string().into_bytes();
    let mut large = chat("fake/plain");
    large["messages"][0]["content"] = json!("x".repeat(70_000));
    let cases: Vec<Case> = vec![
        ("malformed", b"{\"model\": \"fake/plain\", \"messages\": [".to_vec(), 400, "invalid_request_error", "refused"),
        ("no messages", br#"{"model":"fake/plain"}"#.to_vec(), 400, "invalid_request_error", "refused"),
        ("duplicated", br#"{"model":"fake/plain","model":"x"}"#.to_vec(), 400, "invalid_request_error", "refused"),
        ("engine's refusal", ask("fake/400"), 400, "invalid_request_error", "refused"),
        ("sovereignty", ask("abroad"), 403, "sovereignty_policy", "refused"),
        ("unknown", ask("gpt-9"), 404, "model_not_found", "refused"),
        ("too large", large.to_string().into_bytes(), 413, "payload_too_large", "refused"),
        ("wrong type", ask("fake/embeddings"), 422, "model_wrong_type", "refused"),
        ("engine's failure", ask("fake/500"), 502, "upstream_error", "error"),
        ("engine's page", ask("fake/html"), 502, "upstream_error", "error"),
        ("engine's rush", ask("fake/busy"), 503, "model_busy", "error"),
    ];
    let mut ids = Vec::new();
    for (name, body, status, code, _) in &cases {
        let request = app.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret);
        let response = request
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        ids.push(response.headers()["x-request-id"].to_str().expect("an id").to_owned());
        let (seen, answer) = read(response).await;
        assert_eq!((seen, answer["error"]["code"].as_str()), (*status, Some(*code)), "{name}: {answer}");
        assert_eq!(answer["detail"], answer["error"]["message"], "{name}");
    }
    // A person's key calls no model, and that is recorded too.
    let (status, answer) = app.post("/v1/chat/completions", &app.admin_key, &chat("fake/plain")).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (403, Some("permission_denied")), "{answer}");

    let records = app.records(cases.len() + 1).await;
    for ((name, _, status, code, outcome), id) in cases.iter().zip(&ids) {
        let record = records.iter().find(|record| record["id"] == **id).unwrap_or_else(|| panic!("{name}: no record"));
        let names = ["status", "error_code", "outcome", "key_id", "tokens_in", "tokens_out"];
        let wanted = [json!(status), json!(code), json!(outcome), json!(key.id), json!(0), json!(0)];
        assert_eq!(fields(record, &names), wanted, "{name}: {record:#}");
        let called = matches!(*name, "engine's refusal" | "engine's failure" | "engine's page" | "engine's rush");
        assert_eq!(record["attempts"].as_i64(), Some(i64::from(called)), "{name}: {record:#}");
        assert_eq!(record["deployment"].is_string(), called, "{name}: {record:#}");
    }
    assert!(records.iter().any(|record| record["error_code"] == "permission_denied"), "{records:#?}");
    assert_eq!(engine.posts(), 4, "only the four that an engine refused or failed reached it");
}

async fn a_cut_stream_is_recorded_with_what_was_relayed(backend: Backend) {
    let engine = FakeEngine::start().await;
    let names = ["fake/cut", "fake/cut-truncated", "fake/cut-clean", "fake/error-event"];
    let app = TestApp::on(backend, &models(&engine, &names)).await;
    let key = app.key("A", "internal").await;
    for name in names {
        let mut body = chat(name);
        body["stream"] = json!(true);
        let (status, text) = app.post("/v1/chat/completions", &key.secret, &body).await;
        let text = text.as_str().expect("a stream");
        assert!(status == 200 && text.contains("\"upstream_error\"") && !text.contains("[DONE]"), "{name}: {text}");
    }
    for record in app.records(names.len()).await {
        let wanted = [json!("cut"), json!("upstream_error"), json!(200), json!(true), json!(1)];
        let names = ["outcome", "error_code", "status", "tokens_estimated", "attempts"];
        assert_eq!(fields(&record, &names), wanted, "{record:#}");
        assert!(record["tokens_in"].as_i64() > Some(0) && record["tokens_out"].as_i64() > Some(0), "{record:#}");
    }
    assert_eq!(engine.posts(), names.len() as u64, "nobody is asked again after the first byte");
}

async fn a_client_that_hangs_up_before_the_answer_is_recorded_and_the_engine_stopped(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &models(&engine, &["fake/never"])).await;
    let key = app.key("A", "internal").await;
    for streamed in [false, true] {
        let mut body = chat("fake/never");
        body["stream"] = json!(streamed);
        let calls = engine.posts() + 1;
        tokio::select! {
            response = app.send("/v1/chat/completions", &key.secret, &body) => panic!("an answer: {response:?}"),
            arrived = engine.until(|counts| counts.posts == calls) => assert!(arrived, "the engine is called"),
        }
        let gone = engine.until_within(Duration::from_secs(1), |counts| counts.answers.open + counts.streams.open == 0);
        assert!(gone.await, "the call ends within a second: {:?}", engine.counts());
    }
    let counts = engine.counts();
    assert_eq!((counts.answers.aborted, counts.streams.aborted), (1, 1), "{counts:?}");
    for record in app.records(2).await {
        let names = ["outcome", "status", "tokens_estimated", "tokens_out", "attempts", "deployment", "first_token_ms"];
        let wanted =
            [json!("client_gone"), json!(499), json!(true), json!(0), json!(1), json!("fake/never-d"), Value::Null];
        assert_eq!(fields(&record, &names), wanted, "{record:#}");
        assert!(record["tokens_in"].as_i64() > Some(0), "the engine read the request: {record:#}");
    }
}

async fn a_client_that_hangs_up_in_a_stream_is_recorded_and_the_engine_stopped(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &models(&engine, &["fake/endless"])).await;
    let key = app.key("A", "internal").await;
    let mut body = chat("fake/endless");
    body["stream"] = json!(true);
    let mut response = app.send("/v1/chat/completions", &key.secret, &body).await;
    let mut heard = 0;
    while heard < 2_000 {
        heard += response.chunk().await.expect("a stream").expect("a stream without end").len();
    }
    drop(response);
    let gone = engine.until_within(Duration::from_secs(1), |counts| counts.streams.aborted == 1).await;
    assert!(gone, "the call ends within a second: {:?}", engine.counts());
    let record = app.records(1).await.remove(0);
    let names = ["outcome", "status", "tokens_estimated", "attempts", "error_code", "finish_reason"];
    let wanted = [json!("client_gone"), json!(200), json!(true), json!(1), Value::Null, Value::Null];
    assert_eq!(fields(&record, &names), wanted, "{record:#}");
    assert!(record["tokens_in"].as_i64() > Some(0) && record["tokens_out"].as_i64() > Some(3), "{record:#}");
    assert!(record["first_token_ms"].is_i64(), "{record:#}");
}

async fn a_client_that_hangs_up_in_line_is_recorded_and_costs_nothing(backend: Backend) {
    let engine = FakeEngine::start().await;
    let line = model("fake/never", "chat", &engine.url(), ", capacity: 1");
    let app = TestApp::on(backend, &format!("models:\n{line}")).await;
    let key = app.key("A", "internal").await;
    let body = chat("fake/never");
    tokio::select! {
        response = app.send("/v1/chat/completions", &key.secret, &body) => panic!("an answer: {response:?}"),
        () = async {
            assert!(engine.until(|counts| counts.posts == 1).await);
            tokio::select! {
                response = app.send("/v1/chat/completions", &key.secret, &body) => panic!("an answer: {response:?}"),
                () = waiting(&app, 1.0) => {}
            }
            waiting(&app, 0.0).await;
            let record = app.records(1).await.remove(0);
            let names = ["outcome", "attempts", "tokens_in", "tokens_out", "deployment", "tokens_estimated"];
            let wanted = [json!("client_gone"), json!(0), json!(0), json!(0), Value::Null, json!(false)];
            assert_eq!(fields(&record, &names), wanted, "{record:#}");
        } => {}
    }
    assert_eq!(engine.posts(), 1);
}

/// Waits until so many requests stand in line.
async fn waiting(app: &TestApp, wanted: f64) {
    app.until_metric("guichet_queue_waiting{gen_ai_request_model=\"fake/never\"}", |seen| seen == wanted).await;
}

async fn every_endpoint_records_under_its_own_name(backend: Backend) {
    let engine = FakeEngine::start().await;
    let more = format!(
        "models:\n{}{}{}",
        model("fake/plain", "chat", &engine.url(), ""),
        model("fake/embeddings", "embeddings", &engine.url(), ""),
        model("fake/rerank", "rerank", &engine.url(), "")
    );
    let app = TestApp::on(backend, &more).await;
    let key = app.key("A", "internal").await;
    for (path, body) in [
        ("/v1/chat/completions", chat("fake/plain")),
        ("/v1/completions", json!({"model": "fake/plain", "prompt": "Bonjour"})),
        ("/v1/embeddings", json!({"model": "fake/embeddings", "input": "Bonjour"})),
        ("/v1/rerank", json!({"model": "fake/rerank", "query": "a", "documents": ["b", "c"]})),
    ] {
        let (status, answer) = app.post(path, &key.secret, &body).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    let mut seen: Vec<String> = app
        .records(4)
        .await
        .iter()
        .map(|record| format!("{} {}", record["endpoint"].as_str().unwrap_or_default(), record["outcome"]))
        .collect();
    seen.sort();
    let wanted = ["chat.completions", "completions", "embeddings", "rerank"];
    assert_eq!(seen, wanted.map(|endpoint| format!("{endpoint} \"success\"")));
}

/// The burst gate refuses before the body is read; the refusal is recorded all the same.
#[tokio::test]
async fn a_refusal_at_the_gate_is_recorded() {
    let engine = FakeEngine::start().await;
    let gates = "gates: {organization: {per_second: 1, burst: 2}}\n";
    let app = TestApp::start(&format!("{gates}{}", models(&engine, &["fake/plain"]))).await;
    let key = app.key("A", "internal").await;
    let mut refused = Vec::new();
    for _ in 0..6 {
        let response = app.send("/v1/chat/completions", &key.secret, &chat("fake/plain")).await;
        if response.status() == 429 {
            let header = |name: &str| response.headers()[name].to_str().expect(name).to_owned();
            assert!(header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
            assert!(header("retry-after-ms").parse::<u64>().is_ok_and(|millis| millis <= 1_000));
            refused.push(header("x-request-id"));
        }
    }
    assert!(refused.len() >= 2, "six requests pass a gate of two: {refused:?}");
    let records = app.records(6).await;
    for id in &refused {
        let record = records.iter().find(|record| record["id"] == **id).expect("a record of the refusal");
        let names = ["status", "error_code", "outcome", "endpoint", "key_id", "organization_id"];
        let said = [json!(429), json!("rate_limit_exceeded"), json!("refused"), json!("chat.completions")];
        let wanted: Vec<Value> = said.into_iter().chain([json!(key.id), json!(key.organization_id)]).collect();
        assert_eq!(fields(record, &names), wanted, "{record:#}");
    }
    assert_eq!(engine.posts(), 6 - refused.len() as u64);
}
