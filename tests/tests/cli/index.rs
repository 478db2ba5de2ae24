//! `guichet index`: vectors lost come back from the database, and move only where their class may go.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use tests::app::PATIENCE;
use tests::database::TestDatabase;
use tests::engine::Embeddings;
use tests::process::guichet;
use tests::{Backend, FakeEngine, Key, Process, on_each_database, read};

on_each_database!(
    a_lost_index_is_made_anew_from_the_database,
    vectors_move_only_where_their_class_may_go,
    vectors_move_to_a_server_and_back,
);

const TEXT: &str =
    "# Congés\n\nTout salarié a droit à deux jours et demi de congé par mois.\n\n# Préavis\n\nUn mois.\n";

/// A gateway with one document, and what is said of it.
async fn filled(backend: Backend, engine: &FakeEngine, index: &str) -> (Process, Key, String, String) {
    engine.script_model("vecteurs", Embeddings::of(16));
    let program = tests::process::binary().display().to_string();
    let more = format!(
        "models:\n  - {{id: vecteurs, type: embeddings, dimensions: 16, deployments: [{{name: v, url: '{}', engine: \
         openai, hosting: state}}]}}\nretrieval: {{embedding_model: vecteurs, ingestion: {{program: {program:?}}}{index}}}\n",
        engine.url()
    );
    let gateway = Process::start(backend, &more).await;
    let key = gateway.key("Ministère A", "sensitive").await;
    let (status, made) = gateway.post("/v1/collections", &key.secret, &json!({"name": "Fonds"})).await;
    assert!(status == 200 || status == 201, "{made}");
    let fields = [("collection_id", made["id"].to_string()), ("name", "fiche.md".to_owned())];
    let mut body = String::new();
    for (name, value) in fields {
        body.push_str(&format!("--limite\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"));
    }
    body.push_str("--limite\r\nContent-Disposition: form-data; name=\"file\"; filename=\"fiche.md\"\r\n\r\n");
    body.push_str(&format!("{TEXT}\r\n--limite--\r\n"));
    let upload = gateway.request(Method::POST, "/v1/documents", &key.secret);
    let upload = upload.header("content-type", "multipart/form-data; boundary=limite").body(body);
    let (status, document) = read(upload.send().await.expect("an answer")).await;
    assert!((200..300).contains(&status), "{document}");
    let document = format!("/v1/documents/{}", document["id"]);
    done(&gateway, &key, &document).await;
    (gateway, key, document, more)
}

async fn done(gateway: &Process, key: &Key, document: &str) {
    let started = Instant::now();
    loop {
        let (_, state) = gateway.get(document, &key.secret).await;
        if state["status"] == "done" {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "it stays so: {state}; {}", gateway.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn a_lost_index_is_made_anew_from_the_database(backend: Backend) {
    let engine = FakeEngine::start().await;
    let (gateway, key, document, more) = filled(backend, &engine, "").await;
    let folder = gateway.folder.path().to_owned();
    let rebuild = |more: &[&str]| guichet(&folder, &[&["index", "rebuild", "--config", "guichet.yaml"], more].concat());

    let told = rebuild(&[]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.err.contains("stop the gateway first"), "{told:?}");

    gateway.signal("TERM");
    let (code, kept, database) = gateway.ended().await;
    assert_eq!(code, Some(0));
    std::fs::remove_dir_all(folder.join("data/index")).expect("it is lost");
    let told = rebuild(&["--collection", "77"]);
    assert!(told.code == Some(1) && told.err.contains("no collection 77"), "{told:?}");
    let told = rebuild(&[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("chunks wait"), "{told:?}");

    let before = engine.calls().len();
    let gateway = Process::in_folder(kept, database, &more, &[]).await;
    done(&gateway, &key, &document).await;
    assert!(engine.calls().len() > before, "nothing was embedded again");
    gateway.signal("TERM");
    let (_, _kept, _database) = gateway.ended().await;
    let index = rag::index::edge::Edge::open(&folder.join("data/index")).expect("an index");
    let space = rag::index::Space::new("vecteurs", 16);
    let chunks = rag::index::VectorIndex::count(&index, &space).await.expect("a count");
    assert!(told.out.starts_with(&format!("{chunks} chunks")) && chunks > 0, "{chunks} are there; {told:?}");
}

async fn vectors_move_only_where_their_class_may_go(backend: Backend) {
    let engine = FakeEngine::start().await;
    let (gateway, ..) = filled(backend, &engine, "").await;
    gateway.signal("TERM");
    let (_, kept, _database) = gateway.ended().await;
    let folder = kept.path();
    let migrate = |from: &str, to: &str| {
        guichet(folder, &["index", "migrate", "--from", from, "--to", to, "--config", "guichet.yaml"])
    };
    for (from, to, words) in [("edge", "edge", "the same engine"), ("edge", "server", "describes no server")] {
        let told = migrate(from, to);
        assert!(told.code == Some(1) && told.err.contains(words), "{told:?}");
    }
    // A server under foreign law: nothing is sent, nobody is asked.
    let file = folder.join("guichet.yaml");
    let configuration = std::fs::read_to_string(&file).expect("the configuration");
    let server = |hosting: &str| {
        let index = format!("retrieval: {{index: {{kind: server, url: 'http://127.0.0.1:9', hosting: {hosting}}}, ");
        std::fs::write(&file, configuration.replace("retrieval: {", &index)).expect("written");
    };
    server("foreign");
    let told = migrate("edge", "server");
    assert!(told.code == Some(1) && told.err.contains("may not hold data of class sensitive"), "{told:?}");
    assert!(told.err.contains("Fonds"), "{told:?}");
    server("state");
    let told = migrate("edge", "server");
    assert!(told.code == Some(1) && told.err.contains("cannot be reached"), "{told:?}");
}

/// Where `GUICHET_TEST_QDRANT_URL` names a server. Nothing is embedded again on the way.
async fn vectors_move_to_a_server_and_back(backend: Backend) {
    let Some(url) = tests::index::server() else {
        println!("not run: {} names no Qdrant server", tests::index::QDRANT);
        return;
    };
    let engine = FakeEngine::start().await;
    let (gateway, key, _, embedded) = filled(backend, &engine, "").await;
    let calls = engine.calls().len();
    let prefix: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(12).collect();
    let index = format!("retrieval: {{index: {{kind: server, url: {url:?}, hosting: state, prefix: {prefix}}}, ");
    let shared = embedded.replace("retrieval: {", &index);

    let (kept, database) = moved(gateway, &shared, &["--from", "edge", "--to", "server"]).await;
    std::fs::remove_dir_all(kept.path().join("data/index")).expect("it has moved");
    let gateway = Process::in_folder(kept, database, &shared, &[]).await;
    found(&gateway, &key).await;
    assert!(!gateway.folder.path().join("data/index").exists());

    let (kept, database) = moved(gateway, &shared, &["--from", "server", "--to", "edge"]).await;
    let gateway = Process::in_folder(kept, database, &embedded, &[]).await;
    found(&gateway, &key).await;
    moved(gateway, &shared, &["--from", "edge", "--to", "server", "--replace"]).await;
    assert_eq!(engine.calls().len(), calls + 2, "one question for each gateway");
}

/// Stops a gateway and moves its vectors; `more` describes the server.
async fn moved(gateway: Process, more: &str, way: &[&str]) -> (tempfile::TempDir, TestDatabase) {
    gateway.signal("TERM");
    let (code, kept, database) = gateway.ended().await;
    assert_eq!(code, Some(0));
    let text = tests::configuration(kept.path(), &database.url, more);
    std::fs::write(kept.path().join("guichet.yaml"), text).expect("written");
    let told = guichet(kept.path(), &[&["index", "migrate", "--config", "guichet.yaml"], way].concat());
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("chunks") && told.out.ends_with("The vectors of 1 model moved.\n"), "{told:?}");
    (kept, database)
}

async fn found(gateway: &Process, key: &Key) {
    let (_, collections) = gateway.get("/v1/collections", &key.secret).await;
    let search = json!({"query": "congé", "collection_ids": [collections["data"][0]["id"]], "method": "hybrid"});
    let (status, found) = gateway.post("/v1/search", &key.secret, &search).await;
    assert_eq!(status, 200, "{found}");
    let first = found["data"][0]["chunk"]["content"].as_str().unwrap_or_default();
    assert!(first.contains("deux jours et demi"), "{found}");
}
