//! Every row of the table of errors: status, `type` and `code`, words in French and English, headers, and nothing of the
//! inside.

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::engine::{Gate, Reply, faults};
use tests::{TestApp, model};

use crate::wire::{Wire, header, hello, with};

/// A refusal in both languages.
#[derive(Debug)]
struct Refusal {
    french: String,
    english: String,
    param: Value,
    headers: HeaderMap,
}

/// Sends the request in French and in English, and checks the shape that serves both families of clients.
async fn refused(make: impl Fn() -> RequestBuilder, status: u16, code: &str) -> Refusal {
    let mut said = Vec::new();
    let mut param = Value::Null;
    let mut headers = HeaderMap::new();
    for language in ["", "en-GB,en;q=0.9,fr;q=0.5"] {
        let request = if language.is_empty() { make() } else { make().header("accept-language", language) };
        let response = request.send().await.expect("an answer");
        assert_eq!(header(&response, "content-type"), "application/json");
        assert!(header(&response, "x-request-id").starts_with("req_"));
        headers = response.headers().clone();
        let (seen, body) = tests::read(response).await;
        assert_eq!((seen, &body["error"]["code"]), (status, &json!(code)), "{body}");
        assert_eq!(body["error"]["type"], kind(status, code), "{body}");
        assert_eq!(body["detail"], body["error"]["message"], "{body}");
        let names = |object: &Value| object.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            (names(&body), names(&body["error"]).len()),
            (vec!["error".to_owned(), "detail".to_owned()], 4),
            "{body}"
        );
        for inside in ["127.0.0.1", "10.0.3.7", "gpu-07", "gct_", "sqlx", "hyper", "thread", "/v1/chat/completions"] {
            assert!(!body.to_string().contains(inside), "{inside} leaks: {body}");
        }
        param = body["error"]["param"].clone();
        said.push(body["error"]["message"].as_str().expect("a message").to_owned());
    }
    let english = said.pop().unwrap_or_default();
    let french = said.pop().unwrap_or_default();
    assert_ne!(french, english);
    Refusal { french, english, param, headers }
}

/// The `type` that goes with a status: a constant one makes clients raise the wrong exception.
fn kind(status: u16, code: &str) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        429 => "rate_limit_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ if code == "upstream_timeout" => "timeout_error",
        _ => "server_error",
    }
}

impl Wire {
    fn posting(&self, path: &str, body: &str) -> RequestBuilder {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        request.body(body.to_owned())
    }

    fn chatting(&self, body: &Value) -> RequestBuilder {
        self.posting("/v1/chat/completions", &body.to_string())
    }
}

#[tokio::test]
async fn malformed_requests_are_400() {
    let wire = Wire::of(&["fake/plain"]).await;
    let nested = format!(r#"{{"model":"fake/plain","messages":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    for (body, param, french, english) in [
        (r#"{"model":"fake/plain","messages":["#, json!(null), "JSON valable", "valid JSON"),
        ("", json!(null), "JSON valable", "valid JSON"),
        ("[]", json!(null), "objet JSON", "JSON object"),
        (r#"{"model":"fake/plain","model":"b"}"#, json!("model"), "écrite deux fois", "written twice"),
        (r#"{"model":3,"messages":[]}"#, json!("model"), "il faut un texte", "a string is expected"),
        (r#"{"model":"fake/plain","messages":3}"#, json!("messages"), "il faut une liste", "a list is expected"),
        (
            r#"{"model":"fake/plain","messages":[]}"#,
            json!("messages"),
            "Il manque « messages »",
            "“messages” is missing",
        ),
        (
            r#"{"messages":[{"role":"user","content":"a"}]}"#,
            json!("model"),
            "Il manque « model »",
            "“model” is missing",
        ),
        (
            r#"{"model":"fake/plain","messages":[{"role":"user","content":"a"}],"stream":"yes"}"#,
            json!("stream"),
            "true ou false",
            "true or false",
        ),
        (
            r#"{"model":"fake/plain","messages":[{"role":"user","content":"a"}],"max_tokens":-1}"#,
            json!("max_tokens"),
            "nombre entier",
            "whole number",
        ),
        (nested.as_str(), json!(null), "imbriqué", "nested"),
    ] {
        let told = refused(|| wire.posting("/v1/chat/completions", body), 400, "invalid_request_error").await;
        assert!(told.french.contains(french) && told.english.contains(english), "{told:?}");
        assert_eq!(told.param, param, "{told:?}");
    }
    let told = refused(
        || wire.request(Method::POST, "/v1/chat/completions").body(&b"{\"model\":\"\xff\"}"[..]),
        400,
        "invalid_request_error",
    )
    .await;
    assert!(told.french.contains("UTF-8"), "{told:?}");
    assert_eq!(wire.engine.posts(), 0);
}

/// Whatever words its engine has for it, and the model's own length is told.
#[tokio::test]
async fn a_context_that_is_too_long_is_400() {
    let wire =
        Wire::set(|url| model("fake/plain", "chat", url, "").replacen("type:", "context_length: 32768, type:", 1))
            .await;
    for reply in
        [faults::context_exceeded(), faults::context_exceeded_llamacpp(), Reply::whole(413, "text/plain", "too large")]
    {
        wire.engine.script(reply);
        let told = refused(|| wire.chatting(&hello("fake/plain")), 400, "context_length_exceeded").await;
        assert!(told.french.contains("32768 tokens") && told.english.contains("32768 tokens"), "{told:?}");
        assert_eq!(told.param, "messages");
    }
}

/// The engine's own words when they hold nothing of the inside; ours otherwise.
#[tokio::test]
async fn what_the_engine_does_not_accept_is_400() {
    let wire = Wire::of(&["fake/plain"]).await;
    wire.engine.script(faults::refusal(400));
    let told = refused(|| wire.chatting(&hello("fake/plain")), 400, "invalid_request_error").await;
    assert!(told.french.contains("top_k must be -1") && told.english.contains("top_k must be -1"), "{told:?}");
    wire.engine.script(faults::refusal(422));
    let told = refused(|| wire.chatting(&hello("fake/plain")), 400, "invalid_request_error").await;
    assert!(told.english.contains("Field required"), "{told:?}");
    wire.engine.script(faults::vllm(400, "BadRequestError", "cannot load http://10.0.3.7/a.png from /models/x"));
    let told = refused(|| wire.chatting(&hello("fake/plain")), 400, "invalid_request_error").await;
    assert!(told.french.contains("un paramètre ou un message"), "{told:?}");
}

#[tokio::test]
async fn an_unsupported_value_is_400() {
    let wire = Wire::set(|url| model("e", "embeddings", url, "")).await;
    let body = json!({"model": "e", "input": "a", "encoding_format": "int8"}).to_string();
    let told = refused(|| wire.posting("/v1/embeddings", &body), 400, "unsupported_value").await;
    assert!(
        told.french.contains("« float » ou « base64 »") && told.english.contains("“float” or “base64”"),
        "{told:?}"
    );
    assert_eq!(told.param, "encoding_format");
}

/// No key, one that never was, one that expired, one that was revoked, one of another kind: the same words, so that
/// nothing is learnt by trying.
#[tokio::test]
async fn every_wrong_key_is_the_same_401() {
    let wire = Wire::of(&["fake/plain"]).await;
    let form = json!({"project_id": wire.key.project_id, "expires_in": "300ms"});
    let (status, expired) = wire.app.post("/v1/admin/keys", &wire.app.admin_key, &form).await;
    assert_eq!(status, 201, "{expired}");
    let form = json!({"project_id": wire.key.project_id});
    let (_, revoked) = wire.app.post("/v1/admin/keys", &wire.app.admin_key, &form).await;
    let id = revoked["id"].as_str().expect("an id");
    assert_eq!(wire.app.delete(&format!("/v1/admin/keys/{id}"), &wire.app.admin_key).await.0, 204);
    let bearer = |key: &Value| format!("Bearer {}", key["key"].as_str().expect("a key"));
    let text = expired["key"].as_str().expect("a key");
    let started = std::time::Instant::now();
    while wire.app.get("/v1/models", text).await.0 == 200 {
        assert!(started.elapsed() < tests::app::PATIENCE, "it expires");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut flipped = wire.key.secret.clone();
    flipped.replace_range(30..31, if &flipped[30..31] == "a" { "b" } else { "a" });
    let mut words = Vec::new();
    for authorization in [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer sk-abc".to_owned()),
        Some(format!("Basic {}", wire.key.secret)),
        Some(format!("Bearer {flipped}")),
        Some("Bearer ' OR '1'='1".to_owned()),
        Some(bearer(&expired)),
        Some(bearer(&revoked)),
    ] {
        let make = || {
            let request =
                wire.app.client.post(format!("{}/v1/chat/completions", wire.app.url)).json(&hello("fake/plain"));
            match &authorization {
                Some(text) => request.header("authorization", text),
                None => request,
            }
        };
        let told = refused(make, 401, "invalid_api_key").await;
        assert_eq!(told.headers["www-authenticate"], "Bearer");
        words.push((told.french, told.english));
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
    assert_eq!(wire.engine.posts(), 0);
}

/// The role, or the class of data.
#[tokio::test]
async fn what_is_not_allowed_is_403() {
    let wire = Wire::set(|url| {
        model("fake/plain", "chat", url, "")
            + &model("abroad", "chat", url, "").replacen("hosting: state", "hosting: foreign", 1)
    })
    .await;
    let told = refused(|| wire.request(Method::GET, "/v1/admin/organizations"), 403, "permission_denied").await;
    assert!(told.french.contains("rôle") && told.english.contains("role"), "{told:?}");
    let member =
        || wire.app.request(Method::POST, "/v1/chat/completions", &wire.app.admin_key).json(&hello("fake/plain"));
    let told = refused(member, 403, "permission_denied").await;
    assert!(told.french.contains("clé d’un projet") && told.english.contains("key of a project"), "{told:?}");
    let told = refused(|| wire.chatting(&hello("abroad")), 403, "sovereignty_policy").await;
    assert!(told.french.contains("classe de données") && told.english.contains("data class"), "{told:?}");
    assert_eq!(wire.engine.posts(), 0);
}

/// Indistinguishable from what another organization sees: see `models::a_model_of_another_organization_does_not_exist`.
#[tokio::test]
async fn what_is_unknown_is_404() {
    let wire = Wire::of(&["fake/plain"]).await;
    let told = refused(|| wire.chatting(&hello("gpt-9")), 404, "model_not_found").await;
    assert!(told.french.contains("« gpt-9 »") && told.english.contains("“gpt-9”"), "{told:?}");
    assert_eq!(told.param, "model");
    let admin = |path: &'static str| wire.app.request(Method::GET, path, &wire.app.admin_key);
    refused(|| admin("/v1/admin/organizations/999999"), 404, "not_found").await;
    refused(|| admin("/v1/models/gpt-9"), 404, "model_not_found").await;
    refused(|| admin("/v1/nowhere"), 404, "not_found").await;
    refused(|| admin("/v1/prompts/nowhere"), 404, "prompt_not_found").await;
    let wrong =
        |field: &str| with(&json!({"model": "fake/plain"}), &json!({"prompt": {"id": "docs-correct", (field): "9"}}));
    refused(|| wire.chatting(&wrong("version")), 404, "prompt_not_found").await;
}

#[tokio::test]
async fn a_conflict_is_409() {
    let wire = Wire::of(&["fake/plain"]).await;
    let taken = || {
        wire.app
            .request(Method::POST, "/v1/admin/organizations", &wire.app.admin_key)
            .json(&json!({"name": "Ministère A"}))
    };
    refused(taken, 409, "conflict").await;
}

#[tokio::test]
async fn what_is_too_large_is_413() {
    let server = "server: {listen: '127.0.0.1:0', body_limit: 10KiB}";
    let wire = Wire::with(server, |url| model("fake/plain", "chat", url, "")).await;
    let body = with(&hello("fake/plain"), &json!({"user": "a".repeat(11 << 10)}));
    let told = refused(|| wire.chatting(&body), 413, "payload_too_large").await;
    assert!(told.french.contains("10") && told.english.contains("10"), "the limit is told: {told:?}");
    assert_eq!(wire.engine.posts(), 0);
}

#[tokio::test]
async fn a_model_of_the_wrong_type_is_422() {
    let wire = Wire::set(|url| {
        model("c", "chat", url, "") + &model("e", "embeddings", url, "") + &model("r", "rerank", url, "")
    })
    .await;
    for (path, body) in [
        ("/v1/chat/completions", hello("e")),
        ("/v1/completions", json!({"model": "r", "prompt": "a"})),
        ("/v1/embeddings", json!({"model": "c", "input": "a"})),
        ("/v1/rerank", json!({"model": "e", "query": "a", "documents": ["b"]})),
    ] {
        let told = refused(|| wire.posting(path, &body.to_string()), 422, "model_wrong_type").await;
        assert!(told.french.contains("type attendu") && told.english.contains("type expected"), "{told:?}");
        assert_eq!(told.param, "model");
    }
    assert_eq!(wire.engine.posts(), 0);
}

/// The gate of an organization: which limit, and when to come back.
#[tokio::test]
async fn a_limit_is_429_and_says_when_to_come_back() {
    let gates = "gates: {organization: {per_second: 1, burst: 1}}";
    let wire = Wire::with(gates, |url| model("fake/plain", "chat", url, "")).await;
    wire.answer(&hello("fake/plain")).await;
    let told = refused(|| wire.chatting(&hello("fake/plain")), 429, "rate_limit_exceeded").await;
    assert!(told.french.contains("votre administration : 1 par seconde"), "{told:?}");
    assert!(told.english.contains("your organization: 1 per second"), "{told:?}");
    let header = |name: &str| told.headers[name].to_str().expect(name).to_owned();
    assert_eq!(header("retry-after"), "1");
    let millis: u64 = header("retry-after-ms").parse().expect("a number");
    assert!((1..=1_000).contains(&millis), "{millis}");
    assert_eq!(
        (header("x-ratelimit-limit-requests"), header("x-ratelimit-remaining-requests")),
        ("1".into(), "0".into())
    );
    assert_eq!(header("x-ratelimit-reset-requests"), format!("{millis}ms"));
    assert!(!told.headers.contains_key("x-should-retry"));
    assert_eq!(wire.engine.posts(), 1);
}

/// Wrong keys from one address, in a flood.
#[tokio::test]
async fn a_flood_of_wrong_keys_is_429() {
    let gates = "gates: {failed_authentications: {per_second: 1, burst: 2}}";
    let wire = Wire::with(gates, |url| model("fake/plain", "chat", url, "")).await;
    for _ in 0..2 {
        assert_eq!(wire.app.get("/v1/models", "wrong").await.0, 401);
    }
    let told = refused(|| wire.app.request(Method::GET, "/v1/models", "wrong"), 429, "rate_limit_exceeded").await;
    assert!(told.headers.contains_key("retry-after") && told.headers.contains_key("retry-after-ms"), "{told:?}");
}

/// The engine failed, and no other could take it: said with where it was, and nothing of what it said.
#[tokio::test]
async fn an_engine_that_fails_is_502() {
    let names = [
        "fake/500",
        "fake/html",
        "fake/html-502",
        "fake/garbage",
        "fake/not-json",
        "fake/truncated",
        "fake/cut",
        "fake/error-in-200",
        "fake/401",
        "fake/404",
    ];
    let wire = Wire::of(&names).await;
    for name in names {
        let told = refused(|| wire.chatting(&hello(name)), 502, "upstream_error").await;
        assert!(told.french.contains("moteur") && told.english.contains("engine"), "{name}: {told:?}");
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_in_time_is_504() {
    let slow = |url: &str| model("fake/never", "chat", url, ", first_byte_timeout: 50ms");
    let wire = Wire::with("fleet: {failures: 100}", slow).await;
    for body in [hello("fake/never"), with(&hello("fake/never"), &json!({"stream": true}))] {
        let told = refused(|| wire.chatting(&body), 504, "upstream_timeout").await;
        assert!(told.french.contains("à temps") && told.english.contains("in time"), "{told:?}");
    }
}

/// All engines busy, and the line full or too slow.
#[tokio::test]
async fn a_busy_model_is_503_and_says_when_to_come_back() {
    let wire =
        Wire::with("queue: {length: 1, wait: 50ms}", |url| model("fake/plain", "chat", url, ", capacity: 1")).await;
    let gate = Gate::closed();
    wire.engine.script_model("fake/plain", tests::engine::Chat::text("oui").gate(0, &gate));
    let body = hello("fake/plain");
    tokio::select! {
        response = wire.app.send("/v1/chat/completions", &wire.key.secret, &body) => panic!("an answer: {response:?}"),
        () = async {
            assert!(wire.engine.until(|counts| counts.posts == 1).await);
            let told = refused(|| wire.chatting(&body), 503, "model_busy").await;
            assert!(told.french.contains("occupé") && told.english.contains("busy"), "{told:?}");
            assert!(told.headers["retry-after"].to_str().is_ok_and(|text| text.parse::<u64>().is_ok_and(|s| s >= 1)));
            assert!(told.headers["retry-after-ms"].to_str().is_ok_and(|text| text.parse::<u64>().is_ok_and(|ms| ms >= 1)));
        } => {}
    }
    assert_eq!(wire.engine.posts(), 1);
    wire.engine.unscript();
    wire.engine.script(faults::busy());
    refused(|| wire.chatting(&body), 503, "model_busy").await;
}

/// openai-python obeys `retry-after` up to a minute only, and past it asks again at once: told not to.
#[tokio::test]
async fn a_wait_past_a_minute_tells_clients_not_to_retry() {
    for (limit, code, most) in [("1/minute", "rate_limit_exceeded", 61), ("1/month", "quota_exceeded", 32 * 86_400)] {
        let plan = format!("limits: {{default_plan: p}}\nplans: {{p: {{organization: [{{requests: {limit}}}]}}}}");
        let wire = Wire::with(&plan, |url| model("fake/plain", "chat", url, "")).await;
        let body = hello("fake/plain");
        let (status, answer) = wire.app.post("/v1/chat/completions", &wire.key.secret, &body).await;
        assert_eq!(status, 200, "{answer}");
        let told = refused(|| wire.chatting(&body), 429, code).await;
        let number = |name: &str| told.headers[name].to_str().expect("text").parse::<u64>().expect("a number");
        let (seconds, millis) = (number("retry-after"), number("retry-after-ms"));
        assert!(
            seconds <= most && (seconds - 1..=seconds).contains(&millis.div_ceil(1_000)),
            "{seconds} s, {millis} ms"
        );
        let not_to = told.headers.get("x-should-retry").is_some_and(|value| value == "false");
        assert_eq!(not_to, seconds > 60, "{seconds} s");
        assert_eq!(number("x-ratelimit-limit-requests"), 1);
        assert_eq!(number("x-ratelimit-remaining-requests"), 0);
    }
}

/// Something that the gateway depends on is down: here, every engine of the model, set aside.
#[tokio::test]
async fn what_we_depend_on_being_down_is_503() {
    let fleet = "fleet: {health_interval: 20ms, failures: 2, eject: 60s}";
    let wire = Wire::with(fleet, |url| model("fake/plain", "chat", url, "")).await;
    wire.engine.set_healthy(false);
    let ejected =
        "guichet_deployment_capacity{gen_ai_request_model=\"fake/plain\",guichet_deployment=\"fake/plain-d\"}";
    wire.app.until_metric(ejected, |capacity| capacity == 0.0).await;
    let told = refused(|| wire.chatting(&hello("fake/plain")), 503, "service_unavailable").await;
    assert!(told.french.contains("indisponible") && told.english.contains("unavailable"), "{told:?}");
    let seconds: u64 = told.headers["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((50..=60).contains(&seconds), "when the engine is asked again: {seconds}");
    assert_eq!(wire.engine.posts(), 0);
}

/// A language we have, in the client's order; else the configuration's.
#[tokio::test]
async fn the_language_is_the_clients_or_the_configurations() {
    for (more, asked, wanted) in [
        ("", "", "fr"),
        ("", "de", "fr"),
        ("", "en", "en"),
        ("", "de,en;q=0.8,fr;q=0.5", "en"),
        ("", "fr-CA,en", "fr"),
        ("language: en", "", "en"),
        ("language: en", "de", "en"),
        ("language: en", "fr", "fr"),
    ] {
        let app = TestApp::start(&format!("{more}\nmodels: []\n")).await;
        let request = app.request(Method::GET, "/v1/models", "wrong");
        let request = if asked.is_empty() { request } else { request.header("accept-language", asked) };
        let (_, refused) = crate::wire::sent(request).await;
        let message = refused["error"]["message"].as_str().expect("a message");
        let spoken = if message.starts_with("Clé") { "fr" } else { "en" };
        assert_eq!(spoken, wanted, "{more} {asked}: {message}");
    }
}
