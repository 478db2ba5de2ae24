//! What the bench asks of a gateway.

use serde_json::{Value, json};

use crate::Result;
use crate::wire::Connection;

/// What separates the fields of a form.
const BOUNDARY: &str = "guichet-bench-form";
/// Read buffer of a connection, in bytes.
const BUFFER: usize = 16 << 10;

/// One connection with one key.
pub struct Client {
    address: String,
    key: String,
    connection: Connection,
}

impl Client {
    pub async fn new(address: &str, key: &str) -> Result<Client> {
        let connection = Connection::open(address, BUFFER).await?;
        Ok(Client { address: address.to_owned(), key: key.to_owned(), connection })
    }

    /// A JSON request and its answer.
    pub async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, "application/json", body.as_bytes()).await
    }

    /// As [`Client::ask`], with an answer that must be good.
    pub async fn get(&mut self, path: &str) -> Result<Value> {
        match self.ask("GET", path, &Value::Null).await? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(format!("{path}: {status} {answer}").into()),
        }
    }

    /// Makes something: its answer.
    pub async fn make(&mut self, path: &str, body: &Value) -> Result<Value> {
        match self.ask("POST", path, body).await? {
            (200 | 201, made) => Ok(made),
            (status, answer) => Err(format!("{path}: {status} {answer}").into()),
        }
    }

    /// Uploads a document without waiting for its end.
    pub async fn upload(&mut self, collection: i64, name: &str, text: &str) -> Result<()> {
        let body = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"collection_id\"\r\n\r\n{collection}\r\n\
             --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: text/markdown\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
        );
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        match self.send("POST", "/v1/documents", &kind, body.as_bytes()).await? {
            (200..300, _) => Ok(()),
            (status, answer) => Err(format!("{name}: {status} {answer}").into()),
        }
    }

    async fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<(u16, Value)> {
        let (address, key) = (&self.address, &self.key);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nPrefer: respond-async\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body].concat();
        // One that rested may have been closed. The same document twice is one.
        let (status, answer) = match self.connection.whole(&request).await {
            Ok(answer) if self.connection.reusable() => answer,
            answered => {
                self.connection = Connection::open(&self.address, BUFFER).await?;
                match answered {
                    Ok(answer) => answer,
                    Err(_) => self.connection.whole(&request).await?,
                }
            }
        };
        Ok((status, serde_json::from_slice(&answer).unwrap_or_else(|_| json!(String::from_utf8_lossy(&answer)))))
    }
}
