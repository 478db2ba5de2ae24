//! Judgings: models of the gateway judge answers of others, never of their family, only where the data may go.

use std::collections::HashMap;

use ::eval::columns::Columns;
use ::eval::judge::Tally;
use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::experiments::{
    AnswerList, Made, Order, RunList, Told, Wanted, found, heard, listed, made, removed, resumed,
};
use super::{Part, datasets, evaluates};
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::evaluation::case::Case;
use crate::evaluation::grid_text;
use crate::evaluation::judging::Verdicts;
use crate::evaluation::runs::{self, JudgingAsk, refused};
use crate::policy::identity::Principal;
use crate::store::runs::{Run, RunKind};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(retrieve, remove))
        .routes(routes!(resume))
        .routes(routes!(answers))
        .routes(routes!(evidence))
        .routes(routes!(duels))
}

/// Judgings of what the caller may read, newest first.
#[utoipa::path(get, path = "/v1/eval/judges", tag = "Evaluation", security(("key" = [])), params(Part),
    responses((status = 200, body = RunList)))]
async fn list(State(app): State<AppState>, who: Principal, Query(part): Query<Part>) -> ApiResult<Answer<RunList>> {
    listed(&app, &who, RunKind::Judging, &part).await
}

/// Have answers judged on one criterion of a grid. A judge never judges its own family; pairs are shown in both orders, and
/// one whom the order decides says « tie ». What it would send is told first, with `dry_run`.
#[utoipa::path(post, path = "/v1/eval/judges", tag = "Evaluation", security(("key" = [])), request_body = JudgingAsk,
    responses((status = 200, body = Told, description = "With `dry_run: true`"), (status = 201, body = Made),
        (status = 400, description = "A judge of the candidate’s family, or what the grid does not say"),
        (status = 403, description = "The caller evaluates nothing here, or the data may not go to a judge")))]
async fn make(State(app): State<AppState>, who: Principal, Json(mut ask): Json<JudgingAsk>) -> ApiResult<Response> {
    let dataset = match (ask.experiment_id, ask.dataset_id) {
        (Some(id), None) => found(&app, &who, RunKind::Experiment, id).await?.dataset_id,
        (None, Some(id)) => id,
        _ => {
            return Err(ApiError::bad_request(
                "Dites « experiment_id » ou « dataset_id », l’un des deux.",
                "Say “experiment_id” or “dataset_id”, one of them.",
            )
            .param("experiment_id"));
        }
    };
    let dataset = datasets::found(&app, &who, dataset).await?;
    evaluates(&who, Some(dataset.organization_id))?;
    // Kept as text: what a name stands for is not looked up again.
    let grid = grid_text(&app.store, who.actor(), Some(dataset.organization_id), &ask.grid).await?.into_owned();
    ask.grid = grid;
    let (_, planned) = runs::judging(&app, &dataset, &ask).await?;
    let order = Order {
        kind: RunKind::Judging,
        dataset: &dataset,
        project_id: ask.project_id,
        experiment_id: ask.experiment_id,
        asked: serde_json::to_string(&ask).map_err(ApiError::internal)?,
        dry_run: ask.dry_run,
    };
    made(&app, &who, order, planned).await
}

/// A judging with its counts.
#[derive(Serialize, utoipa::ToSchema)]
struct JudgingSeen {
    #[serde(flatten)]
    run: Run,
    /// By judge: `asked`, `read`, `failed`, `unreadable` by reason, `order_decided`; items, and those without a verdict.
    #[schema(value_type = Object)]
    judged: Tally,
}

/// The case of a judging, and what its judges said so far.
async fn judged(app: &App, who: &Principal, id: i64) -> ApiResult<(Run, Case, Verdicts)> {
    let run = found(app, who, RunKind::Judging, id).await?;
    let dataset = datasets::found(app, who, run.dataset_id).await?;
    let case = runs::case(app, &dataset, &runs::read(&run)?).await?;
    let answers = runs::answers(app, run.id).await?;
    let answers: HashMap<_, _> = answers.into_iter().map(|answer| (answer.key.clone(), answer)).collect();
    let verdicts = case.verdicts(&answers).map_err(refused)?;
    Ok((run, case, verdicts))
}

/// One judging: what was asked, how far it is, what could not be read.
#[utoipa::path(get, path = "/v1/eval/judges/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = JudgingSeen), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<JudgingSeen>> {
    let (run, _, verdicts) = judged(&app, &who, id).await?;
    Ok(Answer(JudgingSeen { run, judged: verdicts.tally }))
}

/// Stop a judging and take it away, with its answers.
#[utoipa::path(delete, path = "/v1/eval/judges/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn remove(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    removed(&app, &who, RunKind::Judging, id).await
}

/// Ask again what failed, or go on with what was stopped.
#[utoipa::path(post, path = "/v1/eval/judges/{id}/resume", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Run), (status = 404, description = "Unknown, or not visible")))]
async fn resume(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Run>> {
    resumed(&app, &who, RunKind::Judging, id).await
}

/// Raw answers of judges, failures and what is no verdict among them.
#[utoipa::path(get, path = "/v1/eval/judges/{id}/answers", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), Wanted), responses((status = 200, body = AnswerList), (status = 404, description = "Unknown, or not visible")))]
async fn answers(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Answer<AnswerList>> {
    heard(&app, &who, RunKind::Judging, id, &wanted).await
}

/// Verdicts as a table of evidence (CSV), for `guichet eval grid score`, a report or a gate. Without a verdict, no value.
#[utoipa::path(get, path = "/v1/eval/judges/{id}/evidence", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "CSV", content_type = "text/csv"), (status = 404, description = "Unknown, or not visible")))]
async fn evidence(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Response> {
    let (_, case, verdicts) = judged(&app, &who, id).await?;
    csv(&case.evidence(&verdicts).map_err(refused)?)
}

/// Verdicts on pairs as duels (CSV): `first`, `second`, `winner`, `cluster`, `item`.
#[utoipa::path(get, path = "/v1/eval/judges/{id}/duels", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "CSV", content_type = "text/csv"), (status = 404, description = "Unknown, not visible, or not on pairs")))]
async fn duels(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Response> {
    let (_, case, verdicts) = judged(&app, &who, id).await?;
    csv(&case.duels(&verdicts).ok_or_else(ApiError::not_found)?)
}

fn csv(columns: &Columns) -> ApiResult<Response> {
    let file = columns.csv().map_err(refused)?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], file).into_response())
}
