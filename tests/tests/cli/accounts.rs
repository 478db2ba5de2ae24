//! `organization`, `project`, `member` and `key`, while a gateway serves.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::process::{Said, guichet};
use tests::{Backend, FakeEngine, Process, model, on_each_database};

on_each_database!(accounts_are_made_while_the_gateway_serves);

async fn accounts_are_made_while_the_gateway_serves(backend: Backend) {
    let engine = FakeEngine::start().await;
    let more = format!("models:\n{}", model("fake/plain", "chat", &engine.url(), ""));
    let gateway = Process::start(backend, &more).await;
    let run = |words: &[&str]| {
        let told = guichet(gateway.folder.path(), words);
        assert_eq!(told.code, Some(0), "{words:?}: {told:?}");
        told
    };
    let json = |words: &[&str]| -> Value {
        let told = run(&[words, &["--json"]].concat());
        serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{words:?}: {error}: {told:?}"))
    };

    let name = "Ministère de l'Écologie; DROP TABLE \"keys\"";
    assert!(run(&["organization", "create", name]).out.contains(name));
    let organizations = json(&["organization", "list"]);
    assert_eq!((organizations[0]["name"].as_str(), organizations.as_array().map(Vec::len)), (Some(name), Some(1)));
    let project = json(&["project", "create", "Docs", "--organization", name]);
    assert_eq!(project["data_class"], "sensitive", "the strictest unless said otherwise");
    let project = json(&["project", "create", "Tchap", "--organization", "1", "--data-class", "public"]);
    assert_eq!(project["data_class"], "public");
    assert_eq!(json(&["project", "list", "--organization", name]).as_array().map(Vec::len), Some(2));

    // A key of a project: alone on standard output, effective at once, shown this once.
    let made = run(&["key", "create", "--organization", name, "--project", "Docs", "--name", "production"]);
    let secret = made.out.trim_end();
    assert!(secret.starts_with("gct_") && secret.len() == 70 && made.out.lines().count() == 1, "{made:?}");
    let (status, answer) = gateway.post("/v1/chat/completions", secret, &tests::chat("fake/plain")).await;
    assert_eq!(status, 200, "{answer}");
    let (_, me) = gateway.get("/v1/me", secret).await;
    let id = me["key_id"].as_str().expect("an id").to_owned();
    assert!(made.err.contains(&id) && !made.err.contains(secret), "{made:?}");
    let listed = run(&["key", "list"]);
    assert!(listed.out.contains(&id) && listed.out.contains("production"), "{listed:?}");
    assert!(!listed.out.contains(&secret[21..64]), "{listed:?}");

    // A key of a member, with the role given on the way.
    let words =
        ["member", "create", "Camille@Ecologie.fr", "--name", "Camille", "--role", "manager", "--organization", name];
    assert!(run(&words).out.contains("camille@ecologie.fr"));
    let made = json(&["key", "create", "--member", "camille@ecologie.fr", "--expires-in", "12h"]);
    assert!(made["expires"].is_i64(), "{made}");
    let (status, me) = gateway.get("/v1/me", made["key"].as_str().expect("a key")).await;
    assert_eq!((status, &me["roles"][0]["role"]), (200, &json!("manager")), "{me}");
    let members = run(&["member", "list"]);
    assert!(
        members.out.contains("manager on organization:1") && members.out.contains("admin on instance"),
        "{members:?}"
    );

    // Revoked here, refused there within five seconds.
    run(&["key", "revoke", &id]);
    let started = Instant::now();
    while gateway.get("/v1/me", secret).await.0 != 401 {
        assert!(started.elapsed() < Duration::from_secs(5), "the gateway goes on taking it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!run(&["key", "list"]).out.contains(&id));
    assert!(run(&["key", "list", "--revoked"]).out.contains(&id));
    run(&["key", "revoke", &id]);

    // Who did it is in the trail: the command line, without a member.
    let (_, trail) = gateway.get("/v1/admin/audit?limit=1000", &gateway.admin_key).await;
    let by_hand = trail["data"].as_array().expect("a list").iter().filter(|entry| entry["via"] == "cli");
    assert_eq!(by_hand.count(), 8, "{trail}");
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_made() {
    let folder = TempDir::new().expect("a folder");
    let run = |words: &[&str]| guichet(folder.path(), words);
    for words in [
        &["organization", "create", "A"][..],
        &["project", "create", "p", "--organization", "A"],
        &["member", "create", "m@a.fr", "--name", "M", "--organization", "A"],
    ] {
        assert_eq!(run(words).code, Some(0));
    }
    let refused = |words: &[&str], code: i32, said: &str| {
        let told: Said = run(words);
        assert_eq!((told.code, told.out.as_str()), (Some(code), ""), "{words:?}: {told:?}");
        assert!(told.err.contains(said), "{words:?}: {told:?}");
    };
    refused(&["organization", "create", "A"], 1, "already");
    refused(&["organization", "create", " "], 1, "1 to 200 characters");
    refused(&["organization", "create"], 2, "<NAME>");
    refused(&["project", "create", "p", "--organization", "A"], 1, "already");
    refused(&["project", "create", "q", "--organization", "B"], 1, "guichet organization list");
    refused(&["project", "create", "q"], 2, "--organization");
    refused(
        &["project", "create", "q", "--organization", "A", "--data-class", "secret"],
        2,
        "public, internal or sensitive",
    );
    refused(&["member", "create", "nobody", "--name", "N"], 1, "email");
    refused(&["member", "create", "m@a.fr", "--name", "N"], 1, "already");
    refused(&["member", "create", "n@a.fr", "--name", "N", "--role", "root"], 2, "admin, manager, builder");
    // A role that means nothing there: the member is not made either.
    refused(&["member", "create", "n@a.fr", "--name", "N", "--role", "admin", "--organization", "A"], 1, "role");
    refused(&["member", "create", "n@a.fr", "--name", "N", "--role", "builder", "--project", "p"], 2, "--organization");
    refused(&["key", "create"], 2, "--member");
    refused(&["key", "create", "--project", "p"], 2, "--organization");
    refused(&["key", "create", "--project", "p", "--organization", "A", "--member", "m@a.fr"], 2, "--member");
    refused(&["key", "create", "--project", "z", "--organization", "A"], 1, "guichet project list");
    refused(&["key", "create", "--member", "z@a.fr"], 1, "guichet member list");
    refused(&["key", "create", "--member", "m@a.fr", "--expires-in", "soon"], 1, "90d");
    refused(&["key", "revoke", "' OR 1=1"], 1, "guichet key list");
    refused(&["key", "revoke", "12345"], 1, "guichet key list");
    let members = run(&["member", "list"]).out;
    assert_eq!(members.lines().count(), 1, "{members}");
    assert_eq!(run(&["key", "list"]).out, "");
}
