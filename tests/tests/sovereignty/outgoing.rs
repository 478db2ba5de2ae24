//! Whom the process speaks to: the hosts of its configuration, and nobody else.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde_json::json;
use tests::database::TestDatabase;
use tests::engine::Reply;
use tests::{Backend, FakeEngine, Process, TestApp, chat, on_each_database};
use tokio::task::JoinSet;

use crate::sovereignty::{deployment, model};

on_each_database!(
    /// Under traffic of every kind, every connection of the process leads to an engine of the configuration, to its
    /// database, or comes from a client.
    no_connection_leads_to_a_host_that_is_not_configured,
);

/// An engine's redirection is its failure: nobody goes where it points.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirection_is_followed() {
    let (engine, elsewhere) = (FakeEngine::start().await, FakeEngine::start().await);
    let app = TestApp::start(&format!("models:\n{}", model("m", &[deployment("d", &engine, "state", "")], ""))).await;
    let key = app.key("A", "sensitive").await;
    for status in [301, 302, 303, 307, 308] {
        for stream in [false, true] {
            let target = format!("{}/chat/completions", elsewhere.url());
            engine.next(Reply::json(status, &json!({"moved": target})).header("location", &target));
            let mut body = chat("m");
            body["stream"] = json!(stream);
            let response = app.send("/v1/chat/completions", &key.secret, &body).await;
            assert!(!response.headers().contains_key("location"), "{response:?}");
            let (seen, answer) = tests::read(response).await;
            assert!(matches!(seen, 502 | 503), "{status}: {answer}");
            assert!(!answer.to_string().contains("127.0.0.1"), "{answer}");
        }
    }
    // A probe that is redirected is a probe that failed.
    engine.script_path("/v1/models", Reply::json(302, &json!({})).header("location", &elsewhere.root()));
    assert!(engine.until(|counts| counts.paths.get("/v1/models").is_some_and(|asked| *asked >= 2)).await);
    assert_eq!(elsewhere.counts().connections, 0, "{:?}", elsewhere.counts());
}

/// No variable of the environment puts another machine on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_of_the_environment_are_ignored() {
    let (engine, proxy) = (FakeEngine::start().await, FakeEngine::start().await);
    let url = proxy.root();
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let environment: Vec<(&str, &str)> = names.iter().map(|name| (*name, url.as_str())).collect();
    let folder = tempfile::TempDir::new().expect("a folder");
    let database = TestDatabase::new(Backend::Sqlite, folder.path()).await;
    let more = format!("models:\n{}", model("m", &[deployment("d", &engine, "state", "")], ""));
    let gateway = Process::in_folder(folder, database, &more, &environment).await;
    let key = gateway.key("A", "sensitive").await;
    let (status, answer) = gateway.chat(&key, "m").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((engine.posts(), proxy.counts().connections), (1, 0));
}

/// The remote ends of a process's TCP connections, with those it accepted left out.
fn remotes(process: u32, listening: u16) -> BTreeSet<SocketAddr> {
    let sockets: BTreeSet<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .expect("its open files")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut remotes = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{process}/net/{table}")) else { continue };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(remote)) = (address(fields[1]), address(fields[2])) else { panic!("{line}") };
            if sockets.contains(fields[9]) && local.port() != listening && remote.port() != 0 {
                remotes.insert(remote);
            }
        }
    }
    remotes
}

/// `0100007F:1F90`, as the kernel writes addresses: 32-bit words in the machine's order, little-endian here.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let words: Vec<u8> = (0..host.len() / 8)
        .filter_map(|word| u32::from_str_radix(host.get(word * 8..word * 8 + 8)?, 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    let host = match words.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(words).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(words).ok()?),
    };
    Some(SocketAddr::new(host.to_canonical(), u16::from_str_radix(port, 16).ok()?))
}

async fn no_connection_leads_to_a_host_that_is_not_configured(backend: Backend) {
    let (engine, dead) = (FakeEngine::start().await, FakeEngine::start().await);
    dead.stop().await;
    let more = format!(
        "fleet: {{health_interval: 50ms}}\nmodels:\n{}{}",
        model("fake/slow", &[deployment("d", &engine, "state", "")], ""),
        model("gone", &[deployment("g", &dead, "state", "")], "    fallback: fake/slow\n"),
    );
    let gateway = Process::start(backend, &more).await;
    let key = gateway.key("A", "internal").await;
    let mut requests = JoinSet::new();
    for number in 0..60 {
        let mut body = chat(if number % 3 == 0 { "gone" } else { "fake/slow" });
        body["stream"] = json!(number % 2 == 0);
        // An image elsewhere is refused, not fetched.
        if number % 5 == 0 {
            let image = json!({"type": "image_url", "image_url": {"url": "http://192.0.2.1/chat.png"}});
            body["messages"][0]["content"] = json!([image]);
        }
        let request = gateway.request(reqwest::Method::POST, "/v1/chat/completions", &key.secret).json(&body);
        requests.spawn(async move { request.send().await.expect("an answer").text().await.expect("a body") });
    }
    let mut allowed: BTreeSet<SocketAddr> = BTreeSet::from([engine.address(), dead.address()]);
    if let Some(rest) = gateway.database().url.strip_prefix("postgres://") {
        let host = rest.split(['@', '/']).nth(1).expect("a host");
        allowed.extend(std::net::ToSocketAddrs::to_socket_addrs(host).expect("its addresses"));
    }
    let listening = gateway.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let (mut looks, mut seen) = (0, BTreeSet::new());
    while !requests.is_empty() || looks < 20 {
        seen.extend(remotes(gateway.id(), listening));
        looks += 1;
        tokio::select! {
            _ = requests.join_next(), if !requests.is_empty() => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(10)) => {}
        }
    }
    assert!(seen.contains(&engine.address()), "the look finds connections: {seen:?}");
    let strangers: Vec<&SocketAddr> = seen.difference(&allowed).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}
