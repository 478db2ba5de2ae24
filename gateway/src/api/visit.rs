//! One model call, from its admission to its answer: what the four endpoints share.

use std::pin::Pin;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::body;
use crate::app::{App, AppState};
use crate::config::DataClass;
use crate::config::model::ModelType;
use crate::config::server::Language;
use crate::error::{ApiError, ApiResult, short};
use crate::fleet::{Call, Deployment, Job, Model, Tenant, Tier};
use crate::layers::{self, RequestId};
use crate::openai::Head;
use crate::openai::annex::Annex;
use crate::openai::usage::Estimate;
use crate::policy::identity::Principal;
use crate::policy::limits::estimate::Weight;
use crate::policy::limits::standing::RateHeaders;
use crate::policy::limits::{Asked, Output};
use crate::recorder::capture;
use crate::recorder::{Admission, Endpoint, Turn};

const OPEN_WEBUI_USER: HeaderName = HeaderName::from_static("x-openwebui-user-id");
const STAINLESS_RETRY: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// Who calls, and what the head of the request says besides.
pub struct Caller {
    pub who: Principal,
    pub id: RequestId,
    /// Of the messages of this request.
    pub language: Language,
    /// The end user whom Open WebUI names.
    user: Option<Box<str>>,
    /// The client's own count of its retries: recorded, never believed.
    client_retry: i64,
    mistral: bool,
    /// The body comes in a coding.
    coded: bool,
}

/// The rest of a call of a model's endpoint, for those that carry nearly all the traffic.
pub fn story_of(endpoint: Endpoint) -> Option<Story> {
    Some(match endpoint {
        Endpoint::ChatCompletions => super::chat::STORY,
        Endpoint::Completions => super::completions::STORY,
        Endpoint::Embeddings => super::embeddings::STORY,
        Endpoint::Rerank => super::rerank::STORY,
        Endpoint::Ocr | Endpoint::Search => return None,
    })
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Caller, ApiError> {
        let who = Principal::from_request_parts(parts, app).await?;
        let id = RequestId::from_request_parts(parts, app).await?;
        let language = layers::language(&parts.headers, &app.config.load());
        Ok(Caller::new(who, id, language, &parts.headers))
    }
}

impl Caller {
    /// Keeps what is read later, and no header: they stand in the buffer of their connection.
    pub fn new(who: Principal, id: RequestId, language: Language, headers: &HeaderMap) -> Caller {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok().filter(|text| !text.is_empty());
        Caller {
            who,
            id,
            language,
            user: text(&OPEN_WEBUI_USER).map(Into::into),
            client_retry: text(&STAINLESS_RETRY)
                .and_then(|text| text.parse().ok())
                .filter(|n| (0..=1_000).contains(n))
                .unwrap_or(0),
            mistral: is_mistral_sdk(headers),
            coded: body::is_coded(headers),
        }
    }

    /// Mistral's own SDK wants each tool call in one piece.
    pub fn is_mistral_sdk(&self) -> bool {
        self.mistral
    }
}

/// Whether Mistral's own SDK calls: the only client that gets a dialect of its own.
pub fn is_mistral_sdk(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"mistral-client-python/"))
}

/// A model call under way.
pub struct Visit {
    pub app: AppState,
    pub caller: Caller,
    pub body: Bytes,
    pub turn: Turn,
    /// Of the caller's project, or higher where collections are searched.
    pub class: DataClass,
    /// What is to be put into the answer.
    pub annex: Option<Box<Annex>>,
    /// What a search found for it, to be kept with its content.
    noted: Vec<capture::Passage>,
    endpoint: Endpoint,
    weight: Weight,
    /// Where the caller's limits stand, once they were asked.
    standing: Option<RateHeaders>,
}

/// The rest of a call once it is admitted.
pub type Story =
    for<'a> fn(&'a mut Visit, &'a Head<'a>) -> Pin<Box<dyn Future<Output = ApiResult<Response>> + Send + 'a>>;

/// Reads the body, admits the request, tells its story, and makes sure that a refusal is recorded like an answer.
pub async fn tell<B>(app: AppState, caller: Caller, endpoint: Endpoint, body: B, story: Story) -> Response
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    if let Err(error) = app.gates.check(&caller.who) {
        return refused(&app, &caller, endpoint, error);
    }
    let settings = app.config.load_full();
    let read = body::read(caller.coded, body, &settings.server).await;
    drop(settings);
    let body = match read {
        Ok(body) => body,
        Err(error) => return body::unread(refused(&app, &caller, endpoint, error)),
    };
    let text = body.clone();
    let head = match Head::parse(&text) {
        Ok(head) => head,
        Err(fault) => return refused(&app, &caller, endpoint, fault.into()),
    };
    let weight = Weight::of(&body);
    let tokens = app.limits.estimates.guess(head.model(), weight);
    let admission = admission(&app, &caller, endpoint, Some(&head), tokens);
    let mut turn = match app.recorder.admit(admission, caller.id.since) {
        Ok(turn) => turn,
        Err(error) => return error.into_response(),
    };
    turn.parameters(head.parameters());
    let class = caller.who.data_class();
    let mut visit =
        Visit { app, caller, body, turn, class, annex: None, noted: Vec::new(), endpoint, weight, standing: None };
    let mut response = match story(&mut visit, &head).await {
        Ok(response) => response,
        Err(error) => {
            visit.turn.fail(&error);
            error.into_response()
        }
    };
    if let Some(standing) = &visit.standing {
        standing.write(response.headers_mut());
    }
    response
}

/// A request refused before it could be read has its record too.
fn refused(app: &AppState, caller: &Caller, endpoint: Endpoint, error: ApiError) -> Response {
    match app.recorder.admit(admission(app, caller, endpoint, None, 0), caller.id.since) {
        Ok(turn) => turn.fail(&error),
        Err(full) => return full.into_response(),
    }
    error.into_response()
}

fn admission(app: &App, caller: &Caller, endpoint: Endpoint, head: Option<&Head<'_>>, tokens: u64) -> Admission {
    let who = &caller.who;
    let user = head.and_then(Head::user).or(caller.user.as_deref());
    Admission {
        id: caller.id.text().into(),
        started_at: caller.id.millis,
        organization_id: who.organization_id().unwrap_or(0),
        project_id: who.project_id(),
        member_id: who.member_id(),
        key_id: who.key_id().into(),
        end_user: user
            .and_then(|user| app.pseudonyms.pseudonym(who.organization_id().unwrap_or(0), user))
            .map(Into::into),
        endpoint,
        streamed: head.is_some_and(Head::stream),
        model_asked: head.and_then(Head::model).unwrap_or_default().into(),
        data_class: who.data_class().as_str().into(),
        tokens_in: i64::try_from(tokens).unwrap_or(i64::MAX),
        client_retry: caller.client_retry,
    }
}

impl Visit {
    /// The model asked for, if this caller may call it and it is of a type this endpoint takes.
    pub fn model(&self, head: &Head<'_>, kinds: &[ModelType]) -> ApiResult<std::sync::Arc<Model>> {
        self.project_only()?;
        let name =
            head.model().filter(|name| !name.is_empty()).ok_or(crate::openai::WireError::Missing { field: "model" })?;
        self.model_named(name, kinds)
    }

    /// Refuses the key of a person: models are called for a project.
    pub fn project_only(&self) -> ApiResult<()> {
        if self.caller.who.project_id().is_some() {
            return Ok(());
        }
        Err(ApiError::permission_denied(
            "Cette clé est celle d’une personne : les modèles s’appellent avec la clé d’un projet.",
            "This key is a person’s: models are called with the key of a project.",
        ))
    }

    /// The model of a name, as [`Visit::model`] does.
    pub fn model_named(&self, name: &str, kinds: &[ModelType]) -> ApiResult<std::sync::Arc<Model>> {
        self.project_only()?;
        let model = self.app.fleet.resolve(name, self.caller.who.organization_name())?;
        if !kinds.contains(&model.kind) {
            let wanted: Vec<&str> = kinds.iter().map(|kind| kind.public()).collect();
            return Err(ApiError::model_wrong_type(name, &wanted.join(", ")));
        }
        Ok(model)
    }

    /// Goes on with another body, which a search has filled in.
    #[cfg(feature = "retrieval")]
    pub fn augmented(&mut self, augmented: crate::augment::Augmented) {
        let rendered = &augmented.rendered;
        self.turn.prompted(&rendered.id, &rendered.version.to_string(), &rendered.hash);
        self.turn.classed(augmented.class);
        self.class = augmented.class;
        self.annex = Some(Box::new(augmented.annex));
        self.noted = augmented.noted;
        self.weight = Weight::of(&augmented.body);
        self.body = augmented.body;
    }

    /// On whose behalf the engines work, and how urgently: OpenAI's `service_tier`.
    pub fn tenant(&self, head: &Head<'_>) -> ApiResult<Tenant> {
        let who = &self.caller.who;
        let settings = self.app.limits.tenant(who);
        let tier = match head.string("service_tier")?.as_deref() {
            None | Some("auto" | "default") => Tier::Interactive,
            Some("flex") => Tier::Flex,
            Some("priority") if settings.priority => Tier::Priority,
            Some("priority") => return Err(priority_denied()),
            Some(other) => return Err(unknown_tier(other)),
        };
        Ok(Tenant {
            organization: who.organization_id().unwrap_or(0),
            project: who.project_id().unwrap_or(0),
            weight: settings.weight,
            project_weight: settings.project_weight,
            tier,
        })
    }

    /// Takes what this request may use from the caller's limits. What it says is what to count when the engine does not.
    pub async fn reserve(&mut self, model: &Model, output: Output) -> ApiResult<Estimate> {
        let asked = Asked {
            model: &model.id,
            context_length: model.context_length,
            body: &self.body,
            weight: self.weight,
            output,
        };
        match self.app.limits.reserve(&self.caller.who, asked).await {
            Ok(granted) => {
                self.standing = granted.headers;
                self.turn.reserved(granted.reservation, granted.input);
                Ok(Estimate { input: granted.input, bytes_per_token: granted.output_ratio })
            }
            Err((error, headers)) => {
                self.standing = headers;
                Err(error)
            }
        }
    }

    /// Refuses addresses that an engine would fetch.
    pub fn check_urls(&self, head: &Head<'_>) -> ApiResult<()> {
        let config = self.app.config.load();
        let hosts = &config.outgoing.document_hosts;
        Ok(crate::openai::urls::check_urls(head, |host| hosts.iter().any(|known| known.eq_ignore_ascii_case(host)))?)
    }

    /// Begins to note the content, where the project agreed to it and live sampling takes it.
    pub fn note_content(&mut self, head: &Head<'_>, model: &Model, messages: Option<&str>) {
        let Some(kept) = &self.app.recorder.capture else { return };
        let mut content = kept.begin(&capture::Asked {
            who: &self.caller.who,
            endpoint: self.endpoint,
            model: &model.id,
            head,
            body: &self.body,
            messages,
            prompt: self.turn.prompt_id(),
        });
        if let Some(content) = &mut content {
            content.retrieved(std::mem::take(&mut self.noted));
        }
        self.turn.content = content;
    }
}

fn priority_denied() -> ApiError {
    ApiError::bad_request(
        "« service_tier » vaut « priority », que le forfait de votre organisation ne prévoit pas.",
        "“service_tier” is “priority”, which your organization’s plan does not allow.",
    )
    .param("service_tier")
}

fn unknown_tier(said: &str) -> ApiError {
    let said = short(said);
    ApiError::bad_request(
        format!("« service_tier » ne peut valoir « {said} » : il faut auto, default, flex ou priority."),
        format!("“service_tier” cannot be “{said}”: use auto, default, flex or priority."),
    )
    .param("service_tier")
}

impl Caller {
    /// A job for engines on behalf of this caller.
    pub fn job<'a>(
        &'a self,
        model: &'a std::sync::Arc<Model>,
        (tenant, input): (Tenant, u64),
        call: Call,
        streamed: bool,
        build: &'a (dyn Fn(&Deployment) -> ApiResult<Bytes> + Send + Sync),
    ) -> Job<'a> {
        let who = &self.who;
        let (organization, class) = (who.organization_name(), who.data_class());
        Job { model, organization, class, tenant, input, call, streamed, id: &self.id.header, build }
    }
}

/// The response of a whole JSON answer.
pub fn json_response(body: Bytes, model: &Model, deployment: &Deployment) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    mark(&mut response, model, deployment);
    response
}

/// Headers of every model answer: where it was processed, and whether the model is on its way out.
pub fn mark(response: &mut Response, model: &Model, deployment: &Deployment) {
    response.headers_mut().insert(crate::layers::HOSTING, deployment.hosting_header.clone());
    if model.deprecated.is_some() || model.sunset.is_some() {
        super::models::announce(model, response.headers_mut());
    }
}
