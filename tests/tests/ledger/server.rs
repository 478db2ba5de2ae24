//! A redis-server of a test's own, that it may kill.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where Redis is, when it is; `make test` starts one.
pub const REDIS: &str = "GUICHET_TEST_REDIS_URL";

/// Where the Redis that tests share is: each has an organization of its own there, and none empties it.
pub fn shared_url() -> String {
    std::env::var(REDIS).unwrap_or_else(|_| {
        panic!("{REDIS} is not set: run `make test`, or set it to the URL of a Redis that tests may use")
    })
}

pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Server {
    /// One that keeps each write on disk, so that a kill loses nothing it has answered.
    pub async fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = spawn(folder.path(), port);
        let server = Server { folder, port, child };
        server.ready().await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in its tracks: its port still accepts, and nothing answers.
    pub fn freeze(&self) {
        signal("-STOP", self.child.id());
    }

    pub fn thaw(&self) {
        signal("-CONT", self.child.id());
    }

    pub async fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.port);
        self.ready().await;
    }

    /// Starts it with nothing of what it knew.
    pub async fn restart_empty(&mut self) {
        std::fs::remove_dir_all(self.folder.path().join("appendonlydir")).unwrap();
        self.restart().await;
    }

    async fn ready(&self) {
        for _ in 0..200 {
            if self.answers().await.is_ok_and(|answers| answers) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("redis-server did not start in ten seconds");
    }

    /// How often it was told a command, by its own statistics.
    pub async fn count(&self, command: &str) -> u64 {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        connection.write_all(b"INFO commandstats\r\nQUIT\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let calls = answer.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        calls.and_then(|calls| calls.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
    }

    /// Whether it has read what it keeps, and serves.
    async fn answers(&self) -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).await?;
        connection.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        connection.read_exact(&mut answer).await?;
        Ok(answer == *b"+PONG\r\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(folder: &Path, port: u16) -> Child {
    let program = ["redis-server", "valkey-server"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok())
        .expect("redis-server is installed: run `make test`, or apt-get install redis-server");
    Command::new(program)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        .args(["--port", &port.to_string(), "--dir", &folder.display().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}
