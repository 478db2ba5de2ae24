//! How far an ingestion is, on standard error: a bar on a terminal, a line from time to time elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 30;
const ON_TERMINAL: Duration = Duration::from_millis(100);
const ELSEWHERE: Duration = Duration::from_secs(10);

pub struct Bar {
    total: usize,
    terminal: bool,
    started: Instant,
    shown: Option<Instant>,
}

impl Bar {
    pub fn new(total: usize) -> Bar {
        Bar { total, terminal: std::io::stderr().is_terminal(), started: Instant::now(), shown: None }
    }

    pub fn show(&mut self, done: usize, failed: usize) {
        let every = if self.terminal { ON_TERMINAL } else { ELSEWHERE };
        if self.shown.unwrap_or(self.started).elapsed() < every {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(done, failed, self.total, self.started.elapsed());
        let (before, after) = if self.terminal { ("\r", "\u{1b}[K") } else { ("", "\n") };
        drop(write!(std::io::stderr(), "{before}{line}{after}"));
    }

    pub fn end(mut self, done: usize, failed: usize) {
        if self.shown.take().is_some() && self.terminal {
            let line = line(done, failed, self.total, self.started.elapsed());
            drop(writeln!(std::io::stderr(), "\r{line}\u{1b}[K"));
        }
    }
}

fn line(done: usize, failed: usize, total: usize, elapsed: Duration) -> String {
    let ended = done + failed;
    let full = (ended * WIDTH).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    #[expect(clippy::cast_precision_loss, reason = "a count of documents")]
    let rate = ended as f64 / elapsed.as_secs_f64().max(0.001);
    format!("[{}{}] {ended}/{total}, {failed} failed, {rate:.1}/s", "#".repeat(full), " ".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills() {
        assert_eq!(
            line(14, 1, 30, Duration::from_secs(10)),
            format!("[{}{}] 15/30, 1 failed, 1.5/s", "#".repeat(15), " ".repeat(15))
        );
        assert!(line(0, 0, 0, Duration::ZERO).starts_with(&format!("[{}]", "#".repeat(WIDTH))));
    }
}
