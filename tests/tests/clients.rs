//! The clients that products already use, unmodified, against a gateway: `tests/clients` drives those of Python and Node,
//! one test each; the crate `opengatellm`, Albert API's client for Rust, is called here. `tests/clients/install.sh` must
//! have run.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failure is told by a panic, and what a client said by its lines"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use futures_util::StreamExt;
use opengatellm::chat::{ChatContent, ChatMessage, CreateChatCompletion};
use opengatellm::embeddings::{EmbeddingsInput, EmbeddingsRequest};
use opengatellm::me::{EndpointUsage, KeysQuery, UsageQuery};
use opengatellm::models::ModelType;
use opengatellm::monitoring::HealthStatus;
use opengatellm::rerank::CreateRerankBody;
use opengatellm::{Client, Error};
use tests::engine::faults::{ANSWER, DIMENSIONS};
use tests::{FakeEngine, Key, TestApp, model};

/// One test for each client of `run.sh`, and a list to compare with its own.
macro_rules! clients {
    ($($test:ident => $name:literal),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() { drive($name).await; })*

        const CLIENTS: &[&str] = &[$($name),*];
    };
}

clients!(
    clients_openai_1 => "openai-1",
    clients_openai_2 => "openai-2",
    clients_openai_3 => "openai-3",
    clients_litellm => "litellm",
    clients_langchain => "langchain",
    clients_pydantic_ai => "pydantic-ai",
    clients_mistral => "mistral",
    clients_node_openai => "node-openai",
    clients_node_ai => "node-ai",
);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// `run.sh` with these arguments, to its end.
async fn run(arguments: &'static [&'static str], url: String, key: String) -> Output {
    let mut command = Command::new(folder().join("run.sh"));
    command.args(arguments).env("GUICHET_URL", url).env("GUICHET_KEY", key).env_remove("GUICHET_ENGINE_ONLY");
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("run.sh starts")
}

/// What `tests/clients/README.md` asks for.
async fn app(engine: &FakeEngine) -> (TestApp, Key) {
    let url = engine.url();
    let chats: String =
        ["fake/tools", "fake/reasoning", "fake/cut", "fake/busy"].map(|id| model(id, "chat", &url, "")).concat();
    let plain =
        model("fake/plain", "chat", &url, "").replacen("id: fake/plain,", "id: fake/plain, aliases: [fake-alias],", 1);
    let embeddings = model("fake/embeddings", "embeddings", &url, "").replacen("type:", "dimensions: 8, type:", 1);
    let rerank = model("fake/rerank", "rerank", &url, "");
    let app = TestApp::start(&format!("models:\n{plain}{chats}{embeddings}{rerank}")).await;
    let key = app.key("Ministère A", "internal").await;
    (app, key)
}

async fn drive(name: &'static str) {
    let engine = FakeEngine::start().await;
    let (app, key) = app(&engine).await;
    let arguments: &'static [&'static str] =
        CLIENTS.iter().position(|known| *known == name).map_or(&[], |at| &CLIENTS[at..=at]);
    let output = run(arguments, app.url.clone(), key.secret).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{name} (tests/clients/install.sh must have run): {complaints}\n{said}");
    let lines = |word: &str| said.lines().filter(|line| line.split(' ').next() == Some(word)).count();
    assert_eq!((lines("FAIL"), lines("skip")), (0, 0), "{said}");
    assert!(lines("ok") > 0, "{name} checked nothing: {said}");
    assert!(engine.posts() > 0, "{name} called no engine: {said}");
}

/// A client that `run.sh` knows has its test here.
#[tokio::test]
async fn clients_of_the_list_are_all_driven() {
    let output = run(&["list"], String::new(), String::new()).await;
    let known = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(known.lines().collect::<Vec<_>>(), CLIENTS, "run.sh list");
}

/// The Rust client of Albert API: all that it offers and that Guichet serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_opengatellm() {
    let engine = FakeEngine::start().await;
    let (app, key) = app(&engine).await;
    let client = Client::new(app.url.clone(), Some(key.secret.clone())).expect("a client");
    let hello = |model: &str| {
        CreateChatCompletion::new(vec![ChatMessage::system("Sois bref."), ChatMessage::user("Bonjour")], model)
    };

    let answer = client.chat_completion(&hello("fake-alias")).await.expect("a chat");
    let Some(ChatContent::Text(text)) = &answer.choices[0].message.content else { panic!("{answer:?}") };
    assert_eq!((text.as_str(), answer.model.as_str()), (ANSWER, "fake/plain"));
    assert!(answer.usage.is_some_and(|usage| usage.total_tokens > usage.completion_tokens));
    let called = client.chat_completion(&asking_a_tool(hello("fake/tools"))).await.expect("a tool call");
    assert!(called.choices[0].message.tool_calls.as_ref().is_some_and(|calls| calls.len() == 1), "{called:?}");

    let mut text = String::new();
    let (plain, cut) = (hello("fake/plain"), hello("fake/cut"));
    let mut stream = Box::pin(client.chat_completion_stream(&plain).await.expect("a stream"));
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.expect("a chunk");
        assert_eq!(chunk.choices.len(), 1, "no chunk without choices was asked for: {chunk:?}");
        text += chunk.choices[0].delta.content.as_deref().unwrap_or_default();
    }
    assert_eq!(text, ANSWER);
    let cut = client.chat_completion_stream(&cut).await.expect("a stream");
    let last = Box::pin(cut).fold(None, |_, chunk| async { Some(chunk) }).await;
    assert!(matches!(last, Some(Err(Error::Decode(_)))), "a cut stream ends with an error: {last:?}");

    for input in [EmbeddingsInput::from("eau"), EmbeddingsInput::Tokens(vec![68, 2933])] {
        let found = client.embeddings(&EmbeddingsRequest::new(input, "fake/embeddings")).await.expect("vectors");
        assert_eq!((found.data.len(), found.data[0].embedding.len()), (1, DIMENSIONS));
    }
    let body = CreateRerankBody::new("eau pluie", ["rien", "eau de pluie"], "fake/rerank").top_n(1);
    let ranked = client.rerank(&body).await.expect("scores");
    assert_eq!(ranked.results.iter().map(|result| result.index).collect::<Vec<_>>(), [1]);

    let models = client.models().await.expect("models").data;
    let plain = models.iter().find(|model| model.id == "fake/plain").expect("fake/plain");
    assert_eq!(
        (plain.kind, plain.aliases.as_slice()),
        (Some(ModelType::TextGeneration), &["fake-alias".to_owned()][..])
    );
    assert_eq!(client.model("fake/plain").await.expect("a model").id, "fake/plain");
    assert_eq!(client.health().await.expect("health").status, "ok");
    let health = client.health_models().await.expect("health").data;
    assert!(health.iter().any(|model| model.id == "fake/plain" && model.status == HealthStatus::Green), "{health:?}");

    let me = client.me_info().await.expect("an account");
    assert_eq!(
        (me.id, me.organization, me.name.as_deref()),
        (key.project_id, Some(key.organization_id), Some("produit"))
    );
    let keys = client.keys(&KeysQuery::new().limit(10)).await.expect("keys").data;
    assert!(keys.len() == 1 && keys[0].token.contains(&key.id), "{keys:?}");
    app.records(7).await;
    let chats = UsageQuery::new().endpoint(EndpointUsage::ChatCompletions).time_range(0, 4_000_000_000);
    let usage = client.usage(&chats).await.expect("usage").data;
    assert!(usage.iter().any(|bucket| bucket.usage.total_tokens > Some(0)), "{usage:?}");
    assert!(usage.iter().all(|bucket| bucket.endpoint.as_deref() == Some("chat.completions")), "{usage:?}");

    for (result, wanted) in [
        (client.model("fake/nowhere").await.map(|_| ()), 404),
        (client.metrics().await.map(|_| ()), 403),
        (client.chat_completion(&hello("fake/nowhere")).await.map(|_| ()), 404),
        (Client::new(app.url.clone(), Some("wrong")).expect("a client").models().await.map(|_| ()), 401),
    ] {
        assert!(matches!(&result, Err(Error::Api { status, .. }) if *status == wanted), "{wanted}: {result:?}");
    }
    assert!(client_of(&app).metrics().await.expect("metrics").contains("guichet_"));
}

/// The client with an administrator's key.
fn client_of(app: &TestApp) -> Client {
    Client::new(app.url.clone(), Some(app.admin_key.clone())).expect("a client")
}

fn asking_a_tool(mut request: CreateChatCompletion) -> CreateChatCompletion {
    let parameters = serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool = serde_json::json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
    request.tools = Some(vec![tool]);
    request
}
