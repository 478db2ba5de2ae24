//! An embedding engine that works at a stated pace, one request at a time, and notes when it had one in hand; or one that
//! hands its requests on to a real one.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::wire::Connection;

/// Vectors there are: a text has one of them.
const VECTORS: u64 = 2_048;

/// What a request holds.
#[derive(Deserialize)]
struct Asked {
    input: Vec<String>,
}

/// How requests are answered.
pub enum Pace {
    /// Passages a second.
    Fixed(f64),
    /// By the engine at this `host:port`.
    Real(String),
}

/// The engine and what it saw.
pub struct Engine {
    pace: Pace,
    vectors: Vec<String>,
    /// Held by the request at work.
    bench: tokio::sync::Mutex<()>,
    seen: Mutex<Seen>,
}

/// What an engine saw so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub calls: u64,
    pub passages: u64,
    /// Bytes of the texts.
    pub bytes: u64,
    /// From the first call to the end of the last one.
    pub span: Duration,
    /// Of it, with a request in hand.
    pub busy: Duration,
    first: Option<Instant>,
    in_hand: u32,
    since: Option<Instant>,
}

impl Seen {
    fn begins(&mut self, asked: &Asked) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        if self.in_hand == 0 {
            self.since = Some(now);
        }
        self.in_hand += 1;
        self.calls += 1;
        self.passages += asked.input.len() as u64;
        self.bytes += asked.input.iter().map(String::len).sum::<usize>() as u64;
    }

    fn ends(&mut self) {
        *self = self.by(Instant::now());
        self.in_hand -= 1;
        if self.in_hand == 0 {
            self.since = None;
        }
    }

    /// The same at a moment: a request in hand counts up to it.
    fn by(mut self, now: Instant) -> Seen {
        if let Some(since) = self.since.replace(now).filter(|_| self.in_hand > 0) {
            self.busy += now - since;
            self.span = self.first.map_or(Duration::ZERO, |first| now - first);
        }
        self
    }
}

impl Engine {
    pub fn new(pace: Pace, dimensions: usize) -> Engine {
        let vector = |nth: u64| {
            // Xorshift: any spread will do.
            let mut state = nth.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let numbers = (0..dimensions).map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                format!("{:.5}", (state >> 40) as f64 / f64::from(1 << 23) - 1.0)
            });
            format!("[{}]", numbers.collect::<Vec<_>>().join(","))
        };
        let vectors = match pace {
            Pace::Fixed(_) => (1..=VECTORS).map(vector).collect(),
            Pace::Real(_) => Vec::new(),
        };
        Engine { pace, vectors, bench: tokio::sync::Mutex::default(), seen: Mutex::default() }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).by(Instant::now())
    }

    /// Serves `listener` until dropped.
    pub async fn serve(self: Arc<Engine>, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let engine = Arc::clone(&self);
            connections.spawn(async move {
                let service = service_fn(|request| engine.answer(request));
                // The gateway counts what it does not get.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
            });
            while connections.try_join_next().is_some() {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::POST, path) if path.ends_with("/embeddings") => match request.into_body().collect().await {
                Ok(body) => self.embed(body.to_bytes()).await,
                Err(_) => (StatusCode::BAD_REQUEST, Bytes::new()),
            },
            (&Method::GET, path) if path.ends_with("/models") => {
                (StatusCode::OK, r#"{"object":"list","data":[]}"#.into())
            }
            (&Method::GET, _) => (StatusCode::OK, "{}".into()),
            _ => (StatusCode::NOT_FOUND, Bytes::new()),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
        Ok(response)
    }

    async fn embed(&self, body: Bytes) -> (StatusCode, Bytes) {
        let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
            return (StatusCode::BAD_REQUEST, Bytes::new());
        };
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen().begins(&asked);
        let answer = {
            let _bench = self.bench.lock().await;
            match &self.pace {
                Pace::Fixed(rate) => {
                    tokio::time::sleep(Duration::from_secs_f64(asked.input.len() as f64 / rate)).await;
                    (StatusCode::OK, self.made(&asked))
                }
                Pace::Real(address) => match forward(address, &body).await {
                    Ok(answer) => answer,
                    Err(error) => (StatusCode::BAD_GATEWAY, error.to_string().into()),
                },
            }
        };
        seen().ends();
        answer
    }

    fn made(&self, asked: &Asked) -> Bytes {
        let words: usize = asked.input.iter().map(|text| text.split_ascii_whitespace().count()).sum();
        let mut answer = String::from(r#"{"object":"list","data":["#);
        for (index, text) in asked.input.iter().enumerate() {
            let hash = text.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
            let vector = &self.vectors[(hash % VECTORS) as usize];
            let comma = if index == 0 { "" } else { "," };
            answer.push_str(&format!(r#"{comma}{{"object":"embedding","index":{index},"embedding":{vector}}}"#));
        }
        answer.push_str(&format!(r#"],"usage":{}}}"#, json!({"prompt_tokens": words, "total_tokens": words})));
        answer.into()
    }
}

async fn forward(address: &str, body: &Bytes) -> io::Result<(StatusCode, Bytes)> {
    let mut connection = Connection::open(address, 64 << 10).await?;
    let head = format!(
        "POST /v1/embeddings HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (status, answer) = connection.whole(&[head.as_bytes(), body].concat()).await?;
    Ok((StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), answer.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn busy_is_what_had_a_request_in_hand() {
        let engine = Engine::new(Pace::Fixed(100.0), 4);
        let ask = |count: usize| Bytes::from(json!({"input": vec!["mot"; count]}).to_string());
        // Two at once, one after the other: 50 ms in hand.
        let ((one, _), (other, _)) = tokio::join!(engine.embed(ask(2)), engine.embed(ask(3)));
        assert_eq!((one, other), (StatusCode::OK, StatusCode::OK));
        tokio::time::sleep(Duration::from_millis(100)).await;
        engine.embed(ask(1)).await;
        let seen = engine.seen();
        assert_eq!((seen.calls, seen.passages, seen.bytes), (3, 6, 18));
        assert!(
            seen.busy >= Duration::from_millis(60) && seen.span >= seen.busy + Duration::from_millis(90),
            "{seen:?}"
        );
    }

    #[tokio::test]
    async fn a_text_has_its_vector() {
        let engine = Engine::new(Pace::Fixed(1e9), 3);
        let (_, one) = engine.embed(json!({"input": ["a", "b"]}).to_string().into()).await;
        let (_, other) = engine.embed(json!({"input": ["b", "a"]}).to_string().into()).await;
        let read = |bytes: &Bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap()["data"].clone();
        let (one, other) = (read(&one), read(&other));
        assert_eq!((&one[0]["embedding"], &one[1]["embedding"]), (&other[1]["embedding"], &other[0]["embedding"]));
        assert_eq!(one[0]["embedding"].as_array().unwrap().len(), 3);
    }
}
