//! Keys of projects and members. Their text is in the answer that makes them, and nowhere else.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{List, Slice, allowed, change, commit, reach, visible};
use crate::api::json::{Json, Query};
use crate::app::AppState;
use crate::config::Span;
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::store::keys::{Holder, Key, KeyFilter};
use crate::store::now;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A key to make: of a project, or of a member.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    /// A project's key calls models.
    #[serde(default)]
    project_id: Option<i64>,
    /// A member's key acts with that member's roles.
    #[serde(default)]
    member_id: Option<i64>,
    /// What it is for.
    #[serde(default)]
    name: String,
    /// Time it is valid for: `90d`, `12h`. Absent: until it is revoked.
    #[serde(default)]
    expires_in: Option<String>,
}

/// A key just made.
#[derive(Serialize, utoipa::ToSchema)]
pub struct NewKey {
    /// Public part of the key, as lists, records and `DELETE` name it.
    pub id: String,
    /// The key itself. It is shown this once.
    #[schema(example = "gct_…")]
    pub key: String,
    pub name: String,
    pub project_id: Option<i64>,
    pub member_id: Option<i64>,
    /// Unix seconds; null for a key that does not expire.
    pub expires: Option<i64>,
}

/// When a key made now and valid for that long expires, in Unix milliseconds.
pub fn expiry(expires_in: Option<&str>) -> ApiResult<Option<i64>> {
    let Some(text) = expires_in else { return Ok(None) };
    let span =
        Span::parse(text).filter(|span| !span.0.is_zero()).and_then(|span| i64::try_from(span.0.as_millis()).ok());
    let at = span.and_then(|millis| now().checked_add(millis));
    at.map(Some).ok_or_else(|| {
        ApiError::bad_request(
            "« expires_in » est une durée avec son unité : « 12h », « 90d ».",
            "“expires_in” is a length of time with its unit: “12h”, “90d”.",
        )
        .param("expires_in")
    })
}

/// Makes a key for a holder the caller was checked against.
pub async fn make(
    app: &AppState,
    who: &Principal,
    holder: Holder,
    name: &str,
    expires_in: Option<&str>,
) -> ApiResult<NewKey> {
    let expires_at = expiry(expires_in)?;
    let mut change = change(app, who).await?;
    let (key, text) = change.create_key(holder, name, expires_at).await?;
    commit(app, change).await?;
    Ok(NewKey {
        id: key.key_id,
        key: text.reveal().to_owned(),
        name: key.name,
        project_id: key.project_id,
        member_id: key.member_id,
        expires: key.expires_at.map(crate::store::time::Time::seconds),
    })
}

/// Keys the caller may see, without the revoked ones.
#[utoipa::path(get, path = "/v1/admin/keys", tag = "Administration", security(("key" = [])), params(Slice),
    responses((status = 200, body = List<Key>)))]
async fn list(State(app): State<AppState>, who: Principal, Query(slice): Query<Slice>) -> ApiResult<Answer<List<Key>>> {
    let filter = KeyFilter { organization: slice.organization_id, project: slice.project_id, ..KeyFilter::default() };
    Ok(Answer(app.store.keys(&reach(&who)?, filter, &slice.page()?).await?.into()))
}

/// Make a key.
#[utoipa::path(post, path = "/v1/admin/keys", tag = "Administration", security(("key" = [])), request_body = KeyForm,
    responses((status = 201, body = NewKey), (status = 404, description = "No such project or member")))]
async fn create(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<KeyForm>,
) -> ApiResult<(StatusCode, Answer<NewKey>)> {
    let holder = match (form.project_id, form.member_id) {
        (Some(id), None) => {
            let project = visible(app.store.project(id).await?, |p| who.can_read_project(p.organization_id, p.id))?;
            allowed(who.can_build(project.organization_id, project.id))?;
            Holder::Project(id)
        }
        (None, Some(id)) => {
            let may_see =
                |organization: Option<i64>| organization.map_or_else(|| who.can_read_instance(), |id| who.can_read(id));
            let member = visible(app.store.member(id).await?, |member| may_see(member.organization_id))?;
            let instance_role = member.grants.iter().any(|held| held.organization_id.is_none());
            // A key acts with its member's roles: whoever makes it must be above all of them.
            allowed(
                who.can_administer() || (!instance_role && member.organization_id.is_some_and(|id| who.can_manage(id))),
            )?;
            Holder::Member(id)
        }
        _ => {
            return Err(ApiError::bad_request(
                "Donnez « project_id » ou « member_id », l’un des deux.",
                "Give “project_id” or “member_id”, one of the two.",
            )
            .param("project_id"));
        }
    };
    let made = make(&app, &who, holder, &form.name, form.expires_in.as_deref()).await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// Revoke a key, by its public part or its number. Effective within a second here, five on all replicas.
#[utoipa::path(delete, path = "/v1/admin/keys/{id}", tag = "Administration", security(("key" = [])), params(("id" = String, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn revoke(State(app): State<AppState>, who: Principal, Path(id): Path<String>) -> ApiResult<StatusCode> {
    let sees = |key: &Key| match (key.organization_id, key.project_id) {
        (Some(organization), Some(project)) => who.can_read_project(organization, project),
        (Some(organization), None) => who.can_read(organization),
        (None, _) => who.can_read_instance(),
    };
    let key = visible(app.store.key(&id).await?, sees)?;
    allowed(match (key.organization_id, key.project_id) {
        (Some(organization), Some(project)) => who.can_build(organization, project),
        (Some(organization), None) => who.can_manage(organization),
        (None, _) => who.can_administer(),
    })?;
    let mut change = change(&app, &who).await?;
    change.revoke_key(key.id).await?;
    commit(&app, change).await?;
    Ok(StatusCode::NO_CONTENT)
}
