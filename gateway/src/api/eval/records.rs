//! Evaluation records: a list without content, and one with its redacted content.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reach;
use crate::api::admin::{allowed, change, commit, limit, visible};
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::recorder::capture::is_word;
use crate::store::evaluation::{EvaluationFilter, KeptItem, Seen};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retrieve)).routes(routes!(keep, release))
}

/// Which records are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Records at most, 1 to 1000.
    limit: Option<i64>,
    /// Id of the last one already seen.
    before: Option<String>,
    /// Only this organization.
    organization_id: Option<i64>,
    /// Only this project.
    project_id: Option<i64>,
    /// Only this model.
    model: Option<String>,
    /// Only those whose content is still there.
    held: bool,
}

/// Records, newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct RecordsSeen {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Seen>,
}

/// Evaluation records, newest first, without their content.
#[utoipa::path(get, path = "/v1/eval/records", tag = "Evaluation", security(("key" = [])), params(Wanted),
    responses((status = 200, body = RecordsSeen), (status = 403, description = "The caller evaluates and audits nothing")))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Answer<RecordsSeen>> {
    let filter = EvaluationFilter {
        reach: reach(&who)?,
        organization: wanted.organization_id,
        project: wanted.project_id,
        model: wanted.model,
        start: 0,
        end: i64::MAX,
        held: wanted.held,
    };
    let most = limit(wanted.limit.unwrap_or(100), 1_000)?;
    let data = app.store.evaluation_records(&filter, most, wanted.before.as_deref()).await?;
    Ok(Answer(RecordsSeen { object: "list", data }))
}

async fn seen(app: &App, who: &Principal, id: &str) -> ApiResult<Seen> {
    let found = app.store.evaluation_record(&reach(who)?, id).await?;
    visible(found, |seen| who.can_read_content(seen.record.organization_id))
}

/// One evaluation record with its redacted content, while that is kept.
#[utoipa::path(get, path = "/v1/eval/records/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = String, Path)),
    responses((status = 200, body = Seen), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<String>) -> ApiResult<Answer<Seen>> {
    seen(&app, &who, &id).await.map(Answer)
}

/// Why a content is kept longer.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct KeepForm {
    /// Name of the dataset: letters, digits, `.`, `_`, `-`; 64 at most.
    #[schema(example = "accueil-2026")]
    dataset: String,
    /// The caller looked at the content and found nobody in it.
    checked: bool,
}

fn dataset(name: &str) -> ApiResult<()> {
    if is_word(name) {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "Le nom d’un jeu de données est fait de lettres sans accent, de chiffres, de « . », « _ », « - », 64 au plus.",
        "A dataset’s name is made of letters without accents, digits, “.”, “_”, “-”, 64 at most.",
    )
    .param("dataset"))
}

/// Keep a content past its retention, as an item of a dataset, once a person checked it.
#[utoipa::path(put, path = "/v1/eval/records/{id}/keep", tag = "Evaluation", security(("key" = [])),
    params(("id" = String, Path)), request_body = KeepForm,
    responses((status = 200, body = KeptItem), (status = 404, description = "Unknown, not visible, or its content is gone")))]
async fn keep(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<String>,
    Json(form): Json<KeepForm>,
) -> ApiResult<Answer<KeptItem>> {
    let record = seen(&app, &who, &id).await?.record;
    allowed(who.can_evaluate(Some(record.organization_id)))?;
    dataset(&form.dataset)?;
    if !form.checked {
        return Err(ApiError::bad_request(
            "Un contenu n’est gardé plus longtemps qu’une fois relu par une personne : dites « checked: true ».",
            "Content is kept longer only once a person checked it: say “checked: true”.",
        )
        .param("checked"));
    }
    let mut change = change(&app, &who).await?;
    let kept = change.keep_content(&record.id, &form.dataset).await?;
    commit(&app, change).await?;
    Ok(Answer(kept))
}

/// Of which dataset.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Release {
    /// Name of the dataset.
    dataset: String,
}

/// Let go of a content kept for a dataset: its retention applies again.
#[utoipa::path(delete, path = "/v1/eval/records/{id}/keep", tag = "Evaluation", security(("key" = [])),
    params(("id" = String, Path), Release),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn release(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<String>,
    Query(from): Query<Release>,
) -> ApiResult<StatusCode> {
    let record = seen(&app, &who, &id).await?.record;
    allowed(who.can_evaluate(Some(record.organization_id)))?;
    let mut change = change(&app, &who).await?;
    change.release_content(record.organization_id, &record.id, &from.dataset).await?;
    commit(&app, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
