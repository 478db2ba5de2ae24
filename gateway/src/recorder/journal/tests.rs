//! What the journal promises, at its own boundary. The model is in `tests/model.rs`, the death of a
//! real process in `tests/kill.rs`, bounds and figures in `tests/load.rs`.

mod kill;
mod load;
mod model;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicUsize,
    time::Instant,
};

use super::*;
use crate::recorder::record::{Endpoint, Outcome, PARAMETERS_MAX, TEXT_MAX, Text};
use crate::store::chain::{encoded_hash, record_hash};

const SOON: Duration = Duration::from_secs(20);

fn admission(number: u64) -> Admission {
    Admission {
        id: format!("req_{number:032x}").into(),
        started_at: 1_760_000_000_000,
        organization_id: 12,
        project_id: Some(34),
        member_id: None,
        key_id: "gk_4f7a9c21".into(),
        end_user: Some("pseudonym-of-someone".into()),
        endpoint: Endpoint::ChatCompletions,
        streamed: true,
        model_asked: "openweight-small".into(),
        data_class: "internal".into(),
        tokens_in: 321,
        client_retry: 0,
    }
}

fn record(number: u64) -> Record {
    Record {
        model_served: Some("openweight-small".into()),
        deployment: Some("llama-local".into()),
        hosting: Some("local".into()),
        parameters: Some(r#"{"temperature":0.2,"max_tokens":512}"#.into()),
        tokens_out: 77,
        tokens_estimated: false,
        first_token_ms: Some(120),
        duration_ms: 2345,
        status: 200,
        outcome: Outcome::Success,
        error_code: None,
        finish_reason: Some("stop".into()),
        attempts: 1,
        energy_wh: Some(0.12),
        carbon_g: Some(0.01),
        impact_method: Some("ecologits-0.5".into()),
        ..Record::interrupted(admission(number))
    }
}

fn settings() -> Settings {
    Settings { flush: Duration::from_millis(5), ..Settings::default() }
}

fn open(dir: &Path) -> (Arc<Journal>, Recovered) {
    Journal::open(dir, settings()).unwrap()
}

/// Reads and stores all that is written, by `max`.
fn drain(journal: &Journal, max: usize) -> Vec<Record> {
    assert!(journal.flush(SOON));
    let mut all = Vec::new();
    while let Some(batch) = journal.next_batch(max).unwrap() {
        assert!(batch.records.len() <= max);
        all.extend(batch.records.iter().cloned());
        journal.stored(batch).unwrap();
    }
    all
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    segment::list(dir).unwrap().into_iter().map(|number| segment::path(dir, number)).collect()
}

fn on_disk(dir: &Path) -> u64 {
    segments(dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn records_come_back_as_they_were_until_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered::default());
    assert!(journal.next_batch(10).unwrap().is_none());
    for number in 0..5 {
        journal.admit(&admission(number)).unwrap();
        journal.end(&record(number)).unwrap();
    }
    assert!(journal.flush(SOON));
    assert!(journal.wait(SOON));
    let first = journal.next_batch(3).unwrap().unwrap();
    assert_eq!(first.records, [record(0), record(1), record(2)]);
    for (record, encoded) in first.records.iter().zip(first.encodings()) {
        assert_eq!(encoded_hash(encoded), record_hash(record).unwrap(), "what is chained is what is verified later");
    }
    assert_eq!(first.encodings().count(), 3);
    let again = journal.next_batch(2).unwrap().unwrap();
    assert_eq!(again.records, [record(0), record(1)]);
    assert_eq!(journal.stats().waiting, 5);
    journal.stored(first).unwrap();
    assert_eq!(journal.stats().waiting, 2);
    journal.stored(again).unwrap();
    assert_eq!(journal.stats().waiting, 2, "a batch already stored changes nothing");
    assert_eq!(drain(&journal, 10), [record(3), record(4)]);
    assert!(!journal.wait(Duration::from_millis(1)));
    let stats = journal.stats();
    assert_eq!((stats.waiting, stats.open, stats.buffered_bytes), (0, 0, 0));
    assert_eq!(stats.oldest_waiting, Duration::ZERO);
}

#[test]
fn a_clean_restart_forgets_what_is_stored_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (journal, _) = open(dir.path());
        for number in 0..4 {
            journal.end(&record(number)).unwrap();
        }
        assert!(journal.flush(SOON));
        let batch = journal.next_batch(3).unwrap().unwrap();
        journal.stored(batch).unwrap();
        journal.admit(&admission(9)).unwrap();
        journal.close().unwrap();
        assert_eq!(journal.admit(&admission(10)), Err(Refused::Closed));
        assert_eq!(journal.end(&record(9)), Err(Refused::Closed));
    }
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered { segments: 1, waiting: 1, interrupted: 1, ..Recovered::default() });
    assert_eq!(drain(&journal, 10), [record(3), Record::interrupted(admission(9))]);
    assert_eq!(segments(dir.path()).len(), 1, "the old segment is gone");
    drop(journal);
    let (journal, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered { segments: 1, ..Recovered::default() });
    assert_eq!(segments(dir.path()).len(), 0, "nothing is left");
    journal.end(&record(11)).unwrap();
    assert_eq!(drain(&journal, 10), [record(11)], "numbers of segments are not used twice");
}

#[test]
fn an_admission_whose_end_comes_at_once_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), Settings { flush: FLUSH_MAX, ..Settings::default() }).unwrap();
    journal.admit(&admission(1)).unwrap();
    journal.admit(&admission(2)).unwrap();
    journal.end(&record(1)).unwrap();
    assert!(journal.flush(SOON));
    let frame = |kind, number| match kind {
        Kind::Admission => segment::frame(kind, &admission(number)).unwrap().len() as u64,
        Kind::Record => segment::frame(kind, &record(number)).unwrap().len() as u64,
    };
    let expected = segment::HEADER + frame(Kind::Admission, 2) + frame(Kind::Record, 1);
    assert_eq!(on_disk(dir.path()), expected);
    assert_eq!(journal.stats().disk_bytes, expected);
    assert_eq!(journal.stats().open, 1);
}

#[test]
fn two_processes_cannot_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let error = Journal::open(dir.path(), settings()).unwrap_err();
    assert!(matches!(&error, OpenError::Locked(path) if path == dir.path()));
    assert!(error.to_string().contains("another process"), "{error}");
    drop(journal);
    open(dir.path());
}

#[test]
fn another_format_is_refused_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut bytes = b"GUICHETJ\x09\0\0\0".to_vec();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend([7; 100]);
    let path = segment::path(dir.path(), 5);
    fs::write(&path, &bytes).unwrap();
    fs::write(segment::path(dir.path(), 2), [1]).unwrap();
    let error = Journal::open(dir.path(), settings()).unwrap_err();
    assert!(matches!(error, OpenError::Version { found: 9, .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(segment::path(dir.path(), 2).exists());
}

#[test]
fn a_flipped_byte_costs_one_record_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (journal, _) = open(dir.path());
        for number in 0..100 {
            journal.end(&record(number)).unwrap();
        }
        journal.close().unwrap();
    }
    let path = segments(dir.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let frame = segment::frame(Kind::Record, &record(0)).unwrap().len() as u64;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bytes.extend([0xFE, 0xFF, 3]);
    fs::write(&path, &bytes).unwrap();
    let (journal, recovered) = open(dir.path());
    assert_eq!((recovered.waiting, recovered.torn_bytes), (99, 3));
    assert_eq!(recovered.corrupt_bytes, frame);
    drop(journal);
    let (journal, recovered) = open(dir.path());
    assert_eq!((recovered.waiting, recovered.torn_bytes), (99, 0), "a tail is cut once");
    let records = drain(&journal, 30);
    assert_eq!(records.len(), 99);
    assert_eq!(journal.stats().corrupt_bytes, frame);
    assert_eq!(journal.stats().waiting, 0);
    assert!(records.iter().all(|record| record.outcome == Outcome::Success));
}

#[test]
fn damage_under_the_reader_does_not_stop_it() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    for number in 0..50 {
        journal.end(&record(number)).unwrap();
    }
    assert!(journal.flush(SOON));
    let path = segments(dir.path()).remove(0);
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    let before = drain(&journal, 10).len();
    assert!((20..30).contains(&before), "{before}");
    assert!(journal.stats().corrupt_bytes > 0);
    journal.end(&record(51)).unwrap();
    assert_eq!(drain(&journal, 10), [record(51)]);
}

#[test]
fn texts_of_clients_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let huge = Admission { model_asked: "m".repeat(5_000_000).into(), ..admission(1) };
    journal.admit(&huge).unwrap();
    assert!(journal.stats().buffered_bytes < 4096 && journal.stats().disk_bytes < 4096);
    journal.end(&Record { outcome: Outcome::Refused, ..Record::interrupted(huge) }).unwrap();
    let records = drain(&journal, 10);
    assert_eq!(records[0].model_asked, "m".repeat(TEXT_MAX));
    assert_eq!(journal.stats().open, 0);
}

#[test]
fn the_largest_end_and_admission_fit_their_reserve() {
    let text = || Text::from("\u{7f}".repeat(TEXT_MAX));
    let largest = Admission {
        id: text(),
        started_at: i64::MIN,
        organization_id: i64::MIN,
        project_id: Some(i64::MIN),
        member_id: Some(i64::MIN),
        key_id: text(),
        end_user: Some(text()),
        model_asked: text(),
        data_class: text(),
        tokens_in: i64::MIN,
        client_retry: i64::MIN,
        ..admission(0)
    };
    let end = Record {
        model_served: Some(text()),
        deployment: Some(text()),
        hosting: Some(text()),
        prompt_id: Some(text()),
        prompt_version: Some(text()),
        prompt_hash: Some(text()),
        parameters: Some("p".repeat(PARAMETERS_MAX).into()),
        tokens_out: i64::MIN,
        tokens_cached: Some(i64::MIN),
        tokens_reasoning: Some(i64::MIN),
        first_token_ms: Some(i64::MIN),
        duration_ms: i64::MIN,
        status: i64::MIN,
        error_code: Some(text()),
        finish_reason: Some(text()),
        attempts: i64::MIN,
        energy_wh: Some(f64::MAX),
        carbon_g: Some(f64::MAX),
        impact_method: Some(text()),
        ..Record::interrupted(largest.clone())
    };
    let size =
        segment::frame(Kind::Admission, &largest).unwrap().len() + segment::frame(Kind::Record, &end).unwrap().len();
    assert!(size as u64 <= intake::RESERVE, "{size}");
}

#[test]
fn a_hook_hears_of_every_write_with_records() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    assert!(journal.on_flush(move || {
        counter.fetch_add(1, Relaxed);
    }));
    assert!(!journal.on_flush(|| {}));
    journal.admit(&admission(1)).unwrap();
    assert!(journal.flush(SOON));
    journal.end(&record(1)).unwrap();
    journal.close().unwrap();
    assert_eq!(calls.load(Relaxed), 1);
}

#[test]
fn an_idle_wait_ends_when_a_record_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let writer = Arc::clone(&journal);
    let waiting = thread_wait(&journal);
    std::thread::sleep(Duration::from_millis(20));
    writer.end(&record(1)).unwrap();
    assert!(waiting.join().unwrap() < Duration::from_secs(5));
}

fn thread_wait(journal: &Arc<Journal>) -> JoinHandle<Duration> {
    let journal = Arc::clone(journal);
    std::thread::spawn(move || {
        let start = Instant::now();
        assert!(journal.wait(SOON));
        start.elapsed()
    })
}

/// A request of an hour among many short ones: the disk does not keep the hour, and its end, or its
/// interruption, is still there.
#[test]
fn a_long_request_does_not_hold_the_segments_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let small = Settings { segment_bytes: 4 << 10, max_bytes: 1 << 20, ..settings() };
    let (journal, _) = Journal::open(dir.path(), small.clone()).unwrap();
    journal.admit(&admission(1)).unwrap();
    journal.admit(&admission(2)).unwrap();
    assert!(journal.flush(SOON));
    let mut most = 0;
    for number in 10..2_000 {
        journal.end(&record(number)).unwrap();
        if number % 10 == 0 {
            drain(&journal, 100);
            most = most.max(segments(dir.path()).len());
        }
    }
    assert!(most <= 10, "{most} segments kept");
    let number = segment::list(dir.path()).unwrap()[0];
    assert!(number > 10, "the first segments are gone, {number} is the first");
    journal.end(&record(1)).unwrap();
    assert_eq!(drain(&journal, 100).last(), Some(&record(1)));
    drop(journal);
    let (journal, recovered) = Journal::open(dir.path(), small).unwrap();
    assert_eq!(recovered.interrupted, 1);
    assert_eq!(drain(&journal, 100), [Record::interrupted(admission(2))]);
}

#[test]
fn writes_that_fail_are_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    let (journal, _) = open(&journal_dir);
    // Segments are created when first needed, so a directory that is gone fails the first write.
    let aside = dir.path().join("aside");
    fs::rename(&journal_dir, &aside).unwrap();
    journal.admit(&admission(1)).unwrap();
    journal.end(&record(1)).unwrap();
    assert!(!journal.flush(Duration::from_millis(50)));
    let stats = journal.stats();
    assert!(stats.failing && stats.write_errors > 0 && stats.waiting == 1, "{stats:?}");
    fs::rename(&aside, &journal_dir).unwrap();
    assert_eq!(drain(&journal, 10), [record(1)]);
    assert!(!journal.stats().failing);
}

#[test]
fn the_last_write_that_cannot_be_made_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let journal_dir = dir.path().join("journal");
    let (journal, _) = open(&journal_dir);
    fs::rename(&journal_dir, dir.path().join("aside")).unwrap();
    journal.end(&record(1)).unwrap();
    let error = journal.close().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn with_fsync_all_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), Settings { fsync: true, ..settings() }).unwrap();
    journal.admit(&admission(1)).unwrap();
    assert!(journal.flush(SOON));
    journal.end(&record(1)).unwrap();
    assert_eq!(drain(&journal, 10), [record(1)]);
}

#[test]
fn the_age_of_the_oldest_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let old = Record { started_at: now - 61_000, duration_ms: 1_000, ..record(1) };
    journal.end(&old).unwrap();
    journal.end(&Record { started_at: now, ..record(2) }).unwrap();
    assert!(journal.flush(SOON));
    let age = journal.stats().oldest_waiting.as_secs();
    assert!((60..75).contains(&age), "{age}");
}

/// Ids and outcomes, the first of each id winning as in the database.
fn insert(database: &mut BTreeMap<String, Outcome>, records: &[Record]) {
    for record in records {
        database.entry(record.id.to_string()).or_insert(record.outcome);
    }
}
