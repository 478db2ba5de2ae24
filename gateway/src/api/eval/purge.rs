//! The retention, asked for by hand.

use axum::Json as Answer;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::admin::allowed;
use crate::api::json::Json;
use crate::app::AppState;
use crate::error::ApiResult;
use crate::evaluation::retention;
use crate::policy::identity::Principal;
use crate::store::now;
use crate::store::retention::Purged;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(purge))
}

/// How to purge.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PurgeForm {
    /// Only count what would go.
    #[serde(default)]
    dry_run: bool,
}

/// What went, or would go.
#[derive(Serialize)]
struct PurgeDone {
    dry_run: bool,
    #[serde(flatten)]
    purged: Purged,
}

/// Take away at once what is past its time, as the gateway does by itself every few minutes; or count it.
#[utoipa::path(post, path = "/v1/eval/purge", tag = "Evaluation", security(("key" = [])), request_body = PurgeForm,
    responses((status = 200, description = "`dry_run`, `contents`, `comments`, `usage_records`, `evaluation_records`, `months`")))]
async fn purge(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<PurgeForm>,
) -> ApiResult<Answer<PurgeDone>> {
    // Counting is reading.
    allowed(who.can_administer() || (form.dry_run && who.can_read_instance()))?;
    let keep = retention::keep(&app.config.load(), now());
    let purged = app.store.purge(keep, form.dry_run).await?;
    Ok(Answer(PurgeDone { dry_run: form.dry_run, purged }))
}
