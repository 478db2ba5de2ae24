//! A mock OpenAI-compatible engine that does next to nothing, so that what is measured is what stands in front of it.
//!
//! `POST …/chat/completions` answers pre-built JSON, or a stream paced as the request says:
//! `"bench": {"chunks": 100, "gap_ms": 20}`, a field of ours that a gateway has to pass on untouched.
//! Each chunk's text begins with the time it was sent (`ts=` and nanoseconds since 1970).
//! `GET /counters` tells what happened; `GET /v1/models` and `/health` answer what clients expect.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::events::{STAMP, now};

const CHUNK: &str = r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"mock","choices":[{"index":0,"delta":"#;
const ANSWER: &str = r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1767225600,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"Pour refaire une carte d'identité, prenez rendez-vous en mairie avec une photo de moins de six mois, l'ancienne carte et un justificatif de domicile. La demande peut être préparée en ligne. Comptez quelques semaines."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":48,"completion_tokens":52,"total_tokens":100}}"#;
const MODELS: &str =
    r#"{"object":"list","data":[{"id":"mock","object":"model","created":1767225600,"owned_by":"bench"}]}"#;
const MISSING: &str =
    r#"{"error":{"message":"not found","type":"invalid_request_error","param":null,"code":"not_found"}}"#;
const MALFORMED: &str = r#"{"error":{"message":"malformed body","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#;

/// The fields of a request that change the answer.
#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    bench: Pace,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize, Default)]
struct Pace {
    chunks: u32,
    gap_ms: u64,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    open: AtomicU64,
    whole: AtomicU64,
    cut: AtomicU64,
}

/// Serves `listener` until dropped.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let counters = Arc::new(Counters::default());
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let counters = Arc::clone(&counters);
        connections.spawn(async move {
            let service = service_fn(|request| answer(&counters, request));
            // A client that hangs up is no event here: the counters tell.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(counters: &Arc<Counters>, request: Request<Incoming>) -> hyper::Result<Response<Reply>> {
    if request.method() == Method::GET {
        let (status, body) = match request.uri().path() {
            "/health" => (StatusCode::OK, "{}".into()),
            "/v1/models" => (StatusCode::OK, MODELS.into()),
            "/counters" => (StatusCode::OK, counters.json().into()),
            _ => (StatusCode::NOT_FOUND, MISSING.into()),
        };
        return Ok(json(status, body));
    }
    if !request.uri().path().ends_with("/chat/completions") {
        return Ok(json(StatusCode::NOT_FOUND, MISSING.into()));
    }
    let body = whole(request.into_body()).await?;
    let Ok(ask) = serde_json::from_slice::<Ask>(&body) else {
        return Ok(json(StatusCode::BAD_REQUEST, MALFORMED.into()));
    };
    counters.requests.fetch_add(1, Relaxed);
    if !ask.stream {
        return Ok(json(StatusCode::OK, Bytes::from_static(ANSWER.as_bytes())));
    }
    let usage = ask.stream_options.is_some_and(|options| options.include_usage);
    let mut response = Response::new(Reply::Stream(Box::new(Paced::new(counters, &ask.bench, usage))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

async fn whole(mut body: Incoming) -> hyper::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn json(status: StatusCode, body: Bytes) -> Response<Reply> {
    let mut response = Response::new(Reply::Once(Some(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Counters {
    fn json(&self) -> String {
        let [requests, open, whole, cut] =
            [&self.requests, &self.open, &self.whole, &self.cut].map(|counter| counter.load(Relaxed));
        format!(r#"{{"requests":{requests},"streams_open":{open},"streams_whole":{whole},"streams_cut":{cut}}}"#)
    }
}

enum Reply {
    Once(Option<Bytes>),
    Stream(Box<Paced>),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut *self {
            Self::Once(bytes) => bytes.take(),
            Self::Stream(paced) => ready!(paced.poll_next(context)),
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Self::Once(bytes) => hyper::body::SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => hyper::body::SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Once(None))
    }
}

/// The events of one stream: role at once, each chunk after its gap, then finish, usage and end together.
struct Paced {
    counters: Arc<Counters>,
    left: u32,
    gap: Duration,
    usage: bool,
    timer: Pin<Box<Sleep>>,
    begun: bool,
    ended: bool,
}

impl Paced {
    fn new(counters: &Arc<Counters>, pace: &Pace, usage: bool) -> Self {
        counters.open.fetch_add(1, Relaxed);
        Self {
            counters: Arc::clone(counters),
            left: pace.chunks,
            gap: Duration::from_millis(pace.gap_ms),
            usage,
            timer: Box::pin(sleep_until(Instant::now())),
            begun: false,
            ended: false,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if !self.begun {
            self.begun = true;
            self.timer.as_mut().reset(Instant::now() + self.gap);
            let role = format!("{CHUNK}{{\"role\":\"assistant\",\"content\":\"\"}},\"finish_reason\":null}}]}}\n\n");
            return Poll::Ready(Some(role.into()));
        }
        if self.left == 0 {
            self.ended = true;
            let usage = match self.usage {
                true => {
                    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"mock\",\"choices\":[],\"usage\":{\"prompt_tokens\":48,\"completion_tokens\":100,\"total_tokens\":148}}\n\n"
                }
                false => "",
            };
            let end = format!("{CHUNK}{{}},\"finish_reason\":\"stop\"}}]}}\n\n{usage}data: [DONE]\n\n");
            return Poll::Ready(Some(end.into()));
        }
        ready!(self.timer.as_mut().poll(context));
        self.left -= 1;
        let next = self.timer.deadline() + self.gap;
        self.timer.as_mut().reset(next);
        let stamp = now();
        let chunk = format!("{CHUNK}{{\"content\":\"{STAMP}{stamp} préfecture \"}},\"finish_reason\":null}}]}}\n\n");
        Poll::Ready(Some(chunk.into()))
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Relaxed);
        let outcome = if self.ended { &self.counters.whole } else { &self.counters.cut };
        outcome.fetch_add(1, Relaxed);
    }
}
