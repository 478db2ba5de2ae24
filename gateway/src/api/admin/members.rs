//! Members and the roles they hold.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{List, Slice, allowed, change, commit, reach, visible};
use crate::api::json::{Json, Query};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::policy::role::Role;
use crate::store::grants::Grant;
use crate::store::members::{Member, MemberPatch};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(retrieve, update, disable))
        .routes(routes!(grant))
        .routes(routes!(revoke))
}

/// A person.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberForm {
    #[schema(example = "camille.durand@culture.gouv.fr")]
    email: String,
    #[schema(example = "Camille Durand")]
    name: String,
    /// Absent for a member of the instance, whom only its administrator makes.
    #[serde(default)]
    organization_id: Option<i64>,
}

/// What to change; what is absent stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberChange {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disabled: Option<bool>,
}

/// A role to give: on the instance, on an organization, or on a project.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct GrantForm {
    role: Role,
    #[serde(default)]
    organization_id: Option<i64>,
    #[serde(default)]
    project_id: Option<i64>,
}

/// Who may change a member: a manager of their organization, or the administrator for a member of the instance.
fn may_change(who: &Principal, organization: Option<i64>) -> bool {
    organization.map_or_else(|| who.can_administer(), |id| who.can_manage(id))
}

fn may_see(who: &Principal, member: &Member) -> bool {
    let own = who.member_id() == Some(member.id);
    own || member.organization_id.map_or_else(|| who.can_read_instance(), |id| who.can_read(id))
}

/// Members the caller may see.
#[utoipa::path(get, path = "/v1/admin/members", tag = "Administration", security(("key" = [])), params(Slice),
    responses((status = 200, body = List<Member>)))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Query(slice): Query<Slice>,
) -> ApiResult<Answer<List<Member>>> {
    Ok(Answer(app.store.members(&reach(&who)?, slice.organization_id, &slice.page()?).await?.into()))
}

/// Make a member. They hold no role until one is granted.
#[utoipa::path(post, path = "/v1/admin/members", tag = "Administration", security(("key" = [])), request_body = MemberForm,
    responses((status = 201, body = Member), (status = 409, description = "The address is taken")))]
async fn create(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<MemberForm>,
) -> ApiResult<(StatusCode, Answer<Member>)> {
    if let Some(id) = form.organization_id {
        visible(app.store.organization(id).await?, |organization| who.can_read(organization.id))?;
    }
    allowed(may_change(&who, form.organization_id))?;
    let mut change = change(&app, &who).await?;
    let made = change.create_member(&form.email, &form.name, form.organization_id).await?;
    commit(&app, change).await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// One member.
#[utoipa::path(get, path = "/v1/admin/members/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Member), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Member>> {
    visible(app.store.member(id).await?, |member| may_see(&who, member)).map(Answer)
}

async fn apply(app: &AppState, who: &Principal, id: i64, patch: MemberPatch) -> ApiResult<Member> {
    let member = visible(app.store.member(id).await?, |member| may_see(who, member))?;
    allowed(may_change(who, member.organization_id))?;
    let mut change = change(app, who).await?;
    let after = change.update_member(id, patch).await?;
    commit(app, change).await?;
    Ok(after)
}

/// Change a member.
#[utoipa::path(patch, path = "/v1/admin/members/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = MemberChange, responses((status = 200, body = Member)))]
async fn update(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<MemberChange>,
) -> ApiResult<Answer<Member>> {
    let patch = MemberPatch { email: form.email, name: form.name, disabled: form.disabled };
    apply(&app, &who, id, patch).await.map(Answer)
}

/// Disable a member: their keys open nothing any more.
#[utoipa::path(delete, path = "/v1/admin/members/{id}", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 409, description = "The last administrator of the instance")))]
async fn disable(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    apply(&app, &who, id, MemberPatch { disabled: Some(true), ..MemberPatch::default() }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a role.
#[utoipa::path(post, path = "/v1/admin/members/{id}/grants", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = GrantForm, responses((status = 201, body = Grant), (status = 409, description = "Already held")))]
async fn grant(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<GrantForm>,
) -> ApiResult<(StatusCode, Answer<Grant>)> {
    let member = visible(app.store.member(id).await?, |member| may_see(&who, member))?;
    allowed(may_change(&who, member.organization_id))?;
    let organization = match form.project_id {
        Some(project) => {
            let project =
                visible(app.store.project(project).await?, |p| who.can_read_project(p.organization_id, p.id))?;
            Some(project.organization_id)
        }
        None => form.organization_id,
    };
    allowed(may_change(&who, organization))?;
    let mut change = change(&app, &who).await?;
    let given = change.grant(id, form.role, form.organization_id, form.project_id).await?;
    commit(&app, change).await?;
    Ok((StatusCode::CREATED, Answer(given)))
}

/// Take a role back.
#[utoipa::path(delete, path = "/v1/admin/members/{id}/grants/{grant_id}", tag = "Administration", security(("key" = [])),
    params(("id" = i64, Path), ("grant_id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 409, description = "The last administrator of the instance")))]
async fn revoke(
    State(app): State<AppState>,
    who: Principal,
    Path((id, grant_id)): Path<(i64, i64)>,
) -> ApiResult<StatusCode> {
    let member = visible(app.store.member(id).await?, |member| may_see(&who, member))?;
    let held = member.grants.iter().find(|held| held.id == grant_id).ok_or_else(ApiError::not_found)?;
    allowed(may_change(&who, member.organization_id) && may_change(&who, held.organization_id))?;
    let mut change = change(&app, &who).await?;
    change.revoke_grant(id, grant_id).await?;
    commit(&app, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
