//! What annotators do: take an item, answer it. And what was answered, for whoever runs the campaign.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Part;
use super::campaigns::{find, results};
use crate::api::admin::allowed;
use crate::api::json::{Json, Query};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::evaluation::campaign::answer::{Heard, check};
use crate::evaluation::campaign::view::NextItem;
use crate::evaluation::campaign::{grid, rank, sheet};
use crate::policy::identity::Principal;
use crate::store::annotations::Done;
use crate::store::now;
use crate::store::turns::Received;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(next)).routes(routes!(list, annotate))
}

fn refused(received: Received) -> ApiError {
    let (french, english) = sheet::refused(received);
    match received {
        Received::Unknown => ApiError::new(StatusCode::NOT_FOUND, "not_found", french, english).param("item"),
        Received::Lost => ApiError::conflict(french, english).code("lock_expired"),
        Received::Closed => ApiError::conflict(french, english).code("campaign_closed"),
        Received::Differs | Received::Taken | Received::Again => {
            ApiError::conflict(french, english).code("already_answered")
        }
    }
}

/// The next item to annotate: the one already held, or the first in the caller's own order. It is held for a while, and
/// nobody else's answer nor what answered is in it. 204: nothing is left for the caller.
#[utoipa::path(get, path = "/v1/eval/campaigns/{id}/next", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, description = "`item`, `messages`, `answers`, `criteria`, `held_until`"), (status = 204, description = "Nothing is left"), (status = 403, description = "The caller reads this campaign and does not annotate it"), (status = 404, description = "Unknown, or not visible"), (status = 409, description = "The campaign is closed")))]
async fn next(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Response> {
    let (campaign, rights) = find(&app, &who, id).await?;
    allowed(rights.annotates)?;
    let member = who.member_id().ok_or_else(ApiError::role_denied)?;
    let until = now().saturating_add(campaign.lock_ms);
    let order = |item: &str| rank(&campaign, member, item);
    let given = app.store.give_items(&campaign, member, 1, until, order).await?;
    let Some(turn) = given.ok_or_else(|| refused(Received::Closed))?.pop() else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let grid = grid::of(&app.store, &campaign).await?;
    let item = NextItem::of(&campaign, &grid, member, &turn);
    let item = item.ok_or_else(|| ApiError::internal(format!("the content of {} cannot be shown", turn.item)))?;
    Ok(Answer(item).into_response())
}

/// An answer to an item.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AnnotationForm {
    /// As `next` named it.
    #[schema(example = "it_5f0c1d2e3a4b5c6d7e8f9a0b")]
    item: String,
    /// By criterion: a value of its scale, `na` (not applicable), or null (left out on purpose). None is forgotten.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"reponse-juste": 3, "clair": "na", "sans-danger": true}))]
    answers: BTreeMap<String, Value>,
    /// Leave the whole item to others.
    #[serde(default)]
    skip: bool,
    /// Free text, at most 4000 characters; redacted, and gone with the content.
    #[serde(default)]
    comment: Option<String>,
    /// Time taken; absent: since the item was given.
    #[serde(default)]
    seconds: Option<f64>,
}

/// How an answer was received.
#[derive(Serialize, utoipa::ToSchema)]
struct AnnotationTaken {
    item: String,
    /// `answered` or `skipped`.
    outcome: &'static str,
}

/// Answer an item that was given to the caller. The same answer again is the same; another is a conflict.
#[utoipa::path(post, path = "/v1/eval/campaigns/{id}/annotations", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path)), request_body = AnnotationForm,
    responses((status = 201, body = AnnotationTaken), (status = 200, description = "That very answer was there", body = AnnotationTaken), (status = 404, description = "The caller was not given this item"), (status = 409, description = "Answered otherwise, or given to somebody else since, or closed")))]
async fn annotate(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<AnnotationForm>,
) -> ApiResult<(StatusCode, Answer<AnnotationTaken>)> {
    let (campaign, rights) = find(&app, &who, id).await?;
    allowed(rights.annotates)?;
    let member = who.member_id().ok_or_else(ApiError::role_denied)?;
    let pair = app.store.given_item(campaign.id, &form.item, member).await?;
    let pair = pair.ok_or_else(|| refused(Received::Unknown))?;
    let grid = grid::of(&app.store, &campaign).await?;
    let AnnotationForm { item, answers, skip, comment, seconds } = form;
    let heard = Heard { skip, answers, comment, seconds, timed: true };
    let said = check(&campaign, &grid, member, &item, pair, &heard)?;
    let outcome = if said.skipped { "skipped" } else { "answered" };
    match app.store.take_answer(&campaign, member, &item, &said).await? {
        Received::Taken => Ok((StatusCode::CREATED, Answer(AnnotationTaken { item, outcome }))),
        Received::Again => Ok((StatusCode::OK, Answer(AnnotationTaken { item, outcome }))),
        other => Err(refused(other)),
    }
}

/// What one person answered to one item.
#[derive(Serialize, utoipa::ToSchema)]
struct Annotation {
    item: String,
    member_id: i64,
    /// `answered` or `skipped`.
    outcome: &'static str,
    /// By criterion; of a pair, `first` is the item's `candidate` and `second` what stood against it.
    answers: BTreeMap<String, Option<String>>,
    comment: Option<String>,
    seconds: Option<f64>,
}

impl From<Done> for Annotation {
    fn from(done: Done) -> Annotation {
        Annotation {
            item: done.item,
            member_id: done.member,
            outcome: if done.skipped { "skipped" } else { "answered" },
            answers: done.answers.into_iter().collect(),
            comment: done.comment,
            seconds: done.taken_ms.map(|ms| ms as f64 / 1_000.0),
        }
    }
}

/// Annotations, by member then item.
#[derive(Serialize, utoipa::ToSchema)]
struct AnnotationList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Annotation>,
    total: usize,
}

/// All that was answered. Not for who still annotates.
#[utoipa::path(get, path = "/v1/eval/campaigns/{id}/annotations", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), Part),
    responses((status = 200, body = AnnotationList), (status = 404, description = "Unknown, or not visible"), (status = 409, description = "The caller still annotates it")))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(part): Query<Part>,
) -> ApiResult<Answer<AnnotationList>> {
    let campaign = results(&app, &who, id).await?;
    let (limit, offset) = part.bounds()?;
    let done = app.store.annotations(campaign.id).await?;
    let (total, size) = (done.len(), |n: i64| usize::try_from(n).unwrap_or(usize::MAX));
    let data = done.into_iter().skip(size(offset)).take(size(limit)).map(Annotation::from).collect();
    Ok(Answer(AnnotationList { object: "list", data, total }))
}
