//! Texts into vectors through the fleet, as a request of whoever they are for: its data class decides where they may go,
//! its token quota pays, a usage record tells of it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use crate::config::DataClass;
use crate::config::model::ModelType;
use crate::error::{ApiError, ApiResult};
use crate::fleet::{Call, Deployment, Fleet, Job, Model, NotAnAnswer, Reply, Tenant, Tier};
use crate::layers::{REQUEST_ID, RequestId};
use crate::openai::embeddings;
use crate::openai::usage::Estimate;
use crate::policy::identity::Principal;
use crate::policy::limits::estimate::Weight;
use crate::policy::limits::{Asked, Limits, Output};
use crate::recorder::{Admission, End, Endpoint, Recorder, Turn};

/// The way from texts to vectors. Cheap to clone.
#[derive(Clone)]
pub struct Embedder {
    fleet: Arc<Fleet>,
    limits: Arc<Limits>,
    recorder: Arc<Recorder>,
}

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
    pub fn new(fleet: Arc<Fleet>, limits: Arc<Limits>, recorder: Arc<Recorder>) -> Embedder {
        Embedder { fleet, limits, recorder }
    }

    /// The embeddings model of a name, if this caller may see it.
    ///
    /// # Errors
    /// 404 for a model that is unknown or not open to the caller, 422 for one of another type.
    pub fn model(&self, name: &str, who: &Principal) -> ApiResult<Arc<Model>> {
        let model = self.fleet.resolve(name, who.organization_name())?;
        if model.kind != ModelType::Embeddings {
            return Err(ApiError::model_wrong_type(name, ModelType::Embeddings.public()));
        }
        Ok(model)
    }

    /// Embeds texts in one request to an engine, trying others when it fails. How often to come back after an error is
    /// the caller's to decide: [`ApiError::after`] says when that makes sense.
    ///
    /// # Errors
    /// 403 where the class may go to no engine of the model, 404 and 422 as for [`Embedder::model`], 429 at a limit, 400
    /// when the engine finds a text too long, 5xx when none answers or the vectors are of another size.
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
        let weight = Weight::of(&body);
        let id = RequestId::new();
        let tokens = self.limits.estimates.guess(Some(&model.id), weight);
        let mut turn = self.recorder.admit(self.admission(order, &id, tokens), Instant::now())?;
        match self.ask(order, &model, &body, (weight, texts.len()), &id, &mut turn).await {
            Ok((embedded, end)) => {
                turn.succeed(end);
                Ok(embedded)
            }
            Err(error) => {
                turn.fail(&error);
                Err(error)
            }
        }
    }

    fn admission(&self, order: &Order<'_>, id: &RequestId, tokens: u64) -> Admission {
        let who = order.who;
        Admission {
            id: id.0.to_string(),
            started_at: jiff::Timestamp::now().as_millisecond(),
            organization_id: who.organization_id().unwrap_or(0),
            project_id: who.project_id(),
            member_id: who.member_id(),
            key_id: who.key_id().to_owned(),
            end_user: None,
            endpoint: Endpoint::Embeddings,
            streamed: false,
            model_asked: order.model.to_owned(),
            data_class: order.class.as_str().to_owned(),
            tokens_in: i64::try_from(tokens).unwrap_or(i64::MAX),
            client_retry: 0,
        }
    }

    async fn ask(
        &self,
        order: &Order<'_>,
        model: &Arc<Model>,
        body: &Bytes,
        (weight, count): (Weight, usize),
        id: &RequestId,
        turn: &mut Turn,
    ) -> ApiResult<(Embedded, End)> {
        let context_length = model.context_length;
        let asked = Asked { model: &model.id, context_length, body, weight, output: Output::Nothing };
        let granted = self.limits.reserve(order.who, asked).await.map_err(|(error, _)| error)?;
        let estimate = Estimate { input: granted.input, bytes_per_token: granted.output_ratio };
        turn.reserved(granted.reservation, granted.input);
        let build = |deployment: &Deployment| -> ApiResult<Bytes> {
            let format = if deployment.quirks.base64 { "base64" } else { "float" };
            let mut request = Vec::with_capacity(body.len() + 128);
            request.extend_from_slice(b"{\"model\":");
            request.extend_from_slice(deployment.engine_model_json.as_bytes());
            request.extend_from_slice(format!(",\"encoding_format\":\"{format}\",\"input\":").as_bytes());
            request.extend_from_slice(body);
            request.push(b'}');
            Ok(request.into())
        };
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(REQUEST_ID, id.1.clone());
        let job = Job {
            model,
            organization: order.who.organization_name(),
            class: order.class,
            tenant: self.tenant(order),
            input: granted.input,
            call: Call::Embeddings,
            streamed: false,
            headers: &headers,
            build: &build,
        };
        let read =
            |_: &Model, _: &Deployment, answer: Bytes| embeddings::vectors(&answer, count).map_err(|_| NotAnAnswer);
        let Reply::Whole(mut slot, (vectors, usage)) = self.fleet.send(&job, &mut turn.trail, read).await? else {
            return Err(ApiError::internal("a stream where none was asked"));
        };
        let used = usage.unwrap_or(estimate.usage(0));
        slot.settle(&used);
        let hosting = slot.deployment.hosting_header.clone();
        // Vectors of a fallback model, or of a model that was replaced under its name, mean nothing beside the others.
        if slot.model.id != model.id {
            return Err(ApiError::upstream().hosting(hosting));
        }
        if let Some(wanted) = order.dimensions.or(model.dimensions)
            && let Some(other) = vectors.iter().find(|vector| vector.len() != wanted as usize)
        {
            return Err(other_size(other.len(), wanted).hosting(hosting));
        }
        let end = End { status: 200, usage, estimate: estimate.usage(0), ..End::default() };
        Ok((Embedded { vectors, tokens: used.input, hosting }, end))
    }

    fn tenant(&self, order: &Order<'_>) -> Tenant {
        let settings = self.limits.tenant(order.who);
        Tenant {
            organization: order.who.organization_id().unwrap_or(0),
            project: order.who.project_id().unwrap_or(0),
            weight: settings.weight,
            project_weight: settings.project_weight,
            tier: order.tier,
        }
    }
}

/// A model that makes vectors of another size than the collection's.
fn other_size(has: usize, wanted: u32) -> ApiError {
    ApiError::new(
        http::StatusCode::BAD_GATEWAY,
        "embedding_size",
        format!("Le modèle donne des vecteurs de {has} nombres, et non des {wanted} attendus."),
        format!("The model gives vectors of {has} numbers, not of the {wanted} expected."),
    )
}
