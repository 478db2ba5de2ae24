//! `GET /metrics`: Prometheus' text form. For an auditor's key, or on a port of its own.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::telemetry::gauge;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(metrics)).routes(routes!(metrics_v1))
}

/// Metrics of this process.
#[utoipa::path(get, path = "/metrics", tag = "Health", security(("key" = [])),
    responses((status = 200, description = "Prometheus text", content_type = "text/plain"),
              (status = 403, description = "Neither administrator nor auditor of the instance")))]
async fn metrics(State(app): State<AppState>, who: Principal) -> ApiResult<Response> {
    if !who.can_read_instance() {
        return Err(ApiError::role_denied());
    }
    page(&app)
}

/// The same, at the address older clients use.
#[utoipa::path(get, path = "/v1/metrics", tag = "Health", security(("key" = [])),
    responses((status = 200, description = "Prometheus text", content_type = "text/plain")))]
async fn metrics_v1(app: State<AppState>, who: Principal) -> ApiResult<Response> {
    metrics(app, who).await
}

/// The page, without asking who reads it: for the port of its own.
pub fn page(app: &App) -> ApiResult<Response> {
    let text = app.telemetry.page(|page| write_present(app, page)).map_err(ApiError::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// What is read at the moment rather than counted.
fn write_present(app: &App, page: &mut String) {
    let models = app.fleet.visible(None);
    let of_deployments = |read: &dyn Fn(&crate::fleet::Deployment) -> f64| -> Vec<(String, f64)> {
        models
            .iter()
            .flat_map(|model| model.deployments.iter().map(move |deployment| (model, deployment)))
            .map(|(model, deployment)| {
                let labels =
                    format!("{{gen_ai_request_model={:?},guichet_deployment={:?}}}", &*model.id, &*deployment.name);
                (labels, read(deployment))
            })
            .collect()
    };
    gauge(
        page,
        "guichet_deployment_inflight",
        "Requests an engine is answering",
        of_deployments(&|d| f64::from(d.inflight())),
    );
    gauge(
        page,
        "guichet_deployment_capacity",
        "Requests an engine may hold now, 0 when set aside",
        of_deployments(&|d| f64::from(d.present_capacity())),
    );
    gauge(
        page,
        "guichet_deployment_ejections",
        "Times an engine was set aside",
        of_deployments(&|d| d.live.health.ejections() as f64),
    );
    let waiting = models
        .iter()
        .map(|model| (format!("{{gen_ai_request_model={:?}}}", &*model.id), model.held.queue.waiting() as f64));
    gauge(page, "guichet_queue_waiting", "Requests waiting for an engine", waiting.collect::<Vec<_>>());
    if let Some(store) = app.limits.health() {
        for (name, help, value) in [
            ("guichet_limit_store_up", "1 when the Redis of limits answers", f64::from(u8::from(store.up))),
            (
                "guichet_limit_store_replicas",
                "Replicas that count in it, when it last answered",
                f64::from(store.replicas),
            ),
            ("guichet_limit_settlements_waiting", "Settlements that it has not been told yet", store.waiting as f64),
            ("guichet_limit_settlements_lost", "Settlements given up during an outage", store.lost as f64),
        ] {
            gauge(page, name, help, [(String::new(), value)]);
        }
    }
    let stats = app.recorder.journal.stats();
    for (name, help, value) in [
        ("guichet_records_waiting", "Records on disk that the database has not taken yet", stats.waiting as f64),
        ("guichet_records_oldest_seconds", "Age of the oldest of them", stats.oldest_waiting.as_secs_f64()),
        ("guichet_journal_bytes", "Disk the journal takes", stats.disk_bytes as f64),
        ("guichet_requests_open", "Requests admitted and not ended", stats.open as f64),
    ] {
        gauge(page, name, help, [(String::new(), value)]);
    }
}
