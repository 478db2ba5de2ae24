//! Content on its way to evaluation, of projects that agreed to it. Others pay one comparison a request.
//!
//! ```text
//! request, answer ──► draft (memory, bounded) ──► queue ──► redaction (its own threads) ──► database
//! ```
//!
//! Nothing here waits and nothing is written: the request's body is shared, the answer's pieces are noted as they go out,
//! and what the budget of memory does not hold is dropped and counted. Only redacted content ever reaches a disk.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde::Deserialize;

use super::{Endpoint, Outcome, Record};
use crate::config::evaluation::{Evaluation, Sampling};
use crate::openai::Head;
use crate::policy::identity::Principal;
use crate::telemetry::{ResultLabel, Telemetry};

/// What a draft costs besides its texts.
const FRAME: usize = 2 << 10;
/// Memory is asked for an answer so much at a time.
const STEP: usize = 16 << 10;
/// How long contents gather before they are looked at: to wake a thread for each would cost the requests more than to
/// hand their contents in.
const GATHER: Duration = Duration::from_millis(20);
/// Longest name of a use.
const USE_MAX: usize = 64;

/// Where content is handed in.
pub struct Capture {
    sampling: ArcSwap<Sampling>,
    largest: usize,
    budget: Arc<Budget>,
    queue: Mutex<Queue>,
    ready: Condvar,
    telemetry: Arc<Telemetry>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// Memory that content may take, from the first byte of a draft until it is redacted.
#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    most: usize,
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    fn of(budget: &Arc<Budget>, bytes: usize) -> Option<Held> {
        let mut held = Held { budget: budget.clone(), bytes: 0 };
        held.grow(bytes).then_some(held)
    }

    fn grow(&mut self, more: usize) -> bool {
        let fits = |used: usize| used.checked_add(more).filter(|sum| *sum <= self.budget.most);
        let grown = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes += more;
        }
        grown
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request whose content may be kept.
pub struct Asked<'a> {
    pub who: &'a Principal,
    pub endpoint: Endpoint,
    /// Id of the model.
    pub model: &'a str,
    pub head: &'a Head<'a>,
    pub body: &'a Bytes,
    /// What was sent in the place of the body's messages, when a named prompt was rendered.
    pub messages: Option<&'a str>,
    /// Id of that prompt.
    pub prompt: Option<&'a str>,
}

/// What is known of a capture when it begins.
#[derive(Clone, Debug)]
pub struct Taken {
    pub notice: Arc<str>,
    pub use_case: Option<String>,
    /// Chance that such a request is kept.
    pub probability: f64,
    /// The rule that gave it.
    pub rule: Option<String>,
}

/// One passage that retrieval found for a request.
#[derive(Clone, Debug, PartialEq, serde::Serialize, Deserialize)]
pub struct Passage {
    /// 1 is the first.
    pub rank: u32,
    pub text: String,
    /// Name of its document, if it has one.
    pub document: Option<String>,
    /// Whether it was put in the prompt.
    pub in_prompt: bool,
    /// Whether the answer cites it.
    pub cited: bool,
    /// By which number the prompt calls it; absent: it is not there. Passages that overlap share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<usize>,
}

/// What an answer said, as the client got it.
pub enum Answer {
    Nothing,
    /// One JSON body.
    Whole(Bytes),
    /// Server-sent events.
    Events(Vec<u8>),
}

/// Content under way, beside its request's turn.
pub struct Draft {
    capture: Arc<Capture>,
    taken: Taken,
    body: Bytes,
    messages: Option<String>,
    answer: Answer,
    passages: Vec<Passage>,
    held: Held,
    /// Bytes of `held` that the answer has not used.
    spare: usize,
    /// Why it can no longer be kept.
    lost: Option<&'static str>,
}

/// Whole content, to be redacted.
pub struct Job {
    pub record: Record,
    pub taken: Taken,
    pub body: Bytes,
    pub messages: Option<String>,
    pub answer: Answer,
    pub passages: Vec<Passage>,
    _held: Held,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capture(…)")
    }
}

/// Content is never shown.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft(…)")
    }
}

impl Capture {
    pub fn new(settings: &Evaluation, telemetry: Arc<Telemetry>) -> Arc<Capture> {
        Arc::new(Capture {
            sampling: ArcSwap::from_pointee(settings.sampling.clone()),
            largest: settings.largest.bytes(),
            budget: Arc::new(Budget { used: AtomicUsize::new(0), most: settings.queue.bytes() }),
            queue: Mutex::default(),
            ready: Condvar::new(),
            telemetry,
        })
    }

    /// Takes new rates.
    pub fn reload(&self, settings: &Evaluation) {
        self.sampling.store(Arc::new(settings.sampling.clone()));
    }

    /// Whether content of this caller may be kept at all.
    pub fn concerns(who: &Principal) -> bool {
        who.project().is_some_and(|project| project.notice.is_some())
    }

    pub fn count(&self, result: &'static str, contents: usize) {
        let contents = u64::try_from(contents).unwrap_or(u64::MAX);
        self.telemetry.contents.get_or_create(&ResultLabel { result }).inc_by(contents);
    }

    /// Begins to note the content of a request, if its project agreed and live sampling takes it.
    pub fn begin(self: &Arc<Self>, asked: &Asked<'_>) -> Option<Box<Draft>> {
        let notice = asked.who.project()?.notice.clone()?;
        let use_case = asked.prompt.map(str::to_owned).or_else(|| told_use(asked.head));
        let (probability, rule) = rate(&self.sampling.load(), asked, use_case.as_deref());
        // Drawn apart from anything in the request, so that no request can make itself be taken.
        if probability <= 0.0 || fastrand::f64() >= probability {
            return None;
        }
        let size = asked.body.len() + asked.messages.map_or(0, str::len);
        if size > self.largest {
            self.count("too_large", 1);
            return None;
        }
        let Some(held) = Held::of(&self.budget, size + FRAME) else {
            self.count("overflow", 1);
            return None;
        };
        Some(Box::new(Draft {
            capture: self.clone(),
            taken: Taken { notice, use_case, probability, rule },
            body: asked.body.clone(),
            messages: asked.messages.map(str::to_owned),
            answer: Answer::Nothing,
            passages: Vec::new(),
            held,
            spare: 0,
            lost: None,
        }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next content to redact; waits for it. `None` once closed and empty.
    pub fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                // Whoever else redacts: only the first to come woke somebody.
                if !queue.jobs.is_empty() {
                    self.ready.notify_one();
                }
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
            let gathering = self.ready.wait_timeout_while(queue, GATHER, |queue| !queue.closed);
            (queue, _) = gathering.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.queue().closed = true;
        self.ready.notify_all();
    }
}

impl Draft {
    /// What retrieval found for this request.
    pub fn retrieved(&mut self, passages: Vec<Passage>) {
        let size: usize = passages.iter().map(|passage| passage.text.len()).sum();
        if size > self.capture.largest {
            self.lost = Some("too_large");
        } else if !self.held.grow(size) {
            self.lost = Some("overflow");
        } else {
            self.passages = passages;
        }
    }

    /// The whole answer, shared with what the client gets.
    pub fn whole(&mut self, body: &Bytes) {
        if body.len() > self.capture.largest {
            self.lost = Some("too_large");
        } else if !self.held.grow(body.len()) {
            self.lost = Some("overflow");
        } else {
            self.answer = Answer::Whole(body.clone());
        }
    }

    /// One more piece of a streamed answer.
    pub fn piece(&mut self, piece: &[u8]) {
        if self.lost.is_some() {
            return;
        }
        if matches!(self.answer, Answer::Nothing) {
            self.answer = Answer::Events(Vec::new());
        }
        let Answer::Events(text) = &mut self.answer else { return };
        // Events frame their text heavily: a chunk of one token has some two hundred bytes.
        if text.len() + piece.len() > self.capture.largest.saturating_mul(32) {
            self.lost = Some("too_large");
        } else if self.spare < piece.len() {
            let step = piece.len().max(STEP);
            if self.held.grow(step) {
                self.spare += step;
            } else {
                self.lost = Some("overflow");
            }
        }
        if self.lost.is_some() {
            self.answer = Answer::Nothing;
            return;
        }
        self.spare -= piece.len();
        text.extend_from_slice(piece);
    }

    /// Hands the content over once its request has ended; one without an answer has nothing to evaluate.
    pub fn close(self: Box<Self>, record: &Record) {
        let Draft { capture, taken, body, messages, answer, passages, held, lost, .. } = *self;
        if let Some(why) = lost {
            capture.count(why, 1);
            return;
        }
        let answered = matches!(record.outcome, Outcome::Success | Outcome::Cut | Outcome::ClientGone);
        if !answered || matches!(answer, Answer::Nothing) {
            return;
        }
        let job = Job { record: record.clone(), taken, body, messages, answer, passages, _held: held };
        let mut queue = capture.queue();
        let first = queue.jobs.is_empty();
        queue.jobs.push_back(job);
        drop(queue);
        if first {
            capture.ready.notify_one();
        }
    }
}

/// The rate of a request, and the rule that gives it.
fn rate(sampling: &Sampling, asked: &Asked<'_>, use_case: Option<&str>) -> (f64, Option<String>) {
    let project = asked.who.project();
    let fits = |wanted: &Option<String>, is: Option<&str>| wanted.as_deref().is_none_or(|wanted| is == Some(wanted));
    let rule = sampling.rules.iter().find(|rule| {
        fits(&rule.organization, asked.who.organization_name())
            && fits(&rule.project, project.map(|project| project.project.as_str()))
            && fits(&rule.model, Some(asked.model))
            && fits(&rule.endpoint, Some(asked.endpoint.as_str()))
            && fits(&rule.use_case, use_case)
    });
    rule.map_or((sampling.rate, None), |rule| (rule.rate, Some(rule.name.clone())))
}

/// The use that the caller tells in OpenAI's `metadata`: a word, so that nothing about a person fits in it.
fn told_use(head: &Head<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Metadata {
        r#use: Option<String>,
    }
    let metadata: Metadata = serde_json::from_str(head.raw("metadata")?.get()).ok()?;
    metadata.r#use.filter(|text| is_word(text))
}

/// A label: letters without accents, digits, `.`, `_`, `-`, with a letter first.
pub fn is_word(text: &str) -> bool {
    text.len() <= USE_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(queue: usize) -> Arc<Capture> {
        let settings = Evaluation {
            queue: crate::config::Size(queue as u64),
            largest: crate::config::Size(4 << 10),
            ..Evaluation::default()
        };
        Capture::new(&settings, Arc::new(Telemetry::new()))
    }

    fn draft(capture: &Arc<Capture>) -> Option<Box<Draft>> {
        let taken = Taken { notice: "1".into(), use_case: None, probability: 1.0, rule: None };
        Some(Box::new(Draft {
            capture: capture.clone(),
            taken,
            body: Bytes::from_static(b"{}"),
            messages: None,
            answer: Answer::Nothing,
            passages: Vec::new(),
            held: Held::of(&capture.budget, FRAME)?,
            spare: 0,
            lost: None,
        }))
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let capture = capture(64 << 10);
        let mut one = draft(&capture).unwrap();
        one.piece(&[b'x'; 40_000]);
        assert!(one.lost.is_none());
        let mut other = draft(&capture).unwrap();
        other.piece(&[b'x'; 40_000]);
        assert_eq!(other.lost, Some("overflow"));
        drop(one);
        drop(other);
        assert_eq!(capture.budget.used.load(Ordering::Relaxed), 0);
        let mut long = draft(&capture).unwrap();
        long.whole(&Bytes::from(vec![b'x'; 5_000]));
        assert_eq!(long.lost, Some("too_large"));
    }

    #[test]
    fn a_use_is_a_word() {
        for word in ["rediger", "FAQ-2026", "a.b_c"] {
            assert!(is_word(word), "{word}");
        }
        for other in ["", "1850578006084", "jean dupont", "a@b.fr", "é", &"a".repeat(65)] {
            assert!(!is_word(other), "{other}");
        }
    }
}
