//! Load on one thread: what is asked, of whom, and what went wrong.

pub mod idle;
pub mod soak;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod unary;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::wire::{Connection, Head};

/// Read buffers of busy connections, in bytes.
const BUFFER: usize = 4096;

/// Where requests go, and whose cost is measured.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// Sent as `Authorization: Bearer`.
    pub key: String,
    /// Root of the process tree under test.
    pub pid: u32,
}

/// What a stream is asked to be.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub chunks: u64,
    pub gap_ms: u64,
}

/// Requests that failed, with the first reason.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Failures {
    pub count: u64,
    pub first: Option<String>,
}

impl Failures {
    /// Counts one failure.
    pub fn add(&mut self, reason: impl ToString) {
        self.count += 1;
        self.first.get_or_insert_with(|| reason.to_string());
    }

    /// Takes those of `other`.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.take().or(other.first);
    }
}

impl Target {
    /// A chat request as it goes over the wire, about 300 bytes of JSON; streamed when `pace` is given.
    pub fn chat(&self, pace: Option<Pace>) -> Arc<[u8]> {
        let mut body = json!({
            "model": "mock",
            "messages": [
                {"role": "system", "content": "Vous aidez les agents d'une administration."},
                {"role": "user", "content": "Quelles pièces faut-il fournir pour refaire une carte nationale d'identité perdue ?"},
            ],
            "temperature": 0.2,
            "max_tokens": 256,
        });
        if let Some(Pace { chunks, gap_ms }) = pace {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
            body["bench"] = json!({"chunks": chunks, "gap_ms": gap_ms});
        }
        let body = body.to_string();
        let (address, key, length) = (&self.address, &self.key, body.len());
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nAccept: */*\r\nContent-Length: {length}\r\n\r\n"
        );
        Arc::from((head + &body).into_bytes())
    }

    /// One plain chat on a connection of its own: `Ok` when it is answered as the engine answers.
    pub async fn probe(&self) -> Result<(), String> {
        ask(&mut None, self, &self.chat(None), true).await
    }
}

/// Sends `request` over the connection kept in `slot`, opening one if none is there, and reads the answer to its end.
/// `checked` parses the body too: that is for first answers, since it costs as much as a gateway's whole work.
async fn ask(slot: &mut Option<Connection>, target: &Target, request: &[u8], checked: bool) -> Result<(), String> {
    let mut connection = match slot.take() {
        Some(connection) => connection,
        None => Connection::open(&target.address, BUFFER).await.map_err(text)?,
    };
    let head = connection.exchange(request).await.map_err(text)?;
    if head.status != 200 || checked {
        let body = read(&mut connection).await?;
        refused(head, &body)?;
        let answer: Value = serde_json::from_slice(&body).map_err(text)?;
        let content = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
        if content.is_none_or(str::is_empty) || answer.pointer("/usage/total_tokens").is_none() {
            return Err("an answer without content or usage".to_owned());
        }
    } else {
        while connection.piece().await.map_err(text)?.is_some() {}
    }
    *slot = connection.reusable().then_some(connection);
    Ok(())
}

async fn read(connection: &mut Connection) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = connection.piece().await.map_err(text)? {
        body.extend_from_slice(piece);
    }
    Ok(body)
}

fn refused(head: Head, body: &[u8]) -> Result<(), String> {
    if head.status == 200 {
        return Ok(());
    }
    let excerpt: String = String::from_utf8_lossy(body).chars().take(200).collect();
    Err(format!("status {}: {excerpt}", head.status))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
