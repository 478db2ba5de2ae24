//! The only sender: connections to the engines of the configuration, and to nobody else.
//!
//! Addresses come compiled from the configuration; redirections are not followed and no proxy is read from the
//! environment, so no request can reach a host that is not written there.
//!
//! HTTP/1.1 is spoken here in its client's half, on httparse, rather than through hyper: there, a connection is a task of
//! its own with 25 KiB of buffers and queues, so that an open stream holds twice the memory.

pub mod answer;
pub mod connection;
pub mod framing;
pub mod head;
pub mod idle;
pub mod opening;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use tower::ServiceExt;

pub use self::answer::Answer;
use self::connection::Connection;
use super::deployment::{Call, Deployment};
use crate::config::server::Fleet as Settings;

/// Longest wait.
const EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

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
    plain: HttpConnector,
    /// Made only when some engine is reached by TLS: reading the system's roots takes time and memory.
    tls: Option<HttpsConnector<HttpConnector>>,
}

impl Upstream {
    pub fn new(settings: &Settings, any_tls: bool) -> Result<Upstream, String> {
        let mut plain = HttpConnector::new();
        plain.set_nodelay(true);
        plain.set_connect_timeout(Some(settings.connect_timeout.0));
        plain.set_keepalive(Some(Duration::from_secs(30)));
        plain.enforce_http(true);
        let tls = if any_tls {
            let mut connector = plain.clone();
            connector.enforce_http(false);
            let https = HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(|error| format!("the system's certificate authorities cannot be read: {error}"))?
                .https_only()
                .enable_http1()
                .wrap_connector(connector);
            Some(https)
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
        deployment: &Arc<Deployment>,
        call: Call,
        body: Bytes,
        id: &HeaderValue,
    ) -> Result<Response<Answer>, Failure> {
        let head = deployment.opening(call).head(Some(id), Some(body.len()));
        self.send(deployment, &head, &body, deployment.first_byte_timeout).await
    }

    /// Asks an engine whether it is well.
    pub async fn probe(&self, deployment: &Arc<Deployment>, timeout: Duration) -> Result<Response<Answer>, Failure> {
        let head = deployment.health.head(None, None);
        self.send(deployment, &head, &[], timeout).await
    }

    async fn send(
        &self,
        deployment: &Arc<Deployment>,
        head: &[u8],
        body: &[u8],
        timeout: Duration,
    ) -> Result<Response<Answer>, Failure> {
        let failed = |error: BoxError| {
            tracing::debug!(deployment = %deployment.name, %error, "engine unreachable");
            Failure::Unreachable
        };
        let start = Instant::now();
        let mut connection = match deployment.idle().take(start) {
            Some(connection) => connection,
            None => match tokio::time::timeout(timeout, self.connect(&deployment.address)).await {
                Ok(connected) => connected.map_err(failed)?,
                Err(_) => return Err(Failure::Timeout),
            },
        };
        // A configuration may say that it waits for ever.
        let deadline = start.checked_add(timeout).unwrap_or(start + EVER);
        let sent = connection.send_until(deadline, head, body).await;
        let (head, piece) = sent.map_err(|error| failed(error.into()))?.ok_or(Failure::Timeout)?;
        Ok(head.response.map(|()| Answer::new(head.framing, piece, connection, head.keep, deployment.clone())))
    }

    async fn connect(&self, address: &Uri) -> Result<Connection, BoxError> {
        let stream = match &self.tls {
            Some(connector) if address.scheme_str() == Some("https") => {
                connector.clone().oneshot(address.clone()).await?
            }
            _ => MaybeHttpsStream::Http(self.plain.clone().oneshot(address.clone()).await?),
        };
        Ok(Connection::new(stream))
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
