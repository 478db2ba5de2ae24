//! The first administrator's key: made once, whoever starts, and readable by its owner only.

use std::os::unix::fs::PermissionsExt;

use guichet::config::load::{Origin, from_text};
use tempfile::TempDir;
use tests::database::TestDatabase;
use tests::{Backend, TestApp, configuration, on_each_database};

on_each_database!(the_first_key_is_made_once, of_gateways_that_start_together_one_makes_the_key);

async fn the_first_key_is_made_once(backend: Backend) {
    let app = TestApp::on(backend, "").await;
    let first = app.admin_key.clone();
    let data = app.folder.path().join("data");
    let rights = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((rights(&data.join("admin.key")), rights(&data)), (0o600, 0o700));
    let (status, me) = app.get("/v1/me", &first).await;
    assert_eq!(
        (status, me["kind"].as_str(), me["roles"][0]["role"].as_str()),
        (200, Some("member"), Some("admin")),
        "{me}"
    );

    let (folder, database) = app.stop().await;
    let app = TestApp::in_folder(folder, database, "").await;
    assert_eq!(app.admin_key, first, "the file is as it was");
    assert!(app.running.as_ref().expect("a gateway").first_admin.is_none());
    let (_, keys) = app.get("/v1/admin/keys", &first).await;
    assert_eq!(keys["total"], 1, "{keys}");

    // The file deleted, as it should be once the key is in a safe: no new key is made.
    std::fs::remove_file(data.join("admin.key")).expect("the file goes");
    let more = crate::identity::second(&app, "").await;
    assert!(more.running.as_ref().expect("a gateway").first_admin.is_none());
    assert_eq!(more.get("/v1/me", &first).await.0, 200);
}

async fn of_gateways_that_start_together_one_makes_the_key(backend: Backend) {
    let folder = TempDir::new().expect("a folder");
    let database = TestDatabase::new(backend, folder.path()).await;
    let mut starts = tokio::task::JoinSet::new();
    for name in ["one", "two", "three"] {
        let own = folder.path().join(name);
        let text = configuration(&own, &database.url, "");
        starts.spawn(async move {
            let config = from_text(&Origin::Embedded, &text, Vec::new()).expect("a configuration");
            guichet::start(config, Origin::Embedded).await.unwrap_or_else(|error| panic!("{error}"))
        });
    }
    let running = starts.join_all().await;
    let made: Vec<_> = running.iter().filter_map(|gateway| gateway.first_admin.clone()).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(made[0].path.exists());
    for name in ["one", "two", "three"] {
        let key = folder.path().join(name).join("data/admin.key");
        assert_eq!(key.exists(), key == made[0].path, "{}", key.display());
    }
    let key = std::fs::read_to_string(&made[0].path).expect("the key");
    for gateway in &running {
        let url = format!("http://{}/v1/me", gateway.address);
        let answer = reqwest::Client::new().get(url).bearer_auth(key.trim()).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "the key opens on each");
    }
    for gateway in running {
        gateway.stop().await;
    }
}
