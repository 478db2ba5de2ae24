//! Erasure of one end user within a month, by a manager of the organization.

use axum::Json as Answer;
use axum::extract::State;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::admin::{allowed, change, commit, visible};
use crate::api::json::Json;
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::policy::pseudonym::Pseudonyms;
use crate::store::erasure::Erased;
use crate::store::now;
use crate::store::people::Month;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(erase))
}

/// Whom to erase.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ErasureForm {
    organization_id: i64,
    /// The identifier that the application sends as `user`. Not kept.
    #[serde(default)]
    user: Option<String>,
    /// Or the pseudonym, as records show it.
    #[serde(default)]
    pseudonym: Option<String>,
    /// `2026-11`; absent: this month.
    #[serde(default)]
    #[schema(example = "2026-11")]
    month: Option<String>,
}

/// Erase an end user within a month: their contents go, their pseudonym is replaced; the month's count stays.
#[utoipa::path(post, path = "/v1/eval/erasures", tag = "Evaluation", security(("key" = [])), request_body = ErasureForm,
    responses((status = 200, body = Erased), (status = 404, description = "No such organization, or the month’s key is gone")))]
async fn erase(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<ErasureForm>,
) -> ApiResult<Answer<Erased>> {
    let organization = form.organization_id;
    visible(app.store.organization(organization).await?, |known| {
        who.can_read(known.id) || who.can_read_content(known.id)
    })?;
    allowed(who.can_manage(organization))?;
    let month = match &form.month {
        Some(text) => Month::parse(text),
        None => Month::holding(now()),
    };
    let month = month.ok_or_else(|| {
        ApiError::bad_request("Un mois s’écrit « 2026-11 ».", "A month is written “2026-11”.").param("month")
    })?;
    let pseudonym = match (form.user, form.pseudonym) {
        (Some(user), None) => Pseudonyms::past(&app.store, &month.name, organization, &user).await?.ok_or_else(gone)?,
        (None, Some(pseudonym)) => pseudonym,
        _ => {
            return Err(ApiError::bad_request(
                "Dites « user » ou « pseudonym », l’un des deux.",
                "Say “user” or “pseudonym”, one of them.",
            )
            .param("user"));
        }
    };
    let erased = app.store.erase(organization, &month, &pseudonym).await?;
    let mut change = change(&app, &who).await?;
    change.note_erasure(&erased).await?;
    commit(&app, change).await?;
    Ok(Answer(erased))
}

/// Nothing leads from a person to that month's pseudonyms any more.
fn gone() -> ApiError {
    ApiError::new(
        http::StatusCode::NOT_FOUND,
        "not_found",
        "La clé de ce mois n’existe plus : ses pseudonymes ne désignent plus personne et ses contenus sont partis.",
        "The key of that month is gone: its pseudonyms stand for nobody any more, and its contents are gone.",
    )
    .param("month")
}
