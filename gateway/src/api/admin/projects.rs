//! Projects of organizations. Made and removed by a manager of the organization.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{List, Slice, allowed, change, commit, reach, visible};
use crate::api::json::{Json, Query};
use crate::app::AppState;
use crate::config::DataClass;
use crate::error::ApiResult;
use crate::policy::identity::Principal;
use crate::prompts::Cleaning;
use crate::store::projects::{Project, ProjectPatch};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(retrieve, update, archive))
}

/// One product of an organization.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectForm {
    #[schema(example = 1)]
    organization_id: i64,
    /// Unique in the organization, 1 to 200 characters.
    #[schema(example = "Docs")]
    name: String,
    /// How confidential what it sends is. Default: `sensitive`, the strictest.
    #[serde(default = "strictest")]
    data_class: DataClass,
    /// What is taken off around answers: `{"fence": true, "preamble": true}`.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    cleaning: Cleaning,
}

fn strictest() -> DataClass {
    DataClass::Sensitive
}

/// What to change; what is absent stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ProjectChange {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    data_class: Option<DataClass>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    cleaning: Option<Cleaning>,
}

/// Projects the caller may see.
#[utoipa::path(get, path = "/v1/admin/projects", tag = "Administration", security(("key" = [])), params(Slice),
    responses((status = 200, body = List<Project>)))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Query(slice): Query<Slice>,
) -> ApiResult<Answer<List<Project>>> {
    Ok(Answer(app.store.projects(&reach(&who)?, slice.organization_id, &slice.page()?).await?.into()))
}

/// Make a project.
#[utoipa::path(post, path = "/v1/admin/projects", tag = "Administration", security(("key" = [])), request_body = ProjectForm,
    responses((status = 201, body = Project), (status = 404, description = "No such organization"), (status = 409, description = "The name is taken")))]
async fn create(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<ProjectForm>,
) -> ApiResult<(StatusCode, Answer<Project>)> {
    visible(app.store.organization(form.organization_id).await?, |organization| who.can_read(organization.id))?;
    allowed(who.can_manage(form.organization_id))?;
    let mut change = change(&app, &who).await?;
    let made = change.create_project(form.organization_id, &form.name, form.data_class, form.cleaning).await?;
    commit(&app, change).await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// One project.
#[utoipa::path(get, path = "/v1/admin/projects/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Project), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Project>> {
    visible(app.store.project(id).await?, |project| who.can_read_project(project.organization_id, project.id))
        .map(Answer)
}

/// Change a project: its name, its data class, what is taken off around its answers.
#[utoipa::path(patch, path = "/v1/admin/projects/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = ProjectChange, responses((status = 200, body = Project), (status = 409, description = "The name is taken")))]
async fn update(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<ProjectChange>,
) -> ApiResult<Answer<Project>> {
    let project =
        visible(app.store.project(id).await?, |project| who.can_read_project(project.organization_id, project.id))?;
    allowed(who.can_manage(project.organization_id))?;
    let patch = ProjectPatch { name: form.name, data_class: form.data_class, cleaning: form.cleaning };
    let mut change = change(&app, &who).await?;
    let after = change.update_project(id, patch).await?;
    commit(&app, change).await?;
    Ok(Answer(after))
}

/// Take a project out of use, its keys with it; its records stay.
#[utoipa::path(delete, path = "/v1/admin/projects/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done")))]
async fn archive(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    let project =
        visible(app.store.project(id).await?, |project| who.can_read_project(project.organization_id, project.id))?;
    allowed(who.can_manage(project.organization_id))?;
    let mut change = change(&app, &who).await?;
    change.archive_project(id).await?;
    commit(&app, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
