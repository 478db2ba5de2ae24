//! `POST /v1/search`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::chat::Object;
use super::visit::{self, Caller, Visit};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::openai::Head;
use crate::openai::usage::Usage;
use crate::recorder::{End, Endpoint};
use crate::retriever::{self, Method, Plan, SearchRequest};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(search))
}

/// A search. `prompt`, `collections` and `k` are accepted as the older names of `query`, `collection_ids` and `limit`.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: the body itself is read with the path of what is wrong")]
pub struct Search {
    /// What is looked for.
    #[schema(example = "durée du préavis de démission")]
    query: String,
    /// Where: collections, all of which the caller may read.
    collection_ids: Vec<i64>,
    /// Only in these documents.
    document_ids: Option<Vec<i64>>,
    /// `{key, type, value}` with a type of `eq`, `sw` (starts with), `ew` (ends with), `co` (contains), `ge`, `le`;
    /// `{key, type: "range", from, to}`; or `and`/`or` of several.
    metadata_filters: Option<Object>,
    /// Results, 1 to 100.
    #[schema(default = 10)]
    limit: Option<usize>,
    /// Results to skip: the next page.
    #[schema(default = 0)]
    offset: Option<usize>,
    method: Option<Method>,
    /// k of the reciprocal rank fusion of `hybrid`.
    #[schema(default = 60)]
    rff_k: Option<u32>,
    /// Results under this score are left out. It is compared with the score that is shown: a cosine, a BM25 score, a
    /// fused score, or the relevance that a rerank model gives.
    score_threshold: Option<f64>,
    /// `true`, or the id of a rerank model: results are put in order by it.
    rerank: Option<Object>,
    /// `document`: one result a document, its best chunk.
    group_by: Option<String>,
    /// Shows the part of each chunk that holds the query's words, in pieces.
    highlight: Option<bool>,
}

/// Search collections.
///
/// By meaning, by words, or both. Each result says which lanes found it and at which rank.
#[utoipa::path(post, path = "/v1/search", tag = "Search", security(("key" = [])), request_body = Search,
    responses(
        (status = 200, description = "`data[].{method, score, chunk{id, content, metadata}, ranks}`, best first, and `usage`"),
        (status = 400, description = "A field is wrong: `error.param` is its path"),
        (status = 403, description = "`sovereignty_policy`: this class may not go to the model or the index"),
        (status = 404, description = "Unknown collection or document, or not visible"),
        (status = 429, description = "A limit was reached"),
        (status = 503, description = "The index, the database or the model is away; `retry-after`")))]
async fn search(State(app): State<AppState>, caller: Caller, body: Body) -> Response {
    visit::tell(app, caller, Endpoint::Search, body, |visit, head| Box::pin(story(visit, head))).await
}

async fn story(visit: &mut Visit, _: &Head<'_>) -> ApiResult<Response> {
    if visit.app.retrieval.is_none() {
        return Err(ApiError::no_such_route());
    }
    let fields: Map<String, Value> = serde_json::from_slice(&visit.body).map_err(ApiError::internal)?;
    let request = SearchRequest::read(&fields, "")?;
    let plan = Plan::make(&visit.app, &visit.caller.who, &request).await?;
    visit.turn.classed(plan.class);
    let answer = retriever::search(&visit.app, &visit.caller.who, &plan, &request).await?;
    let data: Vec<Value> = answer.results.iter().map(|found| found.json(&request, &plan)).collect();
    let body = json!({
        "object": "list",
        "data": data,
        "lanes": answer.lanes,
        "usage": {"prompt_tokens": answer.tokens, "completion_tokens": 0, "total_tokens": answer.tokens},
    });
    // Its embedding and its reranking have records of their own, which hold what they used.
    let usage = Some(Usage::default());
    visit.turn.hand_over().succeed(End { status: 200, usage, ..End::default() });
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(hosting) = answer.hosting {
        response.headers_mut().insert(crate::layers::HOSTING, hosting);
    }
    Ok(response)
}
