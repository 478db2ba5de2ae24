//! The real binary under test: a process of its own, that can be signalled, measured and killed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::app::{PATIENCE, TestApp, configuration};
use crate::database::{Backend, TestDatabase};

/// A gateway as an administration runs it. Dropping it kills it.
pub struct Process {
    app: Option<TestApp>,
    child: Child,
    /// Kept open: a program whose standard output is closed under it may stop.
    _output: BufReader<ChildStdout>,
}

/// The binary that cargo built beside this test, or the one that `GUICHET_TEST_BINARY` names.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("GUICHET_TEST_BINARY") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the path of this test");
    let path = test.parent().and_then(|deps| deps.parent()).expect("a target folder").join("guichet");
    assert!(path.exists(), "{} is missing: run `cargo build --package gateway` first", path.display());
    path
}

/// What a command said, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs `guichet` with these words in a folder, knowing of no other gateway.
pub fn guichet(folder: &Path, words: &[&str]) -> Said {
    said(command(folder).args(words))
}

/// The same, to be told more before [`said`] runs it.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GUICHET_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Process {
    /// On a database and in a folder of its own.
    pub async fn start(backend: Backend, more: &str) -> Process {
        let folder = TempDir::new().expect("a temporary folder");
        let database = TestDatabase::new(backend, folder.path()).await;
        Process::in_folder(folder, database, more, &[]).await
    }

    /// In a folder that already holds data, or not; with these variables in its environment.
    pub async fn in_folder(
        folder: TempDir,
        database: TestDatabase,
        more: &str,
        environment: &[(&str, &str)],
    ) -> Process {
        let file = folder.path().join("guichet.yaml");
        std::fs::write(&file, configuration(folder.path(), &database.url, more)).expect("the configuration is written");
        let log = folder.path().join("guichet.log");
        let mut child = Command::new(binary())
            .args(["serve".as_ref(), "--config".as_ref(), file.as_os_str()])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log).expect("a log"))
            .spawn()
            .expect("the gateway starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let greeting = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).map(|_| (line, output))
        });
        let said = tokio::time::timeout(PATIENCE, greeting).await;
        let Ok(Ok(Ok((line, output)))) = said else {
            let _ = child.kill();
            panic!("no greeting; the log says: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let Some(url) = line.split_whitespace().find_map(|word| word.strip_suffix("/v1")) else {
            let _ = child.kill();
            panic!("{line:?}; the log says: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let app = TestApp::outside(url.to_owned(), folder, database);
        Process { app: Some(app), child, _output: output }
    }

    /// Two on one PostgreSQL.
    pub async fn two(more: &str) -> (Process, Process) {
        let one = Process::start(Backend::Postgres, more).await;
        let other = one.another(more).await;
        (one, other)
    }

    /// Another on the same database, in a folder of its own.
    pub async fn another(&self, more: &str) -> Process {
        let folder = TempDir::new().expect("a temporary folder");
        // The administrator is the database's: this one is made no key of its own.
        std::fs::create_dir_all(folder.path().join("data")).expect("a folder");
        std::fs::write(folder.path().join("data/admin.key"), &self.admin_key).expect("the key");
        Process::in_folder(folder, TestDatabase { url: self.database().url.clone() }, more, &[]).await
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, by its name: `HUP`, `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{name} is sent");
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let folder = self.folder.path();
        std::fs::read_to_string(folder.join("guichet.log")).expect("its log")
    }

    /// Waits for its own end: its exit code, and what it leaves.
    pub async fn ended(mut self) -> (Option<i32>, TempDir, TestDatabase) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "it goes on; its log says: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let (folder, database) = self.app.take().expect("it was alive").leave();
        (status.code(), folder, database)
    }

    /// `kill -9`, and what it leaves.
    pub fn kill(mut self) -> (TempDir, TestDatabase) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is dead");
        self.app.take().expect("it was alive").leave()
    }
}

impl Deref for Process {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        self.app.as_ref().expect("it is alive")
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut TestApp {
        self.app.as_mut().expect("it is alive")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
