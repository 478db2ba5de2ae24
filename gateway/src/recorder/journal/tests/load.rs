//! Bounds hold and memory is flat, whatever is asked.

use std::{collections::HashSet, thread};

use super::*;

#[test]
fn a_full_disk_refuses_admissions_and_takes_the_ends_it_owes() {
    let dir = tempfile::tempdir().unwrap();
    let max_bytes = 1 << 20;
    let bounded = Settings { max_bytes, segment_bytes: 32 << 10, ..settings() };
    let (journal, _) = Journal::open(dir.path(), bounded).unwrap();
    let owed: Vec<u64> = (0..40).collect();
    for number in &owed {
        journal.admit(&admission(*number)).unwrap();
    }
    // Each is written before the next is asked for: an admission that ended in the buffer gives its room back when it is
    // written, and what is refused now would be taken then.
    let mut number = 1_000;
    while journal.admit(&admission(number)).is_ok() {
        journal.end(&record(number)).unwrap();
        assert!(journal.flush(SOON));
        number += 1;
    }
    assert!(number > 2_000, "{number}");
    assert_eq!(journal.admit(&admission(number)), Err(Refused::Full));
    // Refusals at the door need less room than a request; they too come to an end.
    let mut refusals = 0;
    while journal.end(&record(number)).is_ok() {
        assert!(journal.flush(SOON));
        number += 1;
        refusals += 1;
        assert!(refusals < 100);
    }
    assert!(!journal.has_room());
    for number in &owed {
        journal.end(&record(*number)).unwrap();
    }
    assert!(journal.flush(SOON));
    let stats = journal.stats();
    assert!(stats.disk_bytes <= max_bytes, "{stats:?}");
    assert_eq!(stats.disk_bytes, on_disk(dir.path()));
    assert_eq!(stats.refused, 3);

    let records = drain(&journal, 500);
    assert_eq!(records.len() as u64, number - 1_000 + 40);
    assert!(journal.has_room());
    journal.admit(&admission(number)).unwrap();
    assert!(journal.stats().disk_bytes < 64 << 10, "room is back");
}

#[test]
fn a_full_buffer_refuses_admissions_and_takes_the_ends_it_owes() {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    let bounded = Settings { buffer_bytes: 64 << 10, ..settings() };
    let (journal, _) = Journal::open(&journal_dir, bounded).unwrap();
    // The disk takes nothing.
    let aside = dir.path().join("aside");
    fs::rename(&journal_dir, &aside).unwrap();
    let mut number = 0;
    while journal.admit(&admission(number)).is_ok() {
        number += 1;
    }
    assert_eq!(journal.admit(&admission(number)), Err(Refused::Full));
    assert!(journal.stats().buffered_bytes <= 64 << 10);
    for number in 0..number {
        journal.end(&record(number)).unwrap();
    }
    fs::rename(&aside, &journal_dir).unwrap();
    assert_eq!(drain(&journal, 100).len() as u64, number);
}

#[test]
fn eight_threads_and_a_reader_lose_nothing() {
    const THREADS: u64 = 8;
    const EACH: u64 = 4_000;
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { segment_bytes: 128 << 10, ..settings() };
    let (journal, _) = Journal::open(dir.path(), small).unwrap();
    let writers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let journal = Arc::clone(&journal);
            thread::spawn(move || {
                for index in 0..EACH {
                    let number = index * THREADS + thread;
                    journal.admit(&admission(number)).unwrap();
                    // Some end at once, some much later, from the same thread or not at all here.
                    if index >= 100 {
                        journal.end(&record(number - 100 * THREADS)).unwrap();
                    }
                }
            })
        })
        .collect();
    let mut seen = HashSet::new();
    let deadline = Instant::now() + SOON * 3;
    let expected = (THREADS * (EACH - 100)) as usize;
    while seen.len() < expected && Instant::now() < deadline {
        if journal.wait(Duration::from_millis(50))
            && let Some(batch) = journal.next_batch(1000).unwrap()
        {
            for record in &batch.records {
                assert!(seen.insert(record.id.clone()), "{} twice without a restart", record.id);
            }
            journal.stored(batch).unwrap();
        }
        let stats = journal.stats();
        assert!(stats.open <= (THREADS * 101) as usize);
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(seen.len(), expected);
    let stats = journal.stats();
    assert_eq!((stats.waiting, stats.open as u64, stats.refused), (0, THREADS * 100, 0));
}

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The database is down: records wait on disk and memory stays where it was; then all of them come.
/// `GUICHET_TEST_WAITING` sets how many, in thousands.
#[test]
fn memory_is_flat_while_records_wait() {
    let thousands = std::env::var("GUICHET_TEST_WAITING").ok().and_then(|n| n.parse().ok()).unwrap_or(100u64);
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let say = |number| {
        journal.admit(&admission(number)).unwrap();
        journal.end(&record(number)).unwrap();
    };
    (0..20_000).for_each(say);
    assert!(journal.flush(SOON));
    let before = resident_bytes();
    let start = Instant::now();
    for number in 20_000..thousands * 1000 {
        say(number);
        if number % 10_000 == 0 {
            assert!(journal.flush(SOON));
        }
    }
    assert!(journal.flush(SOON));
    let grown = resident_bytes().saturating_sub(before);
    let written = start.elapsed();
    assert_eq!(journal.stats().waiting, thousands * 1000);
    // Other tests of this process take memory of their own meanwhile.
    assert!(grown < 64 << 20, "{grown} bytes more");

    let disk = journal.stats().disk_bytes;
    drop(journal);
    let start = Instant::now();
    let (journal, recovered) = open(dir.path());
    let opened = start.elapsed();
    assert_eq!(recovered.waiting, thousands * 1000);
    let start = Instant::now();
    let mut next = 0;
    while let Some(batch) = journal.next_batch(1000).unwrap() {
        for record in &batch.records {
            assert_eq!(record.id, admission(next).id);
            next += 1;
        }
        journal.stored(batch).unwrap();
    }
    assert_eq!(next, thousands * 1000);
    assert!(resident_bytes().saturating_sub(before) < 64 << 20);
    println!(
        "{thousands}k records: {} bytes each on disk, {} KiB more memory, written in {written:?}, \
         reopened in {opened:?}, read in {:?}",
        disk / (thousands * 1000),
        grown >> 10,
        start.elapsed(),
    );
}

/// Prints a figure, asserts none: machines differ.
#[test]
fn cost_of_a_request() {
    const COUNT: u64 = 20_000;
    for threads in [1, 2] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path(), Settings::default()).unwrap();
        let requests: Vec<_> = (0..threads).map(|n| (admission(n), record(n))).collect();
        let start = Instant::now();
        thread::scope(|scope| {
            for (admission, record) in &requests {
                scope.spawn(|| {
                    for _ in 0..COUNT {
                        while journal.admit(admission).is_err() {
                            thread::yield_now();
                        }
                        while journal.end(record).is_err() {
                            thread::yield_now();
                        }
                    }
                });
            }
        });
        let elapsed = start.elapsed();
        assert!(journal.flush(SOON));
        println!("{threads} threads: {} ns for an admission and its end", elapsed.as_nanos() / u128::from(COUNT));
    }
}
