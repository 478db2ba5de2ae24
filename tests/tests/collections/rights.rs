//! Who may read, change and publish a collection; its class; the trail of what members and keys did.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{Backend, on_each_database, read};

use crate::collections::stand::{Stand, ids, made, member, upload};

on_each_database!(
    visibility_says_who_reads,
    publishing_is_for_managers,
    a_class_is_at_least_the_projects,
    a_manager_sees_and_deletes_what_the_organization_has,
    changes_leave_a_trail
);

async fn visibility_says_who_reads(backend: Backend) {
    let stand = Stand::start(backend).await;
    let app = &stand.app;
    let sister = app.project_key(stand.key.organization_id, "autre produit", "internal").await;
    let stranger = app.key("Ministère B", "internal").await;
    let id = stand.collection("fonds").await;
    let path = format!("/v1/collections/{id}");
    let fields = [("collection_id", id.to_string())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let document = made(stand.upload(&stand.key, &[fields[0], ("name", "d")], None).await);
    let chunks = format!("/v1/documents/{document}/chunks");
    let (_, added) = app.post(&chunks, &stand.key.secret, &json!([{"content": "Un passage."}])).await;
    let chunk = format!("{chunks}/{}", added["ids"][0]);
    let (_, absent) = app.get("/v1/collections/999", &stranger.secret).await;
    for (visibility, sees) in [("private", [false, false]), ("shared", [true, false]), ("public", [true, true])] {
        let (status, changed) = app.patch(&path, &app.admin_key, &json!({"visibility": visibility})).await;
        assert_eq!(status, 200, "{changed}");
        for (key, sees) in [&sister, &stranger].into_iter().zip(sees) {
            let secret = &key.secret;
            let (own, all) = (vec![id], app.get("/v1/collections", secret).await.1);
            assert_eq!(ids(&all), if sees { own } else { vec![] }, "{visibility}: {all}");
            assert_eq!(ids(&app.get("/v1/documents", secret).await.1).len(), usize::from(sees));
            for path in [path.clone(), format!("/v1/documents/{document}"), chunks.clone(), chunk.clone()] {
                let answer = app.get(&path, secret).await;
                assert_eq!(answer.0, if sees { 200 } else { 404 }, "{visibility} {path}: {}", answer.1);
            }
            // Read is not changed, and what is not seen does not exist, letter for letter.
            let tries = [
                app.patch(&path, secret, &json!({"name": "à moi"})).await,
                app.delete(&path, secret).await,
                app.delete(&format!("/v1/documents/{document}"), secret).await,
                app.delete(&chunk, secret).await,
                app.post(&chunks, secret, &json!([{"content": "De plus."}])).await,
                upload(app, secret, &fields, Some(("a.txt", b"Texte.")), &[]).await,
            ];
            for (status, refused) in tries {
                let wanted = if sees { (403, &json!("permission_denied")) } else { (404, &json!("not_found")) };
                assert_eq!((status, &refused["error"]["code"]), wanted, "{visibility}: {refused}");
                assert!(sees || refused == absent, "{refused}");
            }
        }
    }
    assert_eq!(app.get(&path, &stand.key.secret).await.1["name"], "fonds");
    assert_eq!(stand.files(), Vec::<std::path::PathBuf>::new(), "refused files do not stay");
}

async fn publishing_is_for_managers(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key);
    let here = json!({"role": "manager", "organization_id": key.organization_id});
    let manager = member(app, "manager@a.fr", key.organization_id, here).await;
    let builder = json!({"role": "builder", "project_id": key.project_id});
    let builder = member(app, "builder@a.fr", key.organization_id, builder).await;
    let public = json!({"name": "ouverte", "visibility": "public", "project_id": key.project_id});
    let id = stand.collection("fonds").await;
    let path = format!("/v1/collections/{id}");
    for secret in [&key.secret, &builder] {
        for (status, refused) in [
            app.post("/v1/collections", secret, &public).await,
            app.patch(&path, secret, &json!({"visibility": "public"})).await,
        ] {
            assert_eq!((status, &refused["error"]["code"]), (403, &json!("permission_denied")), "{refused}");
        }
    }
    assert_eq!(app.post("/v1/collections", &manager, &public).await.0, 201);
    assert_eq!(app.patch(&path, &manager, &json!({"visibility": "public"})).await.0, 200);
    // Its project may still change it, and close it again.
    assert_eq!(app.patch(&path, &key.secret, &json!({"name": "fonds ouvert"})).await.0, 200);
    assert_eq!(app.patch(&path, &builder, &json!({"visibility": "private"})).await.0, 200);
    let nobody = json!({"name": "à personne"});
    assert_eq!(app.post("/v1/collections", &manager, &nobody).await.1["error"]["param"], "project_id");
    let stranger = app.key("Ministère B", "internal").await;
    let theirs = json!({"name": "chez eux", "project_id": stranger.project_id});
    for secret in [&manager, &builder, &key.secret] {
        assert_eq!(app.post("/v1/collections", secret, &theirs).await.0, 404);
    }
}

async fn a_class_is_at_least_the_projects(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key);
    let strict = app.project_key(key.organization_id, "sensible", "sensitive").await;
    let id = stand.collection("fonds").await;
    let path = format!("/v1/collections/{id}");
    let patch = async |secret: &str, body: Value| app.patch(&path, secret, &body).await;
    assert_eq!(patch(&key.secret, json!({"data_class": "public"})).await.1["error"]["param"], "data_class");
    assert_eq!(patch(&key.secret, json!({"data_class": "sensitive"})).await.0, 200);
    assert_eq!(patch(&key.secret, json!({"data_class": "internal"})).await.0, 403, "lowered by a manager only");
    assert_eq!(patch(&app.admin_key, json!({"data_class": "internal"})).await.0, 200);
    // It moves within its organization, by a manager, and its class rises to its new project's.
    assert_eq!(patch(&key.secret, json!({"project_id": strict.project_id})).await.0, 403);
    let stranger = app.key("Ministère B", "internal").await;
    assert_eq!(patch(&app.admin_key, json!({"project_id": stranger.project_id})).await.0, 404);
    let low = json!({"project_id": strict.project_id, "data_class": "internal"});
    assert_eq!(patch(&app.admin_key, low).await.1["error"]["param"], "data_class");
    let (status, moved) = patch(&app.admin_key, json!({"project_id": strict.project_id})).await;
    assert_eq!(
        (status, &moved["data_class"], &moved["owner"]),
        (200, &json!("sensitive"), &json!("sensible")),
        "{moved}"
    );
    assert_eq!((app.get(&path, &key.secret).await.0, app.get(&path, &strict.secret).await.0), (404, 200));
    let back = json!({"project_id": key.project_id});
    assert_eq!(patch(&app.admin_key, back).await.1["data_class"], "sensitive", "what is in it stays what it is");
    // A project whose class rises takes its collections along.
    let id = stand.collection("autre").await;
    let raised = json!({"data_class": "sensitive"});
    let project = format!("/v1/admin/projects/{}", key.project_id);
    assert_eq!(app.patch(&project, &app.admin_key, &raised).await.0, 200);
    assert_eq!(app.get(&format!("/v1/collections/{id}"), &app.admin_key).await.1["data_class"], "sensitive");
}

async fn a_manager_sees_and_deletes_what_the_organization_has(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key);
    let stranger = app.key("Ministère B", "internal").await;
    let organization = key.organization_id;
    let manager =
        member(app, "m@a.fr", organization, json!({"role": "manager", "organization_id": organization})).await;
    let auditor =
        member(app, "a@a.fr", organization, json!({"role": "auditor", "organization_id": organization})).await;
    let evaluator =
        member(app, "e@a.fr", organization, json!({"role": "evaluator", "organization_id": organization})).await;
    let mine = stand.collection("fonds").await;
    let theirs = made(app.post("/v1/collections", &stranger.secret, &json!({"name": "chez eux"})).await);
    let document = made(stand.upload(key, &[("collection_id", &mine.to_string()), ("name", "d")], None).await);
    for (secret, sees) in
        [(&manager, vec![mine]), (&auditor, vec![mine]), (&evaluator, vec![]), (&app.admin_key, vec![mine, theirs])]
    {
        let (status, list) = app.get("/v1/collections", secret).await;
        assert_eq!((status, ids(&list)), (200, sees), "{list}");
    }
    assert_eq!(app.delete(&format!("/v1/documents/{document}"), &auditor).await.0, 403);
    assert_eq!(app.delete(&format!("/v1/collections/{mine}"), &auditor).await.0, 403);
    assert_eq!(app.delete(&format!("/v1/collections/{theirs}"), &manager).await.0, 404);
    assert_eq!(app.delete(&format!("/v1/documents/{document}"), &manager).await.0, 204);
    assert_eq!(app.delete(&format!("/v1/collections/{mine}"), &manager).await.0, 204);
    assert_eq!(app.get(&format!("/v1/collections/{mine}"), &key.secret).await.0, 404);
    assert_eq!(app.get(&format!("/v1/collections/{theirs}"), &stranger.secret).await.0, 200);
    // Without a key there is nothing at all.
    let response =
        app.client.request(Method::GET, format!("{}/v1/collections", app.url)).send().await.expect("an answer");
    assert_eq!(read(response).await.0, 401);
}

async fn changes_leave_a_trail(backend: Backend) {
    let stand = Stand::start(backend).await;
    let (app, key) = (&stand.app, &stand.key);
    let organization = key.organization_id;
    let manager =
        member(app, "m@a.fr", organization, json!({"role": "manager", "organization_id": organization})).await;
    let id = stand.collection("fonds").await;
    let path = format!("/v1/collections/{id}");
    let document = made(stand.upload(key, &[("collection_id", &id.to_string()), ("name", "d")], None).await);
    let other = app.project_key(organization, "autre", "internal").await;
    for body in [json!({"visibility": "public"}), json!({"project_id": other.project_id}), json!({"name": "renommé"})]
    {
        assert_eq!(app.patch(&path, &manager, &body).await.0, 200, "{body}");
    }
    assert_eq!(app.delete(&format!("/v1/documents/{document}"), &manager).await.0, 204);
    assert_eq!(app.delete(&path, &other.secret).await.0, 204);
    let (_, trail) = app.get("/v1/admin/audit?limit=100", &manager).await;
    let mut told: Vec<(&str, bool, bool)> = Vec::new();
    let about = |entry: &&Value| {
        entry["action"]
            .as_str()
            .is_some_and(|action| action.starts_with("collection.") || action.starts_with("document."))
    };
    for entry in trail["data"].as_array().expect("a list").iter().filter(about) {
        told.push((entry["action"].as_str().expect("words"), entry["before"].is_object(), entry["after"].is_object()));
        assert_eq!(entry["organization_id"], organization);
    }
    told.reverse();
    assert_eq!(
        told,
        [
            ("collection.create", false, true),
            ("collection.publish", true, true),
            ("collection.move", true, true),
            ("collection.update", true, true),
            ("document.delete", true, false),
            ("collection.delete", true, false),
        ]
    );
}
