//! The listening side: connections accepted, bounded in number, in the size of a head and in the time it takes.

pub mod socket;
pub mod timer;
pub mod workers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::app::AppState;
use crate::config::server::Server as Settings;
use crate::layers;
use crate::telemetry::Telemetry;
use socket::Socket;
use timer::Timer;
use workers::Workers;

/// Largest head of a request, header fields included, and the most that a connection reads at once.
pub const HEAD: usize = 64 << 10;
/// Most header fields in a request.
const HEADERS: usize = 100;
/// Rest after a connection could not be accepted.
const REST: Duration = Duration::from_millis(50);

/// What a port serves.
#[derive(Clone)]
pub enum Service {
    /// Everything, behind the layers.
    Counter(AppState, Router),
    /// The metrics alone, to whoever reaches their port.
    Metrics(Router),
}

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Server {
    /// Binds, so that a port already taken is told before anything else starts.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Server> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Server { listener, address })
    }

    /// Serves until `stop`, then lets running requests end within the drain.
    pub async fn run(
        self,
        service: Service,
        settings: Settings,
        workers: Arc<Workers>,
        telemetry: Arc<Telemetry>,
        stop: CancellationToken,
    ) {
        let room = Arc::new(Semaphore::new(settings.max_connections));
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(settings.header_timeout.0).max_buf_size(HEAD).max_headers(HEADERS).keep_alive(true);
        loop {
            let permit = tokio::select! {
                permit = room.clone().acquire_owned() => permit,
                () = stop.cancelled() => break,
            };
            let Ok(permit) = permit else { break };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a connection gone before it was accepted: others may follow.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let timer = Timer::default();
            let (service, mut builder) = (service.clone(), builder.clone());
            builder.timer(timer.clone());
            let (ends, telemetry) = (Ends { stop: stop.clone(), cut: cut.clone() }, telemetry.clone());
            // The socket belongs to the runtime that polls it.
            let socket = match socket.into_std() {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    continue;
                }
            };
            let carry = async move {
                telemetry.open_connections.inc();
                match TcpStream::from_std(socket) {
                    Ok(socket) => serve(socket, peer, service, (&builder, timer), ends).await,
                    Err(error) => tracing::warn!(%error, "cannot take a connection"),
                }
                telemetry.open_connections.dec();
                drop(permit);
            };
            connections.spawn_on(carry, workers.next());
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(settings.drain.0, connections.wait()).await.is_err() {
            tracing::warn!(left = connections.len(), "requests still running at the end of the drain are cut");
            cut.cancel();
            connections.wait().await;
        }
    }
}

/// How a connection ends when the gateway does: its request may end, then it is dropped.
struct Ends {
    stop: CancellationToken,
    cut: CancellationToken,
}

async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    service: Service,
    (builder, timer): (&http1::Builder, Timer),
    ends: Ends,
) {
    // Small pieces of a stream must leave at once.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(|request: hyper::Request<Incoming>| async {
        let response = match &service {
            Service::Counter(app, router) => layers::enter(app, router.clone(), peer.ip(), request).await,
            Service::Metrics(router) => {
                router.clone().oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {})
            }
        };
        if response.body().size_hint().exact().is_none() {
            timer.put_away();
        }
        Ok::<_, std::convert::Infallible>(response)
    });
    let connection = builder.serve_connection(TokioIo::new(Socket::new(socket)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = ends.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = ends.cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended badly");
    }
}
