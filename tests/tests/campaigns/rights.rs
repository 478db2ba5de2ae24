//! Who may do what; and, held against members, roles and names drawn at random: no evaluator reads another organization's
//! campaign, item, grid or annotation.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Backend, TestApp, on_each_database, read};

use super::{Stand, numbers, stand};
use crate::records::{ON, evaluator, gateway, member};

on_each_database!(no_evaluator_reads_another_organizations_campaign, each_role_does_what_it_may_and_nothing_else);

struct Side {
    organization: i64,
    project: i64,
    /// Whoever evaluates it may annotate it.
    campaign: i64,
    item: String,
    evaluator: String,
    name: &'static str,
}

fn row(name: &str) -> Value {
    json!({"prompt": format!("affaire-{name} ?"), "answers": [{"text": format!("réponse-{name}"), "candidate": "modèle"}]})
}

async fn side(app: &TestApp, name: &'static str) -> Side {
    let key = app.key(name, "internal").await;
    let organization = key.organization_id;
    let evaluator =
        member(app, Some(organization), &[json!({"role": "evaluator", "organization_id": organization})]).await;
    let document = super::grids::sound(&format!("grille-{name}"), &format!("secret-{name} ?"));
    let (status, stored) = app.post("/v1/eval/grids", &evaluator, &json!({"document": document})).await;
    assert_eq!((status, &stored["organization_id"]), (201, &json!(organization)), "{stored}");
    let form = json!({"name": format!("campagne-{name}"), "grid": format!("grille-{name}@3"), "per_item": 50,
        "rows": (0..3).map(|_| row(name)).collect::<Vec<Value>>()});
    let (status, made) = app.post("/v1/eval/campaigns", &evaluator, &form).await;
    assert_eq!(status, 201, "{made}");
    let campaign = made["id"].as_i64().expect("a number");
    let (_, item) = app.get(&format!("/v1/eval/campaigns/{campaign}/next"), &evaluator).await;
    let item = item["item"].as_str().expect("an item").to_owned();
    let said = json!({"item": item, "answers": {"juste": true}, "comment": format!("avis-{name}")});
    let (status, taken) = app.post(&format!("/v1/eval/campaigns/{campaign}/annotations"), &evaluator, &said).await;
    assert_eq!(status, 201, "{taken}");
    Side { organization, project: key.project_id, campaign, item, evaluator, name }
}

/// What an answer must not hold of a side.
fn leaks(answer: &Value, side: &Side) -> bool {
    let text = answer.to_string();
    ["affaire-", "réponse-", "secret-", "avis-", "campagne-", "grille-"]
        .iter()
        .any(|word| text.contains(&format!("{word}{}", side.name)))
        || text.contains(&side.item)
}

async fn no_evaluator_reads_another_organizations_campaign(backend: Backend) {
    let (app, _engine) = gateway(backend, ON).await;
    let sides = [side(&app, "A").await, side(&app, "B").await, side(&app, "C").await];
    let all: BTreeSet<i64> = sides.iter().map(|side| side.organization).collect();
    // A role somewhere, and the organizations it evaluates, then those it audits.
    let none = BTreeSet::<i64>::new();
    let mut roles = vec![
        (json!({"role": "admin"}), none.clone(), none.clone()),
        (json!({"role": "evaluator"}), all.clone(), none.clone()),
        (json!({"role": "auditor"}), none.clone(), all),
    ];
    for side in &sides {
        let id = side.organization;
        roles.push((json!({"role": "manager", "organization_id": id}), none.clone(), none.clone()));
        roles.push((json!({"role": "builder", "project_id": side.project}), none.clone(), none.clone()));
        roles.push((json!({"role": "evaluator", "organization_id": id}), BTreeSet::from([id]), none.clone()));
        roles.push((json!({"role": "auditor", "organization_id": id}), none.clone(), BTreeSet::from([id])));
    }
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for turn in 0..20 {
        let held: Vec<_> = (0..random.usize(0..3)).map(|_| &roles[random.usize(..roles.len())]).collect();
        let mut grants: Vec<Value> = Vec::new();
        for (grant, _, _) in &held {
            if !grants.contains(grant) {
                grants.push(grant.clone());
            }
        }
        let evaluates: BTreeSet<i64> = held.iter().flat_map(|(_, on, _)| on.iter().copied()).collect();
        let audits: BTreeSet<i64> = held.iter().flat_map(|(_, _, on)| on.iter().copied()).collect();
        // A member of one organization is given roles of that one only: elsewhere, one of the instance.
        let own = |side: &&Side| {
            grants.iter().all(|grant| {
                grant["organization_id"].as_i64().is_some_and(|id| id == side.organization)
                    || grant["project_id"].as_i64().is_some_and(|id| id == side.project)
            })
        };
        let homes: Vec<i64> = sides.iter().filter(own).map(|side| side.organization).collect();
        let home = random.choice(homes).filter(|_| random.bool());
        let whose = format!("seed {seed}, turn {turn}: of {home:?}, {grants:?}");
        let key = member(&app, home, &grants).await;
        let number = app.get("/v1/me", &key).await.1["member_id"].clone();

        // Named in a campaign of one organization, where that may be.
        let host = &sides[random.usize(..3)];
        let form = json!({"name": format!("campagne-{}", host.name), "grid": "guichet@1", "criteria": ["sans-danger"],
            "rows": [row(host.name)], "per_item": 1, "annotators": [number]});
        let (status, made) = app.post("/v1/eval/campaigns", &host.evaluator, &form).await;
        let may = home == Some(host.organization) || evaluates.contains(&host.organization);
        assert_eq!(status, if may { 201 } else { 400 }, "{whose}, named in {}: {made}", host.name);
        let named = may.then(|| made["id"].as_i64().expect("a number"));

        let reads = |id: i64| evaluates.contains(&id) || audits.contains(&id);
        let anything = sides.iter().any(|side| reads(side.organization));
        for side in &sides {
            let (id, campaign) = (side.organization, side.campaign);
            for path in ["", "/items", "/annotations", "/agreement", "/pairs", "/rankings"] {
                let path = format!("/v1/eval/campaigns/{campaign}{path}");
                let (status, answer) = app.get(&path, &key).await;
                assert_eq!(status, if reads(id) { 200 } else { 404 }, "{whose} {path}: {answer}");
                assert!(reads(id) || !leaks(&answer, side), "{whose} {path}: {answer}");
            }
            let (status, answer) = app.get(&format!("/v1/eval/grids/grille-{}@3", side.name), &key).await;
            let wanted = match (reads(id), anything) {
                (true, _) => 200,
                (false, true) => 404,
                (false, false) => 403,
            };
            assert_eq!(status, wanted, "{whose}: {answer}");
            let (status, answer) =
                app.get(&format!("/v1/eval/grids/grille-{}@3?organization_id={id}", side.name), &key).await;
            assert_eq!(status, wanted, "{whose}: {answer}");
            let path = format!("/v1/eval/campaigns/{campaign}/annotations");
            let said = json!({"item": side.item, "answers": {"juste": false}});
            let (status, answer) = app.post(&path, &key, &said).await;
            let wanted = match (evaluates.contains(&id), audits.contains(&id)) {
                // Allowed to annotate, and not given this item.
                (true, _) => 404,
                (false, true) => 403,
                (false, false) => 404,
            };
            assert_eq!(status, wanted, "{whose} {path}: {answer}");
            let (status, answer) =
                app.patch(&format!("/v1/eval/campaigns/{campaign}"), &key, &json!({"closed": false})).await;
            assert_eq!(status == 200, evaluates.contains(&id), "{whose}: {answer}");
            let other = json!({"name": "x", "grid": format!("grille-{}@3", side.name), "rows": [row("x")], "organization_id": id});
            let (status, answer) = app.post("/v1/eval/campaigns", &key, &other).await;
            assert_eq!(status == 201, evaluates.contains(&id), "{whose}: {answer}");
            // The other's grid, under the name of an organization that may be evaluated, is no grid.
            for mine in sides.iter().filter(|mine| evaluates.contains(&mine.organization) && mine.organization != id) {
                let stolen = json!({"name": "x", "grid": format!("grille-{}@3", side.name), "rows": [row("x")],
                    "organization_id": mine.organization});
                let (status, answer) = app.post("/v1/eval/campaigns", &key, &stolen).await;
                assert_eq!((status, answer["error"]["param"].as_str()), (400, Some("grid")), "{whose}: {answer}");
            }
        }
        // Lists show what may be read or annotated, and nothing of the others.
        let (status, list) = app.get("/v1/eval/campaigns?limit=1000", &key).await;
        assert_eq!(status, 200, "{whose}: {list}");
        for one in list["data"].as_array().expect("a list") {
            let of = one["organization_id"].as_i64().expect("an organization");
            assert!(reads(of) || one["id"].as_i64() == named, "{whose}: {one}");
        }
        let listed =
            |id: i64| list["data"].as_array().expect("a list").iter().any(|one| one["id"].as_i64() == Some(id));
        assert!(named.is_none_or(listed), "{whose}: {list}");
        assert!(sides.iter().all(|side| listed(side.campaign) == reads(side.organization)), "{whose}: {list}");
        let (status, grids) = app.get("/v1/eval/grids?limit=1000", &key).await;
        assert_eq!(status, if anything { 200 } else { 403 }, "{whose}: {grids}");
        for grid in grids["data"].as_array().into_iter().flatten() {
            assert!(grid["organization_id"].as_i64().is_none_or(reads), "{whose}: {grid}");
        }
        // Who is named gets that item, and by it nothing of the rest.
        if let Some(id) = named {
            let (status, item) = app.get(&format!("/v1/eval/campaigns/{id}/next"), &key).await;
            assert!(status == 200 && leaks(&item, host), "{whose}: {item}");
            assert!(
                sides.iter().filter(|side| side.name != host.name).all(|side| !leaks(&item, side)),
                "{whose}: {item}"
            );
        }
    }
}

/// Who calls, in the order of the columns below.
const CALLERS: [&str; 10] = [
    "admin",
    "auditor",
    "evaluator",
    "manager of A",
    "evaluator of A",
    "auditor of A",
    "member of A who is named",
    "member of A who is not",
    "A's project",
    "evaluator of B",
];

/// Method, route, and the status each caller gets about a campaign of A that names one member.
const TABLE: [(&str, &str, [u16; 10]); 13] = [
    ("GET", "/v1/eval/grids", [403, 200, 200, 403, 200, 200, 403, 403, 403, 200]),
    ("POST", "/v1/eval/grids", [403, 403, 201, 403, 200, 403, 404, 404, 403, 404]),
    ("GET", "/v1/eval/grids/{id}", [403, 200, 200, 403, 200, 200, 403, 403, 403, 404]),
    ("GET", "/v1/eval/campaigns", [200, 200, 200, 200, 200, 200, 200, 200, 403, 200]),
    ("POST", "/v1/eval/campaigns", [403, 403, 201, 403, 201, 403, 404, 404, 403, 404]),
    ("GET", "/v1/eval/campaigns/{id}", [404, 200, 200, 404, 200, 200, 200, 404, 403, 404]),
    ("PATCH", "/v1/eval/campaigns/{id}", [404, 403, 200, 404, 200, 403, 403, 404, 403, 404]),
    ("GET", "/v1/eval/campaigns/{id}/items", [404, 200, 200, 404, 200, 200, 403, 404, 403, 404]),
    ("GET", "/v1/eval/campaigns/{id}/next", [404, 403, 403, 404, 403, 403, 200, 404, 403, 404]),
    ("POST", "/v1/eval/campaigns/{id}/annotations", [404, 403, 403, 404, 403, 403, 404, 404, 403, 404]),
    ("GET", "/v1/eval/campaigns/{id}/annotations", [404, 200, 200, 404, 200, 200, 403, 404, 403, 404]),
    ("GET", "/v1/eval/campaigns/{id}/agreement", [404, 200, 200, 404, 200, 200, 403, 404, 403, 404]),
    ("GET", "/v1/eval/campaigns/{id}/rankings", [404, 200, 200, 404, 200, 200, 403, 404, 403, 404]),
];

async fn each_role_does_what_it_may_and_nothing_else(backend: Backend) {
    let stand = stand(backend).await;
    let app = &stand.app;
    let of_a = stand.key.organization_id;
    let of_b = app.key("B", "internal").await.organization_id;
    let annotators = stand.annotators(2).await;
    let document = super::grids::sound("mairie", "Juste ?");
    let (_, stored) = app.post("/v1/eval/grids", &stand.evaluator, &json!({"document": document})).await;
    let campaign = made(&stand, &numbers(&annotators[..1])).await;
    let keys = [
        app.admin_key.clone(),
        member(app, None, &[json!({"role": "auditor"})]).await,
        evaluator(app).await,
        member(app, Some(of_a), &[json!({"role": "manager", "organization_id": of_a})]).await,
        stand.evaluator.clone(),
        member(app, Some(of_a), &[json!({"role": "auditor", "organization_id": of_a})]).await,
        annotators[0].2.clone(),
        annotators[1].2.clone(),
        stand.key.secret.clone(),
        member(app, Some(of_b), &[json!({"role": "evaluator", "organization_id": of_b})]).await,
    ];
    for (method, route, expected) in TABLE {
        for ((caller, key), expected) in CALLERS.iter().zip(&keys).zip(expected) {
            let id = if route.contains("grids") { "mairie@3".to_owned() } else { campaign["id"].to_string() };
            let path = route.replace("{id}", &id);
            let body = match (method, route) {
                ("PATCH", _) => json!({"closed": false}),
                // Of the instance's evaluator, a grid of its own.
                ("POST", "/v1/eval/grids") if *caller == "evaluator" => {
                    json!({"document": super::grids::sound("partout", "Juste ?")})
                }
                ("POST", "/v1/eval/grids") => json!({"document": document, "organization_id": of_a}),
                ("POST", "/v1/eval/campaigns") => {
                    json!({"name": "n", "grid": "mairie@3", "rows": [row("A")], "organization_id": of_a})
                }
                ("POST", _) => json!({"item": "it_inconnu", "answers": {}}),
                _ => Value::Null,
            };
            let mut request = app.request(Method::from_bytes(method.as_bytes()).expect("a method"), &path, key);
            if !body.is_null() {
                request = request.json(&body);
            }
            let (status, answer) = read(request.send().await.expect("an answer")).await;
            assert_eq!(status, expected, "{caller}: {method} {route}: {answer}");
        }
    }
    assert_eq!(stored["organization_id"], json!(of_a));
    // A grid of the instance is everybody's; `pairs` answers as `rankings` does.
    assert_eq!(app.get("/v1/eval/grids/partout@3", &keys[9]).await.0, 200);
    let path = format!("/v1/eval/campaigns/{}/pairs", campaign["id"]);
    let (_, _, rankings) = TABLE[12];
    for ((caller, key), expected) in CALLERS.iter().zip(&keys).zip(rankings) {
        assert_eq!(app.get(&path, key).await.0, expected, "{caller}: {path}");
    }

    // A route of grids or campaigns that is not in the table fails here.
    let description = app.get("/openapi.json", "").await.1;
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        if path.starts_with("/v1/eval/grids") || path.starts_with("/v1/eval/campaigns") {
            let methods = methods.as_object().expect("methods");
            described.extend(methods.keys().map(|method| (method.to_uppercase(), path.clone())));
        }
    }
    let mut tested: BTreeSet<(String, String)> =
        TABLE.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    tested.insert(("GET".to_owned(), "/v1/eval/campaigns/{id}/pairs".to_owned()));
    assert_eq!(described, tested);
}

async fn made(stand: &Stand, annotators: &[i64]) -> Value {
    let rows: Vec<Value> = (0..3).map(|_| row("A")).collect();
    stand
        .campaign(&json!({"name": "une", "grid": "mairie@3", "rows": rows, "per_item": 2, "annotators": annotators}))
        .await
}
