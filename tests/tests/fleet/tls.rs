//! Engines behind TLS: asked over it, whole and streamed, and only when their certificate is one the system trusts.

use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tests::database::{Backend, TestDatabase};
use tests::process::Process;
use tests::{Chat, FakeEngine, chat};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::fleet::streamed;

/// The engine behind a front that speaks TLS as `localhost`, as long as its tasks are kept; its port and its certificate.
async fn front(engine: &FakeEngine) -> (u16, String, JoinSet<()>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let behind = engine.url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            connections.spawn(async move {
                // A client that does not trust the certificate leaves.
                let Ok(mut secure) = acceptor.accept(socket).await else { return };
                let mut plain = TcpStream::connect(behind).await.expect("the engine");
                let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            });
        }
    });
    (port, made.cert.pem(), tasks)
}

async fn gateway(port: u16, trusted: &str) -> Process {
    let folder = TempDir::new().expect("a temporary folder");
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, trusted).expect("the roots are written");
    let roots = roots.to_str().expect("UTF-8").to_owned();
    let database = TestDatabase::new(Backend::Sqlite, folder.path()).await;
    let more = format!(
        "models:\n  - {{id: m, type: chat, deployments: [{{name: d, url: 'https://localhost:{port}/v1', engine: openai, \
         hosting: state}}]}}\n"
    );
    Process::in_folder(folder, database, &more, &[("SSL_CERT_FILE", &roots)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_behind_tls_answers_whole_and_streamed() {
    let engine = FakeEngine::start().await;
    engine.script(Chat::text("Oui, bien sûr."));
    let (port, certificate, _front) = front(&engine).await;
    let app = gateway(port, &certificate).await;
    let key = app.key("A", "internal").await;
    for _ in 0..5 {
        let (status, answer) = app.post("/v1/chat/completions", &key.secret, &chat("m")).await;
        assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &Value::from("Oui, bien sûr.")));
        let response = app.send("/v1/chat/completions", &key.secret, &streamed("m")).await;
        let text = response.text().await.expect("a whole stream");
        assert!(text.contains("Oui") && text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    let host = engine.calls()[0].header("host").map(str::to_owned);
    assert_eq!(host.as_deref(), Some(format!("localhost:{port}").as_str()));
    assert!(engine.counts().connections < 10, "connections are used again: {:?}", engine.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_with_a_certificate_of_nobody_is_not_asked() {
    let engine = FakeEngine::start().await;
    let ((port, _, _front), (_, other, _)) = (front(&engine).await, front(&engine).await);
    let app = gateway(port, &other).await;
    let key = app.key("A", "internal").await;
    let (status, answer) = app.post("/v1/chat/completions", &key.secret, &chat("m")).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &Value::from("upstream_error")), "{answer}");
    assert_eq!(engine.counts().posts, 0);
}
