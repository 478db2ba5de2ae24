//! `POST /v1/embeddings`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::visit::{self, Caller, Story, Visit, json_response};
use crate::app::AppState;
use crate::config::model::ModelType;
use crate::error::{ApiError, ApiResult};
use crate::fleet::{Call, Deployment, NotAnAnswer, Reply};
use crate::openai::embeddings::{self, Format, Input};
use crate::openai::usage::Estimate;
use crate::openai::{Edits, Head, Remedy, WireError};
use crate::policy::limits::Output;
use crate::recorder::{End, Endpoint};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(embed))
}

/// An embeddings request: OpenAI's.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: the body itself is never decoded into a type")]
pub struct EmbeddingsRequest {
    /// Id or alias of an embeddings model.
    model: String,
    /// A text, a list of texts, or lists of cl100k token ids.
    input: Vec<String>,
    /// `float` or `base64` (little-endian float32).
    encoding_format: Option<String>,
    /// Only the model’s own number.
    dimensions: Option<u32>,
}

/// Turn texts into vectors.
#[utoipa::path(post, path = "/v1/embeddings", tag = "Embeddings", security(("key" = [])), request_body = EmbeddingsRequest,
    responses((status = 200, description = "One vector for each text, in order"),
              (status = 400, description = "Empty input, other dimensions than the model’s, unknown format"),
              (status = 404, description = "Unknown model, or not open to this organization")))]
async fn embed(State(app): State<AppState>, caller: Caller, body: Body) -> Response {
    visit::tell(app, caller, Endpoint::Embeddings, body, STORY).await
}

pub const STORY: Story = |visit, head| Box::pin(story(visit, head));

async fn story(visit: &mut Visit, head: &Head<'_>) -> ApiResult<Response> {
    let model = visit.model(head, &[ModelType::Embeddings])?;
    let format = embeddings::format(head)?;
    embeddings::check_dimensions(head, model.dimensions)?;
    let input = embeddings::input(head)?;
    visit.check_urls(head)?;
    let (texts, count) = match input {
        Input::Texts { count } => (None, count),
        Input::Tokens { lists, .. } => {
            let count = lists.len();
            (Some(decode(lists).await?), count)
        }
    };
    let body = visit.body.clone();
    let build = |deployment: &Deployment| -> ApiResult<Bytes> {
        let mut edits = Edits::new(head);
        if head.model() != Some(deployment.engine_model.as_str()) {
            edits.set("model", deployment.engine_model_json.as_bytes());
        }
        if let Some(texts) = &texts {
            edits.set("input", texts.as_bytes());
        }
        if format == Format::Base64 && !deployment.quirks.base64 {
            edits.set("encoding_format", &b"\"float\""[..]);
        }
        // Equal to the model's own: engines that do not know the field need not see it. Where the configuration does not say
        // how many there are, the engine is the judge.
        if model.dimensions.is_some() {
            edits.remove("dimensions");
        }
        if !deployment.quirks.service_tier {
            edits.remove("service_tier");
        }
        Ok(edits.finish(body.clone()))
    };
    let tenant = visit.tenant(head)?;
    let estimate = visit.reserve(&model, Output::Nothing).await?;
    let Visit { app, caller, turn, .. } = visit;
    let id = caller.id.clone();
    let job = caller.job(&model, (tenant, estimate.input), Call::Embeddings, false, &build);
    let reply = app
        .fleet
        .send(&job, &mut turn.trail, |served, _, bytes| {
            embeddings::rewrite(&bytes, format, &served.id, id.text(), count, &estimate).map_err(|_| NotAnAnswer)
        })
        .await?;
    finish(turn, reply, &estimate)
}

/// Settles an answer that has no text: vectors, scores.
pub fn finish(
    turn: &mut crate::recorder::Turn,
    reply: Reply<(Bytes, Option<crate::openai::Usage>)>,
    estimate: &Estimate,
) -> ApiResult<Response> {
    let Reply::Whole(mut slot, (bytes, usage)) = reply else {
        return Err(ApiError::internal("a stream where none was asked"));
    };
    slot.settle(&usage.unwrap_or(estimate.usage(0)));
    let response = json_response(bytes, &slot.model, &slot.deployment);
    turn.hand_over().succeed(End { status: 200, usage, estimate: estimate.usage(0), ..End::default() });
    Ok(response)
}

/// The texts of token ids, as a JSON list. Off the threads that carry requests: the vocabulary takes a while to load,
/// and long lists take a while to decode.
async fn decode(lists: Vec<Vec<u32>>) -> ApiResult<String> {
    let decoded = tokio::task::spawn_blocking(move || {
        let vocabulary = tiktoken_rs::cl100k_base_singleton();
        lists.into_iter().map(|ids| vocabulary.decode(&ids)).collect::<Result<Vec<String>, _>>()
    });
    match decoded.await.map_err(ApiError::internal)? {
        Ok(texts) => Ok(Value::from(texts).to_string()),
        Err(_) => Err(WireError::Unsupported { field: "input".to_owned(), remedy: Remedy::SendText }.into()),
    }
}
