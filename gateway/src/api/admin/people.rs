//! Monthly active end users: `/v1/admin/users/active`, and the counts that products attest.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{allowed, change, commit, reach, visible};
use crate::api::json::{Json, Query};
use crate::api::usage::cell;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::store::now;
use crate::store::people::{ActiveUsers, Attested, Month};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(active)).routes(routes!(attest))
}

/// Which month is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `2026-11`, in UTC. Default: this month.
    month: Option<String>,
    /// Only this organization.
    organization_id: Option<i64>,
    /// `json` or `csv`; so does `Accept: text/csv`.
    format: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ActiveList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<ActiveUsers>,
}

fn month(text: Option<&str>) -> ApiResult<Month> {
    let found = match text {
        Some(text) => Month::parse(text),
        None => Month::holding(now()),
    };
    found.ok_or_else(|| {
        ApiError::bad_request("« month » est un mois : 2026-11.", "“month” is a month: 2026-11.").param("month")
    })
}

/// Monthly active end users of each organization, beside its accounts. A count is given where nine requests in ten
/// name their end user, and « non mesurable » where fewer do.
#[utoipa::path(get, path = "/v1/admin/users/active", tag = "Administration", security(("key" = [])), params(Wanted),
    responses((status = 200, body = ActiveList), (status = 403, description = "The caller reads no organization")))]
async fn active(
    State(app): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    let reach = reach(&who)?;
    let month = month(wanted.month.as_deref())?;
    let data = app.store.active_users(&reach, wanted.organization_id, &month).await?;
    if crate::api::usage::wants_csv(wanted.format.as_deref(), &headers)? {
        return Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv(&data)).into_response());
    }
    Ok(Answer(ActiveList { object: "list", data }).into_response())
}

fn csv(data: &[ActiveUsers]) -> String {
    let mut out = String::from(
        "month,organization_id,organization,accounts,requests,identified_share,active_end_users,measure,attested\r\n",
    );
    for one in data {
        let share = one.identified_share.map(|share| format!("{share:.3}")).unwrap_or_default();
        let users = one.active_end_users.map(|users| users.to_string()).unwrap_or_default();
        let attested: Vec<String> = one
            .attested
            .iter()
            .map(|a| format!("{}: {} ({})", a.project.as_deref().unwrap_or_default(), a.users, a.source))
            .collect();
        out.push_str(&format!(
            "{},{},{},{},{},{share},{users},{},{}\r\n",
            one.month,
            one.organization_id,
            cell(one.organization.as_deref().unwrap_or_default()),
            one.accounts,
            one.requests,
            one.measure,
            cell(&attested.join("; ")),
        ));
    }
    out
}

/// A count of monthly active users that the product attests.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AttestForm {
    #[schema(example = "2026-11")]
    month: String,
    users: i64,
    /// Who says so, and how they counted.
    #[schema(example = "Docs, sessions of ProConnect")]
    source: String,
}

/// Import the monthly active users that a project counts itself. The month's present count is replaced; the audit trail
/// keeps both.
#[utoipa::path(put, path = "/v1/admin/projects/{id}/active-users", tag = "Administration", security(("key" = [])), params(("id" = i64, Path)),
    request_body = AttestForm, responses((status = 200, body = Attested), (status = 403, description = "Not a manager of the organization")))]
async fn attest(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<AttestForm>,
) -> ApiResult<Answer<Attested>> {
    let project = visible(app.store.project(id).await?, |p| who.can_read_project(p.organization_id, p.id))?;
    allowed(who.can_manage(project.organization_id))?;
    let month = month(Some(&form.month))?;
    let mut change = change(&app, &who).await?;
    let made = change.attest_users(project.id, &month, form.users, &form.source).await?;
    commit(&app, change).await?;
    Ok(Answer(made))
}
