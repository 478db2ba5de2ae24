//! `guichet init`: finds engines, writes a configuration that is accepted, and never over another.

use guichet::config::load::{Origin, from_text};
use serde_json::json;
use tempfile::TempDir;
use tests::FakeEngine;
use tests::engine::Reply;
use tests::process::guichet;

async fn engine(owner: &str, models: &[&str]) -> (FakeEngine, String) {
    let engine = FakeEngine::start().await;
    let data: Vec<_> = models.iter().map(|id| json!({"id": id, "object": "model", "owned_by": owner})).collect();
    engine.script_path("/v1/models", Reply::json(200, &json!({"object": "list", "data": data})));
    let port = engine.address().port().to_string();
    (engine, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_finds_engines_and_writes_a_configuration_that_is_accepted() {
    let (_vllm, vllm) = engine("vllm", &["mistralai/Mistral-Small-3.2", "odd \"name\": [x]"]).await;
    let (_ollama, ollama) = engine("library", &["mistralai/Mistral-Small-3.2", "bge-m3:latest"]).await;
    let (_other, other) = engine("somebody", &["modèle-é"]).await;
    let (_guichet, another) = engine("guichet", &["never"]).await;
    // TEI lists no models and describes the one it has.
    let tei = FakeEngine::start().await;
    tei.script_path("/v1/models", Reply::whole(404, "text/plain", ""));
    let info = json!({"model_id": "BAAI/bge-reranker-v2-m3", "model_type": {"reranker": {"id2label": {}}}});
    tei.script_path("/info", Reply::json(200, &info));
    let tei_port = tei.address().port().to_string();
    // What is no engine: HTML, and a port with nobody.
    let web = FakeEngine::start().await;
    web.script_path("/v1/models", Reply::whole(200, "text/html", "<html>"));
    let web_port = web.address().port().to_string();

    let folder = TempDir::new().expect("a folder");
    let ports = [&vllm, &ollama, &other, &another, &tei_port, &web_port, &vllm];
    let mut words = vec!["init"];
    words.extend(ports.iter().flat_map(|port| ["--port", port.as_str()]));
    let told = guichet(folder.path(), &words);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    for words in [format!("Port {vllm} : vllm"), format!("Port {tei_port} : tei"), "guichet.yaml est écrit".to_owned()]
    {
        assert!(told.out.contains(&words), "{words}: {}", told.out);
    }

    let text = std::fs::read_to_string(folder.path().join("guichet.yaml")).expect("the file");
    assert!(text.lines().filter(|line| line.contains('#')).count() > 8, "it is commented: {text}");
    let checked = guichet(folder.path(), &["check-config"]);
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""), "{checked:?}\n{text}");
    let config = from_text(&Origin::Embedded, &text, Vec::new()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    // Engines that happen to run on this machine's usual ports are found too.
    let found: Vec<_> = config
        .models
        .iter()
        .flat_map(|model| model.deployments.iter().map(move |deployment| (model, deployment)))
        .filter(|(_, deployment)| {
            ports.iter().any(|port| deployment.url.port().map(|p| p.to_string()).as_ref() == Some(port))
        })
        .map(|(model, deployment)| {
            let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let engine = word(serde_json::to_value(deployment.engine).expect("a word"));
            let kind = word(serde_json::to_value(model.r#type).expect("a word"));
            (deployment.engine_model.clone().expect("its own name"), engine, kind)
        })
        .collect();
    let row = |model: &str, engine: &str, kind: &str| (model.to_owned(), engine.to_owned(), kind.to_owned());
    let expected = [
        row("mistralai/Mistral-Small-3.2", "vllm", "chat"),
        row("odd \"name\": [x]", "vllm", "chat"),
        row("mistralai/Mistral-Small-3.2", "ollama", "chat"),
        row("bge-m3:latest", "ollama", "embeddings"),
        row("modèle-é", "openai", "chat"),
        row("BAAI/bge-reranker-v2-m3", "tei", "rerank"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn it_never_writes_over_a_file() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("guichet.yaml");
    std::fs::write(&file, "# mine").expect("a file");
    let told = guichet(folder.path(), &["init"]);
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{told:?}");
    assert!(
        ["guichet.yaml existe déjà", "--force", "--output"].iter().all(|words| told.err.contains(words)),
        "{told:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "# mine");
    let told = guichet(folder.path(), &["init", "--output", "other.yaml"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "# mine");
    let told = guichet(folder.path(), &["check-config", "other.yaml"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let told = guichet(folder.path(), &["init", "--force"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_ne!(std::fs::read_to_string(&file).expect("the file"), "# mine");
    let told = guichet(folder.path(), &["init", "--output", "absent/guichet.yaml"]);
    assert!(told.code == Some(1) && told.err.contains("absent/guichet.yaml"), "{told:?}");
}
