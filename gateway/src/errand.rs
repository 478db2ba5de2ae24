//! A model call that the gateway makes itself, for somebody: to embed a document, to read a scan. It is a request like
//! any other: the data class decides where it may go, the token quota pays, a usage record tells of it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use crate::config::DataClass;
use crate::config::model::ModelType;
use crate::error::{ApiError, ApiResult};
use crate::fleet::{Call, Deployment, Fleet, Job, Model, NotAnAnswer, Reply, Tenant, Tier};
use crate::layers::RequestId;
use crate::openai::Usage;
use crate::openai::usage::Estimate;
use crate::policy::identity::Principal;
use crate::policy::limits::estimate::Weight;
use crate::policy::limits::{Asked, Limits, Output};
use crate::recorder::{Admission, End, Endpoint, Recorder, Turn};

/// What errands go through. Cheap to clone.
#[derive(Clone)]
pub struct Errands {
    fleet: Arc<Fleet>,
    limits: Arc<Limits>,
    recorder: Arc<Recorder>,
}

/// One call, not streamed.
pub struct Errand<'a> {
    /// Who pays.
    pub who: &'a Principal,
    /// The highest class among the project and the collections concerned.
    pub class: DataClass,
    pub model: &'a Arc<Model>,
    pub call: Call,
    pub endpoint: Endpoint,
    /// `Flex` for what nobody waits for.
    pub tier: Tier,
    /// What it may have written.
    pub output: Output,
    /// What weighs in it.
    pub body: &'a Bytes,
    /// The body in the words of an engine.
    pub build: &'a (dyn Fn(&Deployment) -> ApiResult<Bytes> + Send + Sync),
}

/// What came of an errand.
#[derive(Debug)]
pub struct Done<T> {
    pub value: T,
    /// As the engine counted them, else estimated.
    pub tokens: u64,
    /// Value of `x-guichet-hosting`: where it was done.
    pub hosting: HeaderValue,
}

impl Errands {
    pub fn new(fleet: Arc<Fleet>, limits: Arc<Limits>, recorder: Arc<Recorder>) -> Errands {
        Errands { fleet, limits, recorder }
    }

    /// The model of a name, if this caller may see it and it is of this type.
    ///
    /// # Errors
    /// 404 for a model that is unknown or not open to the caller, 422 for one of another type.
    pub fn model(&self, name: &str, who: &Principal, kind: ModelType) -> ApiResult<Arc<Model>> {
        let model = self.fleet.resolve(name, who.organization_name())?;
        if model.kind == kind { Ok(model) } else { Err(ApiError::model_wrong_type(name, kind.public())) }
    }

    /// Sends one call to an engine, trying others when it fails. How often to come back after an error is the caller's to
    /// decide: [`ApiError::after`] says when that makes sense.
    ///
    /// # Errors
    /// 403 where the class may go to no engine of the model, 429 at a limit, 400 and 413 of the engine, 5xx when none
    /// answers.
    pub async fn run<T>(
        &self,
        errand: &Errand<'_>,
        read: impl Fn(Bytes) -> Result<(T, Option<Usage>), NotAnAnswer>,
    ) -> ApiResult<Done<T>> {
        let weight = Weight::of(errand.body);
        let id = RequestId::fresh();
        let tokens = self.limits.estimates.guess(Some(&errand.model.id), weight);
        let mut turn = self.recorder.admit(admission(errand, &id, tokens), id.since)?;
        match self.ask(errand, weight, &id, &mut turn, read).await {
            Ok((done, end)) => {
                turn.succeed(end);
                Ok(done)
            }
            Err(error) => {
                turn.fail(&error);
                Err(error)
            }
        }
    }

    async fn ask<T>(
        &self,
        errand: &Errand<'_>,
        weight: Weight,
        id: &RequestId,
        turn: &mut Turn,
        read: impl Fn(Bytes) -> Result<(T, Option<Usage>), NotAnAnswer>,
    ) -> ApiResult<(Done<T>, End)> {
        let (model, who) = (errand.model, errand.who);
        let context_length = model.context_length;
        let asked = Asked { model: &model.id, context_length, body: errand.body, weight, output: errand.output };
        let granted = self.limits.reserve(who, asked).await.map_err(|(error, _)| error)?;
        let estimate = Estimate { input: granted.input, bytes_per_token: granted.output_ratio };
        turn.reserved(granted.reservation, granted.input);
        let job = Job {
            model,
            organization: who.organization_name(),
            class: errand.class,
            tenant: self.tenant(errand),
            input: granted.input,
            call: errand.call,
            streamed: false,
            id: &id.header,
            build: errand.build,
        };
        let sent = self.fleet.send(&job, &mut turn.trail, |_, _, answer| read(answer)).await?;
        let Reply::Whole(mut slot, (value, usage)) = sent else {
            return Err(ApiError::internal("a stream where none was asked"));
        };
        let used = usage.unwrap_or(estimate.usage(0));
        slot.settle(&used);
        let hosting = slot.deployment.hosting_header.clone();
        // Vectors of a fallback model mean nothing beside those of the model asked.
        if slot.model.id != model.id {
            return Err(ApiError::upstream().hosting(hosting));
        }
        let end = End { status: 200, usage, estimate: estimate.usage(0), ..End::default() };
        Ok((Done { value, tokens: used.input, hosting }, end))
    }

    fn tenant(&self, errand: &Errand<'_>) -> Tenant {
        let settings = self.limits.tenant(errand.who);
        Tenant {
            organization: errand.who.organization_id().unwrap_or(0),
            project: errand.who.project_id().unwrap_or(0),
            weight: settings.weight,
            project_weight: settings.project_weight,
            tier: errand.tier,
        }
    }
}

fn admission(errand: &Errand<'_>, id: &RequestId, tokens: u64) -> Admission {
    let who = errand.who;
    Admission {
        id: id.text().into(),
        started_at: id.millis,
        organization_id: who.organization_id().unwrap_or(0),
        project_id: who.project_id(),
        member_id: who.member_id(),
        key_id: who.key_id().into(),
        end_user: None,
        endpoint: errand.endpoint,
        streamed: false,
        model_asked: (&*errand.model.id).into(),
        data_class: errand.class.as_str().into(),
        tokens_in: i64::try_from(tokens).unwrap_or(i64::MAX),
        client_retry: 0,
    }
}
