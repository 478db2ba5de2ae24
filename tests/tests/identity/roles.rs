//! Each role against each route, in its own organization and before a neighbour's.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Backend, FakeEngine, TestApp, chat, on_each_database, read};

use crate::identity::{key, make, member, one_model, organization, project};

on_each_database!(each_role_does_what_it_may_and_nothing_else, roles_are_given_where_they_mean_something);

/// Who calls, in the order of the columns below. Those "of A" belong to organization A.
const CALLERS: [&str; 10] = [
    "admin",
    "auditor",
    "evaluator",
    "manager of A",
    "builder of A's project",
    "evaluator of A",
    "auditor of A",
    "member of A without a role",
    "A's project",
    "manager of B",
];

/// Method, route, on what, and the status each caller gets. What one may not see is 404; what one may see and not do is
/// 403; to who reads nothing, lists are 403.
const TABLE: [(&str, &str, &str, [u16; 10]); 47] = [
    ("GET", "/v1/admin/organizations", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("POST", "/v1/admin/organizations", "", [201, 403, 403, 403, 403, 403, 403, 403, 403, 403]),
    ("GET", "/v1/admin/organizations/{id}", "A", [200, 200, 404, 200, 404, 404, 200, 404, 403, 404]),
    ("PATCH", "/v1/admin/organizations/{id}", "A", [200, 403, 404, 403, 404, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/organizations/{id}", "new", [204, 403, 404, 404, 404, 404, 404, 404, 403, 404]),
    ("GET", "/v1/admin/projects", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("POST", "/v1/admin/projects", "A", [201, 403, 404, 201, 404, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/projects/{id}", "A's", [200, 200, 404, 200, 200, 404, 200, 404, 403, 404]),
    ("GET", "/v1/admin/projects/{id}", "A's other", [200, 200, 404, 200, 404, 404, 200, 404, 403, 404]),
    ("PATCH", "/v1/admin/projects/{id}", "A's", [200, 403, 404, 200, 403, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/projects/{id}", "new of A", [204, 403, 404, 204, 404, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/members", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("POST", "/v1/admin/members", "A", [201, 403, 404, 201, 404, 404, 403, 404, 403, 404]),
    ("POST", "/v1/admin/members", "instance", [201, 403, 403, 403, 403, 403, 403, 403, 403, 403]),
    ("GET", "/v1/admin/members/{id}", "of A", [200, 200, 404, 200, 404, 404, 200, 404, 403, 404]),
    ("PATCH", "/v1/admin/members/{id}", "of A", [200, 403, 404, 200, 404, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/members/{id}", "new of A", [204, 403, 404, 204, 404, 404, 403, 404, 403, 404]),
    ("POST", "/v1/admin/members/{id}/grants", "auditor of A", [201, 403, 404, 201, 404, 404, 403, 404, 403, 404]),
    ("POST", "/v1/admin/members/{id}/grants", "builder of A's", [201, 403, 404, 201, 404, 404, 403, 404, 403, 404]),
    ("POST", "/v1/admin/members/{id}/grants", "admin", [201, 403, 404, 404, 404, 404, 404, 404, 403, 404]),
    ("DELETE", "/v1/admin/members/{id}/grants/{grant_id}", "of A", [204, 403, 404, 204, 404, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/keys", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("POST", "/v1/admin/keys", "A's", [201, 403, 404, 201, 201, 404, 403, 404, 403, 404]),
    ("POST", "/v1/admin/keys", "A's other", [201, 403, 404, 201, 404, 404, 403, 404, 403, 404]),
    ("POST", "/v1/admin/keys", "member of A", [201, 403, 404, 201, 404, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/keys/{id}", "A's", [204, 403, 404, 204, 204, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/keys/{id}", "member of A", [204, 403, 404, 204, 404, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/organizations/{id}/limits", "A", [200, 200, 404, 200, 404, 404, 200, 404, 403, 404]),
    ("PUT", "/v1/admin/organizations/{id}/limits", "A", [200, 403, 404, 403, 404, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/organizations/{id}/limits", "A", [200, 403, 404, 403, 404, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/projects/{id}/limits", "A's", [200, 200, 404, 200, 200, 404, 200, 404, 403, 404]),
    ("PUT", "/v1/admin/projects/{id}/limits", "A's", [200, 403, 404, 200, 403, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/projects/{id}/limits", "A's", [200, 403, 404, 200, 403, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/keys/{id}/limits", "A's", [200, 200, 404, 200, 200, 404, 200, 404, 403, 404]),
    ("PUT", "/v1/admin/keys/{id}/limits", "A's", [200, 403, 404, 200, 403, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/keys/{id}/limits", "A's", [200, 403, 404, 200, 403, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/members/{id}/limits", "of A", [200, 200, 404, 200, 404, 404, 200, 404, 403, 404]),
    ("PUT", "/v1/admin/members/{id}/limits", "of A", [200, 403, 404, 200, 404, 404, 403, 404, 403, 404]),
    ("DELETE", "/v1/admin/members/{id}/limits", "of A", [200, 403, 404, 200, 404, 404, 403, 404, 403, 404]),
    ("PUT", "/v1/admin/projects/{id}/active-users", "A's", [200, 403, 404, 200, 403, 404, 403, 404, 403, 404]),
    ("GET", "/v1/admin/users/active", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("GET", "/v1/admin/usage", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("GET", "/v1/admin/records", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("GET", "/v1/admin/audit", "", [200, 200, 403, 200, 200, 403, 200, 403, 403, 200]),
    ("GET", "/metrics", "", [200, 200, 403, 403, 403, 403, 403, 403, 403, 403]),
    ("POST", "/v1/me/keys", "", [201, 403, 403, 201, 201, 403, 403, 403, 403, 201]),
    ("POST", "/v1/chat/completions", "", [403, 403, 403, 403, 403, 403, 403, 403, 200, 403]),
];

/// What everyone with a key may ask.
const EVERYONE: [&str; 7] =
    ["/v1/me", "/v1/me/info", "/v1/me/keys", "/v1/me/usage", "/v1/usage", "/v1/models", "/v1/prompts"];

struct World {
    a: i64,
    project: i64,
    other_project: i64,
    member: i64,
    keys: Vec<String>,
}

async fn world(app: &TestApp) -> World {
    let (a, b) = (organization(app, "A").await, organization(app, "B").await);
    let (of_a, other_project) = (project(app, a, "un").await, project(app, a, "deux").await);
    project(app, b, "un").await;
    let mut keys = vec![app.admin_key.clone()];
    for (organization, grant) in [
        (None, Some(json!({"role": "auditor"}))),
        (None, Some(json!({"role": "evaluator"}))),
        (Some(a), Some(json!({"role": "manager", "organization_id": a}))),
        (Some(a), Some(json!({"role": "builder", "project_id": of_a}))),
        (Some(a), Some(json!({"role": "evaluator", "organization_id": a}))),
        (Some(a), Some(json!({"role": "auditor", "organization_id": a}))),
        (Some(a), None),
    ] {
        let id = member(app, &fresh("@a.fr"), organization, grant).await;
        keys.push(key(app, json!({"member_id": id})).await.1);
    }
    keys.push(key(app, json!({"project_id": of_a})).await.1);
    let id = member(app, &fresh("@b.fr"), Some(b), Some(json!({"role": "manager", "organization_id": b}))).await;
    keys.push(key(app, json!({"member_id": id})).await.1);
    let member = member(app, &fresh("@a.fr"), Some(a), None).await;
    World { a, project: of_a, other_project, member, keys }
}

/// A name not yet used.
fn fresh(end: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("nom{}{end}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The path and the body of a call, on objects made for it where it would use them up.
async fn call(app: &TestApp, world: &World, method: &str, route: &str, on: &str) -> (String, Value) {
    let a = world.a;
    let new_member = async || member(app, &fresh("@a.fr"), Some(a), None).await;
    let at = |id: i64| route.replace("{id}", &id.to_string());
    match (method, route, on) {
        (_, route, on) if route.ends_with("/limits") => {
            let path = match on {
                "A" => at(a),
                "of A" => at(world.member),
                _ if route.contains("/keys/") => {
                    route.replace("{id}", &key(app, json!({"project_id": world.project})).await.0)
                }
                _ => at(world.project),
            };
            (path, if method == "PUT" { json!({"limits": []}) } else { Value::Null })
        }
        ("PUT", "/v1/admin/projects/{id}/active-users", _) => {
            (at(world.project), json!({"month": "2026-11", "users": 3, "source": "sessions"}))
        }
        ("GET", _, "A") => (at(a), Value::Null),
        ("GET", _, "A's") => (at(world.project), Value::Null),
        ("GET", _, "A's other") => (at(world.other_project), Value::Null),
        ("GET", _, "of A") => (at(world.member), Value::Null),
        ("GET", _, "") => (route.to_owned(), Value::Null),
        ("POST", "/v1/admin/organizations", _) => (route.to_owned(), json!({"name": fresh("")})),
        ("PATCH", "/v1/admin/organizations/{id}", _) => (at(a), json!({"name": "A"})),
        ("DELETE", "/v1/admin/organizations/{id}", _) => (at(organization(app, &fresh("")).await), Value::Null),
        ("POST", "/v1/admin/projects", _) => (route.to_owned(), json!({"organization_id": a, "name": fresh("")})),
        ("PATCH", "/v1/admin/projects/{id}", _) => (at(world.project), json!({"data_class": "internal"})),
        ("DELETE", "/v1/admin/projects/{id}", _) => (at(project(app, a, &fresh("")).await), Value::Null),
        ("POST", "/v1/admin/members", "A") => {
            (route.to_owned(), json!({"email": fresh("@a.fr"), "name": "N", "organization_id": a}))
        }
        ("POST", "/v1/admin/members", _) => (route.to_owned(), json!({"email": fresh("@etat.fr"), "name": "N"})),
        ("PATCH", "/v1/admin/members/{id}", _) => (at(world.member), json!({"name": fresh("")})),
        ("DELETE", "/v1/admin/members/{id}", _) => (at(new_member().await), Value::Null),
        ("POST", "/v1/admin/members/{id}/grants", "admin") => {
            (at(member(app, &fresh("@etat.fr"), None, None).await), json!({"role": "admin"}))
        }
        ("POST", "/v1/admin/members/{id}/grants", "auditor of A") => {
            (at(new_member().await), json!({"role": "auditor", "organization_id": a}))
        }
        ("POST", "/v1/admin/members/{id}/grants", _) => {
            (at(new_member().await), json!({"role": "builder", "project_id": world.project}))
        }
        ("DELETE", "/v1/admin/members/{id}/grants/{grant_id}", _) => {
            let id = new_member().await;
            let grant = json!({"role": "auditor", "organization_id": a});
            let grant = make(app, &format!("/v1/admin/members/{id}/grants"), grant).await;
            (at(id).replace("{grant_id}", &grant.to_string()), Value::Null)
        }
        ("POST", "/v1/admin/keys", "A's") => (route.to_owned(), json!({"project_id": world.project})),
        ("POST", "/v1/admin/keys", "A's other") => (route.to_owned(), json!({"project_id": world.other_project})),
        ("POST", "/v1/admin/keys", _) => (route.to_owned(), json!({"member_id": world.member})),
        ("DELETE", "/v1/admin/keys/{id}", on) => {
            let form =
                if on == "A's" { json!({"project_id": world.project}) } else { json!({"member_id": world.member}) };
            (route.replace("{id}", &key(app, form).await.0), Value::Null)
        }
        ("POST", "/v1/me/keys", _) => (route.to_owned(), json!({"name": "autre"})),
        ("POST", "/v1/chat/completions", _) => (route.to_owned(), chat("fake/plain")),
        other => panic!("the table has a row that no call is written for: {other:?}"),
    }
}

async fn each_role_does_what_it_may_and_nothing_else(backend: Backend) {
    let engine = FakeEngine::start().await;
    let app = TestApp::on(backend, &one_model(&engine)).await;
    let world = world(&app).await;
    for (method, route, on, expected) in TABLE {
        for ((caller, secret), expected) in CALLERS.iter().zip(&world.keys).zip(expected) {
            let (path, body) = call(&app, &world, method, route, on).await;
            let mut request = app.request(Method::from_bytes(method.as_bytes()).expect("a method"), &path, secret);
            if !body.is_null() {
                request = request.json(&body);
            }
            let (status, answer) = read(request.send().await.expect("an answer")).await;
            assert_eq!(status, expected, "{caller}: {method} {route} ({on}): {answer}");
            let code = answer["error"]["code"].as_str();
            assert!(status != 403 || code == Some("permission_denied"), "{answer}");
            assert!(status != 404 || code == Some("not_found"), "{answer}");
        }
    }
    for path in EVERYONE {
        for (caller, secret) in CALLERS.iter().zip(&world.keys) {
            let (status, answer) = app.get(path, secret).await;
            assert_eq!(status, 200, "{caller}: {path}: {answer}");
        }
    }
    assert_eq!(engine.posts(), 1, "only the project reached the engine");

    // A route of the administration that is not in the table fails here.
    let description = app.get("/openapi.json", &app.admin_key).await.1;
    let mut described = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys().filter(|_| path.starts_with("/v1/admin/")) {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let tested: BTreeSet<(String, String)> = TABLE
        .iter()
        .filter(|row| row.1.starts_with("/v1/admin/"))
        .map(|row| (row.0.to_owned(), row.1.to_owned()))
        .collect();
    assert_eq!(described, tested);
}

async fn roles_are_given_where_they_mean_something(backend: Backend) {
    let app = TestApp::on(backend, "").await;
    let (a, b) = (organization(&app, "A").await, organization(&app, "B").await);
    let (of_a, of_b) = (project(&app, a, "un").await, project(&app, b, "un").await);
    let of_instance = member(&app, "i@etat.fr", None, None).await;
    let of_organization = member(&app, "m@a.fr", Some(a), None).await;
    for (member, grant, expected) in [
        (of_instance, json!({"role": "manager"}), 400),
        (of_instance, json!({"role": "admin", "organization_id": a}), 400),
        (of_instance, json!({"role": "builder", "organization_id": a}), 400),
        (of_instance, json!({"role": "root"}), 400),
        (of_instance, json!({"role": "manager", "organization_id": 999}), 404),
        (of_instance, json!({"role": "builder", "project_id": 999}), 404),
        (of_instance, json!({"role": "builder", "project_id": of_a, "organization_id": b}), 404),
        // A member of an organization holds roles in it only.
        (of_organization, json!({"role": "admin"}), 400),
        (of_organization, json!({"role": "auditor"}), 400),
        (of_organization, json!({"role": "manager", "organization_id": b}), 400),
        (of_organization, json!({"role": "builder", "project_id": of_b}), 400),
        (of_organization, json!({"role": "manager", "organization_id": a}), 201),
        (of_organization, json!({"role": "manager", "organization_id": a}), 409),
        // A member of the instance may hold them anywhere.
        (of_instance, json!({"role": "manager", "organization_id": b}), 201),
        (of_instance, json!({"role": "builder", "project_id": of_a}), 201),
    ] {
        let (status, answer) = app.post(&format!("/v1/admin/members/{member}/grants"), &app.admin_key, &grant).await;
        assert_eq!(status, expected, "{grant}: {answer}");
    }
    // A manager makes nobody more than a manager, and takes no key of one who is above.
    let (_, manager) = key(&app, json!({"member_id": of_organization})).await;
    for (path, form) in [
        (format!("/v1/admin/members/{of_organization}/grants"), json!({"role": "admin"})),
        (format!("/v1/admin/members/{of_instance}/grants"), json!({"role": "auditor", "organization_id": a})),
        ("/v1/admin/keys".to_owned(), json!({"member_id": of_instance})),
        ("/v1/admin/members".to_owned(), json!({"email": "x@b.fr", "name": "X", "organization_id": b})),
    ] {
        let (status, answer) = app.post(&path, &manager, &form).await;
        assert!(matches!(status, 403 | 404), "{path} {form}: {status} {answer}");
    }
}
