//! `/v1/admin/*`: organizations, projects, members, roles, keys and limits; records, usage and the audit trail.
//!
//! Closed to the keys of projects as a whole, and then by role: what a caller may not see is answered like what does not
//! exist. Every change is in the audit trail, and effective at once in this process.

pub mod consent;
pub mod keys;
pub mod limits;
pub mod members;
pub mod organizations;
pub mod people;
pub mod projects;
pub mod trail;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;

use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::store::page::{Listed, Order, Reach};
use crate::store::{Change, Page};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(organizations::routes())
        .merge(projects::routes())
        .merge(members::routes())
        .merge(keys::routes())
        .merge(limits::routes())
        .merge(people::routes())
        .merge(trail::routes())
        .route_layer(axum::middleware::from_fn(members_only))
}

/// A project's key administers nothing, whatever a handler looks at, and whatever one forgets to look at.
async fn members_only(request: Request, next: Next) -> Response {
    match request.extensions().get::<Principal>() {
        Some(who) if who.member().is_some() => next.run(request).await,
        _ => ApiError::role_denied().into_response(),
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Slice {
    /// Objects at most, 1 to 1000.
    pub limit: i64,
    /// Objects to skip.
    pub offset: i64,
    /// Only objects of exactly this name.
    pub name: Option<String>,
    /// `id`, `name` or `created`.
    pub order_by: Option<String>,
    /// `asc` or `desc`.
    pub order_direction: Option<String>,
    /// Only objects of this organization.
    pub organization_id: Option<i64>,
    /// Only objects of this project.
    pub project_id: Option<i64>,
}

impl Default for Slice {
    fn default() -> Self {
        Slice {
            limit: 100,
            offset: 0,
            name: None,
            order_by: None,
            order_direction: None,
            organization_id: None,
            project_id: None,
        }
    }
}

/// Checks a `limit`.
pub fn limit(limit: i64, most: i64) -> ApiResult<i64> {
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::bad_request(format!("« limit » va de 1 à {most}."), format!("“limit” goes from 1 to {most}."))
        .param("limit"))
}

impl Slice {
    pub fn page(&self) -> ApiResult<Page> {
        let wrong = |param: &'static str, values: &str| {
            ApiError::bad_request(format!("« {param} » vaut {values}."), format!("“{param}” is one of {values}."))
                .param(param)
        };
        let order = match self.order_by.as_deref() {
            None | Some("id") => Order::Id,
            Some("name") => Order::Name,
            Some("created") => Order::Created,
            Some(_) => return Err(wrong("order_by", "id, name, created")),
        };
        let descending = match self.order_direction.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(wrong("order_direction", "asc, desc")),
        };
        let page = Page {
            limit: limit(self.limit, 1_000)?,
            offset: self.offset.max(0),
            name: self.name.clone(),
            order,
            descending,
        };
        Ok(page)
    }
}

/// A list, in OpenAI's form.
#[derive(Serialize, utoipa::ToSchema)]
pub struct List<T> {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<T>,
    /// Objects in all, whatever the limit.
    total: i64,
}

impl<T> From<Listed<T>> for List<T> {
    fn from(listed: Listed<T>) -> Self {
        List { object: "list", data: listed.items, total: listed.total }
    }
}

/// Starts a change in the name of the caller.
pub async fn change(app: &App, who: &Principal) -> ApiResult<Change> {
    Ok(app.store.change(who.actor()).await?)
}

/// Commits a change and makes it effective here at once. When the directory cannot be read again now, the next refresh,
/// within a second, does it.
pub async fn commit(app: &App, change: Change) -> ApiResult<()> {
    change.commit().await?;
    if let Err(error) = app.identity.refresh().await {
        tracing::debug!(%error, "a change takes effect at the next refresh");
    }
    if let Err(error) = app.limits.refresh(&app.store, &app.config).await {
        tracing::debug!(%error, "a change of limits takes effect at the next refresh");
    }
    Ok(())
}

/// What lists show the caller. Refused to one who may read nothing here.
pub fn reach(who: &Principal) -> ApiResult<Reach> {
    let reach = who.reach();
    let reads = match &reach {
        Reach::Everything => true,
        Reach::Only { organizations, projects } => !organizations.is_empty() || !projects.is_empty(),
    };
    allowed(reads).map(|()| reach)
}

/// Hides what the caller may not see.
pub fn visible<T>(object: Option<T>, allowed: impl FnOnce(&T) -> bool) -> ApiResult<T> {
    object.filter(allowed).ok_or_else(ApiError::not_found)
}

/// Refuses what the caller's role does not allow, on an object they may see.
pub fn allowed(yes: bool) -> ApiResult<()> {
    if yes { Ok(()) } else { Err(ApiError::role_denied()) }
}
