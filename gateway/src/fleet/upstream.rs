//! The only sender: pooled HTTP connections to the engines of the configuration, and to nobody else.
//!
//! URIs come compiled from the configuration; redirections are not followed and no proxy is read from the
//! environment, so no request can reach a host that is not written there.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::deployment::{Call, Deployment};
use crate::config::server::Fleet as Settings;

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
type Plain = Client<HttpConnector, Full<Bytes>>;

/// Why an engine gave no HTTP answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No connection, or it broke before the head of the answer.
    Unreachable,
    /// No head within the deployment's `first_byte_timeout`.
    Timeout,
}

#[derive(Debug)]
pub struct Upstream {
    plain: Plain,
    /// Made only when some engine is reached by TLS: reading the system's roots takes time and memory.
    tls: Option<Https>,
}

impl Upstream {
    pub fn new(settings: &Settings, any_tls: bool) -> Result<Upstream, String> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.connect_timeout.0));
        connector.set_keepalive(Some(Duration::from_secs(30)));
        connector.enforce_http(true);
        let builder = || {
            let mut builder = Client::builder(TokioExecutor::new());
            builder
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(settings.idle_connections)
                // A connection the engine closed while idle is replaced, not reported.
                .retry_canceled_requests(true)
                .http1_max_buf_size(64 << 10)
                .set_host(true);
            builder
        };
        let plain = builder().build(connector.clone());
        let tls = if any_tls {
            connector.enforce_http(false);
            let https = HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(|error| format!("the system's certificate authorities cannot be read: {error}"))?
                .https_only()
                .enable_http1()
                .wrap_connector(connector);
            Some(builder().build(https))
        } else {
            None
        };
        Ok(Upstream { plain, tls })
    }

    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Sends one JSON request. Dropping the future, or the body it returns, closes the connection: that is how an
    /// engine is told to stop.
    pub async fn post(
        &self,
        deployment: &Deployment,
        call: Call,
        body: Bytes,
        extra: &HeaderMap,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = deployment.uri(call).clone();
        let headers = request.headers_mut();
        headers.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(value) = &deployment.authorization {
            headers.insert(header::AUTHORIZATION, value.clone());
        }
        self.send(deployment, request, deployment.first_byte_timeout).await
    }

    /// Asks an engine whether it is well.
    pub async fn probe(&self, deployment: &Deployment, timeout: Duration) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = deployment.health_uri.clone();
        if let Some(value) = &deployment.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.clone());
        }
        self.send(deployment, request, timeout).await
    }

    async fn send(
        &self,
        deployment: &Deployment,
        request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let tls = request.uri().scheme_str() == Some("https");
        let answer = match (&self.tls, tls) {
            (Some(client), true) => client.request(request),
            (None, true) => return Err(Failure::Unreachable),
            (_, false) => self.plain.request(request),
        };
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                tracing::debug!(deployment = %deployment.name, %error, "engine unreachable");
                Err(Failure::Unreachable)
            }
            Err(_) => Err(Failure::Timeout),
        }
    }
}
