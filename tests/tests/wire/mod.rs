//! Parts 6 and 7, the API and its prompts, as clients meet them: real HTTP, and what the engine received of it.
//! [`docs/wire.md`](../../../docs/wire.md) says what clients send and expect, and names the test of each line.

#![expect(clippy::expect_used, reason = "in tests, a panic is how a failure is told")]

mod answers;
mod completions;
mod documentation;
mod embeddings;
mod errors;
mod golden;
mod mistral;
mod models;
mod prompts;
mod requests;
mod rerank;
mod routes;
mod streams;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tests::{FakeEngine, Key, TestApp, model, read};

/// A gateway in front of one engine, and a project's key.
struct Wire {
    engine: FakeEngine,
    app: TestApp,
    key: Key,
}

impl Wire {
    /// Chat models of these names, by which the engine behaves.
    async fn of(names: &[&str]) -> Wire {
        Wire::set(|url| names.iter().map(|name| model(name, "chat", url, "")).collect()).await
    }

    /// One chat model, with more settings on its deployment.
    async fn deployed(name: &str, settings: &str) -> Wire {
        Wire::set(|url| model(name, "chat", url, settings)).await
    }

    /// Models written for the engine's URL.
    async fn set(models: impl FnOnce(&str) -> String) -> Wire {
        Wire::with("", models).await
    }

    /// The same, with more of the configuration.
    async fn with(more: &str, models: impl FnOnce(&str) -> String) -> Wire {
        let engine = FakeEngine::start().await;
        let app = TestApp::start(&format!("{more}\nmodels:\n{}", models(&engine.url()))).await;
        let key = app.key("Ministère A", "internal").await;
        Wire { engine, app, key }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.app.request(method, path, &self.key.secret)
    }

    /// A body as it is written.
    async fn raw(&self, path: &str, body: &str) -> Response {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        request.body(body.to_owned()).send().await.expect("an answer")
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.app.post(path, &self.key.secret, body).await
    }

    async fn chat(&self, body: &Value) -> (u16, Value) {
        self.post("/v1/chat/completions", body).await
    }

    /// A chat that is answered, as a whole.
    async fn answer(&self, body: &Value) -> Value {
        let (status, answer) = self.chat(body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A chat that is answered, as a stream: all of it.
    async fn stream(&self, body: &Value) -> String {
        streamed(self.app.send("/v1/chat/completions", &self.key.secret, &with(body, &json!({"stream": true}))).await)
            .await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.app.get(path, &self.key.secret).await
    }
}

/// A stream to its end.
async fn streamed(response: Response) -> String {
    let kind = header(&response, "content-type");
    let status = response.status();
    let text = response.text().await.expect("a stream");
    assert_eq!((status.as_u16(), kind.as_str()), (200, "text/event-stream; charset=utf-8"), "{text}");
    text
}

/// The events of a stream, comments and `[DONE]` left out.
fn events(stream: &str) -> Vec<Value> {
    let data = stream.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).expect(data)).collect()
}

/// One field of all deltas, joined.
fn joined(stream: &str, field: &str) -> String {
    let events = events(stream);
    events.iter().filter_map(|event| event["choices"][0]["delta"][field].as_str()).collect()
}

/// A header's text; empty when it is not there.
fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().expect(name).to_owned()).unwrap_or_default()
}

/// An object with the fields of another.
fn with(body: &Value, more: &Value) -> Value {
    let mut body = body.clone();
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

/// Messages of one user.
fn hello(model: &str) -> Value {
    tests::chat(model)
}

/// Status and JSON of a request.
async fn sent(request: RequestBuilder) -> (u16, Value) {
    read(request.send().await.expect("an answer")).await
}
