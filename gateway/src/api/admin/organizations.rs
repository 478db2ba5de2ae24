//! Organizations. Made and removed by an administrator of the instance.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{List, Slice, allowed, change, commit, reach, visible};
use crate::api::json::{Json, Query};
use crate::app::AppState;
use crate::error::ApiResult;
use crate::policy::identity::Principal;
use crate::store::organizations::Organization;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(retrieve, rename, archive))
}

/// A ministry, an agency, a local authority.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct OrganizationForm {
    /// Unique, 1 to 200 characters.
    #[schema(example = "Ministère de la Culture")]
    name: String,
}

/// Organizations the caller may see.
#[utoipa::path(get, path = "/v1/admin/organizations", tag = "Administration", security(("key" = [])), params(Slice),
    responses((status = 200, body = List<Organization>)))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Query(slice): Query<Slice>,
) -> ApiResult<Answer<List<Organization>>> {
    Ok(Answer(app.store.organizations(&reach(&who)?, &slice.page()?).await?.into()))
}

/// Make an organization.
#[utoipa::path(post, path = "/v1/admin/organizations", tag = "Administration", security(("key" = [])), request_body = OrganizationForm,
    responses((status = 201, body = Organization), (status = 403, description = "Not an administrator of the instance"),
              (status = 409, description = "The name is taken")))]
async fn create(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<OrganizationForm>,
) -> ApiResult<(StatusCode, Answer<Organization>)> {
    allowed(who.can_administer())?;
    let mut change = change(&app, &who).await?;
    let made = change.create_organization(&form.name).await?;
    commit(&app, change).await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// One organization.
#[utoipa::path(get, path = "/v1/admin/organizations/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Organization), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Organization>> {
    visible(app.store.organization(id).await?, |organization| who.can_read(organization.id)).map(Answer)
}

/// Rename an organization.
#[utoipa::path(patch, path = "/v1/admin/organizations/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = OrganizationForm, responses((status = 200, body = Organization), (status = 409, description = "The name is taken")))]
async fn rename(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<OrganizationForm>,
) -> ApiResult<Answer<Organization>> {
    visible(app.store.organization(id).await?, |organization| who.can_read(organization.id))?;
    allowed(who.can_administer())?;
    let mut change = change(&app, &who).await?;
    let after = change.rename_organization(id, &form.name).await?;
    commit(&app, change).await?;
    Ok(Answer(after))
}

/// Take an organization out of use. Refused while it holds projects or members; its records stay.
#[utoipa::path(delete, path = "/v1/admin/organizations/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 409, description = "It still holds projects or members")))]
async fn archive(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    visible(app.store.organization(id).await?, |organization| who.can_read(organization.id))?;
    allowed(who.can_administer())?;
    let mut change = change(&app, &who).await?;
    change.archive_organization(id).await?;
    commit(&app, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
