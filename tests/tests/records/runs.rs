//! Datasets, experiments, judgings, comparisons, reports and gates over HTTP: made by evaluators, run in the background, gone
//! with the content they stand on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::app::{Key, PATIENCE};
use tests::engine::{Gate, Reply};
use tests::{Backend, Chat, FakeEngine, TestApp, model, on_each_database, read};

use crate::records::{ON, ask, chat, consent, evaluator, gateway, kept, sql};

on_each_database!(
    a_dataset_is_imported_exported_and_taken_away,
    an_experiment_is_costed_run_mended_and_compared,
    an_experiment_goes_on_after_a_restart,
    judges_that_cannot_be_read_are_counted_and_position_makes_ties,
    a_judge_is_refused_for_its_family_and_for_where_it_is,
    what_is_purged_is_gone_from_datasets_and_answers,
    reports_and_gates_say_what_the_command_says,
);

pub const GRID: &str = "grid: g\nversion: 1\ntitle: {fr: G, en: G}\nminimum: 3\nfacets:\n\
    - {id: f, label: {fr: F, en: F}, criteria: [{id: juste, question: {fr: Juste ?, en: Right?}, scale: boolean, evidence: [human, 'judge:judge-criterion@1']},\n\
      {id: mieux, question: {fr: Laquelle ?, en: Which?}, scale: pairwise, evidence: ['judge:judge-pair@1']}]}\n";

/// A dataset of an organization; its number.
pub async fn dataset(app: &TestApp, key: &str, organization: i64, items: usize, class: &str) -> i64 {
    let lines: String = (0..items)
        .map(|i| {
            format!("{}\n", json!({"id": format!("i{i}"), "question": format!("Question {i} ?"), "reference": "Oui."}))
        })
        .collect();
    let form = json!({"name": "d", "organization_id": organization, "content": lines, "data_class": class});
    let (status, made) = app.post("/v1/eval/datasets", key, &form).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_i64().expect("an id")
}

/// A run that was made, once it ended.
pub async fn ended(app: &TestApp, key: &str, path: &str) -> Value {
    let started = Instant::now();
    loop {
        let (status, run) = app.get(path, key).await;
        assert_eq!(status, 200, "{run}");
        if run["state"] != "running" {
            return run;
        }
        assert!(started.elapsed() < PATIENCE, "{run}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes an experiment or a judging; its path.
pub async fn made(app: &TestApp, key: &str, kind: &str, form: &Value) -> String {
    let (status, made) = app.post(&format!("/v1/eval/{kind}"), key, form).await;
    assert_eq!(status, 201, "{made}");
    format!("/v1/eval/{kind}/{}", made["id"])
}

fn experiment(dataset: i64, key: &Key, models: &[&str]) -> Value {
    json!({"dataset_id": dataset, "project_id": key.project_id, "models": models, "max_tokens": 50})
}

async fn a_dataset_is_imported_exported_and_taken_away(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (key, instance) = (app.key("A", "internal").await, evaluator(&app).await);
    let content = "query;output_true;data_class\nQui ?;Moi;public\nseul\nQuoi ?;;internal\n";
    let form = json!({"name": "essai", "organization_id": key.organization_id, "format": "csv", "content": content});
    let (status, made) = app.post("/v1/eval/datasets", &instance, &form).await;
    assert_eq!((status, &made["items"], &made["set_aside"][0]["line"]), (201, &json!(2), &json!(3)), "{made}");
    assert_eq!((&made["data_class"], made["hash"].as_str().map(str::len)), (&json!("internal"), Some(64)));
    let path = format!("/v1/eval/datasets/{}", made["id"]);
    let (_, page) = app.get(&format!("{path}/items?limit=1"), &instance).await;
    assert_eq!(
        (&page["data"][0]["question"], &page["data"][0]["reference"]),
        (&json!("Qui ?"), &json!("Moi")),
        "{page}"
    );
    let (_, rest) = app.get(&format!("{path}/items?offset={}", page["next"]), &instance).await;
    assert_eq!(rest["data"].as_array().map(Vec::len), Some(1), "{rest}");
    for format in ["jsonl", "csv", "parquet"] {
        let request = app.request(reqwest::Method::GET, &format!("{path}/export?format={format}"), &instance);
        let file = request.send().await.expect("an answer").bytes().await.expect("a file");
        let content = match format {
            "parquet" => {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(&file)
            }
            _ => String::from_utf8(file.to_vec()).expect("UTF-8"),
        };
        let form =
            json!({"name": format, "organization_id": key.organization_id, "format": format, "content": content});
        let (status, again) = app.post("/v1/eval/datasets", &instance, &form).await;
        assert_eq!((status, &again["hash"]), (201, &made["hash"]), "{format}: {again}");
    }
    for (form, why) in [
        (json!({"name": "x", "organization_id": key.organization_id, "content": "pas du JSON\n"}), "ligne 1"),
        (json!({"name": "", "organization_id": key.organization_id, "content": "{\"question\":\"Q\"}"}), "nom"),
        (json!({"name": "x", "organization_id": key.organization_id}), "sample_id"),
        (
            json!({"name": "x", "organization_id": key.organization_id, "content": "{\"question\":\"Q\",\"data_class\":\"secret\"}"}),
            "data_class",
        ),
        (json!({"name": "x", "content": "{\"question\":\"Q\"}"}), "administration"),
    ] {
        let (status, refused) = app.post("/v1/eval/datasets", &instance, &form).await;
        assert_eq!(status, 400, "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|text| text.contains(why)), "{why}: {refused}");
    }
    assert_eq!(app.delete(&path, &instance).await.0, 204);
    assert_eq!(app.get(&path, &instance).await.0, 404);
}

async fn an_experiment_is_costed_run_mended_and_compared(backend: Backend) {
    let engine = FakeEngine::start().await;
    let models = format!(
        "{ON}\nmodels:\n  - {{id: petit, type: chat, costs: {{input: 1, output: 2}}, deployments: [{{name: p, url: '{0}', engine: openai, hosting: state}}]}}\n{1}",
        engine.url(),
        model("autre", "chat", &engine.url(), "")
    );
    let app = TestApp::on(backend, &models).await;
    let (key, instance) = (app.key("A", "internal").await, evaluator(&app).await);
    let dataset = dataset(&app, &instance, key.organization_id, 20, "internal").await;
    engine.script_model("petit", Chat::text("Oui."));
    engine.script_model("autre", Chat::text("Non, et même pas du tout."));
    let mut form = experiment(dataset, &key, &["petit"]);
    form["prompts"] = json!([{"name": "court", "text": "Réponds en un mot."}]);
    form["dry_run"] = true.into();
    let (status, told) = app.post("/v1/eval/experiments", &instance, &form).await;
    let told = &told["estimate"];
    assert_eq!(
        (status, &told["requests"], &told["tokens_written_at_most"]),
        (200, &json!(20), &json!(1_000)),
        "{told}"
    );
    let euros = (told["tokens_read_about"].as_f64().expect("tokens") + 2.0 * 1_000.0) / 1e6;
    assert!((told["euros_at_most"].as_f64().expect("euros") - euros).abs() < 1e-9, "{told}");
    assert_eq!(engine.posts(), 0);

    // One request fails, is told, and is mended.
    form["dry_run"] = false.into();
    form["models"] = json!(["petit", "autre"]);
    engine.next(Reply::json(400, &json!({"error": {"message": "non", "type": "invalid_request_error", "code": null}})));
    let path = made(&app, &instance, "experiments", &form).await;
    let run = ended(&app, &instance, &path).await;
    assert_eq!(
        (&run["state"], &run["requests"], &run["answered"], &run["failed"]),
        (&json!("done"), &json!(40), &json!(39), &json!(1)),
        "{run}"
    );
    assert_eq!(run["method"]["prompts"]["court"].as_str().map(str::len), Some(64), "{run}");
    assert!(engine.counts().peak <= 4, "{:?}", engine.counts());
    let posts = engine.posts();
    assert_eq!(app.post(&format!("{path}/resume"), &instance, &Value::Null).await.0, 200);
    let run = ended(&app, &instance, &path).await;
    assert_eq!((&run["answered"], &run["failed"], engine.posts() - posts), (&json!(40), &json!(0), 1), "{run}");
    let (_, answers) = app.get(&format!("{path}/answers?limit=1000"), &instance).await;
    assert_eq!(answers["data"].as_array().map(Vec::len), Some(40));
    assert_eq!(answers["data"][0]["raw"]["choices"][0]["message"]["content"], answers["data"][0]["text"]);
    let sent = engine.last().json();
    assert_eq!((&sent["messages"][0]["content"], &sent["max_tokens"]), (&json!("Réponds en un mot."), &json!(50)));

    // Who pays is in the records, and nothing of it is kept as content.
    let records = app.records(41).await;
    assert!(records.iter().all(|record| record["project_id"] == json!(key.project_id)), "{}", records[0]);

    let form = json!({"experiment_id": run["id"], "first": "petit", "second": "autre", "metric": "chrf"});
    let (status, compared) = app.post("/v1/eval/compare", &instance, &form).await;
    assert_eq!(status, 400, "every answer is the same, and an error of zero would prove nothing: {compared}");
    let form = json!({"experiment_id": run["id"], "first": "petit", "second": "personne", "metric": "chrf"});
    let (status, refused) = app.post("/v1/eval/compare", &instance, &form).await;
    assert!(status == 400 && refused["detail"].as_str().is_some_and(|text| text.contains("personne")), "{refused}");

    for (field, value, wanted) in [
        ("models", json!(["inconnu"]), 404),
        ("models", json!([]), 400),
        ("repeats", json!(0), 400),
        ("project_id", json!(999), 404),
        ("dataset_id", json!(999), 404),
    ] {
        let mut form = experiment(dataset, &key, &["petit"]);
        form[field] = value;
        let (status, refused) = app.post("/v1/eval/experiments", &instance, &form).await;
        assert_eq!(status, wanted, "{field}: {refused}");
    }
    // A project of another organization does not pay.
    let other = app.key("B", "internal").await;
    let (status, _) = app.post("/v1/eval/experiments", &instance, &experiment(dataset, &other, &["petit"])).await;
    assert_eq!(status, 404);
    assert_eq!(app.delete(&path, &instance).await.0, 204);
    assert_eq!(app.get(&format!("{path}/answers"), &instance).await.0, 404);
}

async fn an_experiment_goes_on_after_a_restart(backend: Backend) {
    let (app, engine) = gateway(backend, ON).await;
    let (key, instance) = (app.key("A", "internal").await, evaluator(&app).await);
    let dataset = dataset(&app, &instance, key.organization_id, 12, "internal").await;
    let gate = Gate::closed();
    engine.script(Chat::text("Oui.").gate(0, &gate));
    let path = made(&app, &instance, "experiments", &experiment(dataset, &key, &["petit"])).await;
    gate.admit(5);
    assert!(
        engine.until(|counts| counts.answers.finished == 5 && counts.answers.open == 4).await,
        "{:?}",
        engine.counts()
    );
    let started = Instant::now();
    while app.get(&path, &instance).await.1["answered"] != 5 {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let configuration = crate::records::configuration(&engine, ON);
    let (folder, database) = app.stop().await;
    gate.open();
    engine.forget();
    let app = TestApp::in_folder(folder, database, &configuration).await;
    let run = ended(&app, &instance, &path).await;
    assert_eq!((&run["state"], &run["answered"], engine.posts()), (&json!("done"), &json!(12), 7), "{run}");
}

fn judging(key: &Key, criterion: &str) -> Value {
    json!({
        "project_id": key.project_id,
        "grid": GRID,
        "criterion": criterion,
        "judges": ["grand"],
        "families": {"petit": "a", "grand": "b"},
    })
}

async fn judges_that_cannot_be_read_are_counted_and_position_makes_ties(backend: Backend) {
    let (app, engine) = gateway(backend, ON).await;
    let (key, instance) = (app.key("A", "internal").await, evaluator(&app).await);
    let dataset = dataset(&app, &instance, key.organization_id, 10, "internal").await;
    engine.script_model("petit", Chat::text("Oui, dans un délai de deux mois."));
    let mut form = experiment(dataset, &key, &["petit"]);
    form["prompts"] = json!([{"name": "court", "text": "Court."}, {"name": "long", "text": "Long."}]);
    let path = made(&app, &instance, "experiments", &form).await;
    let run = ended(&app, &instance, &path).await;

    let verdict = |quote: &str| json!({"reason": "r", "quote": quote, "value": "oui"}).to_string();
    engine.script_model("grand", Chat::text(&verdict("deux mois")));
    engine.next(Chat::text("Je dirais oui."));
    engine.next(Chat::text("{\"value\": true}"));
    engine.next(Chat::text(&verdict("trois mois")));
    let mut form = judging(&key, "juste");
    form["experiment_id"] = run["id"].clone();
    form["candidate"] = "petit/court".into();
    let path = made(&app, &instance, "judges", &form).await;
    let judged = ended(&app, &instance, &path).await;
    let count = &judged["judged"]["judges"]["grand"];
    assert_eq!((&count["asked"], &count["read"]), (&json!(10), &json!(7)), "{judged}");
    assert_eq!(count["unreadable"], json!({"not_json": 2, "quote_not_literal": 1}), "{judged}");
    assert_eq!(judged["method"]["judging"]["prompt_version"], "1.0.0", "{judged}");
    let (_, evidence) = app.get(&format!("{path}/evidence"), &instance).await;
    let evidence = evidence.as_str().expect("CSV");
    assert_eq!((evidence.matches("juste,oui,").count(), evidence.matches("juste,,").count()), (7, 3), "{evidence}");
    assert_eq!(app.get(&format!("{path}/duels"), &instance).await.0, 404);

    // A judge that always prefers what it reads first.
    let first = json!({"reason": "r", "quote_a": "", "quote_b": "", "winner": "A"}).to_string();
    engine.script_model("grand", Chat::text(&first));
    let mut form = judging(&key, "mieux");
    form["experiment_id"] = run["id"].clone();
    form["candidate"] = "petit/court".into();
    form["against"] = "petit/long".into();
    let path = made(&app, &instance, "judges", &form).await;
    let judged = ended(&app, &instance, &path).await;
    let count = &judged["judged"]["judges"]["grand"];
    assert_eq!((&count["asked"], &count["order_decided"]), (&json!(20), &json!(10)), "{judged}");
    let (_, duels) = app.get(&format!("{path}/duels"), &instance).await;
    assert_eq!(duels.as_str().map(|text| text.matches(",tie,").count()), Some(10), "{duels}");
}

async fn a_judge_is_refused_for_its_family_and_for_where_it_is(backend: Backend) {
    let engine = FakeEngine::start().await;
    let url = engine.url();
    let one = |id: &str, family: &str, hosting: &str| {
        format!(
            "  - {{id: {id}, type: chat, family: {family}, deployments: [{{name: {id}-d, url: '{url}', engine: openai, hosting: {hosting}}}]}}\n"
        )
    };
    let models =
        [one("petit", "qwen", "state"), one("cousin", "Qwen", "state"), one("loin", "llama", "foreign")].concat();
    let app = TestApp::on(backend, &format!("{ON}\nmodels:\n{models}")).await;
    let (key, instance) = (app.key("A", "internal").await, evaluator(&app).await);
    let line = json!({"id": "a", "question": "Q ?", "fields": {"model": "petit", "answer": "Oui."}, "data_class": "sensitive"});
    let form = json!({"name": "d", "organization_id": key.organization_id, "content": line.to_string()});
    let (_, made) = app.post("/v1/eval/datasets", &instance, &form).await;
    let ask = |judge: &str| {
        json!({
            "dataset_id": made["id"], "project_id": key.project_id, "grid": GRID, "criterion": "juste", "judges": [judge],
            // What the catalogue says stands.
            "families": {"petit": "autre", "cousin": "autre encore"},
        })
    };
    let (status, refused) = app.post("/v1/eval/judges", &instance, &ask("cousin")).await;
    assert!(status == 400 && refused["detail"].as_str().is_some_and(|text| text.contains("famille")), "{refused}");
    let (status, refused) = app.post("/v1/eval/judges", &instance, &ask("loin")).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("sovereignty_policy")), "{refused}");
    assert_eq!(engine.posts(), 0, "nothing went out");
}

async fn what_is_purged_is_gone_from_datasets_and_answers(backend: Backend) {
    let (app, engine) = gateway(backend, ON).await;
    let (key, instance) = (app.key("A", "internal").await, evaluator(&app).await);
    consent(&app, &key).await;
    for i in 0..3 {
        ask(&app, &key, &chat("petit", &format!("Question n° {i} sur le passeport ?"), false)).await;
    }
    let records = kept(&app, &instance, 3).await;
    let form = json!({"name": "tout", "size": 3, "organization_id": key.organization_id});
    let (_, sample) = app.post("/v1/eval/samples", &instance, &form).await;
    let (status, made_) =
        app.post("/v1/eval/datasets", &instance, &json!({"name": "d", "sample_id": sample["id"]})).await;
    assert_eq!((status, &made_["items"], &made_["data_class"]), (201, &json!(3), &json!("internal")), "{made_}");
    let path = format!("/v1/eval/datasets/{}", made_["id"]);
    let (_, items) = app.get(&format!("{path}/items"), &instance).await;
    assert_eq!(items["data"].as_array().map(Vec::len), Some(3), "{items}");
    let fields = &items["data"][0]["fields"];
    assert_eq!((&fields["model"], &fields["probability"]), (&json!("petit"), &json!("1")), "{items}");
    assert!(fields["answer"].as_str().is_some_and(|text| text.contains("[nom]")), "redacted: {items}");
    engine.script(Chat::text("Réponse d’un autre modèle."));
    let dataset = made_["id"].as_i64().expect("an id");
    let run = made(&app, &instance, "experiments", &experiment(dataset, &key, &["grand"])).await;
    ended(&app, &instance, &run).await;
    let (_, answers) = app.get(&format!("{run}/answers"), &instance).await;
    assert_eq!(answers["data"].as_array().map(Vec::len), Some(3), "{answers}");
    // One record grows old.
    let old = records[0]["id"].as_str().expect("an id");
    sql(&app, &format!("UPDATE evaluation_records SET at = 1000 WHERE id = '{old}'")).await;
    let (status, purged) = app.post("/v1/eval/purge", &app.admin_key, &json!({})).await;
    assert_eq!((status, &purged["contents"]), (200, &json!(1)), "{purged}");
    let (_, items) = app.get(&format!("{path}/items"), &instance).await;
    let (_, answers) = app.get(&format!("{run}/answers"), &instance).await;
    for list in [&items, &answers] {
        assert_eq!(list["data"].as_array().map(Vec::len), Some(2), "{list}");
        assert!(!list.to_string().contains(old), "{list}");
    }
}

async fn reports_and_gates_say_what_the_command_says(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let instance = evaluator(&app).await;
    let table = |every: usize| -> String {
        let lines = (0..60).map(|i| format!("juste,{},human,i{i},u{i}\n", u8::from(i % every != 0)));
        format!("criterion,value,source,item,cluster\n{}", lines.collect::<String>())
    };
    let form = json!({"grid": GRID, "evidence": table(5), "seeds": {"tirage": "7"}});
    let (status, report) = app.post("/v1/eval/reports", &instance, &form).await;
    assert_eq!((status, &report["profile"][0]["criteria"][0]["n"]), (200, &json!(60)), "{report}");
    for (name, kind, within) in
        [("html", "text/html", "<!DOCTYPE html>"), ("markdown", "text/markdown", "# G"), ("csv", "text/csv", "juste")]
    {
        let mut form = form.clone();
        form["form"] = name.into();
        let response = app.send("/v1/eval/reports", &instance, &form).await;
        let said = response.headers()["content-type"].to_str().expect("a type").to_owned();
        let (status, text) = read(response).await;
        let text = text.as_str().expect("text").to_owned();
        assert!(status == 200 && said.starts_with(kind) && text.contains(within), "{said}: {text}");
    }
    let gate = |candidate: usize, margin: f64| json!({"grid": GRID, "baseline": table(5), "candidate": table(candidate), "margin": margin});
    let (_, same) = app.post("/v1/eval/gate", &instance, &gate(5, 0.2)).await;
    assert_eq!((&same["verdict"], &same["exit_code"]), (&json!("pass"), &json!(0)), "{same}");
    let (_, worse) = app.post("/v1/eval/gate", &instance, &gate(1, 0.2)).await;
    assert_eq!((&worse["verdict"], &worse["exit_code"]), (&json!("regression"), &json!(1)), "{worse}");
    let (_, narrow) = app.post("/v1/eval/gate", &instance, &gate(5, 0.01)).await;
    assert_eq!((&narrow["verdict"], &narrow["exit_code"]), (&json!("inconclusive"), &json!(2)), "{narrow}");
    // By the name it is stored under: the same hash, and that version never changes from then on.
    let (status, stored) = app.post("/v1/eval/grids", &instance, &json!({"document": GRID})).await;
    assert_eq!(status, 201, "{stored}");
    let mut named = form.clone();
    named["grid"] = stored["id"].clone();
    let (status, by_name) = app.post("/v1/eval/reports", &instance, &named).await;
    assert_eq!((status, &by_name["grid"]["hash"]), (200, &report["grid"]["hash"]), "{by_name}");
    let changed = GRID.replacen("{fr: G, en: G}", "{fr: H, en: H}", 1);
    let (status, refused) = app.post("/v1/eval/grids", &instance, &json!({"document": changed})).await;
    assert_eq!(status, 409, "{refused}");
    let mut named = gate(5, 0.2);
    named["grid"] = stored["id"].clone();
    let (status, passed) = app.post("/v1/eval/gate", &instance, &named).await;
    assert_eq!((status, &passed["verdict"]), (200, &json!("pass")), "{passed}");
    named["grid"] = "inconnue@1".into();
    let (status, refused) = app.post("/v1/eval/gate", &instance, &named).await;
    assert!(status == 400 && refused["error"]["param"] == "grid", "{refused}");
    for (path, mut form) in [("/v1/eval/reports", form), ("/v1/eval/gate", gate(5, 0.2))] {
        form["grid"] = "grid: g\nversion: 1\n".into();
        let (status, refused) = app.post(path, &instance, &form).await;
        assert!(status == 400 && refused["error"]["param"] == "grid", "{refused}");
    }
    let (status, refused) = app
        .post("/v1/eval/reports", &instance, &json!({"grid": GRID, "evidence": "criterion,value,item\njuste,2,i\n"}))
        .await;
    assert!(status == 400 && refused["detail"].as_str().is_some_and(|text| text.contains("ligne 2")), "{refused}");
}
