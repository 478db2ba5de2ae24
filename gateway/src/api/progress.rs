//! `GET /v1/documents/{id}/events`: how a document comes along, as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use serde_json::json;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::config::server::Language;
use crate::error::{ApiError, ApiResult};
use crate::ingest::{Progress, Watch};
use crate::layers;
use crate::policy::corpora::Reading;
use crate::policy::identity::Principal;

/// Events made before the client has read the last one.
const AHEAD: usize = 4;
/// A comment in every silence, so that no proxy takes the stream for dead.
const KEEPALIVE: Duration = Duration::from_secs(15);

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(events))
}

/// How a document comes along. An event `progress` for each change: `id`, `status`, `done` and `total` (chunks that can be
/// found, of those there are), `reason` (why it failed, or what it waits for). The stream ends with `done`, `failed`, or an
/// event `deleted`.
#[utoipa::path(get, path = "/v1/documents/{id}/events", tag = "Documents", security(("key" = [])),
    params(("id" = i64, Path, description = "Id of the document")),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream"),
              (status = 404, description = "Unknown, or not visible to this key")))]
async fn events(
    State(app): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    Path(id): Path<i64>,
) -> ApiResult<Response> {
    let retrieval = app.retrieval.as_ref().ok_or_else(ApiError::no_such_route)?;
    if !app.store.document_is_readable(&Reading::of(&who), id).await? {
        return Err(ApiError::not_found());
    }
    let language = layers::language(&headers, &app.config.load());
    let (send, receive) = mpsc::channel(AHEAD);
    let watch = retrieval.ingestion.watch(id);
    let stop = app.stop.clone();
    app.tasks.spawn(async move {
        tokio::select! {
            () = tell(watch, language, &send) => {}
            () = stop.cancelled() => {}
        }
    });
    let mut response = Response::new(Body::new(Events(receive)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Sends what happens, until the end or until nobody listens.
async fn tell(mut watch: Watch, language: Language, send: &mpsc::Sender<Bytes>) {
    let mut ended = false;
    loop {
        let event = match tokio::time::timeout(KEEPALIVE, watch.next()).await {
            Ok(Ok(Some(progress))) => {
                ended = progress.stage.is_end();
                event("progress", &state(&progress, language))
            }
            Ok(Ok(None)) if ended => return,
            Ok(Ok(None)) => {
                drop(send.send(event("deleted", &json!({}))).await);
                return;
            }
            // The database is away: the client hears that the stream lives.
            Ok(Err(error)) => {
                tracing::debug!(%error, "progress cannot be told");
                tokio::time::sleep(Duration::from_secs(1)).await;
                Bytes::from_static(b": waiting\n\n")
            }
            Err(_) => Bytes::from_static(b": keepalive\n\n"),
        };
        if send.send(event).await.is_err() {
            return;
        }
    }
}

fn state(progress: &Progress, language: Language) -> serde_json::Value {
    let reason = progress.reason.as_ref().map(|(french, english)| match language {
        Language::Fr => french,
        Language::En => english,
    });
    json!({
        "id": progress.document,
        "status": progress.stage.as_str(),
        "done": progress.done,
        "total": progress.total,
        "reason": reason,
    })
}

fn event(name: &str, data: &serde_json::Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// A body of events as they are sent.
struct Events(mpsc::Receiver<Bytes>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}
