//! Is the counter open? Without a key and without detail; the state of each model, with one.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::config::limits::WhenStoreDown;
use crate::fleet::Model;
use crate::fleet::health::Colour;
use crate::policy::identity::Principal;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(health_v1))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(models))
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`, or `unavailable` with status 503.
    status: &'static str,
    /// Where limits are counted in Redis: `ok`, or what requests meet while it is gone: `share`, `open` or `closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'static str>,
}

const OK: Health = Health { status: "ok", limits: None };

/// The process answers.
#[utoipa::path(get, path = "/health", tag = "Health", responses((status = 200, body = Health)))]
async fn health() -> Json<Health> {
    Json(OK)
}

/// The process answers, at the address older clients use.
#[utoipa::path(get, path = "/v1/health", tag = "Health", responses((status = 200, body = Health)))]
async fn health_v1() -> Json<Health> {
    Json(OK)
}

/// The process lives: restart it when this fails.
#[utoipa::path(get, path = "/health/live", tag = "Health", responses((status = 200, body = Health)))]
async fn live() -> Json<Health> {
    Json(OK)
}

/// The process can serve: send it no traffic when this fails. It goes on without its database for keys it knows, so
/// only a full journal or a stop under way makes it unready.
#[utoipa::path(get, path = "/health/ready", tag = "Health",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
async fn ready(State(app): State<AppState>) -> Response {
    if app.stop.is_cancelled() || !app.recorder.has_room() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "unavailable", limits: None })).into_response();
    }
    let limits = app.limits.health().map(|store| match (store.up, store.when_down) {
        (true, _) => "ok",
        (false, WhenStoreDown::Share) => "share",
        (false, WhenStoreDown::Open) => "open",
        (false, WhenStoreDown::Closed) => "closed",
    });
    Json(Health { limits, ..OK }).into_response()
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct ModelHealth {
    id: String,
    /// `green`: answers; `yellow`: some engine fails or is set aside; `orange`: comes back; `red`: no engine.
    status: &'static str,
    /// Requests that wait for one of its engines.
    waiting: usize,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct ModelHealthList {
    object: &'static str,
    data: Vec<ModelHealth>,
}

/// State of each model open to the caller.
#[utoipa::path(get, path = "/health/models", tag = "Health", security(("key" = [])),
    responses((status = 200, body = ModelHealthList)))]
async fn models(State(app): State<AppState>, who: Principal) -> Json<ModelHealthList> {
    let models = app.fleet.visible(who.organization_name());
    let data = models
        .iter()
        .map(|model| ModelHealth {
            id: model.id.to_string(),
            status: colour(model).as_str(),
            waiting: model.held.queue.waiting(),
        })
        .collect();
    Json(ModelHealthList { object: "list", data })
}

/// The best of its engines, and yellow at best when one of them is not well.
pub fn colour(model: &Model) -> Colour {
    let colours: Vec<Colour> = model.deployments.iter().map(|deployment| deployment.live.health.colour()).collect();
    let all = |colour| !colours.is_empty() && colours.iter().all(|c| *c == colour);
    match () {
        () if all(Colour::Green) => Colour::Green,
        () if colours.iter().any(|c| matches!(c, Colour::Green | Colour::Yellow)) => Colour::Yellow,
        () if colours.contains(&Colour::Orange) => Colour::Orange,
        () => Colour::Red,
    }
}
