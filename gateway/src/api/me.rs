//! `/v1/me*`: who the caller is, and their own keys. `/v1/me/info` and the keys listed also speak as Albert API does, whose
//! clients read them into types.

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
use crate::store::page::{Listed, Reach};

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

/// The account of a key, in Albert API's words: a member, or a project.
#[derive(Serialize, utoipa::ToSchema)]
struct Info {
    /// Of the member, or of the project.
    id: i64,
    /// Empty for a project.
    email: String,
    name: String,
    /// Id of the organization.
    organization: Option<i64>,
    /// Null: nothing is paid in advance.
    budget: Option<f64>,
    /// `admin` and `read_metric`, for those who may.
    permissions: Vec<&'static str>,
    /// Empty: no limit is set on one account and one model.
    #[schema(value_type = Vec<Object>)]
    limits: [(); 0],
    /// Unix seconds; null for a key that does not expire.
    expires: Option<i64>,
    priority: i64,
    /// Unix seconds.
    created: i64,
    /// Unix seconds.
    updated: i64,
}

/// Who the caller is, in Albert API's words.
#[utoipa::path(get, path = "/v1/me/info", tag = "Account", security(("key" = [])), responses((status = 200, body = Info)))]
async fn info(State(app): State<AppState>, who: Principal) -> ApiResult<Answer<Info>> {
    let (id, email, name, created, updated) = match (who.project_id(), who.member_id()) {
        (Some(id), _) => {
            let project = app.store.project(id).await?.ok_or_else(ApiError::not_found)?;
            (id, String::new(), project.name, project.created_at, project.updated_at)
        }
        (None, Some(id)) => {
            let member = app.store.member(id).await?.ok_or_else(ApiError::not_found)?;
            (id, member.email, member.name, member.created_at, member.updated_at)
        }
        (None, None) => return Err(ApiError::not_found()),
    };
    let permissions = [(who.can_administer(), "admin"), (who.can_read_instance(), "read_metric")];
    Ok(Answer(Info {
        id,
        email,
        name,
        organization: who.organization_id(),
        budget: None,
        permissions: permissions.into_iter().filter_map(|(held, name)| held.then_some(name)).collect(),
        limits: [],
        expires: who.expires_at().map(|at| at.div_euclid(1_000)),
        priority: 0,
        created: created.seconds(),
        updated: updated.seconds(),
    }))
}

/// A key of the caller, with the little of its text that may be shown.
#[derive(Serialize, utoipa::ToSchema)]
struct OwnKey {
    #[serde(flatten)]
    key: Key,
    /// How the key begins; its secret is not kept.
    #[schema(example = "gct_3kTbYw0QmZ8aLr5V…")]
    token: String,
}

impl From<Key> for OwnKey {
    fn from(key: Key) -> OwnKey {
        OwnKey { token: format!("gct_{}…", key.key_id), key }
    }
}

/// Keys of the caller: those of the same project, or of the same member.
#[utoipa::path(get, path = "/v1/me/keys", tag = "Account", security(("key" = [])), responses((status = 200, body = List<OwnKey>)))]
async fn keys(State(app): State<AppState>, who: Principal) -> ApiResult<Answer<List<OwnKey>>> {
    let filter = KeyFilter { project: who.project_id(), member: who.member_id(), ..KeyFilter::default() };
    let listed = app.store.keys(&Reach::Everything, filter, &Page { limit: 1_000, ..Page::ALL }).await?;
    let items = listed.items.into_iter().map(OwnKey::from).collect();
    Ok(Answer(Listed { items, total: listed.total }.into()))
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
