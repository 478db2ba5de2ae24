//! Random lives of a journal, crashes included, against what must be true of any of them.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Admit,
    /// Ends one of the open requests.
    End(usize),
    /// A record without admission.
    Refuse,
    Flush,
    Read {
        max: usize,
        store: bool,
    },
    Restart,
    /// Dies somewhere in the write of what is said in `last`, leaving `tail` behind the cut.
    Crash {
        last: Vec<Op>,
        cut: f64,
        tail: Tail,
    },
    /// Dies with whatever is on disk.
    CrashNow,
}

#[derive(Clone, Copy, Debug)]
enum Tail {
    None,
    Zeros,
    Garbage(u8),
}

fn quiet() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => Just(Op::Admit),
        5 => any::<usize>().prop_map(Op::End),
        1 => Just(Op::Refuse),
        2 => Just(Op::Flush),
        2 => (1usize..8, any::<bool>()).prop_map(|(max, store)| Op::Read { max, store }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let tail = prop_oneof![Just(Tail::None), Just(Tail::Zeros), any::<u8>().prop_map(Tail::Garbage)];
    prop_oneof![
        12 => quiet(),
        1 => Just(Op::Restart),
        1 => Just(Op::CrashNow),
        2 => (prop::collection::vec(quiet(), 0..12), 0.0..1.0f64, tail)
            .prop_map(|(last, cut, tail)| Op::Crash { last, cut, tail }),
    ]
}

/// What must be true of a request in the end.
#[derive(Clone, Copy, Debug, Default)]
struct Request {
    admitted: bool,
    ended: bool,
    /// Written for sure.
    admission_kept: bool,
    end_kept: bool,
    /// The process it lived in is gone.
    over: bool,
}

struct World {
    dir: tempfile::TempDir,
    journal: Arc<Journal>,
    requests: BTreeMap<u64, Request>,
    database: BTreeMap<String, Outcome>,
}

fn tiny() -> Settings {
    Settings { flush: FLUSH_MAX, segment_bytes: 1200, max_bytes: 512 << 10, buffer_bytes: 64 << 10, fsync: false }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path(), tiny()).unwrap();
        Self { dir, journal, requests: BTreeMap::new(), database: BTreeMap::new() }
    }

    fn play(&mut self, op: &Op) {
        match op {
            Op::Admit => {
                let number = self.requests.len() as u64;
                if self.journal.admit(&admission(number)).is_ok() {
                    let request = Request { admitted: true, ..Request::default() };
                    self.requests.insert(number, request);
                }
            }
            Op::End(choice) => {
                let open: Vec<u64> = self
                    .requests
                    .iter()
                    .filter(|(_, request)| request.admitted && !request.ended && !request.over)
                    .map(|(number, _)| *number)
                    .collect();
                if !open.is_empty() {
                    let number = open[choice % open.len()];
                    self.journal.end(&record(number)).unwrap();
                    self.requests.get_mut(&number).unwrap().ended = true;
                }
            }
            Op::Refuse => {
                let number = self.requests.len() as u64;
                if self.journal.end(&record(number)).is_ok() {
                    let request = Request { ended: true, ..Request::default() };
                    self.requests.insert(number, request);
                }
            }
            Op::Flush => {
                assert!(self.journal.flush(SOON));
                self.kept();
            }
            Op::Read { max, store } => {
                if let Some(batch) = self.journal.next_batch(*max).unwrap() {
                    assert!(!batch.records.is_empty() && batch.records.len() <= *max);
                    if *store {
                        insert(&mut self.database, &batch.records);
                        self.journal.stored(batch).unwrap();
                    }
                }
            }
            Op::Restart => {
                self.journal.close().unwrap();
                self.kept();
                let image = Image::of(self.dir.path());
                self.restart(&image);
            }
            Op::CrashNow => {
                let image = Image::of(self.dir.path());
                self.restart(&image);
            }
            Op::Crash { last, cut, tail } => {
                self.play(&Op::Flush);
                let before = Image::of(self.dir.path());
                let kept = self.requests.clone();
                for op in last {
                    // What is written meanwhile is in the files that may be cut.
                    self.play(op);
                }
                assert!(self.journal.flush(SOON));
                let after = Image::of(self.dir.path());
                for (number, request) in &mut self.requests {
                    let sure = kept.get(number).copied().unwrap_or_default();
                    request.admission_kept = sure.admission_kept;
                    request.end_kept = sure.end_kept;
                }
                self.restart(&before.torn(&after, *cut, *tail));
            }
        }
    }

    fn kept(&mut self) {
        for request in self.requests.values_mut().filter(|request| !request.over) {
            request.admission_kept |= request.admitted;
            request.end_kept |= request.ended;
        }
    }

    fn restart(&mut self, image: &Image) {
        for request in self.requests.values_mut() {
            request.over = true;
        }
        let dir = tempfile::tempdir().unwrap();
        image.write(dir.path());
        let (journal, _) = Journal::open(dir.path(), tiny()).unwrap();
        self.journal = journal;
        self.dir = dir;
    }

    fn judge(mut self) -> Result<(), TestCaseError> {
        self.play(&Op::Restart);
        let rest = drain(&self.journal, 7);
        insert(&mut self.database, &rest);
        let mut known = 0;
        for (number, request) in &self.requests {
            let outcome = self.database.get(admission(*number).id.as_str());
            known += usize::from(outcome.is_some());
            if request.end_kept {
                prop_assert_eq!(outcome, Some(&Outcome::Success), "{}: {:?}", number, request);
            } else if request.admission_kept {
                prop_assert!(outcome.is_some(), "{} lost: {:?}", number, request);
            }
            if !request.ended {
                prop_assert_ne!(outcome, Some(&Outcome::Success), "{}: {:?}", number, request);
            }
        }
        prop_assert_eq!(known, self.database.len(), "records nobody wrote");
        let stats = self.journal.stats();
        prop_assert_eq!((stats.waiting, stats.open), (0, 0));
        prop_assert!(stats.segments <= 1, "{:?}", stats);
        prop_assert_eq!(stats.disk_bytes, on_disk(self.dir.path()));
        Ok(())
    }
}

/// The files of a journal at one instant.
struct Image {
    segments: BTreeMap<u64, Vec<u8>>,
    mark: Vec<u8>,
}

impl Image {
    /// Older segments are read first, and all again if one came or went meanwhile: so the image is
    /// one that a death of the process could leave.
    fn of(dir: &Path) -> Self {
        loop {
            let numbers = segment::list(dir).unwrap();
            let mark = fs::read(mark::path(dir)).unwrap();
            let segments: Option<_> =
                numbers.iter().map(|number| Some((*number, fs::read(segment::path(dir, *number)).ok()?))).collect();
            if let Some(segments) = segments
                && segment::list(dir).unwrap() == numbers
            {
                return Self { segments, mark };
            }
        }
    }

    fn write(&self, dir: &Path) {
        for (number, bytes) in &self.segments {
            fs::write(segment::path(dir, *number), bytes).unwrap();
        }
        fs::write(mark::path(dir), &self.mark).unwrap();
    }

    /// This image, and the first of the writes that made it `after`, cut short.
    fn torn(mut self, after: &Self, cut: f64, tail: Tail) -> Self {
        self.mark.clone_from(&after.mark);
        let grown =
            after.segments.iter().find(|(number, bytes)| self.segments.get(*number).is_none_or(|old| old != *bytes));
        if let Some((number, bytes)) = grown {
            let old = self.segments.get(number).map_or(0, Vec::len);
            let kept = old + ((bytes.len() - old) as f64 * cut) as usize;
            let mut torn = bytes[..kept].to_vec();
            match tail {
                Tail::None => {}
                Tail::Zeros => torn.resize(bytes.len(), 0),
                Tail::Garbage(seed) => {
                    torn.extend((kept..bytes.len()).map(|at| (at as u8).wrapping_mul(seed)));
                }
            }
            self.segments.insert(*number, torn);
        }
        self
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_kept_is_lost_and_nothing_ended_is_interrupted(
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new();
        for op in &ops {
            world.play(op);
        }
        world.judge()?;
    }
}
