//! Samples: drawn by evaluators, read by auditors too.

use std::collections::BTreeMap;

use ::eval::stats::Level;
use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reach;
use crate::api::admin::{allowed, limit, visible};
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::evaluation::sample::{self, Ask};
use crate::policy::identity::Principal;
use crate::policy::role::{Role, Scope};
use crate::store::samples::{Sample, SampleItem};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, draw))
        .routes(routes!(retrieve))
        .routes(routes!(items))
        .routes(routes!(estimate))
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Part {
    /// Objects at most, 1 to 1000.
    limit: Option<i64>,
    /// Objects to skip.
    offset: Option<i64>,
}

impl Part {
    pub(super) fn bounds(&self) -> ApiResult<(i64, i64)> {
        Ok((limit(self.limit.unwrap_or(100), 1_000)?, self.offset.unwrap_or(0).max(0)))
    }
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

/// The organization that the caller evaluates: the one said, else the only one; none is all.
pub(super) fn organization_of(who: &Principal, said: Option<i64>) -> ApiResult<Option<i64>> {
    let organization = said.or_else(|| only_organization(who));
    if let Some(id) = organization {
        // One that the caller may not even see is answered like one that does not exist.
        visible(Some(id), |id| who.can_read_content(*id) || who.can_read(*id))?;
    }
    allowed(who.can_evaluate(organization)).map(|()| organization)
}

/// The organization of who evaluates just one.
fn only_organization(who: &Principal) -> Option<i64> {
    let mut of = who.grants().iter().filter(|held| held.role == Role::Evaluator).map(|held| held.scope);
    match (of.next(), of.next()) {
        (Some(Scope::Organization(id)), None) => Some(id),
        _ => None,
    }
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
