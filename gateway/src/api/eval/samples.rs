//! Samples: drawn by evaluators, read by auditors too.

use std::collections::BTreeMap;

use ::eval::stats::Level;
use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Part, organization_of, reach};
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::evaluation::sample::{self, Ask};
use crate::policy::identity::Principal;
use crate::store::samples::{Sample, SampleItem};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, draw))
        .routes(routes!(retrieve))
        .routes(routes!(items))
        .routes(routes!(estimate))
}

/// Samples, newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct SampleList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Sample>,
}

/// Samples of what the caller may read, newest first.
#[utoipa::path(get, path = "/v1/eval/samples", tag = "Evaluation", security(("key" = [])), params(Part),
    responses((status = 200, body = SampleList)))]
async fn list(State(app): State<AppState>, who: Principal, Query(part): Query<Part>) -> ApiResult<Answer<SampleList>> {
    let (limit, offset) = part.bounds()?;
    Ok(Answer(SampleList { object: "list", data: app.store.samples(&reach(&who)?, limit, offset).await? }))
}

/// Draw a stratified sample of records whose content is still there. The same seed over the same records draws the same.
#[utoipa::path(post, path = "/v1/eval/samples", tag = "Evaluation", security(("key" = [])), request_body = Ask,
    responses((status = 201, body = Sample), (status = 403, description = "The caller evaluates nothing here")))]
async fn draw(
    State(app): State<AppState>,
    who: Principal,
    Json(mut ask): Json<Ask>,
) -> ApiResult<(StatusCode, Answer<Sample>)> {
    ask.organization_id = organization_of(&who, ask.organization_id)?;
    let id = sample::draw(&app.store, &ask, who.member_id()).await?;
    Ok((StatusCode::CREATED, Answer(seen(&app, &who, id).await?)))
}

async fn seen(app: &App, who: &Principal, id: i64) -> ApiResult<Sample> {
    app.store.sample(&reach(who)?, id).await?.ok_or_else(ApiError::not_found)
}

/// One sample with its strata.
#[utoipa::path(get, path = "/v1/eval/samples/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Sample), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Sample>> {
    seen(&app, &who, id).await.map(Answer)
}

/// Items of a sample, in the order drawn.
#[derive(Serialize, utoipa::ToSchema)]
struct ItemList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<SampleItem>,
    /// Items in all.
    total: i64,
}

/// The records of a sample, each with its stratum and the chance it had.
#[utoipa::path(get, path = "/v1/eval/samples/{id}/items", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), Part), responses((status = 200, body = ItemList), (status = 404, description = "Unknown, or not visible")))]
async fn items(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(part): Query<Part>,
) -> ApiResult<Answer<ItemList>> {
    let sample = seen(&app, &who, id).await?;
    let (limit, offset) = part.bounds()?;
    let items = app.store.sample_items(sample.id, limit, offset).await?;
    let data = items.into_iter().map(|(item, _)| item).collect();
    Ok(Answer(ItemList { object: "list", data, total: sample.drawn }))
}

/// Values of a sample's records.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Values {
    /// By id of record; a record left out is missing, never zero.
    #[schema(example = json!({"req_0198f2c1d0ab7cc2a1b0c2d3e4f50617": 0.5}))]
    values: BTreeMap<String, f64>,
    /// Confidence level.
    #[serde(default = "level")]
    #[schema(example = 0.95)]
    level: f64,
}

const fn level() -> f64 {
    0.95
}

/// Estimate the mean over all requests that a sample stands for, each stratum at its weight. Answers to one end user count as
/// one unit; what cannot be said is in `refused`.
#[utoipa::path(post, path = "/v1/eval/samples/{id}/estimate", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path)), request_body = Values,
    responses((status = 200, description = "`mean`, `estimate` with its interval, `missing`, `refused`"), (status = 404, description = "Unknown, or not visible")))]
async fn estimate(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<Values>,
) -> ApiResult<Answer<sample::Estimated>> {
    let sample = seen(&app, &who, id).await?;
    let level =
        Level::new(form.level).map_err(|refusal| ApiError::bad_request(refusal.fr, refusal.en).param("level"))?;
    Ok(Answer(sample::estimate(&app.store, &sample, &form.values, level).await?))
}
