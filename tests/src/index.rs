//! The vector index behind a gateway under test: the embedded one, or a Qdrant server.
//!
//! Gateways on SQLite are tested with the embedded index, as one process runs them; those on PostgreSQL with a server,
//! as replicas do, where there is one.

use std::path::Path;
use std::sync::Arc;

use rag::index::VectorIndex;
use rag::index::edge::Edge;
use rag::index::server::Server;

/// Where a Qdrant server listens for gRPC, when one does: `http://127.0.0.1:6334`.
pub const QDRANT: &str = "GUICHET_TEST_QDRANT_URL";

/// The server, if there is one.
pub fn server() -> Option<String> {
    std::env::var(QDRANT).ok().filter(|url| !url.is_empty())
}

/// A test's configuration with an index for its database, unless it says itself which.
pub fn laid_under(more: &str, database: &str) -> String {
    match shared(database) {
        Some((url, prefix)) if !more.contains("  index:") => {
            let index = format!("  index: {{kind: server, url: {url:?}, hosting: state, prefix: {prefix}}}\n");
            more.replacen("retrieval:\n", &format!("retrieval:\n{index}"), 1)
        }
        _ => more.to_owned(),
    }
}

/// The index of a gateway that has ended.
pub fn left(folder: &Path, database: &str) -> Arc<dyn VectorIndex> {
    match shared(database) {
        Some((url, prefix)) => Arc::new(Server::new(&url, None, &prefix).expect("an address")),
        None => Arc::new(Edge::open(&folder.join("data/index")).expect("the index opens")),
    }
}

/// The server of a database's gateways, and what is theirs on it.
fn shared(database: &str) -> Option<(String, String)> {
    let name = database.strip_prefix("postgres://")?.rsplit_once('/')?.1;
    Some((server()?, name.replace('_', "x")))
}
