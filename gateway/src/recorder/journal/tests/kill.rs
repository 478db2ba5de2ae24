//! A real process, really killed.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use super::*;

const DIR: &str = "GUICHET_TEST_JOURNAL_DIR";

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// Not a test: what the killed process does. One line for each thing said, once it was taken.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let small = Settings { segment_bytes: 64 << 10, ..Settings::default() };
    let (journal, _) = Journal::open(Path::new(&dir), small).unwrap();
    let mut out = std::io::stdout().lock();
    for number in 0.. {
        journal.admit(&admission(number)).unwrap();
        writeln!(out, "admit {number} {}", now_ms()).unwrap();
        // Every fifth request never ends, the others end a little later.
        if number >= 40 && (number - 40) % 5 != 0 {
            journal.end(&record(number - 40)).unwrap();
            writeln!(out, "end {} {}", number - 40, now_ms()).unwrap();
        }
        if number % 16 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn what_was_said_100_ms_before_a_kill_is_kept() {
    for round in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "recorder::journal::tests::kill::child", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).collect::<Vec<String>>());
        std::thread::sleep(Duration::from_millis(600 + 70 * round));
        let killed = now_ms();
        child.kill().unwrap();
        child.wait().unwrap();
        let lines = reader.join().unwrap();

        let (mut admitted, mut ended, mut all_ended) = (Vec::new(), Vec::new(), Vec::new());
        for line in &lines {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, number, at] = words[..] else {
                continue;
            };
            let (Ok(number), Ok(at)) = (number.parse::<u64>(), at.parse::<u128>()) else {
                continue;
            };
            let early = at + 100 < killed;
            match what {
                "admit" if early => admitted.push(number),
                "end" => {
                    all_ended.push(number);
                    if early {
                        ended.push(number);
                    }
                }
                _ => {}
            }
        }
        assert!(ended.len() > 200, "the child said little: {}", lines.len());

        let (journal, recovered) = open(dir.path());
        let mut database = BTreeMap::new();
        insert(&mut database, &drain(&journal, 500));
        let outcome = |number: u64| database.get(admission(number).id.as_str()).copied();
        for number in &ended {
            assert_eq!(outcome(*number), Some(Outcome::Success), "{number}, {recovered:?}");
        }
        let all_ended: std::collections::HashSet<u64> = all_ended.into_iter().collect();
        for number in &admitted {
            let outcome = outcome(*number);
            assert!(outcome.is_some(), "{number} lost, {recovered:?}");
            // The last end may have been written and not yet printed.
            if !all_ended.contains(number) && number % 5 == 0 {
                assert_eq!(outcome, Some(Outcome::Interrupted), "{number}");
            }
        }
        assert!(recovered.interrupted > 50, "{recovered:?}");
        assert_eq!(recovered.corrupt_bytes, 0);
    }
}
