//! What every request passes, in this order. Each layer says why it is there.
//!
//! 1. [`outer`]: a request id on every answer; errors in the client's language; one log line where the
//!    configuration asks for it; security headers.
//! 2. [`authenticate`]: deny by default. Every route but a short list needs a key; the burst gates come right after,
//!    before anything costly.
//!
//! Limits on heads, connections and their times are lower still, in [`server`](crate::server); limits on bodies are
//! in [`api::body`](crate::api::body), where they are read.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use uuid::Uuid;

use crate::app::AppState;
use crate::config::Config;
use crate::config::server::{Language, LoggedRequests};
use crate::error::ApiError;
use crate::policy::identity::Principal;

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

/// Who is at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The id of a request: `req_` and 32 hexadecimal digits of a UUIDv7, so that ids sort by time.
#[derive(Clone, Debug)]
pub struct RequestId(pub Arc<str>, pub HeaderValue);

impl RequestId {
    fn new() -> RequestId {
        let id = format!("req_{}", Uuid::now_v7().simple());
        // Hexadecimal digits always make a header.
        let value = HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("req_0"));
        RequestId(Arc::from(id), value)
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

/// Layer 1.
pub async fn outer(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::new();
    let config = app.config.load();
    let language = language(request.headers(), &config);
    let logged = config.log.requests;
    drop(config);
    let line = match logged {
        LoggedRequests::None => None,
        LoggedRequests::Errors | LoggedRequests::All => {
            Some((request.method().clone(), request.uri().path().to_owned()))
        }
    };
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>()
        && language != Language::Fr
    {
        response = carry_headers(response, error.respond(language));
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.1);
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Some((method, path)) = line
        && (logged == LoggedRequests::All || response.status().as_u16() >= 400)
    {
        // The path as text is at most what a head may hold, and is cut to what one line shows.
        let path: String = path.chars().take(200).collect();
        tracing::info!(id = %id.0, %method, path, status = response.status().as_u16(), elapsed_ms = started.elapsed().as_millis() as u64, "request");
    }
    response
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

/// Layer 2.
pub async fn authenticate(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) || request.method() == http::Method::OPTIONS {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let address = client_address(peer, request.headers(), &app.config.load());
    let authorization = request.headers().get(header::AUTHORIZATION);
    let principal = match app.identity.authenticate(authorization, address).await {
        Ok(principal) => principal,
        Err(error) => {
            app.telemetry.authentication_failures.inc();
            return error.into_response();
        }
    };
    if let Err(error) = app.gates.check(&principal) {
        return error.into_response();
    }
    request.extensions_mut().insert(principal);
    next.run(request).await
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
        Ok(parts.extensions.remove::<RequestId>().unwrap_or_else(RequestId::new))
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
