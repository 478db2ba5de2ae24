//! `POST /v1/chat/completions`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::visit::{self, Caller, Story, Visit, json_response, mark};
use crate::app::AppState;
#[cfg(feature = "retrieval")]
use crate::augment;
use crate::config::model::{ModelType, ReasoningSource};
use crate::error::{ApiError, ApiResult};
use crate::fleet::body::chat_body;
use crate::fleet::{Call, Deployment, Job, Model, NotAnAnswer, Reply};
use crate::openai::rules::{Bounds, Cleaning, Reasoning, Rules};
use crate::openai::usage::{Impacts, ImpactsOf};
use crate::openai::{Expected, Head, WireError, answer};
use crate::policy::limits::Output;
use crate::prompts::{self, Rendered};
use crate::recorder::Endpoint;
use crate::relay::{self, Relay};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(chat))
}

/// A chat request: OpenAI's, every other field of which goes to the engine untouched.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: the body itself is never decoded into a type")]
pub struct ChatRequest {
    /// Id or alias of a model.
    model: String,
    /// The conversation, as OpenAI gives it. May be absent when `prompt` is named.
    messages: Vec<Object>,
    /// Answer as server-sent events.
    stream: Option<bool>,
    /// `{"include_usage": true}` asks for a last chunk with the usage.
    stream_options: Option<Object>,
    /// A prompt of `/v1/prompts`: `{"id", "version", "variables"}`.
    prompt: Option<Object>,
    /// Tokens written at most.
    max_completion_tokens: Option<u64>,
    /// An identifier of the end user; only a monthly pseudonym of it is kept.
    user: Option<String>,
}

/// Any JSON object.
#[derive(utoipa::ToSchema)]
pub struct Object {}

/// Answer a conversation.
///
/// OpenAI's chat completions. Unknown fields reach the engine untouched; reasoning comes as `reasoning_content`; the
/// header `x-guichet-hosting` says where the answer was computed.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "Chat", security(("key" = [])), request_body = ChatRequest,
    responses(
        (status = 200, description = "A completion, or server-sent events when `stream` is true"),
        (status = 400, description = "Malformed, too long for the model, or an unsupported value"),
        (status = 403, description = "Not allowed: role, or `sovereignty_policy`"),
        (status = 404, description = "Unknown model, or not open to this organization"),
        (status = 429, description = "A limit was reached; `retry-after` says when to come back"),
        (status = 502, description = "The engine failed"), (status = 503, description = "Busy, or unavailable"),
        (status = 504, description = "The engine did not answer in time")))]
async fn chat(State(app): State<AppState>, caller: Caller, body: Body) -> Response {
    visit::tell(app, caller, Endpoint::ChatCompletions, body, STORY).await
}

pub const STORY: Story = |visit, head| Box::pin(story(visit, head));

async fn story(visit: &mut Visit, head: &Head<'_>) -> ApiResult<Response> {
    let model = visit.model(head, &[ModelType::Chat, ModelType::Vision])?;
    visit.check_urls(head)?;
    #[cfg(feature = "retrieval")]
    if let Some(asked) = augment::asked(head)? {
        let augmenting = augment::augment(&visit.app, &visit.caller.who, head, &model, asked);
        // Boxed: what a search keeps while it waits is no part of what every chat keeps.
        let augmented = Box::pin(augmenting).await?;
        visit.augmented(augmented);
        let body = visit.body.clone();
        return answer_to(visit, &Head::parse(&body)?, &model).await;
    }
    answer_to(visit, head, &model).await
}

/// Has the model answer the messages as they are.
async fn answer_to(visit: &mut Visit, head: &Head<'_>, model: &Arc<Model>) -> ApiResult<Response> {
    let rendered = named_prompt(visit, head)?;
    let messages = match &rendered {
        Some(rendered) => Some(with_prompt(head, rendered)?),
        None => {
            head.messages()?;
            None
        }
    };
    let cleaning = cleaning(visit, rendered.as_ref());
    let body = visit.body.clone();
    let build = |deployment: &Deployment| chat_body(&body, head, messages.as_deref(), deployment);
    generate(visit, head, model, Call::Chat, messages.as_deref(), cleaning, &build).await
}

/// Sends a generation to an engine and relays its answer: chat and text completion alike. `messages`: those of a rendered
/// prompt.
pub async fn generate(
    visit: &mut Visit,
    head: &Head<'_>,
    model: &Arc<Model>,
    call: Call,
    messages: Option<&str>,
    cleaning: Cleaning,
    build: &(dyn Fn(&Deployment) -> ApiResult<Bytes> + Send + Sync),
) -> ApiResult<Response> {
    let tenant = visit.tenant(head)?;
    let estimate = visit.reserve(model, Output::of(head)?).await?;
    let mistral = visit.caller.is_mistral_sdk();
    let answer_limit = visit.app.config.load().server.answer_limit;
    let usage_asked = head.include_usage();
    let rules = |deployment: &Deployment, served: &Model| Rules {
        usage_asked,
        rename: Some(served.rename.clone()),
        reasoning: match deployment.reasoning {
            ReasoningSource::Engine => Reasoning::Field,
            ReasoningSource::ThinkTags => Reasoning::ThinkTags { opened: false },
            ReasoningSource::ThinkTagsOpened => Reasoning::ThinkTags { opened: true },
            ReasoningSource::None => Reasoning::Untouched,
        },
        cleaning,
        coalesce_tool_calls: mistral,
        estimate,
        impacts: served.impact.clone().map(|impact| {
            ImpactsOf::new(move |usage| {
                let (energy, carbon) = impact.of(usage.input, usage.output);
                Some(Impacts { kwh: energy / 1_000.0, kg_co2eq: carbon / 1_000.0 })
            })
        }),
        bounds: Bounds { total: answer_limit.0, ..Bounds::default() },
    };
    visit.note_content(head, model, messages);
    let annex = visit.annex.take();
    let Visit { app, caller, turn, class, .. } = visit;
    let job = caller.job(model, (tenant, estimate.input), call, head.stream(), build);
    let job = Job { class: *class, ..job };
    let reply = app
        .fleet
        .send(&job, &mut turn.trail, |served, deployment, bytes| {
            answer::rewrite(bytes, &rules(deployment, served)).map_err(|_| NotAnAnswer)
        })
        .await;
    match reply? {
        Reply::Whole(mut slot, (bytes, observed)) => {
            slot.settle(&observed.usage_or(&estimate).0);
            let bytes = match annex {
                None => bytes,
                Some(annex) => annex.whole(bytes),
            };
            let response = json_response(bytes.clone(), &slot.model, &slot.deployment);
            relay::whole(turn.hand_over(), &bytes, observed, &estimate);
            Ok(response)
        }
        Reply::Stream(slot, opening) => {
            let rules = rules(&slot.deployment, &slot.model);
            let keepalive = app.config.load().server.keepalive.0;
            let (model, deployment) = (slot.model.clone(), slot.deployment.clone());
            let relay = Relay::new(turn.hand_over(), slot, opening, rules, keepalive, caller.language);
            let mut response = relay::stream_response(relay.with(annex));
            mark(&mut response, &model, &deployment);
            Ok(response)
        }
    }
}

/// The prompt the caller names, rendered with its variables.
fn named_prompt(visit: &mut Visit, head: &Head<'_>) -> ApiResult<Option<Rendered>> {
    let Some(raw) = head.raw("prompt") else { return Ok(None) };
    let call = prompts::Call::read(serde_json::from_str(raw.get()).map_err(ApiError::internal)?)?;
    let rendered = visit.app.prompts.load().apply(&call)?;
    visit.turn.prompted(&rendered.id, &rendered.version.to_string(), &rendered.hash);
    Ok(Some(rendered))
}

/// What the prompt says first, the caller's own messages, then what the prompt has the user say.
fn with_prompt(head: &Head<'_>, rendered: &Rendered) -> ApiResult<String> {
    let own: Vec<&RawValue> = match head.raw("messages") {
        Some(own) => serde_json::from_str(own.get())
            .map_err(|_| WireError::WrongType { field: "messages".to_owned(), expected: Expected::Array })?,
        None => Vec::new(),
    };
    let said = |message: &prompts::Message| serde_json::to_string(message).map_err(ApiError::internal);
    let mut messages = Vec::with_capacity(rendered.messages.len() + own.len());
    for message in rendered.opening() {
        messages.push(said(message)?);
    }
    messages.extend(own.iter().map(|message| message.get().to_owned()));
    if let Some(message) = rendered.closing() {
        messages.push(said(message)?);
    }
    Ok(format!("[{}]", messages.join(",")))
}

/// What the prompt or the project asks to take away around answers.
fn cleaning(visit: &Visit, rendered: Option<&Rendered>) -> Cleaning {
    let project = visit.caller.who.cleaning();
    let prompt = rendered.map(|rendered| rendered.cleaning).unwrap_or_default();
    Cleaning { fence: project.fence || prompt.fence, preamble: project.preamble || prompt.preamble }
}
