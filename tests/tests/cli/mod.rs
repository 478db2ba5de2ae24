//! Part 2, the command line, by the real binary: starting from nothing ([`start`]), looking for engines ([`init`]),
//! accounts ([`accounts`]), what is served ([`served`]), its own words ([`words`]), and the commands of the documentation,
//! run as they are written ([`docs`]).

#![expect(clippy::expect_used, clippy::panic, reason = "in tests, a panic is how a failure is told")]
#![expect(clippy::print_stdout, reason = "what ran is told")]

mod accounts;
mod docs;
mod index;
mod init;
mod served;
mod start;
mod words;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use tests::process::{binary, command};

/// A gateway that a person started in a folder, with what it said first.
struct Serving {
    child: Child,
    url: String,
    greeting: Vec<String>,
}

impl Serving {
    /// `guichet serve`, on a free port, with these variables.
    fn start(folder: &Path, environment: &[(&str, &str)]) -> Serving {
        let log = std::fs::File::create(folder.join("serve.log")).expect("a log");
        let mut serve = command(folder);
        serve.args(["serve", "--listen", "127.0.0.1:0"]).envs(environment.iter().copied());
        let mut child = serve.stdout(Stdio::piped()).stderr(log).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut greeting = vec![lines.next().unwrap_or_else(|| panic!("it says nothing")).expect("a line")];
        let url =
            greeting[0].split_whitespace().find_map(|word| word.strip_suffix("/v1")).expect("its address").to_owned();
        // The rest of the greeting was written in the same moment; a line that needs waiting for is none of it.
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(send.send(line))));
        while let Ok(line) = receive.recv_timeout(std::time::Duration::from_millis(500)) {
            greeting.push(line);
        }
        Serving { child, url, greeting }
    }

    fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell command that finds `guichet` on its path, as an installed one.
fn shell(folder: &Path, script: &str) -> std::process::Command {
    let path = std::env::var("PATH").expect("a path");
    let installed: PathBuf = binary().parent().expect("a folder").to_path_buf();
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(folder).arg("-euc").arg(script).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GUICHET_")) {
        shell.env_remove(name);
    }
    shell.env("PATH", format!("{}:{path}", installed.display()));
    shell
}

/// A page of the documentation.
fn page(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    std::fs::read_to_string(root.join(path)).expect("a page")
}

/// The shell commands of a page: its blocks marked `sh`.
fn blocks(path: &str) -> Vec<String> {
    page(path).split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}
