//! A Redis that a test may empty, kill and fill alone.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::app::PATIENCE;

/// A Redis of a test's own: organizations are numbered from 1 in each database, and each counts for itself.
pub struct Redis {
    child: Child,
    pub url: String,
    port: u16,
    folder: TempDir,
}

impl Redis {
    pub async fn start() -> Redis {
        let folder = TempDir::new().expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let child = Redis::run(port, folder.path()).await;
        Redis { child, url: format!("redis://127.0.0.1:{port}/"), port, folder }
    }

    /// `kill -9`. It keeps nothing on disk.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is dead");
    }

    /// After [`Redis::kill`]: at the same address, empty.
    pub async fn restart(&mut self) {
        self.child = Redis::run(self.port, self.folder.path()).await;
    }

    async fn run(port: u16, folder: &Path) -> Child {
        let program = ["redis-server", "valkey-server"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok())
            .expect("redis-server is installed: run `make test`, or apt-get install redis-server");
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .args(["--dir", &folder.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Redis starts");
        let started = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(started.elapsed() < PATIENCE, "Redis does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
