//! Warnings at 80 and 100 % of a daily or monthly limit: once a window and limit, whatever the replicas and restarts.
//!
//! Requests only say that some limit of their chain is nearly full; looking which, asking the database whether it was
//! told, and posting to the webhook happen on tasks of their own, behind bounded queues.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use sha2::Sha256;
use tokio::sync::mpsc;

use super::rule::{Chain, Kind, Limit, Window};
use super::ticket::Standing;
use crate::app::App;
use crate::config::limits::Warnings as Settings;
use crate::telemetry::{ResultLabel, WarningLabels};

/// Chains that wait to be looked at, and warnings that wait to be posted.
const WAITING: usize = 256;
/// The limits of one organization are looked at so often at most.
const LOOK: Duration = Duration::from_secs(1);
/// Times a warning is posted before it is given up, the first pause between (it doubles), and the longest answer time.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(10);

/// The part of a limit that a warning is about.
const LEVELS: [u64; 2] = [80, 100];

/// A chain of which some limit is nearly full.
#[derive(Debug)]
struct Nearly {
    chain: Chain,
    /// The limit that refused a request.
    refused: Option<usize>,
}

/// Where requests leave word.
#[derive(Debug)]
pub struct Watch {
    sender: mpsc::Sender<Nearly>,
    receiver: Mutex<Option<mpsc::Receiver<Nearly>>>,
    looked: Mutex<HashMap<(i64, bool), Instant>>,
}

impl Default for Watch {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Watch { sender, receiver: Mutex::new(Some(receiver)), looked: Mutex::default() }
    }
}

impl Watch {
    /// After a reservation.
    pub(super) fn see(&self, chain: &Chain, standing: &Standing) {
        if let Some(fullest) = &standing.fullest
            && u128::from(fullest.used) * 100 >= u128::from(fullest.max) * u128::from(LEVELS[0])
        {
            self.say(chain, None);
        }
    }

    /// After a refusal by a daily or monthly limit.
    pub(super) fn refused(&self, chain: &Chain, limit: usize) {
        self.say(chain, Some(limit));
    }

    fn say(&self, chain: &Chain, refused: Option<usize>) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let of = (chain.organization, refused.is_some());
        if looked.get(&of).is_some_and(|last| now.duration_since(*last) < LOOK) {
            return;
        }
        looked.insert(of, now);
        drop(looked);
        // A full queue is emptied within a second or two, and nearly full limits stay so.
        drop(self.sender.try_send(Nearly { chain: chain.clone(), refused }));
    }

    pub(super) fn tidy(&self) {
        let now = Instant::now();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.retain(|_, last| now.duration_since(*last) < LOOK);
    }
}

/// A warning ready to be posted.
#[derive(Debug)]
struct Warning {
    id: String,
    body: Bytes,
}

/// Looks at nearly full limits and posts warnings, until the gateway stops.
pub async fn run(app: std::sync::Arc<App>) {
    let taken = app.limits.watch.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut nearly) = taken else { return };
    let (sender, warnings) = mpsc::channel(WAITING);
    app.tasks.spawn(post_all(app.clone(), warnings));
    let mut told: HashSet<(String, i64, u64)> = HashSet::new();
    loop {
        let one = tokio::select! {
            one = nearly.recv() => one,
            () = app.stop.cancelled() => return,
        };
        let Some(one) = one else { return };
        let now = app.limits.time.clock.now().wall;
        told.retain(|(_, end, _)| *end > now);
        look(&app, &one, &mut told, &sender).await;
    }
}

async fn look(app: &App, nearly: &Nearly, told: &mut HashSet<(String, i64, u64)>, sender: &mpsc::Sender<Warning>) {
    let chain = &nearly.chain;
    let Ok(standing) = app.limits.store.read(chain).await else { return };
    let periods = app.limits.time.calendar.at(app.limits.time.clock.now().wall);
    for (index, (limit, state)) in chain.limits.iter().zip(&standing).enumerate() {
        let end = match limit.id.kind {
            Kind::Rate { window: Window::Day, .. } => periods.day.end,
            Kind::Rate { window: Window::Month, .. } => periods.month.end,
            _ => continue,
        };
        let part = u64::try_from(u128::from(state.used) * 100 / u128::from(state.max.max(1))).unwrap_or(u64::MAX);
        let part = if nearly.refused == Some(index) { part.max(100) } else { part };
        let counter = limit.id.to_string();
        for level in LEVELS.into_iter().filter(|level| part >= *level) {
            if !told.insert((counter.clone(), end, level)) {
                continue;
            }
            let first = app.store.first_warning(&counter, end, i64::try_from(level).unwrap_or(100)).await;
            match first {
                Ok(true) => tell(app, chain, limit, level, state.used, end, sender).await,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "a warning waits: the database does not answer");
                    told.remove(&(counter.clone(), end, level));
                }
            }
        }
    }
}

async fn tell(
    app: &App,
    chain: &Chain,
    limit: &Limit,
    level: u64,
    used: u64,
    end: i64,
    sender: &mpsc::Sender<Warning>,
) {
    let window = match limit.id.kind {
        Kind::Rate { window, .. } => window.word(),
        Kind::Concurrent => "concurrent",
    };
    let scope = limit.id.scope;
    tracing::warn!(%scope, limit = %limit.id.kind, models = &*limit.id.models, level, used, max = limit.max, "limit nearly full");
    let labels = WarningLabels { level: if level >= 100 { "100" } else { "80" }, window };
    app.telemetry.limit_warnings.get_or_create(&labels).inc();
    if app.config.load().limits.warnings.is_none() {
        return;
    }
    let organization = app.store.organization(chain.organization).await.ok().flatten().map(|found| found.name);
    let time = |millis: i64| jiff::Timestamp::from_millisecond(millis).map(|at| at.to_string()).unwrap_or_default();
    let noise: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    let id = format!("msg_{}", uuid::Builder::from_random_bytes(noise).into_uuid().simple());
    let body = json!({
        "type": "limit.warning",
        "timestamp": time(crate::store::now()),
        "data": {
            "level_percent": level,
            "scope": scope.to_string(),
            "organization_id": chain.organization,
            "organization": organization,
            "models": &*limit.id.models,
            "limit": limit.id.kind,
            "max": limit.max,
            "used": used,
            "resets_at": time(end),
        },
    });
    if sender.try_send(Warning { id, body: body.to_string().into() }).is_err() {
        app.telemetry.webhooks.get_or_create(&ResultLabel { result: "dropped" }).inc();
        tracing::error!(%scope, level, "a warning is not posted: too many wait for the webhook");
    }
}

/// Posts warnings one after the other; each is tried several times.
async fn post_all(app: std::sync::Arc<App>, mut warnings: mpsc::Receiver<Warning>) {
    loop {
        let warning = tokio::select! {
            warning = warnings.recv() => warning,
            () = app.stop.cancelled() => return,
        };
        let Some(warning) = warning else { return };
        let mut pause = PAUSE;
        for attempt in 1..=TRIES {
            // Read again each time: a reload may have mended the address or the secret.
            let Some(settings) = app.config.load().limits.warnings.clone() else { break };
            let result = match post(&settings, &warning).await {
                Ok(()) => "sent",
                Err(error) if attempt == TRIES => {
                    tracing::error!(%error, id = warning.id, "a warning could not be posted");
                    "failed"
                }
                Err(error) => {
                    tracing::debug!(%error, id = warning.id, "a warning is posted again later");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = app.stop.cancelled() => return,
                    }
                    pause *= 2;
                    continue;
                }
            };
            app.telemetry.webhooks.get_or_create(&ResultLabel { result }).inc();
            break;
        }
    }
}

async fn post(settings: &Settings, warning: &Warning) -> Result<(), String> {
    let secret = settings.secret.read()?;
    let timestamp = crate::store::now().div_euclid(1_000).to_string();
    let signature = sign(secret.reveal(), &warning.id, &timestamp, &warning.body);
    let text = |value: String| HeaderValue::try_from(value).map_err(|error| error.to_string());
    let mut request = Request::new(Full::new(warning.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = settings.url.as_str().parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", text(warning.id.clone())?);
    headers.insert("webhook-timestamp", text(timestamp)?);
    headers.insert("webhook-signature", text(signature)?);
    let answer = async {
        // Warnings are rare: no connection is worth keeping.
        if settings.url.scheme() == "https" {
            let connector = HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(|error| error.to_string())?
                .https_only()
                .enable_http1()
                .build();
            let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
            client.request(request).await.map_err(|error| error.to_string())
        } else {
            let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
            client.request(request).await.map_err(|error| error.to_string())
        }
    };
    let response = tokio::time::timeout(ANSWER, answer).await.map_err(|_| "no answer in time".to_owned())??;
    if response.status().is_success() { Ok(()) } else { Err(format!("status {}", response.status().as_u16())) }
}

/// The signature of the Standard Webhooks specification. A secret that begins with `whsec_` is base64 after it.
fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn the_signature_is_the_specifications() {
        let signed = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
