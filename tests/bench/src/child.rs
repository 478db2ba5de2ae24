//! A process of the bench's own, in a process group of its own, ended with all its descendants.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;

/// Time to end by itself after SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(15);

/// Ends its process group when dropped.
pub struct Child {
    name: &'static str,
    process: process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command`; its output goes to `folder/NAME.log`.
    pub fn start(name: &'static str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(name).with_extension("log");
        let output = File::create(&log)?;
        let process = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        Ok(Self { name, process, log })
    }

    /// Root of the process tree.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// An error with the end of its log if it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} ended ({status}):\n{}", self.name, self.last_words()).into()),
        }
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Signals the whole group; through the shell's own `kill`, so that no unsafe code is needed.
    fn signal(&self, signal: &str) -> io::Result<()> {
        let kill = format!("kill -s {signal} -- -{}", self.pid());
        Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().map(|_| ())
    }

    fn gone_within(&mut self, patience: Duration) -> bool {
        let started = Instant::now();
        while started.elapsed() < patience {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return true;
            }
            sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Once reaped, its number may belong to somebody else.
        if matches!(self.process.try_wait(), Ok(None)) && self.signal("TERM").is_ok() && !self.gone_within(GRACE) {
            let _ = self.signal("KILL");
            let _ = self.process.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_and_its_own_children_end_when_dropped() {
        let folder = std::env::temp_dir().join(format!("guichet-bench-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!; wait"]);
        let mut child = Child::start("family", &mut command, &folder).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while child.last_words().is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(10));
        }
        let grandchild = format!("/proc/{}/stat", child.last_words().trim());
        child.check().unwrap();
        assert!(Path::new(&grandchild).exists());
        drop(child);
        // An orphan nobody reaps stays as a zombie; either way it runs no more.
        let alive = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'));
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::read_to_string(&grandchild).is_ok_and(alive) {
            assert!(Instant::now() < deadline, "the grandchild still runs");
            sleep(Duration::from_millis(10));
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_child_that_ended_is_told_with_its_last_words() {
        let folder = std::env::temp_dir();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such port; exit 3"]);
        let mut child = Child::start("guichet-bench-quitter", &mut command, &folder).unwrap();
        assert!(child.gone_within(Duration::from_secs(5)));
        let told = child.check().unwrap_err().to_string();
        assert!(told.contains("exit status: 3") && told.contains("no such port"), "{told}");
    }
}
