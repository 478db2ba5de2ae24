//! Content is kept where a project agreed, redacted, and nowhere else.

use serde_json::json;
use tests::{Backend, Chat, TestApp, on_each_database};

use crate::records::{ON, ask, chat, confession, consent, content, evaluator, gateway, kept, nothing_leaks, places};

on_each_database!(
    a_project_that_did_not_agree_leaves_no_content_anywhere,
    content_is_redacted_and_what_was_masked_is_counted,
    what_is_kept_of_a_conversation,
    what_memory_does_not_hold_is_dropped_and_counted,
    live_sampling_follows_its_rules,
    consent_is_given_shown_and_taken_back,
    without_the_section_there_are_no_routes,
);

const WITNESS: &str = "témoin-discret";

async fn a_project_that_did_not_agree_leaves_no_content_anywhere(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (closed, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    for streamed in [false, true] {
        ask(&app, &closed, &chat("petit", &confession(WITNESS), streamed)).await;
    }
    app.records(2).await;
    kept(&app, &evaluator, 0).await;
    let url = app.database().url.clone();
    let (folder, _database) = app.stop().await;
    nothing_leaks(folder.path(), &url).await;
    assert!(places(folder.path(), &url, WITNESS).await.is_empty());
}

async fn content_is_redacted_and_what_was_masked_is_counted(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (open, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &open).await;
    let mut ids = Vec::new();
    for streamed in [false, true] {
        ids.push(ask(&app, &open, &chat("petit", &confession(WITNESS), streamed)).await);
    }
    kept(&app, &evaluator, 2).await;
    for id in &ids {
        let record = content(&app, &evaluator, id).await;
        let said = record["content"]["messages"][0]["content"].as_str().expect("a text");
        assert!(said.contains(WITNESS) && said.contains("Mme [nom]") && said.contains("[IBAN]"), "{said}");
        let answer = &record["content"]["answers"][0];
        assert_eq!(answer["content"], "Bien noté, Mme [nom] : nous écrirons à [email].", "{record:#}");
        assert_eq!(answer["finish_reason"], "stop");
        for (kind, count) in [("email", 2), ("name", 2), ("nir", 1), ("iban", 1), ("card", 1), ("phone", 1)] {
            assert_eq!(record["masked"][kind], count, "{kind}: {record:#}");
        }
        assert!(record["masked"]["address"].as_i64() >= Some(1), "{record:#}");
        let facts = ["model", "language", "notice", "probability", "outcome"].map(|name| record[name].clone());
        assert_eq!(facts, [json!("petit"), json!("fr"), json!("2026-1"), json!(1.0), json!("success")]);
    }
    app.records(2).await;
    let url = app.database().url.clone();
    nothing_leaks(app.folder.path(), &url).await;
    let (folder, _database) = app.stop().await;
    nothing_leaks(folder.path(), &url).await;
    assert!(!places(folder.path(), &url, WITNESS).await.is_empty(), "what may stay is there");
}

async fn what_is_kept_of_a_conversation(backend: Backend) {
    let (app, engine) = gateway(backend, ON).await;
    let (open, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &open).await;
    let parts = json!([{"type": "text", "text": "Regarde, s’il te plaît, ce que le service a écrit"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,dMOpbW9pbg=="}}]);
    let body = json!({"model": "petit", "user": "agent-42", "metadata": {"use": "redaction"}, "stream": true,
        "messages": [{"role": "system", "content": "Sois bref."}, {"role": "user", "name": "keroual", "content": parts}]});
    let id = ask(&app, &open, &body).await;
    kept(&app, &evaluator, 1).await;
    let record = content(&app, &evaluator, &id).await;
    let messages = &record["content"]["messages"];
    assert_eq!(messages[0], json!({"role": "system", "content": "Sois bref."}));
    assert_eq!(messages[1]["content"][1], json!({"type": "image_url", "omitted": true}));
    assert!(messages[1].get("name").is_none() && record["use"] == "redaction", "{record:#}");
    let usage = app.records(1).await.remove(0);
    assert!(record["end_user"].is_string() && record["end_user"] == usage["end_user"], "{record:#}");
    for gone in ["agent-42", "dMOpbW9pbg", "keroual"] {
        assert!(places(app.folder.path(), &app.database().url, gone).await.is_empty(), "{gone}");
    }

    // A tool's arguments are read as JSON; an answer that was cut loses the sentence it was cut in.
    engine.next(Chat::text("").tool("ecrire", r#"{"a": "camille.martin@exemple.fr", "nir": 185057800608491}"#));
    let id = ask(&app, &open, &chat("petit", "Appelle l’outil", true)).await;
    kept(&app, &evaluator, 2).await;
    let calls = content(&app, &evaluator, &id).await["content"]["answers"][0]["tool_calls"].to_string();
    assert!(calls.contains("[email]") && calls.contains("[NIR]"), "{calls}");
    engine.next(Chat::text("C’est fait. Écrivez à camille.mart").finish("length"));
    let id = ask(&app, &open, &chat("petit", "Longue réponse", false)).await;
    kept(&app, &evaluator, 3).await;
    let answer = content(&app, &evaluator, &id).await["content"]["answers"][0].clone();
    assert_eq!(answer, json!({"content": "C’est fait.", "finish_reason": "length", "cut": true}));
    assert!(places(app.folder.path(), &app.database().url, "camille.mart").await.is_empty());
}

async fn what_memory_does_not_hold_is_dropped_and_counted(backend: Backend) {
    let (app, _engine) = gateway(backend, "evaluation: {queue: 8KiB, largest: 7KiB}").await;
    let (open, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &open).await;
    for (size, result) in [(6_500, "overflow"), (7_500, "too_large")] {
        ask(&app, &open, &chat("petit", &"mot ".repeat(size / 4), false)).await;
        let metric = format!("guichet_evaluation_contents_total{{result=\"{result}\"}}");
        app.until_metric(&metric, |count| count == 1.0).await;
    }
    // The memory comes back: the next is kept.
    ask(&app, &open, &chat("petit", "Bonjour", false)).await;
    kept(&app, &evaluator, 1).await;
    app.until_metric("guichet_evaluation_contents_total{result=\"kept\"}", |count| count == 1.0).await;
    assert_eq!(app.records(3).await.len(), 3, "usage is recorded whatever becomes of content");
}

async fn live_sampling_follows_its_rules(backend: Backend) {
    let rules = "evaluation: {sampling: {rate: 1, rules: [{name: jamais, model: grand, rate: 0}, {name: moitie, use: foule, rate: 0.5}]}}";
    let (app, _engine) = gateway(backend, rules).await;
    let (open, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &open).await;
    ask(&app, &open, &chat("grand", "Bonjour", false)).await;
    let mut crowd = chat("petit", "Bonjour", false);
    crowd["metadata"] = json!({"use": "foule"});
    for _ in 0..200 {
        ask(&app, &open, &crowd).await;
    }
    let last = ask(&app, &open, &chat("petit", "Bonjour", false)).await;
    app.records(202).await;
    let started = std::time::Instant::now();
    let records = loop {
        let (_, list) = app.get("/v1/eval/records?limit=1000", &evaluator).await;
        let records = list["data"].as_array().expect("a list").clone();
        if records.iter().any(|record| record["id"] == *last) {
            break records;
        }
        assert!(started.elapsed() < tests::app::PATIENCE, "{list}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let of = |rule: serde_json::Value| records.iter().filter(|record| record["rule"] == rule).collect::<Vec<_>>();
    let half = of(json!("moitie"));
    // Five standard deviations of a fair draw.
    assert!((65..=135).contains(&half.len()), "{}", half.len());
    assert!(half.iter().all(|record| record["probability"] == 0.5), "{half:#?}");
    assert_eq!((of(json!(null)).len(), of(json!("jamais")).len()), (1, 0));
}

async fn consent_is_given_shown_and_taken_back(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (key, evaluator) = (app.key("A", "internal").await, evaluator(&app).await);
    let path = format!("/v1/admin/projects/{}/consent", key.project_id);
    assert_eq!(app.get(&path, &app.admin_key).await.0, 404);
    consent(&app, &key).await;
    let (_, shown) = app.get(&path, &app.admin_key).await;
    assert_eq!((&shown["notice"], shown["given"].is_i64(), shown["given_by"].is_i64()), (&json!("2026-1"), true, true));
    ask(&app, &key, &chat("petit", "Bonjour", false)).await;
    kept(&app, &evaluator, 1).await;
    assert_eq!(app.delete(&path, &app.admin_key).await.0, 204);
    ask(&app, &key, &chat("petit", "Rebonjour", false)).await;
    app.records(2).await;
    kept(&app, &evaluator, 1).await;
    let (_, trail) = app.get("/v1/admin/audit", &app.admin_key).await;
    let actions: Vec<&str> =
        trail["data"].as_array().expect("a list").iter().filter_map(|entry| entry["action"].as_str()).collect();
    assert!(actions.contains(&"consent.give") && actions.contains(&"consent.withdraw"), "{actions:?}");
    // What was kept goes with the consent.
    let (status, purged) = app.post("/v1/eval/purge", &app.admin_key, &json!({})).await;
    assert_eq!((status, &purged["contents"]), (200, &json!(1)), "{purged}");
    let record = kept(&app, &evaluator, 1).await.remove(0);
    assert_eq!(record["purged_why"], "consent");
    for wrong in [json!({}), json!({"notice": ""}), json!({"notice": "x", "more": 1})] {
        let request = app.request(reqwest::Method::PUT, &path, &app.admin_key).json(&wrong);
        assert_eq!(request.send().await.expect("an answer").status(), 400, "{wrong}");
    }
}

async fn without_the_section_there_are_no_routes(backend: Backend) {
    let engine = tests::FakeEngine::start().await;
    let app = TestApp::on(backend, &crate::records::configuration(&engine, "")).await;
    let key = app.key("A", "internal").await;
    for path in ["/v1/eval/records", "/v1/eval/samples", "/v1/eval/feedback", "/v1/admin/projects/1/consent"] {
        let (status, answer) = app.get(path, &app.admin_key).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")), "{path}: {answer}");
    }
    assert_eq!(app.post("/v1/feedback", &key.secret, &json!({"request_id": "x", "score": 1})).await.0, 404);
    let (_, description) = app.get("/openapi.json", "").await;
    assert!(!description["paths"].as_object().expect("paths").keys().any(|path| path.contains("/eval/")));
}
