//! Results put in order by a rerank model, window by window, so that pages stay put.

use std::sync::Arc;

use bytes::Bytes;

use super::request::{Rerank, SearchRequest};
use super::{Candidate, Plan, WINDOW, chunk_id};
use crate::app::App;
use crate::config::model::ModelType;
use crate::errand::Errand;
use crate::error::{ApiError, ApiResult};
use crate::fleet::engine::RerankStyle;
use crate::fleet::{Call, Deployment, NotAnAnswer, Tier};
use crate::openai::rerank::{self, Asked};
use crate::policy::identity::Principal;
use crate::policy::limits::Output;
use crate::recorder::Endpoint;

/// Orders the windows that the page touches, and leaves the others as they are. Says what it cost, in tokens.
///
/// # Errors
/// 400 when no model is named nor configured; those of the model.
pub async fn order(
    app: &Arc<App>,
    who: &Principal,
    plan: &Plan,
    request: &SearchRequest,
    asked: &Rerank,
    candidates: &mut [Candidate],
) -> ApiResult<u64> {
    let name = asked.model.clone().or_else(|| plan.rerank_model.clone()).ok_or_else(no_model)?;
    let model = plan.errands().model(&name, who, ModelType::Rerank)?;
    let wanted = request.offset + request.limit;
    let mut tokens = 0;
    for (nth, window) in candidates.chunks_mut(WINDOW).enumerate() {
        let before = nth * WINDOW + window.len() <= request.offset;
        if before || nth * WINDOW >= wanted {
            continue;
        }
        let ids: Vec<i64> = window.iter().map(|candidate| chunk_id(candidate.fused.id)).collect();
        let passages = app.store.passages(&plan.collections(), &ids).await.map_err(ApiError::database)?;
        let text = |id: &i64| passages.get(id).map_or_else(String::new, |p| format!("{}\n{}", p.title(), p.content));
        let documents = Asked {
            query: request.query.clone(),
            documents: ids.iter().map(text).collect(),
            top_n: None,
            return_documents: false,
        };
        let body = documents.tei();
        let build = |deployment: &Deployment| -> ApiResult<Bytes> {
            match deployment.quirks.rerank_style {
                RerankStyle::Cohere => Ok(documents.cohere(&deployment.engine_model)),
                RerankStyle::Tei => Ok(documents.tei()),
                RerankStyle::Absent => {
                    Err(ApiError::internal(format!("{}: this engine does not rerank", deployment.name)))
                }
            }
        };
        let errand = Errand {
            who,
            class: plan.class,
            model: &model,
            call: Call::Rerank,
            endpoint: Endpoint::Rerank,
            tier: Tier::Interactive,
            output: Output::Nothing,
            body: &body,
            build: &build,
        };
        let read = |answer: Bytes| {
            let scores = rerank::scores(&answer, &documents).map_err(|_| NotAnAnswer)?;
            Ok((scores, rerank::usage(&answer)))
        };
        let done = plan.errands().run(&errand, read).await?;
        tokens += done.tokens;
        for (place, score) in done.value {
            if let Some(candidate) = window.get_mut(place) {
                candidate.relevance = Some(score);
            }
        }
        window.sort_by(|one, other| other.score().total_cmp(&one.score()));
    }
    Ok(tokens)
}

fn no_model() -> ApiError {
    ApiError::bad_request(
        "« rerank » : aucun modèle de réordonnancement n’est configuré ; nommez-en un.",
        "“rerank”: no rerank model is configured; name one.",
    )
    .param("rerank")
}
