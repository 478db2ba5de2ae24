//! What a process and all its descendants cost, from `/proc`.

use std::collections::HashMap;
use std::fs;

/// Clock ticks a second in `/proc/*/stat`: `USER_HZ`, 100 on every Linux platform Rust supports.
const TICKS: f64 = 100.0;

/// The processes under test at one moment.
#[derive(Debug, Clone)]
pub struct Tree(Vec<u32>);

impl Tree {
    /// `root` and its descendants, as they are now.
    pub fn of(root: u32) -> Self {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
            if let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut pids = vec![root];
        let mut next = 0;
        while let Some(pid) = pids.get(next) {
            pids.extend(children.remove(pid).unwrap_or_default());
            next += 1;
        }
        Self(pids)
    }

    /// CPU time used so far, user and system, in seconds; 10 ms grain.
    pub fn cpu_seconds(&self) -> f64 {
        let ticks = |pid: &u32| {
            let fields = stat(*pid)?;
            let field = |index: usize| fields.get(index)?.parse::<f64>().ok();
            Some(field(11)? + field(12)?)
        };
        self.0.iter().filter_map(ticks).sum::<f64>() / TICKS
    }

    /// CPU time of the gateway's serving threads, the first of the process and those called `worker-N`, in seconds; by
    /// the scheduler, to the nanosecond.
    pub fn serving_seconds(&self) -> f64 {
        let threads = |pid: &u32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let spent = |thread: fs::DirEntry| {
            let first = thread.file_name().to_str()?.parse().ok().as_ref() == self.0.first();
            let name = fs::read_to_string(thread.path().join("comm")).ok()?;
            let seen = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            (first || name.starts_with("worker-"))
                .then(|| seen.split_whitespace().next()?.parse::<f64>().ok())
                .flatten()
        };
        self.0.iter().flat_map(threads).filter_map(spent).sum::<f64>() / 1e9
    }

    /// Resident memory, in MiB.
    pub fn memory_mib(&self) -> f64 {
        let resident = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        self.0.iter().filter_map(resident).sum::<f64>() / 1024.0
    }
}

/// The fields of `/proc/PID/stat` after the command, which may itself hold spaces and brackets.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_holds_the_children_and_their_memory() {
        let mut child = Command::new("sleep").arg("5").stdout(Stdio::null()).spawn().unwrap();
        let tree = Tree::of(std::process::id());
        assert!(tree.0.contains(&child.id()));
        assert!(tree.memory_mib() > Tree(vec![child.id()]).memory_mib());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn work_shows_as_cpu_time() {
        let tree = Tree::of(std::process::id());
        let before = tree.cpu_seconds();
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 100 {
            std::hint::spin_loop();
        }
        assert!(tree.cpu_seconds() > before);
    }
}
