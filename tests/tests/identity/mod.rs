//! Part 3, identity: closed by default ([`closed`]), each role against each route ([`roles`]), keys from their making to
//! their end ([`keys`]), the first administrator ([`first`]), floods of wrong keys ([`floods`]), organizations that know
//! nothing of each other ([`isolation`]), the trail of changes ([`trail`]), nothing secret said ([`silence`]). On both
//! databases.

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]

mod closed;
mod first;
mod floods;
mod isolation;
mod keys;
mod roles;
mod silence;
mod trail;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::database::TestDatabase;
use tests::{FakeEngine, TestApp, model};

/// One chat model on one engine.
fn one_model(engine: &FakeEngine) -> String {
    format!("models:\n{}", model("fake/plain", "chat", &engine.url(), ""))
}

/// Makes an object as the administrator; its id.
async fn make(app: &TestApp, path: &str, body: Value) -> i64 {
    let (status, made) = app.post(path, &app.admin_key, &body).await;
    assert_eq!(status, 201, "{path} {body}: {made}");
    made["id"].as_i64().unwrap_or_default()
}

async fn organization(app: &TestApp, name: &str) -> i64 {
    make(app, "/v1/admin/organizations", json!({"name": name})).await
}

async fn project(app: &TestApp, organization: i64, name: &str) -> i64 {
    make(app, "/v1/admin/projects", json!({"organization_id": organization, "name": name, "data_class": "internal"}))
        .await
}

/// A member with a role, or with none; their id.
async fn member(app: &TestApp, email: &str, organization: Option<i64>, grant: Option<Value>) -> i64 {
    let id =
        make(app, "/v1/admin/members", json!({"email": email, "name": "Camille", "organization_id": organization}))
            .await;
    if let Some(grant) = grant {
        make(app, &format!("/v1/admin/members/{id}/grants"), grant).await;
    }
    id
}

/// A key of a project or a member: its public part and its text.
async fn key(app: &TestApp, form: Value) -> (String, String) {
    let (status, made) = app.post("/v1/admin/keys", &app.admin_key, &form).await;
    assert_eq!(status, 201, "{form}: {made}");
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{name} in {made}")).to_owned();
    (text("id"), text("key"))
}

/// A second gateway on the database of the first, in a folder of its own.
async fn second(app: &TestApp, more: &str) -> TestApp {
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("data")).expect("its data folder");
    // It makes no administrator, since there is one; the harness reads the key of the first.
    std::fs::write(folder.path().join("data/admin.key"), &app.admin_key).expect("the key");
    TestApp::in_folder(folder, TestDatabase { url: app.database().url.clone() }, more).await
}

fn ids(list: &Value) -> Vec<i64> {
    let data = list["data"].as_array().unwrap_or_else(|| panic!("no list: {list}"));
    data.iter().map(|object| object["id"].as_i64().expect("an id")).collect()
}
