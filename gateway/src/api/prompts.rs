//! `GET /v1/prompts`, `/v1/prompts/{id}`: the named prompts a chat may use, with their variables.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::error::ApiResult;
use crate::policy::identity::Principal;
use crate::prompts::Prompt;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retrieve))
}

/// The list, in OpenAI's form.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PromptList {
    #[schema(example = "list")]
    object: &'static str,
    /// Each with its id, version, language, description, variables and hash.
    #[schema(value_type = Vec<super::chat::Object>)]
    data: Vec<Prompt>,
}

/// Named prompts, in every version.
#[utoipa::path(get, path = "/v1/prompts", tag = "Prompts", security(("key" = [])), responses((status = 200, body = PromptList)))]
async fn list(State(app): State<AppState>, _who: Principal) -> Json<PromptList> {
    Json(PromptList { object: "list", data: app.prompts.load().list().cloned().collect() })
}

/// One prompt, its newest version.
#[utoipa::path(get, path = "/v1/prompts/{id}", tag = "Prompts", security(("key" = [])),
    params(("id" = String, Path, description = "A task (`docs-correct`) or a task in a language (`docs-correct.en`)")),
    responses((status = 200, description = "The prompt and its variables"), (status = 404, description = "Unknown prompt")))]
async fn retrieve(State(app): State<AppState>, _who: Principal, Path(id): Path<String>) -> ApiResult<Json<Prompt>> {
    Ok(Json(app.prompts.load().get(&id, None, None)?.clone()))
}
