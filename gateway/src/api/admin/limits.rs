//! `/v1/admin/{organizations,projects,keys,members}/{id}/limits`: what each may use, and what is left.
//!
//! An organization's own limits are an administrator's to set; its managers share them out among its projects, keys and
//! members, and can allow none of them more than the organization has.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{allowed, change, commit, visible};
use crate::api::json::Json;
use crate::app::{App, AppState};
use crate::config::limits::{ALL_MODELS, Amount};
use crate::error::{ApiError, ApiResult, short};
use crate::policy::identity::Principal;
use crate::policy::key::KeyId;
use crate::policy::limits::plan::{Above, Book, Payer};
use crate::policy::limits::rule::{Kind, Limit, Scope};
use crate::policy::limits::ticket::Remaining;
use crate::store::overrides::{Line, Own, Setting};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(of_organization, set_organization, unset_organization))
        .routes(routes!(of_project, set_project, unset_project))
        .routes(routes!(of_key, set_key, unset_key))
        .routes(routes!(of_member, set_member, unset_member))
}

/// What is set for one holder; it replaces all that was. What is absent is the plan's.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsForm {
    /// Name of a plan of the configuration; organizations only. Absent: the default plan.
    #[serde(default)]
    pub plan: Option<String>,
    /// Share of a busy model among those who wait, from 1 to 1000; organizations and projects.
    #[serde(default)]
    pub weight: Option<u32>,
    /// Percent of each of the organization's limits that others may not eat; projects only.
    #[serde(default)]
    pub guaranteed_percent: Option<u32>,
    /// Percent of each of the organization's limits that it may not pass; projects only.
    #[serde(default)]
    pub ceiling_percent: Option<u32>,
    /// Limits over those of the plan.
    #[serde(default)]
    pub limits: Vec<LimitForm>,
}

/// One limit over the plan's.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitForm {
    /// Id of a model, name of a group, or `*` for all.
    #[serde(default = "all_models")]
    #[schema(example = "*")]
    pub models: String,
    /// `requests`, `tokens`, `input_tokens` or `output_tokens` over `/minute`, `/day` or `/month`; or `concurrent`.
    #[schema(example = "tokens/day")]
    pub limit: String,
    /// A number, or `"5M"`; null lifts the plan's limit.
    #[serde(deserialize_with = "written")]
    #[schema(value_type = Option<u64>, example = 5_000_000)]
    pub value: Option<Amount>,
}

fn all_models() -> String {
    ALL_MODELS.to_owned()
}

/// A value that may be null and must be there.
fn written<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Amount>, D::Error> {
    Option::deserialize(d)
}

/// How one limit stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitState {
    /// `organization:3`, `project:7`, `key:3kTbYw0QmZ8aLr5V` or `member:5`.
    #[schema(example = "organization:3")]
    pub scope: String,
    /// `*`, a group of models, or a model's id.
    #[schema(example = "*")]
    pub models: String,
    #[schema(value_type = String, example = "tokens/day")]
    pub limit: Kind,
    pub max: u64,
    /// Used or held at this moment; null while the store of limits does not answer.
    pub used: Option<u64>,
    /// Less than `max - used` where other projects are guaranteed a share.
    pub remaining: Option<u64>,
    /// Seconds until it is whole again; 0 where it is.
    pub resets_in: Option<u64>,
    /// `plan`, `override`, or `ceiling` for a project's part of its organization's limit.
    #[schema(example = "plan")]
    pub source: &'static str,
}

/// The limits of one holder.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitsPage {
    #[schema(example = "organization:3")]
    scope: String,
    /// The organization's plan; null when it has none, which limits nothing.
    plan: Option<String>,
    /// What applies, and how it stands.
    limits: Vec<LimitState>,
    /// What is set over the plan: what a PUT replaces, in the form it takes.
    #[schema(value_type = Object)]
    set: Setting,
}

/// Limits in words, with where each comes from.
pub fn states(book: &Book, organization: i64, limits: &[Limit], standing: Option<&[Remaining]>) -> Vec<LimitState> {
    let own = book.own(organization);
    let source = |limit: &Limit| {
        let rulings = book.rulings(own, limit.id.scope);
        let same = rulings.iter().find(|r| r.models == limit.id.models && r.kind == limit.id.kind);
        match same {
            Some(ruling) if ruling.max == limit.max && ruling.own => "override",
            Some(ruling) if ruling.max == limit.max => "plan",
            _ => "ceiling",
        }
    };
    let of = |index: usize| standing.and_then(|standing| standing.get(index));
    limits
        .iter()
        .enumerate()
        .map(|(index, limit)| LimitState {
            scope: limit.id.scope.to_string(),
            models: limit.id.models.to_string(),
            limit: limit.id.kind,
            max: limit.max,
            used: of(index).map(|state| state.used),
            remaining: of(index).map(|state| state.left),
            resets_in: of(index).map(|state| state.resets_in.as_secs() + u64::from(state.resets_in.subsec_nanos() > 0)),
            source: source(limit),
        })
        .collect()
}

/// Whose limits are looked at.
#[derive(Clone, Copy)]
struct Holder {
    organization: i64,
    project: i64,
    scope: Scope,
}

impl Holder {
    fn payer(self) -> Payer {
        Payer {
            organization: self.organization,
            project: self.project,
            key: if let Scope::Key(id) = self.scope { Some(id) } else { None },
            member: if let Scope::Member(id) = self.scope { Some(id) } else { None },
        }
    }
}

async fn page(app: &App, holder: Holder) -> ApiResult<Answer<LimitsPage>> {
    let (chain, standing) = app.limits.read(&holder.payer()).await;
    let book = app.limits.book();
    let own = app.store.quota(holder.organization).await?;
    let mut limits = states(&book, holder.organization, &chain.limits, standing.as_deref());
    let scope = holder.scope.to_string();
    limits.retain(|state| state.scope == scope);
    let plan = book.plan(Some(&own)).map(|plan| plan.name.clone());
    Ok(Answer(LimitsPage { set: own.setting(holder.scope), scope, plan, limits }))
}

async fn replace(app: &App, who: &Principal, holder: Holder, form: LimitsForm) -> ApiResult<Answer<LimitsPage>> {
    let setting = read(app, holder.scope, form)?;
    let mut change = change(app, who).await?;
    let own = change.quota(holder.organization).await?;
    check(&app.limits.book(), &own, holder, &setting)?;
    change.set_limits(holder.organization, holder.scope, &setting).await?;
    commit(app, change).await?;
    page(app, holder).await
}

fn wrong(param: impl Into<String>, french: impl Into<String>, english: impl Into<String>) -> ApiError {
    ApiError::bad_request(french.into(), english.into()).param(param)
}

/// A form in the words of the store.
fn read(app: &App, scope: Scope, form: LimitsForm) -> ApiResult<Setting> {
    let organization = matches!(scope, Scope::Organization(_));
    let project = matches!(scope, Scope::Project(_));
    for (name, is_there, fits) in [
        ("plan", form.plan.is_some(), organization),
        ("weight", form.weight.is_some(), organization || project),
        ("guaranteed_percent", form.guaranteed_percent.is_some(), project),
        ("ceiling_percent", form.ceiling_percent.is_some(), project),
    ] {
        if is_there && !fits {
            return Err(wrong(
                name,
                format!("« {name} » ne se règle pas ici."),
                format!("“{name}” cannot be set on this object."),
            ));
        }
    }
    let book = app.limits.book();
    if let Some(plan) = &form.plan
        && !book.plan_names().contains(&plan.as_str())
    {
        let (said, known) = (short(plan), book.plan_names().join(", "));
        return Err(wrong(
            "plan",
            format!("Il n’y a pas de forfait « {said} » ; la configuration a : {known}."),
            format!("There is no plan “{said}”; the configuration has: {known}."),
        ));
    }
    let config = app.config.load();
    let mut limits = Vec::with_capacity(form.limits.len());
    for (index, said) in form.limits.into_iter().enumerate() {
        let Some(limit) = Kind::parse(&said.limit) else {
            let text = short(&said.limit);
            return Err(wrong(
                format!("limits[{index}].limit"),
                format!(
                    "« {text} » n’est pas une limite ; écrivez par exemple requests/minute, tokens/day ou concurrent."
                ),
                format!("“{text}” is not a limit; write for instance requests/minute, tokens/day or concurrent."),
            ));
        };
        if !book.knows(&said.models, |name| config.models.iter().any(|model| model.id == name)) {
            let text = short(&said.models);
            return Err(wrong(
                format!("limits[{index}].models"),
                format!(
                    "Il n’y a ni modèle ni groupe « {text} » ; écrivez l’identifiant d’un modèle, un groupe, ou *."
                ),
                format!("There is no model or group “{text}”; write a model’s id, a group, or *."),
            ));
        }
        limits.push(Line { models: said.models, limit, value: said.value.map(|amount| amount.0) });
    }
    Ok(Setting {
        plan: form.plan,
        weight: form.weight,
        guaranteed_percent: form.guaranteed_percent,
        ceiling_percent: form.ceiling_percent,
        limits,
    })
}

/// Refuses what is above the organization's own.
fn check(book: &Book, own: &Own, holder: Holder, setting: &Setting) -> ApiResult<()> {
    match book.above_organization(own, holder.scope, holder.organization, setting) {
        None => Ok(()),
        Some(Above { index, kind, value, most }) => Err(wrong(
            format!("limits[{index}].value"),
            format!("{kind} : {value} dépasse la limite de l’administration, {most}."),
            format!("{kind}: {value} is above the organization’s own limit, {most}."),
        )),
    }
}

async fn organization(app: &App, who: &Principal, id: i64) -> ApiResult<Holder> {
    let found = visible(app.store.organization(id).await?, |organization| who.can_read(organization.id))?;
    Ok(Holder { organization: found.id, project: 0, scope: Scope::Organization(found.id) })
}

async fn project(app: &App, who: &Principal, id: i64) -> ApiResult<Holder> {
    let found = visible(app.store.project(id).await?, |p| who.can_read_project(p.organization_id, p.id))?;
    Ok(Holder { organization: found.organization_id, project: found.id, scope: Scope::Project(found.id) })
}

async fn key(app: &App, who: &Principal, id: &str) -> ApiResult<Holder> {
    let found = visible(app.store.key(id).await?, |key| match (key.organization_id, key.project_id) {
        (Some(organization), Some(project)) => who.can_read_project(organization, project),
        (Some(organization), None) => who.can_read(organization),
        (None, _) => who.can_read_instance(),
    })?;
    match (found.organization_id, found.project_id, KeyId::parse(&found.key_id)) {
        (Some(organization), Some(project), Some(id)) => Ok(Holder { organization, project, scope: Scope::Key(id) }),
        _ => Err(ApiError::bad_request(
            "Cette clé est celle d’une personne : elle n’appelle aucun modèle.",
            "This key is a person’s: it calls no model.",
        )),
    }
}

async fn member(app: &App, who: &Principal, id: i64) -> ApiResult<Holder> {
    let may_see = |of: Option<i64>| of.map_or_else(|| who.can_read_instance(), |id| who.can_read(id));
    let found = visible(app.store.member(id).await?, |member| may_see(member.organization_id))?;
    match found.organization_id {
        Some(organization) => Ok(Holder { organization, project: 0, scope: Scope::Member(found.id) }),
        None => Err(ApiError::bad_request(
            "Un membre de l’instance n’a pas de limite : elles sont celles d’une administration.",
            "A member of the instance has no limit: limits are an organization’s.",
        )),
    }
}

/// Limits of an organization, and what is left of them.
#[utoipa::path(get, path = "/v1/admin/organizations/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = LimitsPage), (status = 404, description = "Unknown, or not visible")))]
async fn of_organization(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
) -> ApiResult<Answer<LimitsPage>> {
    page(&app, organization(&app, &who, id).await?).await
}

/// Set an organization's plan, weight and limits, for administrators of the instance. Effective within a second here,
/// five on all replicas.
#[utoipa::path(put, path = "/v1/admin/organizations/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = LimitsForm, responses((status = 200, body = LimitsPage), (status = 400, description = "Unknown plan, model or limit"),
    (status = 403, description = "Not an administrator of the instance")))]
async fn set_organization(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<LimitsForm>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = organization(&app, &who, id).await?;
    allowed(who.can_administer())?;
    replace(&app, &who, holder, form).await
}

/// Back to the default plan.
#[utoipa::path(delete, path = "/v1/admin/organizations/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = LimitsPage), (status = 403, description = "Not an administrator of the instance")))]
async fn unset_organization(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = organization(&app, &who, id).await?;
    allowed(who.can_administer())?;
    replace(&app, &who, holder, LimitsForm::default()).await
}

/// Limits of a project, and what is left of them.
#[utoipa::path(get, path = "/v1/admin/projects/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = LimitsPage), (status = 404, description = "Unknown, or not visible")))]
async fn of_project(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<LimitsPage>> {
    page(&app, project(&app, &who, id).await?).await
}

/// Set a project's shares, weight and limits, for managers of its organization.
#[utoipa::path(put, path = "/v1/admin/projects/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = LimitsForm, responses((status = 200, body = LimitsPage), (status = 400, description = "Above the organization’s own, or unknown"),
    (status = 403, description = "Not a manager of the organization")))]
async fn set_project(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<LimitsForm>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = project(&app, &who, id).await?;
    allowed(who.can_manage(holder.organization))?;
    replace(&app, &who, holder, form).await
}

/// Back to what the plan says of projects.
#[utoipa::path(delete, path = "/v1/admin/projects/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = LimitsPage), (status = 403, description = "Not a manager of the organization")))]
async fn unset_project(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = project(&app, &who, id).await?;
    allowed(who.can_manage(holder.organization))?;
    replace(&app, &who, holder, LimitsForm::default()).await
}

/// Limits of a project's key, by its public part or its number.
#[utoipa::path(get, path = "/v1/admin/keys/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = String, Path)),
    responses((status = 200, body = LimitsPage), (status = 404, description = "Unknown, or not visible")))]
async fn of_key(State(app): State<AppState>, who: Principal, Path(id): Path<String>) -> ApiResult<Answer<LimitsPage>> {
    page(&app, key(&app, &who, &id).await?).await
}

/// Set a key's limits, for managers of its organization.
#[utoipa::path(put, path = "/v1/admin/keys/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = String, Path)),
    request_body = LimitsForm, responses((status = 200, body = LimitsPage), (status = 400, description = "Above the organization’s own, or unknown"),
    (status = 403, description = "Not a manager of the organization")))]
async fn set_key(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<String>,
    Json(form): Json<LimitsForm>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = key(&app, &who, &id).await?;
    allowed(who.can_manage(holder.organization))?;
    replace(&app, &who, holder, form).await
}

/// Back to what the plan says of keys.
#[utoipa::path(delete, path = "/v1/admin/keys/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = String, Path)),
    responses((status = 200, body = LimitsPage), (status = 403, description = "Not a manager of the organization")))]
async fn unset_key(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<String>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = key(&app, &who, &id).await?;
    allowed(who.can_manage(holder.organization))?;
    replace(&app, &who, holder, LimitsForm::default()).await
}

/// Limits of a member: on the keys that they made, together.
#[utoipa::path(get, path = "/v1/admin/members/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = LimitsPage), (status = 404, description = "Unknown, or not visible")))]
async fn of_member(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<LimitsPage>> {
    page(&app, member(&app, &who, id).await?).await
}

/// Set a member's limits, for managers of their organization.
#[utoipa::path(put, path = "/v1/admin/members/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = LimitsForm, responses((status = 200, body = LimitsPage), (status = 400, description = "Above the organization’s own, or unknown"),
    (status = 403, description = "Not a manager of the organization")))]
async fn set_member(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<LimitsForm>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = member(&app, &who, id).await?;
    allowed(who.can_manage(holder.organization))?;
    replace(&app, &who, holder, form).await
}

/// Back to what the plan says of members.
#[utoipa::path(delete, path = "/v1/admin/members/{id}/limits", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = LimitsPage), (status = 403, description = "Not a manager of the organization")))]
async fn unset_member(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
) -> ApiResult<Answer<LimitsPage>> {
    let holder = member(&app, &who, id).await?;
    allowed(who.can_manage(holder.organization))?;
    replace(&app, &who, holder, LimitsForm::default()).await
}
