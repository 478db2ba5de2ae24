//! The few calls of the API that ingestion from a shell makes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// Longest wait for an answer: an upload waits for nothing but the database.
const ANSWER: Duration = Duration::from_secs(120);
const LARGEST_ANSWER: usize = 8 << 20;
/// Without a word of the gateway on when to come back.
const SOON: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(60);

pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    authorization: HeaderValue,
}

/// Why something was not done.
pub enum Refused {
    /// The gateway said so, for good.
    There(String),
    /// It may do it later.
    Later(Duration, String),
    /// It never got there, or ended badly there.
    Here(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::There(words) | Refused::Later(_, words) | Refused::Here(words) => f.write_str(words),
        }
    }
}

impl Client {
    pub fn new(url: &str, key: &str) -> Result<Client, String> {
        let parsed: url::Url = url.parse().map_err(|error| format!("--url {url}: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("--url {url}: use http:// or https://"));
        }
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", key.trim())).map_err(|_| "--key: this is no key".to_owned())?;
        authorization.set_sensitive(true);
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| format!("the system's certificate authorities cannot be read: {error}"))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Client { pool: Pool::builder(TokioExecutor::new()).build(connector), base, authorization })
    }

    /// The number of the collection of a name, made when there is none.
    pub async fn collection(&self, name: &str) -> Result<i64, Refused> {
        let coded: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let found = self.call(Method::GET, &format!("/v1/collections?name={coded}&limit=100"), None).await?;
        let known = found["data"].as_array().into_iter().flatten().find(|one| one["name"] == name);
        let known = match known {
            Some(known) => known["id"].as_i64(),
            None => {
                let wanted = Bytes::from(json!({"name": name}).to_string());
                let made = self.call(Method::POST, "/v1/collections", Some(("application/json", wanted))).await?;
                made["id"].as_i64()
            }
        };
        known.ok_or_else(|| Refused::Here("the gateway gave the collection no id".to_owned()))
    }

    pub async fn upload(
        &self,
        collection: i64,
        name: &str,
        metadata: Option<&Value>,
        content: &Bytes,
    ) -> Result<Value, Refused> {
        let boundary = format!("guichet-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut body = Vec::with_capacity(content.len() + 1_024);
        let mut field = |field: &str, value: &str| {
            let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        };
        field("collection_id", &collection.to_string());
        field("name", name);
        if let Some(metadata) = metadata {
            field("metadata", &metadata.to_string());
        }
        // A name within quotes, as browsers write it.
        let quoted = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{quoted}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={boundary}");
        self.call(Method::POST, "/v1/documents", Some((&kind, body.into()))).await
    }

    pub async fn document(&self, id: i64) -> Result<Value, Refused> {
        self.call(Method::GET, &format!("/v1/documents/{id}"), None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<(&str, Bytes)>) -> Result<Value, Refused> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header("prefer", "respond-async");
        let body = match body {
            Some((kind, body)) => {
                request = request.header(header::CONTENT_TYPE, kind);
                body
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| Refused::Here(error.to_string()))?;
        let away = |why: String| Refused::Later(SOON, format!("{}: {why}", self.base));
        let asked = tokio::time::timeout(ANSWER, async {
            let response = self.pool.request(request).await.map_err(|error| away(root(&error)))?;
            let status = response.status();
            let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = Limited::new(response.into_body(), LARGEST_ANSWER);
            let body = body.collect().await.map_err(|error| away(error.to_string()))?.to_bytes();
            Ok::<_, Refused>((status, after, body))
        });
        let (status, after, body) = asked.await.map_err(|_| away("no answer in time".to_owned()))??;
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(answer);
        }
        let words = answer["error"]["message"].as_str().map_or_else(|| format!("status {status}"), str::to_owned);
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(Refused::Later(after.map_or(SOON, Duration::from_secs).min(LATEST), words));
        }
        Err(Refused::There(words))
    }
}

/// Why a document failed, in its own words.
pub fn reason(document: &Value) -> String {
    let said = document["reason"].as_str().or_else(|| document["error"]["message"].as_str());
    said.unwrap_or("failed").to_owned()
}

/// The cause behind a chain of causes: "connection refused" rather than "client error".
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
