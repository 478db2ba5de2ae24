//! `/v1/me*`: who the caller is, and their own keys.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admin::keys::{NewKey, make};
use super::admin::limits::{LimitState, states};
use super::admin::{List, allowed, change, commit, visible};
use super::json::Json;
use crate::app::{App, AppState};
use crate::config::DataClass;
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::{Owner, Principal};
use crate::policy::limits::plan::Payer;
use crate::policy::role::Scope;
use crate::store::Page;
use crate::store::keys::{Holder, Key, KeyFilter};
use crate::store::page::Reach;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(info))
        .routes(routes!(keys, make_key))
        .routes(routes!(revoke_key))
}

/// Who a key is.
#[derive(Serialize, utoipa::ToSchema)]
struct Me {
    /// `project` or `member`.
    kind: &'static str,
    /// Public part of the key used.
    key_id: String,
    /// Unix seconds; null for a key that does not expire.
    expires: Option<i64>,
    organization_id: Option<i64>,
    organization: Option<String>,
    project_id: Option<i64>,
    project: Option<String>,
    /// Class of the data this project sends.
    data_class: Option<DataClass>,
    member_id: Option<i64>,
    email: Option<String>,
    name: Option<String>,
    /// Roles of the member: `manager` on `organization:3`.
    roles: Vec<RoleHeld>,
    /// The organization's plan; null when it has none, which limits nothing.
    plan: Option<String>,
    /// Every limit that applies to this key, on any model, and what remains.
    limits: Vec<LimitState>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct RoleHeld {
    role: String,
    /// `instance`, `organization:3` or `project:7`.
    scope: String,
}

async fn describe(app: &App, who: &Principal) -> Me {
    let (plan, limits) = limits_of(app, who).await;
    let project = who.project();
    let member = who.member();
    Me {
        kind: match who.owner() {
            Owner::Project(_) => "project",
            Owner::Member(_) => "member",
        },
        key_id: who.key_id().to_owned(),
        expires: who.expires_at().map(|at| at.div_euclid(1_000)),
        organization_id: who.organization_id(),
        organization: who.organization_name().map(str::to_owned),
        project_id: who.project_id(),
        project: project.map(|project| project.project.clone()),
        data_class: project.map(|project| project.data_class),
        member_id: who.member_id(),
        email: member.map(|member| member.email.clone()),
        name: member.map(|member| member.name.clone()),
        roles: who
            .grants()
            .iter()
            .map(|held| RoleHeld { role: held.role.to_string(), scope: Scope::to_string(&held.scope) })
            .collect(),
        plan,
        limits,
    }
}

async fn limits_of(app: &App, who: &Principal) -> (Option<String>, Vec<LimitState>) {
    let Some(payer) = Payer::of(who) else { return (None, Vec::new()) };
    let (chain, standing) = app.limits.read(&payer).await;
    let book = app.limits.book();
    let plan = book.plan(book.own(payer.organization)).map(|plan| plan.name.clone());
    (plan, states(&book, payer.organization, &chain.limits, standing.as_deref()))
}

/// Who the caller is, and every limit that applies with what remains of it.
#[utoipa::path(get, path = "/v1/me", tag = "Account", security(("key" = [])), responses((status = 200, body = Me)))]
async fn me(State(app): State<AppState>, who: Principal) -> Answer<Me> {
    Answer(describe(&app, &who).await)
}

/// The same, at the address Albert API's clients use.
#[utoipa::path(get, path = "/v1/me/info", tag = "Account", security(("key" = [])), responses((status = 200, body = Me)))]
async fn info(State(app): State<AppState>, who: Principal) -> Answer<Me> {
    Answer(describe(&app, &who).await)
}

/// Keys of the caller: those of the same project, or of the same member.
#[utoipa::path(get, path = "/v1/me/keys", tag = "Account", security(("key" = [])), responses((status = 200, body = List<Key>)))]
async fn keys(State(app): State<AppState>, who: Principal) -> ApiResult<Answer<List<Key>>> {
    let filter = KeyFilter { project: who.project_id(), member: who.member_id(), ..KeyFilter::default() };
    Ok(Answer(app.store.keys(&Reach::Everything, filter, &Page { limit: 1_000, ..Page::ALL }).await?.into()))
}

/// A key to make for oneself.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct OwnKeyForm {
    /// What it is for.
    #[serde(default)]
    name: String,
    /// Time it is valid for: `90d`, `12h`. Absent: until it is revoked.
    #[serde(default)]
    expires_in: Option<String>,
}

/// Make another key for oneself: for members whose role changes something.
#[utoipa::path(post, path = "/v1/me/keys", tag = "Account", security(("key" = [])), request_body = OwnKeyForm,
    responses((status = 201, body = NewKey), (status = 403, description = "A project’s key, or a role that only reads")))]
async fn make_key(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<OwnKeyForm>,
) -> ApiResult<(StatusCode, Answer<NewKey>)> {
    allowed(who.can_make_own_keys())?;
    let member = who.member_id().ok_or_else(ApiError::role_denied)?;
    let made = make(&app, &who, Holder::Member(member), &form.name, form.expires_in.as_deref()).await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// Revoke one of one's own keys, or the project's key that calls.
#[utoipa::path(delete, path = "/v1/me/keys/{id}", tag = "Account", security(("key" = [])), params(("id" = String, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Not a key of the caller")))]
async fn revoke_key(State(app): State<AppState>, who: Principal, Path(id): Path<String>) -> ApiResult<StatusCode> {
    let own = |key: &Key| match who.member_id() {
        Some(member) => key.member_id == Some(member),
        // A leaked project key can put itself out of use, and no other.
        None => key.key_id == who.key_id(),
    };
    let key = visible(app.store.key(&id).await?, own)?;
    let mut change = change(&app, &who).await?;
    change.revoke_key(key.id).await?;
    commit(&app, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
