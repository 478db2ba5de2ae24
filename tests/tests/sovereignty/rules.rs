//! Which hosting a class of data may reach, who is told, and how soon a change counts.

use std::time::{Duration, Instant};

use guichet::config::load::{Origin, from_text};
use serde_json::{Value, json};
use tests::{Backend, FakeEngine, TestApp, chat, on_each_database, read};

use crate::sovereignty::{CLASSES, HOSTINGS, deployment, may_reach, model};

on_each_database!(
    the_default_rules_hold_class_by_class_and_hosting_by_hosting,
    a_change_of_class_counts_within_a_second,
);

#[test]
fn a_deployment_without_a_hosting_is_refused() {
    let head = "hostings: {here: {operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, \
                zone: z}}\n";
    let with = |hosting: &str| {
        format!(
            "{head}models: [{{id: m, type: chat, deployments: [{{name: d, url: 'http://127.0.0.1:1/v1', engine: vllm{hosting}}}]}}]\n"
        )
    };
    assert!(from_text(&Origin::Embedded, &with(", hosting: here"), Vec::new()).is_ok());
    for (hosting, path) in [
        ("", "models[0].deployments[0].hosting"),
        (", hosting: elsewhere", "models[0].deployments[0].hosting"),
        (", hosting: null", "models[0].deployments[0].hosting"),
    ] {
        let problems = from_text(&Origin::Embedded, &with(hosting), Vec::new()).expect_err("it is refused");
        assert!(problems.iter().any(|problem| problem.path == path), "{hosting:?}: {problems:#?}");
    }
    // Half a label is no label: each of its parts must be said.
    for part in
        ["operator: X, ", "state_operated: true, ", "country: FR, ", "jurisdiction: FR, ", "qualification: none, "]
    {
        let text = with(", hosting: here").replacen(part, "", 1);
        assert!(from_text(&Origin::Embedded, &text, Vec::new()).is_err(), "{part:?} may not be left out");
    }
}

async fn the_default_rules_hold_class_by_class_and_hosting_by_hosting(backend: Backend) {
    let mut engines = Vec::new();
    let mut more = "models:\n".to_owned();
    for hosting in HOSTINGS {
        let engine = FakeEngine::start().await;
        more += &model(&format!("on-{hosting}"), &[deployment(&format!("d-{hosting}"), &engine, hosting, "")], "");
        engines.push(engine);
    }
    let app = TestApp::on(backend, &more).await;
    let organization = app.key("A", "public").await.organization_id;
    let mut said = Vec::new();
    for class in CLASSES {
        let key = app.project_key(organization, class, class).await;
        for (hosting, engine) in HOSTINGS.into_iter().zip(&engines) {
            let before = engine.posts();
            for stream in [false, true] {
                let mut body = chat(&format!("on-{hosting}"));
                body["stream"] = json!(stream);
                let response = app.send("/v1/chat/completions", &key.secret, &body).await;
                let id = response.headers()["x-request-id"].to_str().expect("an id").to_owned();
                let header =
                    |name: &str| response.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
                let told = header("x-guichet-hosting");
                let (status, answer) = read(response).await;
                if may_reach(class, hosting) {
                    assert_eq!(status, 200, "{class} on {hosting}: {answer}");
                    assert!(told.is_some(), "{class} on {hosting}: the answer says where");
                } else {
                    let code = answer["error"]["code"].as_str();
                    assert_eq!((status, code), (403, Some("sovereignty_policy")), "{class} on {hosting}: {answer}");
                    assert_eq!(told, None, "{class} on {hosting}: it went nowhere");
                }
                said.push((id, class, hosting, status, told));
            }
            let calls = if may_reach(class, hosting) { 2 } else { 0 };
            assert_eq!(engine.posts() - before, calls, "{class} on {hosting}");
        }
    }
    let records = app.records(said.len()).await;
    for (id, class, hosting, status, told) in &said {
        let record = records.iter().find(|record| record["id"] == **id).expect("a record");
        assert_eq!(record["data_class"], *class, "{record:#}");
        assert_eq!(record["status"], *status, "{record:#}");
        let kept = told.as_ref().map(|header| {
            header.replace("%\"Minist%c3%a8re\"", "\"Ministère\"").replace("%\"Op%c3%a9rateur\"", "\"Opérateur\"")
        });
        assert_eq!(record["hosting"], kept.map_or(Value::Null, Value::from), "{record:#}");
        let deployment = told.as_ref().map_or(Value::Null, |_| json!(format!("d-{hosting}")));
        assert_eq!(record["deployment"], deployment, "{record:#}");
    }
    let state = said.iter().find(|(_, _, hosting, status, _)| *hosting == "state" && *status == 200).expect("one");
    let label = "operator=%\"Minist%c3%a8re\"; state_operated=true; country=FR; jurisdiction=FR; qualification=none; \
                 zone=\"paris\"";
    assert_eq!(state.4.as_deref(), Some(label));
}

/// The refusal is in the client's language and names no engine.
#[tokio::test]
async fn a_refusal_says_why_and_not_where() {
    let engine = FakeEngine::start().await;
    let more = format!("models:\n{}", model("m", &[deployment("far-away-7", &engine, "foreign", "")], ""));
    let app = TestApp::start(&more).await;
    let key = app.key("A", "sensitive").await;
    let (_, french) = app.chat(&key, "m").await;
    let english = app
        .request(reqwest::Method::POST, "/v1/chat/completions", &key.secret)
        .header("accept-language", "en-GB,en;q=0.9")
        .json(&chat("m"))
        .send()
        .await
        .expect("an answer");
    let (status, english) = read(english).await;
    assert_eq!(status, 403);
    assert_ne!(french["detail"], english["detail"]);
    for answer in [&french, &english] {
        assert_eq!(answer["error"]["type"], json!("permission_error"), "{answer}");
        let text = answer.to_string();
        for word in ["far-away-7", "Elsewhere", "127.0.0.1", "foreign"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}

/// A configuration may be stricter, or name places of its own; one class's rule leaves the others'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_writes_its_own_rules() {
    let (home, qualified) = (FakeEngine::start().await, FakeEngine::start().await);
    let more = format!(
        "sovereignty:\n  internal: {{countries: [FR], jurisdictions: [FR], protection: [secnumcloud]}}\nmodels:\n{}{}",
        model("home", &[deployment("d1", &home, "state", "")], ""),
        model("cloud", &[deployment("d2", &qualified, "qualified", "")], "")
    );
    let app = TestApp::start(&more).await;
    let internal = app.key("A", "internal").await;
    let sensitive = app.project_key(internal.organization_id, "s", "sensitive").await;
    let mut statuses = Vec::new();
    for key in [&internal, &sensitive] {
        for id in ["home", "cloud"] {
            statuses.push(app.chat(key, id).await.0);
        }
    }
    assert_eq!(statuses, [403, 200, 200, 200]);
    assert_eq!((home.posts(), qualified.posts()), (1, 2));
}

async fn a_change_of_class_counts_within_a_second(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app =
        TestApp::on(backend, &format!("models:\n{}", model("m", &[deployment("d", &engine, "foreign", "")], ""))).await;
    let key = app.key("A", "public").await;
    let path = format!("/v1/admin/projects/{}", key.project_id);
    for (class, wanted) in [("sensitive", 403), ("public", 200), ("internal", 403)] {
        let (status, answer) = app.patch(&path, &app.admin_key, &json!({"data_class": class})).await;
        assert_eq!(status, 200, "{answer}");
        let changed = Instant::now();
        while app.chat(&key, "m").await.0 != wanted {
            assert!(changed.elapsed() < Duration::from_secs(1), "{class} does not count yet");
        }
        let before = engine.posts();
        assert_eq!(app.chat(&key, "m").await.0, wanted);
        assert_eq!(engine.posts() - before, u64::from(wanted == 200));
    }
}
