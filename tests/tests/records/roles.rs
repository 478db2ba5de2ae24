//! Who may read content: those who evaluate or audit that organization, and nobody else. Held against members with roles
//! drawn at random.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Backend, TestApp, on_each_database, read};

use crate::records::runs::{GRID, ended, made};
use crate::records::{ON, ask, chat, consent, evaluator, gateway, kept, member};

on_each_database!(no_evaluator_reads_another_organizations_content, each_role_does_what_it_may_and_nothing_else);

struct World {
    /// Of each organization: its number, its project, a record of it.
    organizations: Vec<(i64, i64, String)>,
}

async fn world(app: &TestApp) -> World {
    let mut organizations = Vec::new();
    for name in ["A", "B", "C"] {
        let key = app.key(name, "internal").await;
        consent(app, &key).await;
        let id = ask(app, &key, &chat("petit", &format!("affaire-{name}"), false)).await;
        app.post("/v1/feedback", &key.secret, &json!({"request_id": id, "comment": format!("avis-{name}")})).await;
        organizations.push((key.organization_id, key.project_id, id));
    }
    World { organizations }
}

/// A role somewhere, as a grant, and the organizations whose content it opens.
fn roles(world: &World) -> Vec<(Value, BTreeSet<i64>)> {
    let all: BTreeSet<i64> = world.organizations.iter().map(|(id, _, _)| *id).collect();
    let mut roles = vec![
        (json!({"role": "admin"}), BTreeSet::new()),
        (json!({"role": "evaluator"}), all.clone()),
        (json!({"role": "auditor"}), all),
    ];
    for (id, project, _) in &world.organizations {
        roles.push((json!({"role": "manager", "organization_id": id}), BTreeSet::new()));
        roles.push((json!({"role": "builder", "project_id": project}), BTreeSet::new()));
        for role in ["evaluator", "auditor"] {
            roles.push((json!({"role": role, "organization_id": id}), BTreeSet::from([*id])));
        }
    }
    roles
}

async fn no_evaluator_reads_another_organizations_content(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let world = world(&app).await;
    let instance = evaluator(&app).await;
    kept(&app, &instance, 3).await;
    let mut samples = Vec::new();
    for (id, _, _) in &world.organizations {
        let form = json!({"name": "un", "size": 5, "organization_id": id});
        samples.push(app.post("/v1/eval/samples", &instance, &form).await.1["id"].as_i64().expect("a sample"));
    }
    let mut works = Vec::new();
    for (id, project, record) in &world.organizations {
        works.push(Work::make(&app, &instance, (*id, *project), record).await);
    }
    let whole = app.post("/v1/eval/samples", &instance, &json!({"name": "tout", "size": 5})).await.1["id"].clone();
    let roles = roles(&world);
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for turn in 0..24 {
        let held: Vec<&(Value, BTreeSet<i64>)> =
            (0..random.usize(0..4)).map(|_| &roles[random.usize(..roles.len())]).collect();
        let mut grants: Vec<Value> = Vec::new();
        for (grant, _) in &held {
            if !grants.contains(grant) {
                grants.push(grant.clone());
            }
        }
        let open: BTreeSet<i64> = held.iter().flat_map(|(_, open)| open.iter().copied()).collect();
        let whose = format!("seed {seed}, turn {turn}: {grants:?}");
        let key = member(&app, None, &grants).await;
        for path in [
            "/v1/eval/records?limit=1000",
            "/v1/eval/feedback",
            "/v1/eval/samples",
            "/v1/eval/datasets",
            "/v1/eval/experiments",
            "/v1/eval/judges",
        ] {
            let (status, list) = app.get(path, &key).await;
            assert_eq!(status, if open.is_empty() { 403 } else { 200 }, "{whose} {path}: {list}");
            for one in list["data"].as_array().into_iter().flatten() {
                let of = one["organization_id"].as_i64();
                assert!(of.is_none_or(|id| open.contains(&id)), "{whose} {path}: {one}");
                assert!(of.is_some() || open.len() == 3, "{whose} {path}: {one}");
            }
            if path.contains("records") && status == 200 {
                assert_eq!(list["data"].as_array().map(Vec::len), Some(open.len()), "{whose}: {list}");
            }
        }
        for (((id, _, record), sample), work) in world.organizations.iter().zip(&samples).zip(&works) {
            let mut reads = work.paths.clone();
            reads.extend([
                format!("/v1/eval/records/{record}"),
                format!("/v1/eval/samples/{sample}"),
                format!("/v1/eval/samples/{sample}/items"),
                format!("/v1/eval/records?limit=9&organization_id={id}"),
            ]);
            for path in reads {
                let (status, answer) = app.get(&path, &key).await;
                let wanted = match (open.contains(id), open.is_empty()) {
                    (true, _) => 200,
                    (false, true) => 403,
                    (false, false) if path.contains("organization_id") => 200,
                    (false, false) => 404,
                };
                assert_eq!(status, wanted, "{whose} {path}: {answer}");
                if !open.contains(id) {
                    let text = answer.to_string();
                    assert!(!text.contains("affaire-") && !text.contains(record.as_str()), "{whose} {path}: {text}");
                }
            }
        }
        let (status, _) = app.get(&format!("/v1/eval/samples/{whole}"), &key).await;
        let instance = grants.iter().any(|grant| {
            grant["organization_id"].is_null() && (grant["role"] == "evaluator" || grant["role"] == "auditor")
        });
        assert_eq!(status == 200, instance, "{whose}: a sample over all is for who reads all");
    }
}

/// What an evaluator made of an organization's content.
struct Work {
    dataset: i64,
    experiment: String,
    judging: String,
    /// All that can be read of it.
    paths: Vec<String>,
}

impl Work {
    async fn make(app: &TestApp, key: &str, (organization, project): (i64, i64), record: &str) -> Work {
        let line = json!({"id": record, "question": format!("affaire de {record} ?")});
        let form = json!({"name": "d", "organization_id": organization, "content": line.to_string()});
        let (status, set) = app.post("/v1/eval/datasets", key, &form).await;
        assert_eq!(status, 201, "{set}");
        let form = json!({
            "dataset_id": set["id"], "project_id": project, "models": ["petit"],
            "prompts": [{"name": "a", "text": "A"}, {"name": "b", "text": "B"}],
        });
        let experiment = made(app, key, "experiments", &form).await;
        let run = ended(app, key, &experiment).await;
        let form = json!({
            "experiment_id": run["id"], "project_id": project, "grid": GRID, "criterion": "mieux", "judges": ["grand"],
            "candidate": "petit/a", "against": "petit/b", "families": {"petit": "a", "grand": "b"},
        });
        let judging = made(app, key, "judges", &form).await;
        ended(app, key, &judging).await;
        let dataset = set["id"].as_i64().expect("an id");
        let paths = ["", "/items", "/export"].map(|more| format!("/v1/eval/datasets/{dataset}{more}")).into_iter();
        let paths = paths.chain(["", "/answers"].map(|more| format!("{experiment}{more}")));
        let paths = paths.chain(["", "/answers", "/evidence", "/duels"].map(|more| format!("{judging}{more}")));
        Work { dataset, paths: paths.collect(), experiment, judging }
    }

    /// The address of a route on it.
    fn address(&self, route: &str) -> String {
        let numbers = [
            ("datasets", self.dataset.to_string()),
            ("experiments", self.experiment.rsplit('/').next().unwrap_or_default().to_owned()),
            ("judges", self.judging.rsplit('/').next().unwrap_or_default().to_owned()),
        ];
        let number = numbers.iter().find(|(name, _)| route.contains(name)).map_or("", |(_, number)| number.as_str());
        route.replace("{id}", number)
    }
}

/// Who calls, in the order of the columns below.
const CALLERS: [&str; 9] = [
    "admin",
    "auditor",
    "evaluator",
    "manager of A",
    "evaluator of A",
    "auditor of A",
    "member of A without a role",
    "A's project",
    "evaluator of B",
];

/// Method, route, and the status each caller gets about organization A.
const TABLE: [(&str, &str, [u16; 9]); 36] = [
    ("GET", "/v1/eval/records", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("GET", "/v1/eval/records/{id}", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("PUT", "/v1/eval/records/{id}/keep", [403, 403, 200, 403, 200, 403, 403, 403, 404]),
    ("DELETE", "/v1/eval/records/{id}/keep", [403, 403, 204, 403, 204, 403, 403, 403, 404]),
    ("GET", "/v1/eval/samples", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("POST", "/v1/eval/samples", [403, 403, 201, 403, 201, 403, 404, 403, 404]),
    ("GET", "/v1/eval/samples/{id}", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("GET", "/v1/eval/samples/{id}/items", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("POST", "/v1/eval/samples/{id}/estimate", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("POST", "/v1/eval/erasures", [200, 403, 403, 200, 403, 403, 404, 403, 404]),
    ("POST", "/v1/eval/purge", [200, 200, 403, 403, 403, 403, 403, 403, 403]),
    ("GET", "/v1/eval/datasets", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("POST", "/v1/eval/datasets", [403, 403, 201, 403, 201, 403, 404, 403, 404]),
    ("GET", "/v1/eval/datasets/{id}", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("DELETE", "/v1/eval/datasets/{id}", [403, 403, 204, 403, 204, 403, 403, 403, 404]),
    ("GET", "/v1/eval/datasets/{id}/items", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("GET", "/v1/eval/datasets/{id}/export", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("GET", "/v1/eval/experiments", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("POST", "/v1/eval/experiments", [403, 403, 200, 403, 200, 403, 403, 403, 404]),
    ("GET", "/v1/eval/experiments/{id}", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("DELETE", "/v1/eval/experiments/{id}", [403, 403, 204, 403, 204, 403, 403, 403, 404]),
    ("POST", "/v1/eval/experiments/{id}/resume", [403, 403, 200, 403, 200, 403, 403, 403, 404]),
    ("GET", "/v1/eval/experiments/{id}/answers", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("GET", "/v1/eval/judges", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("POST", "/v1/eval/judges", [403, 403, 200, 403, 200, 403, 403, 403, 404]),
    ("GET", "/v1/eval/judges/{id}", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("DELETE", "/v1/eval/judges/{id}", [403, 403, 204, 403, 204, 403, 403, 403, 404]),
    ("POST", "/v1/eval/judges/{id}/resume", [403, 403, 200, 403, 200, 403, 403, 403, 404]),
    ("GET", "/v1/eval/judges/{id}/answers", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("GET", "/v1/eval/judges/{id}/evidence", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("GET", "/v1/eval/judges/{id}/duels", [403, 200, 200, 403, 200, 200, 403, 403, 404]),
    ("POST", "/v1/eval/compare", [403, 400, 400, 403, 400, 400, 403, 403, 404]),
    ("POST", "/v1/eval/reports", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("POST", "/v1/eval/gate", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("GET", "/v1/eval/feedback", [403, 200, 200, 403, 200, 200, 403, 403, 200]),
    ("POST", "/v1/feedback", [403, 403, 403, 403, 403, 403, 403, 200, 403]),
];

/// The same for the consent of A's project, which administrators give and who reads the project sees.
const CONSENT: [(&str, [u16; 9]); 3] = [
    ("PUT", [200, 403, 404, 200, 404, 403, 404, 403, 404]),
    ("GET", [200, 200, 404, 200, 404, 200, 404, 403, 404]),
    ("DELETE", [204, 403, 404, 204, 404, 403, 404, 403, 404]),
];

const EVIDENCE: &str = "criterion,value,source,item\njuste,oui,human,i\n";

fn number(path: &str) -> i64 {
    path.rsplit('/').next().and_then(|text| text.parse().ok()).expect("a number")
}

async fn each_role_does_what_it_may_and_nothing_else(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let (a, b) = (app.key("A", "internal").await, app.key("B", "internal").await);
    let (of_a, of_b) = (a.organization_id, b.organization_id);
    consent(&app, &a).await;
    let record = ask(&app, &a, &chat("petit", "Bonjour", false)).await;
    let instance = evaluator(&app).await;
    kept(&app, &instance, 1).await;
    let form = json!({"name": "un", "size": 5, "organization_id": of_a});
    let sample = app.post("/v1/eval/samples", &instance, &form).await.1["id"].clone();
    let work = Work::make(&app, &instance, (of_a, a.project_id), &record).await;
    let keys = [
        app.admin_key.clone(),
        member(&app, None, &[json!({"role": "auditor"})]).await,
        instance.clone(),
        member(&app, Some(of_a), &[json!({"role": "manager", "organization_id": of_a})]).await,
        member(&app, Some(of_a), &[json!({"role": "evaluator", "organization_id": of_a})]).await,
        member(&app, Some(of_a), &[json!({"role": "auditor", "organization_id": of_a})]).await,
        member(&app, Some(of_a), &[]).await,
        a.secret.clone(),
        member(&app, Some(of_b), &[json!({"role": "evaluator", "organization_id": of_b})]).await,
    ];
    let call = async |method: &str, path: &str, key: &str, body: &Value| {
        let mut request = app.request(Method::from_bytes(method.as_bytes()).expect("a method"), path, key);
        if !body.is_null() {
            request = request.json(body);
        }
        read(request.send().await.expect("an answer")).await
    };
    for (method, route, expected) in TABLE {
        for ((caller, key), expected) in CALLERS.iter().zip(&keys).zip(expected) {
            let mut work = &work;
            let fresh;
            if method == "DELETE" && !route.contains("records") {
                fresh = Work::make(&app, &instance, (of_a, a.project_id), &record).await;
                work = &fresh;
            }
            let id = if route.contains("samples") { sample.to_string() } else { record.clone() };
            let mut path = match ["datasets", "experiments", "judges"].iter().any(|name| route.contains(name)) {
                true => work.address(route),
                false => route.replace("{id}", &id),
            };
            let body = match (method, route) {
                ("PUT", _) => json!({"dataset": "d", "checked": true}),
                ("POST", "/v1/eval/samples") => json!({"name": "n", "size": 1, "organization_id": of_a}),
                ("POST", "/v1/eval/datasets") => {
                    json!({"name": "n", "organization_id": of_a, "content": "{\"question\": \"Q\"}"})
                }
                ("POST", "/v1/eval/experiments") => {
                    json!({"dataset_id": work.dataset, "project_id": a.project_id, "models": ["petit"], "dry_run": true})
                }
                ("POST", "/v1/eval/judges") => json!({
                    "experiment_id": number(&work.experiment), "project_id": a.project_id, "grid": GRID, "criterion": "juste",
                    "judges": ["grand"], "candidate": "petit/a", "families": {"petit": "a", "grand": "b"}, "dry_run": true,
                }),
                ("POST", "/v1/eval/compare") => json!({
                    "experiment_id": number(&work.experiment), "first": "petit/a", "second": "petit/b", "metric": "latency",
                }),
                ("POST", "/v1/eval/reports") => json!({"grid": GRID, "evidence": EVIDENCE}),
                ("POST", "/v1/eval/gate") => json!({"grid": GRID, "baseline": EVIDENCE, "candidate": EVIDENCE}),
                ("POST", "/v1/eval/samples/{id}/estimate") => json!({"values": {}}),
                ("POST", "/v1/eval/erasures") => json!({"organization_id": of_a, "pseudonym": "personne"}),
                ("POST", "/v1/eval/purge") => json!({"dry_run": true}),
                ("POST", _) => json!({"request_id": record, "score": 1}),
                _ => Value::Null,
            };
            if method == "DELETE" && route.contains("records") {
                path.push_str("?dataset=d");
                let form = json!({"dataset": "d", "checked": true});
                let kept = call("PUT", path.split('?').next().expect("a path"), &instance, &form).await;
                assert_eq!(kept.0, 200);
            }
            let (status, answer) = call(method, &path, key, &body).await;
            assert_eq!(status, expected, "{caller}: {method} {route}: {answer}");
        }
    }
    let path = format!("/v1/admin/projects/{}/consent", a.project_id);
    for (method, expected) in CONSENT {
        for ((caller, key), expected) in CALLERS.iter().zip(&keys).zip(expected) {
            consent(&app, &a).await;
            let body = if method == "PUT" { json!({"notice": "2026-2"}) } else { Value::Null };
            let (status, answer) = call(method, &path, key, &body).await;
            assert_eq!(status, expected, "{caller}: {method} consent: {answer}");
        }
    }
    // Counting is all that an auditor may ask of the retention.
    assert_eq!(app.post("/v1/eval/purge", &keys[1], &json!({})).await.0, 403);
    assert_eq!(app.post("/v1/eval/purge", &app.admin_key, &json!({})).await.0, 200);

    // A route of evaluation that is not in the table fails here.
    let description = app.get("/openapi.json", "").await.1;
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        // Grids and campaigns have a table of their own: `campaigns::rights`.
        let elsewhere = ["/v1/eval/grids", "/v1/eval/campaigns"].iter().any(|start| path.starts_with(start));
        if (path.starts_with("/v1/eval/") && !elsewhere) || path == "/v1/feedback" {
            let methods = methods.as_object().expect("methods");
            described.extend(methods.keys().map(|method| (method.to_uppercase(), path.clone())));
        }
    }
    let tested: BTreeSet<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described, tested);
}
