//! The commands of `docs/collections.md`, run as they are written. Only the address is the test's own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::Backend;
use tests::process::{binary, said};

use crate::collections::stand::Stand;

/// The blocks of shell of a page.
fn blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page)).expect(page);
    text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_on_collections_does_what_it_says() {
    let stand = Stand::start(Backend::Sqlite).await;
    let script = blocks("docs/collections.md").join("\n").replace("http://127.0.0.1:8080", &stand.app.url);
    assert!(script.contains("$url/collections") && script.contains("/chunks") && script.contains("DELETE"), "{script}");
    let mut shell = Command::new("sh");
    let path = format!("{}:{}", binary().parent().expect("a folder").display(), std::env::var("PATH").expect("a path"));
    shell.args(["-euc", &script]).current_dir(stand.app.folder.path()).env("PATH", path);
    shell.env("GUICHET_KEY", &stand.key.secret);
    std::fs::create_dir_all(stand.app.folder.path().join("guichet-data")).expect("a folder");
    std::fs::write(stand.app.folder.path().join("guichet-data/admin.key"), &stand.app.admin_key).expect("a key");
    let done = tokio::task::spawn_blocking(move || said(&mut shell)).await.expect("it ends");
    assert_eq!(done.code, Some(0), "{done:?}");
    let answers: Vec<Value> = done.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(answers.iter().any(|answer| answer["visibility"] == "public"), "{done:?}");
    assert!(answers.iter().any(|answer| answer["object"] == "document" && answer["status"] == "done"), "{done:?}");
    assert!(done.out.contains("event: progress"), "{done:?}");
    // The page deletes the collection that it made.
    let (_, left) = stand.app.get("/v1/collections", &stand.key.secret).await;
    assert_eq!(left["total"], 0, "{left}");
}
