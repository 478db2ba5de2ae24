//! `/v1/admin/records` and `/v1/admin/audit`: what went through, and who changed what. Metadata only.

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{List, limit, reach};
use crate::api::json::Query;
use crate::app::AppState;
use crate::error::ApiResult;
use crate::policy::identity::Principal;
use crate::recorder::Record;
use crate::store::audit::Entry;
use crate::store::usage::UsageFilter;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(records)).routes(routes!(audit))
}

/// Which records are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Recent {
    /// Records at most, 1 to 1000.
    limit: Option<i64>,
    /// Id of the last one already seen.
    before: Option<String>,
    /// Only this organization.
    organization_id: Option<i64>,
    /// Only this project.
    project_id: Option<i64>,
    /// Only this key, by its public part.
    key_id: Option<String>,
}

/// Records, newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct RecordList {
    #[schema(example = "list")]
    object: &'static str,
    /// Every column of `usage_records`: see docs/accounting.md.
    #[schema(value_type = Vec<Object>)]
    data: Vec<Record>,
}

/// Usage records, newest first. Never content.
#[utoipa::path(get, path = "/v1/admin/records", tag = "Administration", security(("key" = [])), params(Recent),
    responses((status = 200, body = RecordList), (status = 403, description = "The caller reads no organization")))]
async fn records(
    State(app): State<AppState>,
    who: Principal,
    Query(recent): Query<Recent>,
) -> ApiResult<Answer<RecordList>> {
    let filter = UsageFilter {
        reach: reach(&who)?,
        organization: recent.organization_id,
        project: recent.project_id,
        key: recent.key_id,
        endpoint: None,
        start: 0,
        end: i64::MAX,
    };
    let data =
        app.store.recent_records(&filter, limit(recent.limit.unwrap_or(100), 1_000)?, recent.before.as_deref()).await?;
    Ok(Answer(RecordList { object: "list", data }))
}

/// Which changes are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Changes {
    /// Changes at most, 1 to 1000.
    limit: Option<i64>,
    /// Id of the last one already seen.
    before: Option<i64>,
}

/// Changes of accounts, newest first: who, what, before, after.
#[utoipa::path(get, path = "/v1/admin/audit", tag = "Administration", security(("key" = [])), params(Changes),
    responses((status = 200, body = List<Entry>), (status = 403, description = "The caller reads no organization")))]
async fn audit(
    State(app): State<AppState>,
    who: Principal,
    Query(wanted): Query<Changes>,
) -> ApiResult<Answer<List<Entry>>> {
    Ok(Answer(
        app.store.audit_entries(&reach(&who)?, wanted.before, limit(wanted.limit.unwrap_or(100), 1_000)?).await?.into(),
    ))
}
