//! The reference implementations: `tests/eval/reference.py`, in the environment that `tests/eval/install.sh` makes.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

/// Figures by case and name.
pub struct Figures(Value);

/// Asks for the figures of cases: name → `{"kind": …, inputs}`.
pub fn ask(cases: &Map<String, Value>) -> Figures {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let cache = std::env::var_os("GUICHET_TEST_CACHE").map_or_else(|| root.join("../target"), PathBuf::from);
    let python = cache.join("references/bin/python");
    assert!(python.exists(), "{} is missing: run tests/eval/install.sh first", python.display());
    let mut child = Command::new(python)
        .arg(root.join("eval/reference.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = child.stdin.take().expect("its input");
    let text = serde_json::to_vec(cases).expect("cases");
    let feed = std::thread::spawn(move || input.write_all(&text));
    let output = child.wait_with_output().expect("its output");
    feed.join().expect("a thread").expect("it reads all");
    assert!(output.status.success(), "reference.py failed: {}", output.status);
    Figures(serde_json::from_slice(&output.stdout).expect("JSON"))
}

impl Figures {
    pub fn of(&self, case: &str) -> &Value {
        &self.0[case]
    }

    pub fn number(&self, case: &str, figure: &str) -> f64 {
        self.0[case][figure].as_f64().unwrap_or_else(|| panic!("{case} has no {figure}: {}", self.0[case]))
    }

    pub fn numbers(&self, case: &str, figure: &str) -> Vec<f64> {
        let list = self.0[case][figure].as_array().unwrap_or_else(|| panic!("{case} has no {figure}"));
        list.iter().map(|value| value.as_f64().expect("a number")).collect()
    }

    /// Ours is theirs, within an absolute tolerance.
    pub fn near(&self, case: &str, figure: &str, ours: f64, tolerance: f64) {
        let theirs = self.number(case, figure);
        assert!((ours - theirs).abs() <= tolerance, "{case}.{figure}: ours {ours}, theirs {theirs}");
    }
}

/// Two series, number by number.
pub fn all_near(name: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert!((ours - theirs).abs() <= tolerance, "{name}[{place}]: ours {ours}, theirs {theirs}");
    }
}
