//! Who changed what, before and after, and never a secret.

use serde_json::{Value, json};
use tests::{Backend, TestApp, on_each_database};

use crate::identity::{key, make, member, organization, project};

on_each_database!(every_change_is_in_the_trail_with_its_before_and_after, what_is_refused_leaves_no_trace);

async fn trail(app: &TestApp, query: &str) -> Vec<Value> {
    let (status, page) = app.get(&format!("/v1/admin/audit?limit=1000{query}"), &app.admin_key).await;
    assert_eq!(status, 200, "{page}");
    assert!(!page.to_string().contains("gct_"), "a key is in the trail: {page}");
    page["data"].as_array().expect("a list").clone()
}

async fn every_change_is_in_the_trail_with_its_before_and_after(backend: Backend) {
    let app = TestApp::on(backend, "").await;
    let start: Vec<Value> = trail(&app, "").await;
    assert!(start.iter().all(|entry| entry["via"] == "start" && entry["actor_member"].is_null()), "{start:?}");
    let before = start.len();

    let a = organization(&app, "A").await;
    let of = project(&app, a, "p").await;
    let person = member(&app, "p@a.fr", Some(a), None).await;
    let grant =
        make(&app, &format!("/v1/admin/members/{person}/grants"), json!({"role": "manager", "organization_id": a}))
            .await;
    let (key_id, _) = key(&app, json!({"project_id": of, "name": "production"})).await;
    let (_, manager) = key(&app, json!({"member_id": person})).await;
    for (method, path, form) in [
        ("patch", format!("/v1/admin/organizations/{a}"), json!({"name": "Alpha"})),
        ("patch", format!("/v1/admin/projects/{of}"), json!({"data_class": "public"})),
        ("delete", format!("/v1/admin/keys/{key_id}"), json!({})),
        ("delete", format!("/v1/admin/projects/{of}"), json!({})),
        ("delete", format!("/v1/admin/members/{person}/grants/{grant}"), json!({})),
        ("delete", format!("/v1/admin/members/{person}"), json!({})),
        ("delete", format!("/v1/admin/organizations/{a}"), json!({})),
    ] {
        // The project's class is changed by the manager, the rest by the administrator.
        let caller = if path.contains("/projects/") && method == "patch" { &manager } else { &app.admin_key };
        let (status, answer) = match method {
            "patch" => app.patch(&path, caller, &form).await,
            _ => app.delete(&path, caller).await,
        };
        assert!(matches!(status, 200 | 204), "{method} {path}: {answer}");
    }

    let mut entries = trail(&app, "").await;
    assert_eq!(entries.len(), before + 13, "{entries:#?}");
    entries.reverse();
    let entries = &entries[before..];
    let (_, me) = app.get("/v1/me", &app.admin_key).await;
    let expected = [
        ("organization.create", format!("organization:{a}"), false, true),
        ("project.create", format!("project:{of}"), false, true),
        ("member.create", format!("member:{person}"), false, true),
        ("grant.create", format!("member:{person}"), false, true),
        ("key.create", "key:".to_owned(), false, true),
        ("key.create", "key:".to_owned(), false, true),
        ("organization.update", format!("organization:{a}"), true, true),
        ("project.update", format!("project:{of}"), true, true),
        ("key.revoke", "key:".to_owned(), true, true),
        ("project.delete", format!("project:{of}"), true, false),
        ("grant.delete", format!("member:{person}"), true, false),
        ("member.disable", format!("member:{person}"), true, true),
        ("organization.delete", format!("organization:{a}"), true, false),
    ];
    for (entry, (action, object, before, after)) in entries.iter().zip(expected) {
        assert_eq!((entry["action"].as_str(), entry["via"].as_str()), (Some(action), Some("api")), "{entry:#}");
        assert!(entry["object"].as_str().is_some_and(|told| told.starts_with(&object)), "{entry:#}");
        assert_eq!((entry["before"].is_object(), entry["after"].is_object()), (before, after), "{entry:#}");
        assert_eq!(entry["organization_id"], a, "{entry:#}");
        let by_manager = action == "project.update";
        assert_eq!(entry["actor_member"] == json!(person), by_manager, "{entry:#}");
        assert!(by_manager || entry["actor_key"] == me["key_id"], "{entry:#}");
    }
    assert_eq!((&entries[6]["before"]["name"], &entries[6]["after"]["name"]), (&json!("A"), &json!("Alpha")));
    assert_eq!(
        (&entries[7]["before"]["data_class"], &entries[7]["after"]["data_class"]),
        (&json!("internal"), &json!("public"))
    );
    assert!(entries[8]["before"]["revoked"].is_null() && entries[8]["after"]["revoked"].is_i64());
    // In order, and by pages.
    let numbers: Vec<i64> = entries.iter().map(|entry| entry["id"].as_i64().expect("an id")).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let page = trail(&app, &format!("&before={}", numbers[3])).await;
    assert_eq!(page[0]["id"].as_i64(), Some(numbers[2]));
}

async fn what_is_refused_leaves_no_trace(backend: Backend) {
    let app = TestApp::on(backend, "").await;
    let mine = app.key("A", "internal").await;
    let before = trail(&app, "").await.len();
    for (path, caller, form, expected) in [
        ("/v1/admin/organizations", &app.admin_key, json!({"name": "A"}), 409),
        ("/v1/admin/organizations", &app.admin_key, json!({"name": " "}), 400),
        ("/v1/admin/organizations", &app.admin_key, json!({"name": "x".repeat(201)}), 400),
        ("/v1/admin/organizations", &app.admin_key, json!({"name": "a\nb"}), 400),
        ("/v1/admin/organizations", &app.admin_key, json!({"nom": "B"}), 400),
        ("/v1/admin/organizations", &mine.secret, json!({"name": "B"}), 403),
        (
            "/v1/admin/projects",
            &app.admin_key,
            json!({"organization_id": mine.organization_id, "name": "produit"}),
            409,
        ),
        (
            "/v1/admin/projects",
            &app.admin_key,
            json!({"organization_id": mine.organization_id, "name": "x", "data_class": "secret"}),
            400,
        ),
        ("/v1/admin/projects", &app.admin_key, json!({"organization_id": 99, "name": "x"}), 404),
        ("/v1/admin/members", &app.admin_key, json!({"email": "nobody", "name": "N"}), 400),
        ("/v1/admin/keys", &app.admin_key, json!({}), 400),
        ("/v1/admin/keys", &app.admin_key, json!({"project_id": mine.project_id, "member_id": 1}), 400),
    ] {
        let (status, answer) = app.post(path, caller, &form).await;
        assert_eq!(status, expected, "{path} {form}: {answer}");
    }
    assert_eq!(trail(&app, "").await.len(), before);
}
