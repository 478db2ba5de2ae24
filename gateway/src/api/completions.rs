//! `POST /v1/completions`: text completion, for code editors and older clients.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::chat::generate;
use super::visit::{self, Caller, Story, Visit};
use crate::app::AppState;
use crate::config::model::ModelType;
use crate::error::ApiResult;
use crate::fleet::body::shared_edits;
use crate::fleet::{Call, Deployment};
use crate::openai::rules::Cleaning;
use crate::openai::{Edits, Head, WireError};
use crate::recorder::Endpoint;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(completions))
}

/// A text completion: OpenAI's, every other field of which goes to the engine untouched.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: the body itself is never decoded into a type")]
pub struct CompletionRequest {
    /// Id or alias of a model.
    model: String,
    /// The text to go on from.
    prompt: String,
    /// Tokens written at most.
    max_tokens: Option<u64>,
    /// Answer as server-sent events.
    stream: Option<bool>,
}

/// Complete a text.
#[utoipa::path(post, path = "/v1/completions", tag = "Chat", security(("key" = [])), request_body = CompletionRequest,
    responses((status = 200, description = "A completion, or server-sent events when `stream` is true"),
              (status = 404, description = "Unknown model, or not open to this organization")))]
async fn completions(State(app): State<AppState>, caller: Caller, body: Body) -> Response {
    visit::tell(app, caller, Endpoint::Completions, body, STORY).await
}

pub const STORY: Story = |visit, head| Box::pin(story(visit, head));

async fn story(visit: &mut Visit, head: &Head<'_>) -> ApiResult<Response> {
    let model = visit.model(head, &[ModelType::Chat, ModelType::Vision])?;
    if head.raw("prompt").is_none() {
        return Err(WireError::Missing { field: "prompt" }.into());
    }
    visit.check_urls(head)?;
    let body = visit.body.clone();
    let build = |deployment: &Deployment| {
        let mut edits = Edits::new(head);
        shared_edits(&mut edits, head, deployment);
        Ok(edits.finish(body.clone()))
    };
    generate(visit, head, &model, Call::Completions, None, Cleaning::default(), &build).await
}
