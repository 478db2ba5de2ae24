//! `POST /v1/feedback`: what an application's users say of an answer. Read back by evaluators and auditors.

use std::time::Duration;

use ::eval::redact::redact;
use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reach;
use crate::api::admin::limit;
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::recorder::capture::is_word;
use crate::store::feedback::Feedback;
use crate::store::now;
use crate::store::time::Time;

/// Longest comment, in characters.
const COMMENT_MAX: usize = 4_000;
/// A record reaches the database shortly after its answer: looked for again so often, so long apart.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(150);
/// Requests older than this are there, or are not.
const YOUNG: i64 = 60_000;

pub fn write_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(say))
}

pub fn read_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What is said of an answer; at least one of score, label and comment. Said again, the last word counts.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct FeedbackForm {
    /// The `x-request-id` of the answer.
    #[schema(example = "req_0198f2c1d0ab7cc2a1b0c2d3e4f50617")]
    request_id: String,
    /// 0 (worst) to 1 (best): a thumb is 0 or 1.
    #[serde(default)]
    score: Option<f64>,
    /// A word: letters without accents, digits, `.`, `_`, `-`; 64 at most.
    #[serde(default)]
    #[schema(example = "hors-sujet")]
    label: Option<String>,
    /// Free text, at most 4000 characters. Redacted, and kept only where the project agreed.
    #[serde(default)]
    comment: Option<String>,
}

/// What was kept.
#[derive(Serialize, utoipa::ToSchema)]
struct FeedbackTaken {
    #[serde(flatten)]
    feedback: Feedback,
    /// False where the project keeps no content.
    comment_kept: bool,
}

fn wrong(param: &'static str, french: &'static str, english: &'static str) -> ApiError {
    ApiError::bad_request(french, english).param(param)
}

fn check(form: &FeedbackForm) -> ApiResult<()> {
    if form.score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
        return Err(wrong("score", "« score » va de 0 à 1.", "“score” goes from 0 to 1."));
    }
    if form.label.as_deref().is_some_and(|label| !is_word(label)) {
        return Err(wrong(
            "label",
            "« label » est un mot de 64 caractères au plus : lettres sans accent, chiffres, « . », « _ », « - ».",
            "“label” is a word of at most 64 characters: letters without accents, digits, “.”, “_”, “-”.",
        ));
    }
    if form.comment.as_deref().is_some_and(|comment| comment.chars().count() > COMMENT_MAX) {
        return Err(wrong(
            "comment",
            "« comment » a 4000 caractères au plus.",
            "“comment” has 4000 characters at most.",
        ));
    }
    if form.score.is_none() && form.label.is_none() && form.comment.is_none() {
        return Err(wrong("score", "Dites « score », « label » ou « comment ».", "Say “score”, “label” or “comment”."));
    }
    Ok(())
}

/// Whether a project made this request; one made just now is waited for.
async fn made(app: &App, project: i64, id: &str) -> ApiResult<bool> {
    let young = made_at(id).is_some_and(|at| (now() - at).abs() < YOUNG);
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        if app.store.made_request(project, id).await? {
            return Ok(true);
        }
        if !young {
            break;
        }
    }
    Ok(false)
}

/// When an id was made, Unix milliseconds: its first twelve digits.
fn made_at(id: &str) -> Option<i64> {
    i64::from_str_radix(id.strip_prefix("req_")?.get(..12)?, 16).ok()
}

/// Say what a user thinks of an answer. With the key of the project that asked for it.
#[utoipa::path(post, path = "/v1/feedback", tag = "Evaluation", security(("key" = [])), request_body = FeedbackForm,
    responses((status = 200, body = FeedbackTaken), (status = 403, description = "A member’s key"), (status = 404, description = "This project made no such request")))]
async fn say(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<FeedbackForm>,
) -> ApiResult<Answer<FeedbackTaken>> {
    let Some(project) = who.project() else { return Err(ApiError::role_denied()) };
    check(&form)?;
    if !made(&app, project.project_id, &form.request_id).await? {
        return Err(ApiError::not_found().param("request_id"));
    }
    let comment = form.comment.filter(|_| project.notice.is_some());
    let redacted = match comment {
        Some(text) => {
            // Milliseconds of work, kept off the threads that carry requests.
            let work = tokio::task::spawn_blocking(move || redact(&text.replace('\0', "")));
            Some(work.await.map_err(ApiError::internal)?)
        }
        None => None,
    };
    let masked = redacted.as_ref().map(|redacted| serde_json::to_string(&redacted.masked));
    let masked = masked.transpose().map_err(ApiError::internal)?;
    let feedback = Feedback {
        request_id: form.request_id,
        organization_id: project.organization_id,
        project_id: project.project_id,
        at: Time(now()),
        score: form.score,
        label: form.label,
        comment: redacted.map(|redacted| redacted.text),
    };
    app.store.put_feedback(&feedback, masked.as_deref()).await?;
    let comment_kept = feedback.comment.is_some();
    Ok(Answer(FeedbackTaken { feedback, comment_kept }))
}

/// Which feedback is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only of this project.
    project_id: Option<i64>,
    /// Objects at most, 1 to 1000.
    limit: Option<i64>,
    /// Objects to skip.
    offset: Option<i64>,
}

/// Feedback, newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct FeedbackList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Feedback>,
}

/// What was said of answers, newest first.
#[utoipa::path(get, path = "/v1/eval/feedback", tag = "Evaluation", security(("key" = [])), params(Wanted),
    responses((status = 200, body = FeedbackList), (status = 403, description = "The caller evaluates and audits nothing")))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Answer<FeedbackList>> {
    let limit = limit(wanted.limit.unwrap_or(100), 1_000)?;
    let offset = wanted.offset.unwrap_or(0).max(0);
    let data = app.store.feedback(&reach(&who)?, wanted.project_id, limit, offset).await?;
    Ok(Answer(FeedbackList { object: "list", data }))
}
