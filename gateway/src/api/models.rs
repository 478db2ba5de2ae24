//! `GET /v1/models`, `/v1/models/{id}`: what this organization may call.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::visit::is_mistral_sdk;
use crate::app::AppState;
use crate::config::model::{Costs, ModelType};
use crate::error::ApiResult;
use crate::fleet::Model;
use crate::policy::identity::Principal;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(retrieve))
}

/// One model, as OpenAI and Albert API clients read it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelCard {
    /// Stable name to put in `model`.
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    /// Unix seconds.
    created: i64,
    owned_by: String,
    /// `text-generation`, `image-text-to-text`, `text-embeddings-inference` or `text-classification`; `base` for Mistral’s
    /// own SDK.
    r#type: &'static str,
    /// For Mistral’s own SDK.
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
    /// Other names accepted.
    aliases: Vec<String>,
    /// Tokens read and written at most, together.
    max_context_length: Option<u64>,
    /// Numbers in an embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    costs: CostCard,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    /// Day from which it is announced as deprecated.
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<String>,
    /// Day from which it is no longer served.
    #[serde(skip_serializing_if = "Option::is_none")]
    sunset: Option<String>,
}

/// What a model does, in Mistral's words.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Capabilities {
    completion_chat: bool,
    function_calling: bool,
    vision: bool,
}

/// Euros per million tokens, in Albert API's words.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct CostCard {
    prompt_tokens: f64,
    completion_tokens: f64,
}

/// The list, as OpenAI gives it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<ModelCard>,
}

/// First day of the project, in Unix seconds: clients want a date, and models have none of their own.
const CREATED: i64 = 1_790_000_000;

impl ModelCard {
    /// The card as this client reads it: Mistral's SDK knows a model only by the type `base` and its capabilities.
    fn of(model: &Model, headers: &HeaderMap) -> ModelCard {
        let Costs { input, output } = model.costs;
        let chats = matches!(model.kind, ModelType::Chat | ModelType::Vision);
        let capabilities = is_mistral_sdk(headers).then(|| Capabilities {
            completion_chat: chats,
            function_calling: chats,
            vision: model.kind == ModelType::Vision,
        });
        ModelCard {
            id: model.id.to_string(),
            object: "model",
            created: CREATED,
            owned_by: model.owned_by.clone(),
            r#type: if capabilities.is_some() { "base" } else { model.kind.public() },
            capabilities,
            aliases: model.aliases.clone(),
            max_context_length: model.context_length,
            dimensions: model.dimensions,
            costs: CostCard { prompt_tokens: input, completion_tokens: output },
            family: model.family.clone(),
            deprecated: model.deprecated.map(|day| day.to_string()),
            sunset: model.sunset.map(|day| day.to_string()),
        }
    }
}

/// Models open to the caller.
#[utoipa::path(get, path = "/v1/models", tag = "Models", security(("key" = [])), responses((status = 200, body = ModelList)))]
async fn list(State(app): State<AppState>, who: Principal, headers: HeaderMap) -> Json<ModelList> {
    let models = app.fleet.visible(who.organization_name());
    Json(ModelList { object: "list", data: models.iter().map(|model| ModelCard::of(model, &headers)).collect() })
}

/// One model, by id or alias. Ids may hold `/`, raw or as `%2F`.
#[utoipa::path(get, path = "/v1/models/{*id}", tag = "Models", security(("key" = [])),
    params(("id" = String, Path, description = "Id or alias of the model")),
    responses((status = 200, body = ModelCard), (status = 404, description = "Unknown, or not open to this organization")))]
async fn retrieve(
    State(app): State<AppState>,
    who: Principal,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let model = app.fleet.resolve(&id, who.organization_name())?;
    let mut response = Json(ModelCard::of(&model, &headers)).into_response();
    announce(&model, response.headers_mut());
    Ok(response)
}

/// `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) of a model on its way out.
pub fn announce(model: &Model, headers: &mut HeaderMap) {
    use jiff::tz::TimeZone;
    let midnight = |day: jiff::civil::Date| day.to_zoned_datetime(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let deprecation = model.deprecated.and_then(midnight).map(|at| format!("@{}", at.as_second()));
    let sunset = model
        .sunset
        .and_then(midnight)
        .map(|at| at.to_zoned_datetime(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    for (name, value) in [("deprecation", deprecation), ("sunset", sunset)] {
        if let Some(value) = value.and_then(|value| http::HeaderValue::try_from(value).ok()) {
            headers.insert(name, value);
        }
    }
}
