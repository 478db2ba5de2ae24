//! `guichet init`: looks for engines on this machine and writes a commented configuration.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use clap::Args;
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
    #[arg(long, default_value = "guichet.yaml")]
    output: PathBuf,
    /// Look at these ports too
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
    models: Vec<String>,
}

impl Init {
    pub async fn run(&self, out: &mut impl Write) -> Outcome {
        if self.output.exists() && !self.force {
            return Err(Failure(format!(
                "{} is already there; name another with --output, or --force",
                self.output.display()
            )));
        }
        let more = self.ports.iter().map(|port| (*port, EngineKind::OpenAi));
        let mut found = Vec::new();
        for (port, usual) in PORTS.into_iter().chain(more) {
            if let Some(engine) = ask(port, usual).await {
                writeln!(out, "Found {:?} on port {port}: {}", engine.kind, engine.models.join(", "))?;
                found.push(engine);
            }
        }
        let text = configuration(&found);
        std::fs::write(&self.output, text)
            .map_err(|error| Failure(format!("{} cannot be written: {error}", self.output.display())))?;
        if found.is_empty() {
            writeln!(
                out,
                "No engine answers on this machine's usual ports; {} holds an example to fill in.",
                self.output.display()
            )?;
        }
        writeln!(
            out,
            "Wrote {}. Read it (hosting says where your data goes), then: guichet check-config; guichet serve",
            self.output.display()
        )?;
        Ok(())
    }
}

/// Lists the models of whatever speaks OpenAI's API on a port of this machine.
async fn ask(port: u16, usual: EngineKind) -> Option<Found> {
    let root = format!("http://127.0.0.1:{port}");
    let url = format!("{root}/v1");
    let client = Client::with_config(OpenAIConfig::new().with_api_base(&url).with_api_key("none"));
    let list: Value = tokio::time::timeout(PATIENCE, client.models().list_byot()).await.ok()?.ok()?;
    let models: Vec<String> =
        list["data"].as_array()?.iter().filter_map(|model| model["id"].as_str().map(str::to_owned)).collect();
    let owner = list["data"][0]["owned_by"].as_str().unwrap_or_default().to_owned();
    let kind = match owner.as_str() {
        "vllm" => EngineKind::Vllm,
        "sglang" => EngineKind::Sglang,
        "llamacpp" => EngineKind::LlamaCpp,
        "library" => EngineKind::Ollama,
        // Another Guichet is no engine.
        "guichet" => return None,
        _ => usual,
    };
    (!models.is_empty()).then_some(Found { url, port, kind, models })
}

fn engine_word(kind: EngineKind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
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
    let mut seen = std::collections::HashSet::new();
    for engine in found {
        for model in &engine.models {
            // The same model on two engines is one model with two deployments: left to the person to join.
            let id = if seen.insert(model.clone()) { model.clone() } else { format!("{model}-{}", engine.port) };
            let name = id.to_lowercase();
            let kind = match () {
                () if name.contains("rerank") => "rerank",
                () if engine.kind == EngineKind::Tei
                    || ["embed", "bge-", "e5-"].iter().any(|mark| name.contains(mark)) =>
                {
                    "embeddings"
                }
                () => "chat",
            };
            let quoted = |text: &str| Value::from(text).to_string();
            text.push_str(&format!(
                "  - id: {id}   # the name clients use: keep it stable\n    type: {kind}   # guessed from the name: check it\n    deployments:\n      - name: {deployment}\n        \
                 url: {url}\n        engine: {word}\n        engine_model: {model}\n        capacity: {capacity}   # requests it answers at once\n        hosting: here\n",
                id = quoted(&id),
                deployment = quoted(&format!("{}-{}-{}", engine_word(engine.kind), engine.port, id.replace(['/', ' '], "-"))),
                url = engine.url,
                word = engine_word(engine.kind),
                model = quoted(model),
                capacity = if matches!(engine.kind, EngineKind::Vllm | EngineKind::Sglang | EngineKind::Tei) { 32 } else { 2 },
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
            models: models.iter().map(|m| (*m).to_owned()).collect(),
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
