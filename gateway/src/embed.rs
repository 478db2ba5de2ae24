//! Texts into vectors through the fleet, as a request of whoever they are for.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::json;

use crate::config::DataClass;
use crate::config::model::ModelType;
use crate::errand::{Errand, Errands};
use crate::error::{ApiError, ApiResult};
use crate::fleet::{Call, Deployment, Model, NotAnAnswer, Tier};
use crate::openai::embeddings;
use crate::policy::identity::Principal;
use crate::policy::limits::Output;
use crate::recorder::Endpoint;

/// The code of vectors of another size than asked.
pub const OTHER_SIZE: &str = "embedding_size";

/// The way from texts to vectors. Cheap to clone.
#[derive(Clone)]
pub struct Embedder(Errands);

/// Which side of a search the texts are on: some models want to be told (`models[].prefixes`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Query,
    Passage,
}

/// What is asked for some texts.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Who pays: a project, or a member of an organization.
    pub who: &'a Principal,
    /// The highest class among the project and the collections concerned.
    pub class: DataClass,
    /// Id or alias of an embeddings model.
    pub model: &'a str,
    /// Numbers in each vector, when they must be so many: those of a collection.
    pub dimensions: Option<u32>,
    pub side: Side,
    /// `Flex` for what nobody waits for.
    pub tier: Tier,
}

/// What texts became.
#[derive(Debug)]
pub struct Embedded {
    /// One a text, in order, all of one length, every number finite.
    pub vectors: Vec<Vec<f32>>,
    /// As the engine counted them, else estimated.
    pub tokens: u64,
    /// Value of `x-guichet-hosting`: where it was done.
    pub hosting: HeaderValue,
}

impl Embedder {
    pub fn new(errands: Errands) -> Embedder {
        Embedder(errands)
    }

    /// The embeddings model of a name, if this caller may see it.
    ///
    /// # Errors
    /// 404 for a model that is unknown or not open to the caller, 422 for one of another type.
    pub fn model(&self, name: &str, who: &Principal) -> ApiResult<Arc<Model>> {
        self.0.model(name, who, ModelType::Embeddings)
    }

    /// Embeds texts in one request to an engine. No text, no request.
    ///
    /// # Errors
    /// Those of [`Embedder::model`] and of [`Errands::run`]; 502 (`embedding_size`) for vectors of another size.
    pub async fn embed(&self, order: &Order<'_>, texts: &[String]) -> ApiResult<Embedded> {
        let model = self.model(order.model, order.who)?;
        if texts.is_empty() {
            return Ok(Embedded { vectors: Vec::new(), tokens: 0, hosting: HeaderValue::from_static("none") });
        }
        let prefix = match order.side {
            Side::Query => &model.prefixes.query,
            Side::Passage => &model.prefixes.passage,
        };
        let input: Vec<String> = texts.iter().map(|text| format!("{prefix}{text}")).collect();
        let body = Bytes::from(json!(input).to_string());
        let build = |deployment: &Deployment| -> ApiResult<Bytes> {
            let format = if deployment.quirks.base64 { "base64" } else { "float" };
            let mut request = Vec::with_capacity(body.len() + 128);
            request.extend_from_slice(b"{\"model\":");
            request.extend_from_slice(deployment.engine_model_json.as_bytes());
            request.extend_from_slice(format!(",\"encoding_format\":\"{format}\",\"input\":").as_bytes());
            request.extend_from_slice(&body);
            request.push(b'}');
            Ok(request.into())
        };
        let errand = Errand {
            who: order.who,
            class: order.class,
            model: &model,
            call: Call::Embeddings,
            endpoint: Endpoint::Embeddings,
            tier: order.tier,
            output: Output::Nothing,
            body: &body,
            build: &build,
        };
        let read = |answer: Bytes| embeddings::vectors(&answer, texts.len()).map_err(|_| NotAnAnswer);
        let done = self.0.run(&errand, read).await?;
        let wanted = order.dimensions.or(model.dimensions);
        if let Some(wanted) = wanted
            && let Some(other) = done.value.iter().find(|vector| vector.len() != wanted as usize)
        {
            return Err(other_size(other.len(), wanted).hosting(done.hosting));
        }
        Ok(Embedded { vectors: done.value, tokens: done.tokens, hosting: done.hosting })
    }
}

/// A model that makes vectors of another size than the collection's.
fn other_size(has: usize, wanted: u32) -> ApiError {
    ApiError::new(
        http::StatusCode::BAD_GATEWAY,
        OTHER_SIZE,
        format!("Le modèle donne des vecteurs de {has} nombres, et non des {wanted} attendus."),
        format!("The model gives vectors of {has} numbers, not of the {wanted} expected."),
    )
}
