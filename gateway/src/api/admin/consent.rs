//! Whether a project's content may be kept for evaluation. Said by a manager of the organization.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{allowed, change, commit, visible};
use crate::api::json::Json;
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::store::consents::Consent;
use crate::store::projects::Project;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(consent, give, withdraw))
        .route_layer(axum::middleware::from_fn(super::members_only))
}

/// Which notice tells end users.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ConsentForm {
    /// Its version, 1 to 200 characters.
    #[schema(example = "2026-1")]
    notice: String,
}

async fn seen(app: &App, who: &Principal, id: i64) -> ApiResult<Project> {
    visible(app.store.project(id).await?, |project| who.can_read_project(project.organization_id, project.id))
}

/// A project's consent.
#[utoipa::path(get, path = "/v1/admin/projects/{id}/consent", tag = "Administration", security(("key" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Consent), (status = 404, description = "None was given, or not visible")))]
async fn consent(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Consent>> {
    let project = seen(&app, &who, id).await?;
    app.store.consent(project.id).await?.map(Answer).ok_or_else(ApiError::not_found)
}

/// Let content of a project be kept, redacted, under a version of the notice that tells its end users.
#[utoipa::path(put, path = "/v1/admin/projects/{id}/consent", tag = "Administration", security(("key" = [])),
    params(("id" = i64, Path)), request_body = ConsentForm, responses((status = 200, body = Consent)))]
async fn give(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<ConsentForm>,
) -> ApiResult<Answer<Consent>> {
    let project = seen(&app, &who, id).await?;
    allowed(who.can_manage(project.organization_id))?;
    let mut change = change(&app, &who).await?;
    let given = change.give_consent(project.id, &form.notice).await?;
    commit(&app, change).await?;
    Ok(Answer(given))
}

/// Take the consent back: nothing more is kept, and what was goes at the next retention, within minutes.
#[utoipa::path(delete, path = "/v1/admin/projects/{id}/consent", tag = "Administration", security(("key" = [])),
    params(("id" = i64, Path)), responses((status = 204, description = "Done"), (status = 404, description = "None was given, or not visible")))]
async fn withdraw(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    let project = seen(&app, &who, id).await?;
    allowed(who.can_manage(project.organization_id))?;
    let mut change = change(&app, &who).await?;
    change.withdraw_consent(project.id).await?;
    commit(&app, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
