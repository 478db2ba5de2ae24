//! `guichet init`: looks for engines on this machine and writes a commented configuration.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::{Failure, Outcome};
use crate::config::model::EngineKind;

/// Ports where engines usually listen, with what usually listens there.
const PORTS: [(u16, EngineKind); 10] = [
    (8000, EngineKind::Vllm),
    (8001, EngineKind::Vllm),
    (11434, EngineKind::Ollama),
    (8080, EngineKind::LlamaCpp),
    (8081, EngineKind::LlamaCpp),
    (8082, EngineKind::Tei),
    (3000, EngineKind::Tei),
    (30000, EngineKind::Sglang),
    (1234, EngineKind::OpenAi),
    (5000, EngineKind::OpenAi),
];

/// Longest time an engine takes to list its models.
const PATIENCE: Duration = Duration::from_millis(800);

#[derive(Args)]
pub struct Init {
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "guichet.yaml")]
    output: PathBuf,
    /// Look at this port too; may be given several times
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<u16>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// An engine found.
struct Found {
    url: String,
    port: u16,
    kind: EngineKind,
    models: Vec<Served>,
}

/// A model it serves.
struct Served {
    id: String,
    /// A type of the configuration, when the engine tells it.
    r#type: Option<&'static str>,
}

impl Init {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        let output = self.output.display();
        let taken = || {
            Failure(format!(
                "{output} existe déjà : --output en nomme un autre, --force le remplace / {output} is already there: name another with --output, or replace it with --force"
            ))
        };
        if self.output.exists() && !self.force {
            return Err(taken());
        }
        let more = self.ports.iter().filter(|port| PORTS.iter().all(|(usual, _)| usual != *port));
        let more = more.map(|port| (*port, EngineKind::OpenAi));
        let mut found: Vec<Found> = Vec::new();
        for (port, usual) in PORTS.into_iter().chain(more) {
            if found.iter().any(|engine| engine.port == port) {
                continue;
            }
            if let Some(engine) = ask(port, usual).await {
                let models: Vec<&str> = engine.models.iter().map(|model| model.id.as_str()).collect();
                writeln!(out, "Port {port} : {} ({})", engine_word(engine.kind), models.join(", "))?;
                found.push(engine);
            }
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).create_new(!self.force);
        let written = options.open(&self.output).and_then(|mut file| file.write_all(configuration(&found).as_bytes()));
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => taken(),
            _ => Failure(format!("{output} : {error}")),
        })?;
        if found.is_empty() {
            writeln!(
                out,
                "Aucun moteur ne répond sur les ports habituels ; {output} contient un exemple à compléter."
            )?;
            writeln!(out, "No engine answers on the usual ports; {output} holds an example to fill in.")?;
        }
        writeln!(out, "{output} est écrit. Relisez-le (`hostings` décide où vont les données), puis :")?;
        writeln!(out, "{output} is written. Read it (`hostings` decides where data goes), then:")?;
        writeln!(out, "  guichet check-config\n  guichet serve")?;
        Ok(())
    }
}

/// What serves models on a port of this machine.
async fn ask(port: u16, usual: EngineKind) -> Option<Found> {
    let root = format!("http://127.0.0.1:{port}");
    let url = format!("{root}/v1");
    let (kind, models) = match tokio::time::timeout(PATIENCE, list(&url)).await.ok()? {
        Some((owner, models)) => match owner.as_str() {
            "vllm" => (EngineKind::Vllm, models),
            "sglang" => (EngineKind::Sglang, models),
            "llamacpp" => (EngineKind::LlamaCpp, models),
            "library" => (EngineKind::Ollama, models),
            // Another Guichet is no engine.
            "guichet" => return None,
            _ => (usual, models),
        },
        None => (EngineKind::Tei, vec![tokio::time::timeout(PATIENCE, tei(&root)).await.ok()??]),
    };
    (!models.is_empty()).then_some(Found { url, port, kind, models })
}

/// The models of whatever speaks OpenAI's API, and who owns the first.
async fn list(url: &str) -> Option<(String, Vec<Served>)> {
    let client = Client::with_config(OpenAIConfig::new().with_api_base(url).with_api_key("none"));
    let list: Value = client.models().list_byot().await.ok()?;
    let owner = list["data"][0]["owned_by"].as_str().unwrap_or_default().to_owned();
    let ids = list["data"].as_array()?.iter().filter_map(|model| model["id"].as_str());
    Some((owner, ids.map(|id| Served { id: id.to_owned(), r#type: None }).collect()))
}

/// The one model of a TEI, which lists none and describes itself instead.
async fn tei(root: &str) -> Option<Served> {
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(format!("{root}/info").parse().ok()?).await.ok()?;
    let body = Limited::new(answer.into_body(), 64 << 10).collect().await.ok()?.to_bytes();
    let info: Value = serde_json::from_slice(&body).ok()?;
    let r#type = match &info["model_type"] {
        kind if kind.get("embedding").is_some() => "embeddings",
        kind if kind.get("reranker").is_some() => "rerank",
        _ => return None,
    };
    Some(Served { id: info["model_id"].as_str()?.to_owned(), r#type: Some(r#type) })
}

fn engine_word(kind: EngineKind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A type, from a model's name.
fn guess(id: &str) -> &'static str {
    let name = id.to_lowercase();
    match () {
        () if name.contains("rerank") => "rerank",
        () if ["embed", "bge-", "e5-"].iter().any(|mark| name.contains(mark)) => "embeddings",
        () => "chat",
    }
}

/// The commented file. Names of engines are quoted as JSON strings, which are YAML too.
fn configuration(found: &[Found]) -> String {
    let mut text = String::from(
        "# Guichet: what is served, by which engines, and where the data goes.\n\
         # Every setting: docs/configuration.md. Check with `guichet check-config`; changes are taken without a restart.\n\n\
         server:\n  listen: 127.0.0.1:8080   # behind a reverse proxy that ends TLS\n\n\
         # Where the engines run and whose law binds who runs them. Say the truth: it decides which data goes there.\n\
         hostings:\n  here:\n    operator: \"My administration\"\n    state_operated: true     # a ministry's own machines\n    \
         country: FR              # where the machines stand\n    jurisdiction: FR         # whose law binds the operator and its parent\n    \
         qualification: none      # secnumcloud, hds or none\n    zone: on-premises\n\n",
    );
    if found.is_empty() {
        text.push_str(
            "models: []\n# models:\n#   - id: openweight-small          # stable name that clients use\n#     aliases: [my-model]\n#     type: chat                    # chat, vision, embeddings or rerank\n#     \
             context_length: 32768\n#     deployments:\n#       - name: vllm-1\n#         url: http://127.0.0.1:8000/v1\n#         engine: vllm              # vllm, sglang, llamacpp, ollama, tei, mistral or openai\n#         \
             capacity: 32              # requests it answers at once\n#         hosting: here\n",
        );
        return text;
    }
    text.push_str("models:\n");
    let mut seen = HashSet::new();
    let quoted = |text: &str| Value::from(text).to_string();
    for engine in found {
        let word = engine_word(engine.kind);
        for (index, model) in engine.models.iter().enumerate() {
            // The same model on two engines is one model with two deployments: left to the person to join.
            let mut id = model.id.clone();
            while !seen.insert(id.clone()) {
                id = format!("{id}-{}", engine.port);
            }
            let deployment = match index {
                0 => format!("{word}-{}", engine.port),
                n => format!("{word}-{}-{}", engine.port, n + 1),
            };
            let (kind, told) = match model.r#type {
                Some(kind) => (kind, ""),
                None => (guess(&id), "   # guessed from the name: check it"),
            };
            let capacity = match engine.kind {
                EngineKind::Vllm | EngineKind::Sglang | EngineKind::Tei => 32,
                _ => 2,
            };
            text.push_str(&format!(
                "  - id: {id}   # the name clients use: keep it stable\n    type: {kind}{told}\n    deployments:\n      - name: {deployment}\n        \
                 url: {url}\n        engine: {word}\n        engine_model: {model}\n        capacity: {capacity}   # requests it answers at once\n        hosting: here\n",
                id = quoted(&id),
                url = engine.url,
                model = quoted(&model.id),
            ));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::{Origin, from_text};

    #[test]
    fn what_is_written_is_a_valid_configuration() {
        let found = |port, kind, models: &[&str]| Found {
            url: format!("http://127.0.0.1:{port}/v1"),
            port,
            kind,
            models: models.iter().map(|m| Served { id: (*m).to_owned(), r#type: None }).collect(),
        };
        let engines = [
            found(8000, EngineKind::Vllm, &["mistralai/Mistral-Small", "odd \"name\""]),
            found(11434, EngineKind::Ollama, &["mistralai/Mistral-Small", "bge-m3:latest"]),
        ];
        for engines in [&engines[..], &[]] {
            let text = configuration(engines);
            let config = from_text(&Origin::Embedded, &text, Vec::new()).unwrap_or_else(|p| panic!("{p:#?}\n{text}"));
            assert_eq!(config.models.len(), engines.iter().map(|e| e.models.len()).sum::<usize>());
        }
    }
}
