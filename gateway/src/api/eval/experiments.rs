//! Experiments: a dataset put to models of the gateway, in the background.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Part, datasets, evaluates, reach};
use crate::api::admin::{limit, visible};
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::evaluation::ask::{self, Estimate};
use crate::evaluation::runs::{self, ExperimentAsk, Planned};
use crate::policy::identity::Principal;
use crate::store::datasets::StoredDataset;
use crate::store::runs::{NewRun, Run, RunKind};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(retrieve, remove))
        .routes(routes!(resume))
        .routes(routes!(answers))
}

/// What a run would send.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Told {
    dry_run: bool,
    estimate: Estimate,
}

/// A run that is under way, with what it will send.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Made {
    #[serde(flatten)]
    run: Run,
    estimate: Estimate,
}

/// Runs, newest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct RunList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Run>,
}

/// What is about to be made.
pub(super) struct Order<'a> {
    pub kind: RunKind,
    pub dataset: &'a StoredDataset,
    pub project_id: i64,
    pub experiment_id: Option<i64>,
    /// As JSON.
    pub asked: String,
    pub dry_run: bool,
}

/// Tells what a run would send, or makes it.
pub(super) async fn made(app: &App, who: &Principal, order: Order<'_>, planned: Planned) -> ApiResult<Response> {
    let project = app.store.project(order.project_id).await?;
    // A project of another organization pays for nothing here, and is not even there.
    let project = project.filter(|project| project.organization_id == order.dataset.organization_id);
    let project = project.ok_or_else(|| ApiError::not_found().param("project_id"))?;
    runs::cleared(app, order.dataset, &project, &planned.asks)?;
    let estimate = planned.estimate(app, Some(&project.organization));
    if order.dry_run {
        return Ok(Answer(Told { dry_run: true, estimate }).into_response());
    }
    let id = app
        .store
        .insert_run(&NewRun {
            kind: order.kind,
            organization_id: order.dataset.organization_id,
            project_id: project.id,
            dataset_id: order.dataset.id,
            experiment_id: order.experiment_id,
            asked: order.asked,
            method: planned.method.to_string(),
            requests: planned.asks.len(),
            made_by: who.member_id(),
        })
        .await?;
    app.runs.notify_one();
    let run = found(app, who, order.kind, id).await?;
    Ok((StatusCode::CREATED, Answer(Made { run, estimate })).into_response())
}

pub(super) async fn found(app: &App, who: &Principal, kind: RunKind, id: i64) -> ApiResult<Run> {
    visible(app.store.run(&reach(who)?, Some(kind), id).await?, |run| who.can_read_content(run.organization_id))
}

pub(super) async fn listed(app: &App, who: &Principal, kind: RunKind, part: &Part) -> ApiResult<Answer<RunList>> {
    let (limit, offset) = part.bounds()?;
    Ok(Answer(RunList { object: "list", data: app.store.runs(&reach(who)?, kind, limit, offset).await? }))
}

pub(super) async fn removed(app: &App, who: &Principal, kind: RunKind, id: i64) -> ApiResult<StatusCode> {
    let run = found(app, who, kind, id).await?;
    evaluates(who, Some(run.organization_id))?;
    app.store.delete_run(run.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn resumed(app: &App, who: &Principal, kind: RunKind, id: i64) -> ApiResult<Answer<Run>> {
    let run = found(app, who, kind, id).await?;
    evaluates(who, Some(run.organization_id))?;
    app.store.resume_run(run.id).await?;
    app.runs.notify_one();
    found(app, who, kind, id).await.map(Answer)
}

/// Which answers are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Answers at most, 1 to 1000.
    limit: Option<i64>,
    /// Key of the last one already seen.
    after: Option<String>,
}

/// Raw answers, by their keys.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct AnswerList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<ask::Answer>,
}

pub(super) async fn heard(
    app: &App,
    who: &Principal,
    kind: RunKind,
    id: i64,
    wanted: &Wanted,
) -> ApiResult<Answer<AnswerList>> {
    let run = found(app, who, kind, id).await?;
    let most = limit(wanted.limit.unwrap_or(100), 1_000)?;
    let data = app.store.answers(run.id, wanted.after.as_deref().unwrap_or_default(), most).await?;
    Ok(Answer(AnswerList { object: "list", data }))
}

/// Experiments of what the caller may read, newest first.
#[utoipa::path(get, path = "/v1/eval/experiments", tag = "Evaluation", security(("key" = [])), params(Part),
    responses((status = 200, body = RunList)))]
async fn list(State(app): State<AppState>, who: Principal, Query(part): Query<Part>) -> ApiResult<Answer<RunList>> {
    listed(&app, &who, RunKind::Experiment, &part).await
}

/// Put a dataset to models: what it would send is told first, with `dry_run`; then it runs in the background, a few calls at
/// once, in the tier that waits, and goes on after a restart.
#[utoipa::path(post, path = "/v1/eval/experiments", tag = "Evaluation", security(("key" = [])), request_body = ExperimentAsk,
    responses((status = 200, body = Told, description = "With `dry_run: true`"), (status = 201, body = Made),
        (status = 403, description = "The caller evaluates nothing here, or the data may not go to a model"),
        (status = 404, description = "Dataset, project or model unknown, or not visible")))]
async fn make(State(app): State<AppState>, who: Principal, Json(ask): Json<ExperimentAsk>) -> ApiResult<Response> {
    let dataset = datasets::found(&app, &who, ask.dataset_id).await?;
    evaluates(&who, Some(dataset.organization_id))?;
    let planned = runs::experiment(&app, &dataset, &ask).await?;
    let order = Order {
        kind: RunKind::Experiment,
        dataset: &dataset,
        project_id: ask.project_id,
        experiment_id: None,
        asked: serde_json::to_string(&ask).map_err(ApiError::internal)?,
        dry_run: ask.dry_run,
    };
    made(&app, &who, order, planned).await
}

/// One experiment: what was asked, how far it is.
#[utoipa::path(get, path = "/v1/eval/experiments/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Run), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Run>> {
    found(&app, &who, RunKind::Experiment, id).await.map(Answer)
}

/// Stop an experiment and take it away, with its answers and the judgings of them.
#[utoipa::path(delete, path = "/v1/eval/experiments/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn remove(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    removed(&app, &who, RunKind::Experiment, id).await
}

/// Ask again what failed, or go on with what was stopped.
#[utoipa::path(post, path = "/v1/eval/experiments/{id}/resume", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Run), (status = 404, description = "Unknown, or not visible")))]
async fn resume(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Run>> {
    resumed(&app, &who, RunKind::Experiment, id).await
}

/// Raw answers of an experiment, failures among them.
#[utoipa::path(get, path = "/v1/eval/experiments/{id}/answers", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), Wanted), responses((status = 200, body = AnswerList), (status = 404, description = "Unknown, or not visible")))]
async fn answers(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Answer<AnswerList>> {
    heard(&app, &who, RunKind::Experiment, id, &wanted).await
}
