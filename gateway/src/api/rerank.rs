//! `POST /v1/rerank`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::embeddings::finish;
use super::visit::{self, Caller, Story, Visit};
use crate::app::AppState;
use crate::config::model::ModelType;
use crate::error::{ApiError, ApiResult};
use crate::fleet::engine::RerankStyle;
use crate::fleet::{Call, Deployment, NotAnAnswer};
use crate::openai::Head;
use crate::openai::rerank::{self, Asked};
use crate::policy::limits::Output;
use crate::recorder::Endpoint;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(rank))
}

/// A rerank request. `prompt` and `input` are accepted as the older names of `query` and `documents`.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: the body itself is never decoded into a type")]
pub struct RerankRequest {
    /// Id or alias of a rerank model.
    model: String,
    /// What is looked for.
    query: String,
    /// Texts to put in order, or objects with `text`.
    documents: Vec<String>,
    /// Best documents to return. Default: all.
    top_n: Option<u64>,
    /// Also return the texts.
    return_documents: Option<bool>,
}

/// Put documents in order of relevance to a query.
#[utoipa::path(post, path = "/v1/rerank", tag = "Rerank", security(("key" = [])), request_body = RerankRequest,
    responses((status = 200, description = "`results[].{index, relevance_score}` and `data[].{index, score}`, best first"),
              (status = 404, description = "Unknown model, or not open to this organization")))]
async fn rank(State(app): State<AppState>, caller: Caller, body: Body) -> Response {
    visit::tell(app, caller, Endpoint::Rerank, body, STORY).await
}

pub const STORY: Story = |visit, head| Box::pin(story(visit, head));

async fn story(visit: &mut Visit, head: &Head<'_>) -> ApiResult<Response> {
    let model = visit.model(head, &[ModelType::Rerank])?;
    let asked = Asked::read(head)?;
    let build = |deployment: &Deployment| -> ApiResult<Bytes> {
        match deployment.quirks.rerank_style {
            RerankStyle::Cohere => Ok(asked.cohere(&deployment.engine_model)),
            RerankStyle::Tei => Ok(asked.tei()),
            RerankStyle::Absent => Err(ApiError::internal(format!("{}: this engine does not rerank", deployment.name))),
        }
    };
    let tenant = visit.tenant(head)?;
    let estimate = visit.reserve(&model, Output::Nothing).await?;
    let Visit { app, caller, turn, .. } = visit;
    let id = caller.id.clone();
    let job = caller.job(&model, (tenant, estimate.input), Call::Rerank, false, &build);
    let reply = app
        .fleet
        .send(&job, &mut turn.trail, |served, _, bytes| {
            rerank::rewrite(&bytes, &asked, &served.id, id.text(), &estimate).map_err(|_| NotAnAnswer)
        })
        .await?;
    finish(turn, reply, &estimate)
}
