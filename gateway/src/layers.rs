//! What every request passes, in this order. Each layer says why it is there.
//!
//! 1. [`enter`]: a request id on every answer; errors in the client's language and in one shape; one log line where the
//!    configuration asks for it.
//! 2. `authenticate`: deny by default. Every path but a short list needs a key; the burst gates come right after,
//!    before anything costly.
//!
//! Limits on heads, connections and their times are lower still, in [`server`](crate::server); limits on bodies are
//! in [`api::body`](crate::api::body), where they are read.

use std::net::IpAddr;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::api::visit::{self, Caller};
use crate::app::AppState;
use crate::config::Config;
use crate::config::server::{Language, LoggedRequests};
use crate::error::{ApiError, ApiResult};
use crate::policy::identity::Principal;
use crate::recorder::Endpoint;
use crate::store;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const HOSTING: HeaderName = HeaderName::from_static("x-guichet-hosting");

/// Paths that need no key. `/metrics` on the main port is not one of them.
const OPEN: [&str; 9] = [
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/v1/health",
    "/openapi.json",
    "/reference",
    "/favicon.ico",
    "/robots.txt",
];

/// The id of a request: `req_` and 32 hexadecimal digits of a UUIDv7, so that ids sort by time.
#[derive(Clone, Debug)]
pub struct RequestId {
    pub header: HeaderValue,
    /// When the request came, in Unix milliseconds.
    pub millis: i64,
    /// The same for who measures.
    pub since: Instant,
}

impl RequestId {
    pub fn fresh() -> RequestId {
        // Unique rather than secret: the system's own randomness would cost a call to it for each request.
        let noise: [u8; 10] = std::array::from_fn(|_| fastrand::u8(..));
        let millis = store::now();
        let mut text = *b"req_00000000000000000000000000000000";
        let id = uuid::Builder::from_unix_timestamp_millis(millis.unsigned_abs(), &noise).into_uuid();
        id.simple().encode_lower(&mut text[4..]);
        // One allocation, shared by all that carry it. Hexadecimal digits always make a header.
        let header = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
        RequestId { header: header.unwrap_or(HeaderValue::from_static("req_0")), millis, since: Instant::now() }
    }

    pub fn text(&self) -> &str {
        self.header.to_str().unwrap_or_default()
    }
}

/// The language of the messages of this request.
pub fn language(headers: &HeaderMap, config: &Config) -> Language {
    let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // The first language we have, in the order written: browsers and clients write their preference first.
    asked
        .split(',')
        .find_map(|part| match part.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("fr") => Some(Language::Fr),
            Some("en") => Some(Language::En),
            _ => None,
        })
        .unwrap_or(config.language)
}

/// The address a request comes from: the peer's, or what trusted proxies say of it.
fn client_address(peer: IpAddr, headers: &HeaderMap, config: &Config) -> IpAddr {
    let trusted = &config.server.trusted_proxies;
    if !trusted.contains(&peer) {
        return peer;
    }
    headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|part| part.trim().parse::<IpAddr>().ok())
        .rfind(|address| !trusted.contains(address))
        .unwrap_or(peer)
}

/// Takes a request through every layer to its handler, and its answer back.
///
/// Plain calls rather than a stack of middlewares: each of those boxes a future and clones the service behind it, which
/// together cost as much as reading the request.
pub async fn enter(app: &AppState, router: Router, peer: IpAddr, request: Request<Incoming>) -> Response {
    let id = RequestId::fresh();
    let config = app.config.load();
    let language = language(request.headers(), &config);
    let logged = config.log.requests;
    drop(config);
    let line = match logged {
        LoggedRequests::None => None,
        // The path alone, cut to what one line shows: a query may hold what is nobody's business.
        LoggedRequests::Errors | LoggedRequests::All => {
            let path = request.uri().path();
            Some((request.method().clone(), path[..path.floor_char_boundary(200)].to_owned()))
        }
    };
    let mut response = match authenticate(app, peer, (request.method(), request.uri().path(), request.headers())).await
    {
        Ok(who) => answer(app, router, request, who, &id, language).await,
        Err(error) => error.into_response(),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        response = in_words(response, language);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.header.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some((method, path)) = line
        && (logged == LoggedRequests::All || response.status().as_u16() >= 400)
    {
        let elapsed_ms = u64::try_from(id.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(id = id.text(), %method, path, status = response.status().as_u16(), elapsed_ms, "request");
    }
    response
}

/// A refusal in the client's language; those of the framework's own extractors become ours, so that no client meets two
/// shapes of error.
fn in_words(mut response: Response, language: Language) -> Response {
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let error = match response.extensions_mut().remove::<ApiError>() {
        Some(_) if language == Language::Fr => return response,
        Some(error) => error,
        None if matches!(response.status().as_u16(), 400 | 415 | 422) && plain => ApiError::bad_request(
            "La requête n’a pas la forme attendue ; voyez /reference.",
            "The request does not have the expected form; see /reference.",
        ),
        None => return response,
    };
    carry_headers(response, error.respond(language))
}

/// The same error in another language, with the headers that layers inside added.
fn carry_headers(from: Response, mut to: Response) -> Response {
    for (name, value) in from.headers() {
        if !to.headers().contains_key(name) && *name != header::CONTENT_LENGTH {
            to.headers_mut().insert(name.clone(), value.clone());
        }
    }
    to
}

/// The handler's answer. The calls of models skip the table of routes, in which they stand for the description: its boxes
/// and what it carries beside a request cost a tenth of serving them.
async fn answer(
    app: &AppState,
    router: Router,
    mut request: Request<Incoming>,
    who: Option<Principal>,
    id: &RequestId,
    language: Language,
) -> Response {
    if request.method() == Method::POST
        && let Some(endpoint) = Endpoint::of_path(request.uri().path())
        && let Some(story) = visit::story_of(endpoint)
        && let Some(who) = who
    {
        let (parts, body) = request.into_parts();
        let caller = Caller::new(who, id.clone(), language, &parts.headers);
        // The head stands in the buffer that its connection reads into, which is used again once nobody holds the head.
        drop(parts);
        // Boxed: a connection whose answer streams keeps none of what led to it.
        return Box::pin(visit::tell(app.clone(), caller, endpoint, body, story)).await;
    }
    request.extensions_mut().insert(id.clone());
    if let Some(who) = who {
        request.extensions_mut().insert(who);
    }
    match Box::pin(router.oneshot(request.map(Body::new))).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Deny by default: every path but a short list needs a key. The principal goes along with the request.
async fn authenticate(
    app: &AppState,
    peer: IpAddr,
    (method, path, headers): (&Method, &str, &HeaderMap),
) -> ApiResult<Option<Principal>> {
    if OPEN.contains(&path) || method == Method::OPTIONS {
        return Ok(None);
    }
    let address = client_address(peer, headers, &app.config.load());
    let authorization = headers.get(header::AUTHORIZATION);
    let principal = app.identity.authenticate(authorization, address).await.inspect_err(|_| {
        app.telemetry.authentication_failures.inc();
    })?;
    // A model call is refused where its refusal is recorded: see `api::visit`.
    if Endpoint::of_path(path).is_none() {
        app.gates.check(&principal)?;
    }
    Ok(Some(principal))
}

impl FromRequestParts<AppState> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Principal, ApiError> {
        // Layer 2 put it there, or the route is open and must not ask for it.
        parts.extensions.remove::<Principal>().ok_or_else(ApiError::invalid_api_key)
    }
}

impl FromRequestParts<AppState> for RequestId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<RequestId, ApiError> {
        Ok(parts.extensions.remove::<RequestId>().unwrap_or_else(RequestId::fresh))
    }
}

/// The language of this request's messages, for pages and texts.
pub struct Tongue(pub Language);

impl FromRequestParts<AppState> for Tongue {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Tongue, ApiError> {
        Ok(Tongue(language(&parts.headers, &app.config.load())))
    }
}
