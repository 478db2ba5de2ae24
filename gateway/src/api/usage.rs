//! `GET /v1/usage`, `/v1/me/usage` and `/v1/admin/usage`: what was used, in JSON or CSV.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admin::{limit, reach};
use super::json::Query;
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::recorder::Endpoint;
use crate::store::now;
use crate::store::page::Reach;
use crate::store::people::{ActiveUsers, Month};
use crate::store::totals::{Dimension, Total};
use crate::store::usage::UsageFilter;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(usage)).routes(routes!(my_usage)).routes(routes!(all_usage))
}

const DAY: i64 = 86_400_000;

/// Which usage is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// First day, `2026-11-01`. Default: thirty days ago.
    start: Option<String>,
    /// Day after the last, `2026-12-01`. Default: tomorrow.
    end: Option<String>,
    /// As `start`, in Unix seconds, as Albert API's clients say it.
    start_time: Option<i64>,
    /// As `end`, in Unix seconds.
    end_time: Option<i64>,
    /// What totals are split by, with commas: `day`, `organization`, `project`, `key`, `model`, `endpoint`,
    /// `error_code`.
    by: Option<String>,
    /// Only this endpoint: `chat.completions`, `completions`, `embeddings`, `rerank`, or its path.
    endpoint: Option<String>,
    /// Only this organization.
    organization_id: Option<i64>,
    /// Only this project.
    project_id: Option<i64>,
    /// Only this key, by its public part.
    key_id: Option<String>,
    /// `json` or `csv`; so does `Accept: text/csv`.
    format: Option<String>,
    /// Buckets at most, 1 to 10000.
    limit: Option<i64>,
    /// Buckets to skip.
    offset: Option<i64>,
}

/// One total. What it is not split by is absent.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Bucket {
    /// `2026-11-24`, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// Why requests were refused or failed: `quota_exceeded`, `permission_denied`. Empty for those that went well.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    requests: i64,
    /// Failed, cut or interrupted.
    errors: i64,
    /// Refused by a rule.
    refused: i64,
    /// Requests whose tokens are an estimate.
    estimated: i64,
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
    /// Seconds of answering, added up.
    seconds: f64,
    #[serde(rename = "kWh")]
    kwh: f64,
    #[serde(rename = "kgCO2eq")]
    kg_co2eq: f64,
    /// Unix seconds of the beginning of the day.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<i64>,
    usage: BucketUsage,
}

/// Tokens and impacts where Albert API's clients look for them.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BucketUsage {
    prompt_tokens: i64,
    completion_tokens: i64,
    total_tokens: i64,
    impacts: BucketImpacts,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct BucketImpacts {
    #[serde(rename = "kWh")]
    kwh: f64,
    #[serde(rename = "kgCO2eq")]
    kg_co2eq: f64,
}

/// Totals, in OpenAI's list form.
#[derive(Serialize, utoipa::ToSchema)]
pub struct UsageList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Bucket>,
    /// Over organizations only: active end users of each month that the range touches, beside accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_users: Option<Vec<ActiveUsers>>,
}

impl From<Total> for Bucket {
    fn from(total: Total) -> Bucket {
        let tokens = total.tokens_in + total.tokens_out;
        let (kwh, kg_co2eq) = (total.energy_wh / 1_000.0, total.carbon_g / 1_000.0);
        Bucket {
            created: total.day.and_then(|day| day.checked_mul(DAY / 1_000)),
            day: total.day.and_then(|day| day_text(day.checked_mul(DAY)?)),
            organization_id: total.organization_id,
            organization: total.organization,
            project_id: total.project_id,
            project: total.project,
            key_id: total.key_id,
            model: total.model,
            endpoint: total.endpoint,
            error_code: total.error_code,
            requests: total.requests,
            errors: total.errors,
            refused: total.refused,
            estimated: total.estimated,
            prompt_tokens: total.tokens_in,
            completion_tokens: total.tokens_out,
            total_tokens: tokens,
            seconds: total.duration_ms as f64 / 1_000.0,
            kwh,
            kg_co2eq,
            usage: BucketUsage {
                prompt_tokens: total.tokens_in,
                completion_tokens: total.tokens_out,
                total_tokens: tokens,
                impacts: BucketImpacts { kwh, kg_co2eq },
            },
        }
    }
}

fn day_text(millis: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(millis).ok()?;
    Some(at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date().to_string())
}

fn bad(param: &'static str, french: &str, english: &str) -> ApiError {
    ApiError::bad_request(format!("« {param} » {french}."), format!("“{param}” {english}.")).param(param)
}

fn midnight(text: Option<&str>, param: &'static str) -> ApiResult<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || bad(param, "est une date : 2026-11-24", "is a date: 2026-11-24");
    let day: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
    let at = day.to_zoned_datetime(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
    Ok(Some(at.timestamp().as_millisecond()))
}

impl Wanted {
    fn filter(&self, reach: Reach) -> ApiResult<UsageFilter> {
        let tomorrow = (now() / DAY + 1) * DAY;
        let millis = |seconds: Option<i64>| seconds.map(|seconds| seconds.saturating_mul(1_000));
        let end = midnight(self.end.as_deref(), "end")?.or(millis(self.end_time)).unwrap_or(tomorrow);
        let start = midnight(self.start.as_deref(), "start")?
            .or(millis(self.start_time))
            .unwrap_or(end.saturating_sub(31 * DAY));
        if start >= end {
            return Err(bad("end", "doit venir après « start »", "must come after “start”"));
        }
        Ok(UsageFilter {
            reach,
            organization: self.organization_id,
            project: self.project_id,
            key: self.key_id.clone(),
            endpoint: self.endpoint.clone().map(|name| match Endpoint::of_path(&name) {
                Some(known) => known.as_str().to_owned(),
                None => name,
            }),
            start,
            end,
        })
    }

    fn dimensions(&self, default: &[Dimension]) -> ApiResult<Vec<Dimension>> {
        let Some(text) = &self.by else { return Ok(default.to_vec()) };
        let known = "day, organization, project, key, model, endpoint, error_code";
        text.split(',')
            .filter(|word| !word.trim().is_empty())
            .map(|word| word.trim().parse())
            .collect::<Result<_, ()>>()
            .map_err(|()| bad("by", &format!("prend parmi : {known}"), &format!("takes among: {known}")))
    }
}

/// Whether the answer is wanted as CSV, by the query or by `Accept`.
pub fn wants_csv(format: Option<&str>, headers: &HeaderMap) -> ApiResult<bool> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(bad("format", "vaut json ou csv", "is json or csv")),
        None => Ok(headers.get(header::ACCEPT).is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv"))),
    }
}

async fn answer(
    app: &App,
    headers: &HeaderMap,
    wanted: &Wanted,
    reach: Reach,
    default: &[Dimension],
    people: bool,
) -> ApiResult<Response> {
    let filter = wanted.filter(reach)?;
    let by = wanted.dimensions(default)?;
    let most = limit(wanted.limit.unwrap_or(1_000), 10_000)?;
    let totals = app.store.usage_totals(&filter, &by, most, wanted.offset.unwrap_or(0).max(0)).await?;
    let data: Vec<Bucket> = totals.into_iter().map(Bucket::from).collect();
    if wants_csv(wanted.format.as_deref(), headers)? {
        return Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv(&data)).into_response());
    }
    let mut active_users = None;
    if people {
        let mut all = Vec::new();
        for month in Month::touched(filter.start, filter.end.min(now() + 1)) {
            all.extend(app.store.active_users(&filter.reach, filter.organization, &month).await?);
        }
        active_users = Some(all);
    }
    Ok(axum::Json(UsageList { object: "list", data, active_users }).into_response())
}

/// A cell of CSV; one that a spreadsheet would run as a formula is quoted as text.
pub fn cell(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// The same columns whatever the split.
fn csv(buckets: &[Bucket]) -> String {
    let number = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
    let word = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
    let mut out = String::from(
        "day,organization_id,organization,project_id,project,key_id,model,endpoint,error_code,requests,errors,refused,estimated,\
         prompt_tokens,completion_tokens,total_tokens,seconds,kWh,kgCO2eq\r\n",
    );
    for b in buckets {
        out.push_str(&format!(
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\r\n",
            word(&b.day),
            number(b.organization_id),
            word(&b.organization),
            number(b.project_id),
            word(&b.project),
            word(&b.key_id),
            word(&b.model),
            word(&b.endpoint),
            word(&b.error_code),
            b.requests,
            b.errors,
            b.refused,
            b.estimated,
            b.prompt_tokens,
            b.completion_tokens,
            b.total_tokens,
            b.seconds,
            b.kwh,
            b.kg_co2eq,
        ));
    }
    out
}

const MINE: [Dimension; 3] = [Dimension::Day, Dimension::Model, Dimension::Endpoint];

/// Usage of the caller: a project's key sees its project, a member what their roles let them read.
#[utoipa::path(get, path = "/v1/usage", tag = "Account", security(("key" = [])), params(Wanted),
    responses((status = 200, body = UsageList), (status = 400, description = "A date or a dimension is wrong")))]
async fn usage(
    State(app): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    answer(&app, &headers, &wanted, who.usage_reach(), &MINE, false).await
}

/// The same, at the address Albert API's clients use.
#[utoipa::path(get, path = "/v1/me/usage", tag = "Account", security(("key" = [])), params(Wanted), responses((status = 200, body = UsageList)))]
async fn my_usage(
    State(app): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    answer(&app, &headers, &wanted, who.usage_reach(), &MINE, false).await
}

/// Usage over organizations, for those who may read them.
#[utoipa::path(get, path = "/v1/admin/usage", tag = "Administration", security(("key" = [])), params(Wanted),
    responses((status = 200, body = UsageList), (status = 403, description = "The caller reads no organization")))]
async fn all_usage(
    State(app): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    answer(&app, &headers, &wanted, reach(&who)?, &[Dimension::Organization, Dimension::Model], true).await
}
