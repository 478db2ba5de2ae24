//! `/v1/eval/*` and `/v1/feedback`: what evaluators and auditors read, draw and keep. There only where the configuration has
//! a section `evaluation`.
//!
//! Closed to the keys of projects, feedback apart; then by role, and by organization: content of one organization is
//! answered to who evaluates or audits another like content that does not exist.

mod agreement;
mod annotations;
mod campaigns;
mod datasets;
mod erasures;
mod experiments;
mod feedback;
mod grids;
mod judges;
mod purge;
mod records;
mod reports;
mod samples;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;

use crate::api::admin::{allowed, limit, visible};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::policy::role::{Role, Scope};
use crate::store::page::Reach;

pub fn routes() -> OpenApiRouter<AppState> {
    let members = OpenApiRouter::new()
        .merge(records::routes())
        .merge(samples::routes())
        .merge(datasets::routes())
        .merge(experiments::routes())
        .merge(judges::routes())
        .merge(reports::routes())
        .merge(grids::routes())
        .merge(campaigns::routes())
        .merge(annotations::routes())
        .merge(agreement::routes())
        .merge(erasures::routes())
        .merge(purge::routes())
        .merge(feedback::read_routes())
        .route_layer(axum::middleware::from_fn(members_only));
    members.merge(feedback::write_routes())
}

/// A project's key evaluates nothing, whatever a handler looks at.
async fn members_only(request: Request, next: Next) -> Response {
    match request.extensions().get::<Principal>() {
        Some(who) if who.member().is_some() => next.run(request).await,
        _ => ApiError::role_denied().into_response(),
    }
}

/// Whose content the caller may read. Refused to one who may read none.
fn reach(who: &Principal) -> ApiResult<Reach> {
    let reach = who.content_reach();
    let reads = match &reach {
        Reach::Everything => true,
        Reach::Only { organizations, .. } => !organizations.is_empty(),
    };
    allowed(reads).map(|()| reach)
}

/// Refuses who does not evaluate an organization; one that the caller may not even see is answered like one that does not
/// exist. `None` is the instance.
fn evaluates(who: &Principal, organization: Option<i64>) -> ApiResult<()> {
    if let Some(id) = organization {
        visible(Some(id), |id| who.can_read_content(*id) || who.can_read(*id))?;
    }
    allowed(who.can_evaluate(organization))
}

/// The organization that the caller evaluates: the one said, else the only one; none is all.
fn organization_of(who: &Principal, said: Option<i64>) -> ApiResult<Option<i64>> {
    let organization = said.or_else(|| only_organization(who));
    evaluates(who, organization).map(|()| organization)
}

/// The organization of who evaluates just one.
fn only_organization(who: &Principal) -> Option<i64> {
    let mut of = who.grants().iter().filter(|held| held.role == Role::Evaluator).map(|held| held.scope);
    match (of.next(), of.next()) {
        (Some(Scope::Organization(id)), None) => Some(id),
        _ => None,
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Part {
    /// Objects at most, 1 to 1000.
    limit: Option<i64>,
    /// Objects to skip.
    offset: Option<i64>,
}

impl Part {
    fn bounds(&self) -> ApiResult<(i64, i64)> {
        Ok((limit(self.limit.unwrap_or(100), 1_000)?, self.offset.unwrap_or(0).max(0)))
    }
}
