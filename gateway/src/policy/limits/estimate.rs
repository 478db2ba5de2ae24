//! How many tokens a request will take, before an engine has counted them: learned from what engines count.
//!
//! A ratio of bytes to one token for each model, for what is read and for what is written, and the 95th percentile of the
//! tokens that it writes. Where that is not close enough (near the context's end, or for an engine that never counts),
//! the text is counted by a [tokenizer](super::tokenizer), on a thread that carries no request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use bytes::Bytes;
use memchr::memmem::Finder;
use quick_cache::DefaultHashBuilder;
use tokio::sync::Semaphore;

use super::tokenizer::{self, Tokenizers};
use crate::config::Config;

/// Bytes to one token before anything is learned. French is near 4, and JSON around it weighs a little.
const RATIO: f32 = 4.0;
/// No text of any model is outside of these.
const RATIOS: (f32, f32) = (0.5, 16.0);
/// Weight of a new observation.
const LEARNING: f32 = 0.05;
/// The same, for an engine that never counts: nothing else teaches its ratios.
const COUNTED: f32 = 0.3;
/// Fewer tokens than this say little of a ratio.
const TELLING: u64 = 16;
/// Tokens written before anything is learned, at most.
const OUTPUT: u64 = 1_024;
/// Answers seen before their percentile is believed.
const ENOUGH: f32 = 20.0;
/// Answers remembered: older ones count for less and less.
const MEMORY: f32 = 2_000.0;
/// Tokens that an image in the request counts for.
const IMAGE: u64 = 1_000;
/// Longest text counted by a tokenizer, and how many at one time.
const EXACT_BYTES: usize = 1 << 20;
const EXACT_AT_ONCE: usize = 2;
/// Answers in a row without a count after which an engine is taken not to count.
const SILENT: u32 = 3;

/// Two buckets for each doubling, up to 2^24 tokens.
const BUCKETS: usize = 48;

/// What comes before an embedded file.
static FILE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(";base64,"));

/// What a request holds, by what weighs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weight {
    /// Of text, embedded files left out.
    pub bytes: u64,
    pub images: u64,
}

impl Weight {
    /// Weighs a body: what follows `;base64,` is a file, not a text.
    pub fn of(body: &[u8]) -> Weight {
        let mut weight = Weight { bytes: body.len() as u64, images: 0 };
        let mut rest = body;
        while let Some(at) = FILE.find(rest) {
            rest = &rest[at + FILE.needle().len()..];
            let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
            weight.bytes -= end as u64;
            weight.images += 1;
            rest = &rest[end..];
        }
        weight
    }
}

/// What is learned of one model.
#[derive(Debug)]
pub struct Calibration {
    input: AtomicU32,
    output: AtomicU32,
    p95: AtomicU64,
    silent: AtomicU32,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    buckets: [f32; BUCKETS],
    total: f32,
}

impl Default for Calibration {
    fn default() -> Self {
        Calibration {
            input: AtomicU32::new(RATIO.to_bits()),
            output: AtomicU32::new(RATIO.to_bits()),
            p95: AtomicU64::new(OUTPUT),
            silent: AtomicU32::new(0),
            written: Mutex::new(Written { buckets: [0.0; BUCKETS], total: 0.0 }),
        }
    }
}

impl Calibration {
    /// Tokens that a request of this weight will have.
    pub fn input(&self, weight: Weight) -> u64 {
        let ratio = f32::from_bits(self.input.load(Ordering::Relaxed));
        tokens(weight.bytes, ratio).saturating_add(weight.images.saturating_mul(IMAGE))
    }

    /// Bytes of an answer's text to one token.
    pub fn output_ratio(&self) -> f32 {
        f32::from_bits(self.output.load(Ordering::Relaxed))
    }

    /// What 95 answers of a hundred do not pass.
    pub fn p95(&self) -> u64 {
        self.p95.load(Ordering::Relaxed)
    }

    /// Whether its engines give no counts to learn from.
    pub fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed) >= SILENT
    }

    /// An answer came without a count.
    pub fn heard_nothing(&self) {
        let more = |n: u32| Some(n.saturating_add(1));
        let _ = self.silent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Learns from a request and its answer, as the engine counted them. `text` is the bytes written, 0 when unknown.
    pub fn learn(&self, asked: Weight, input: u64, text: u64, output: u64) {
        self.silent.store(0, Ordering::Relaxed);
        // Images weigh as each model likes: only texts teach the ratio.
        if asked.images == 0 {
            blend(&self.input, asked.bytes, input, LEARNING);
        }
        if text > 0 {
            blend(&self.output, text, output, LEARNING);
        }
    }

    /// Learns from a request that we counted, as its engine does not. Its answer is likely written in the same language.
    pub fn learn_counted(&self, bytes: u64, input: u64) {
        blend(&self.input, bytes, input, COUNTED);
        blend(&self.output, bytes, input, COUNTED);
    }

    /// Learns how long whole answers are.
    pub fn wrote(&self, output: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.total >= MEMORY {
            written.buckets.iter_mut().for_each(|count| *count /= 2.0);
            written.total /= 2.0;
        }
        written.buckets[bucket(output)] += 1.0;
        written.total += 1.0;
        if written.total < ENOUGH {
            return;
        }
        let mut left = written.total * 0.05;
        let last = (0..BUCKETS).rev().find(|index| {
            left -= written.buckets[*index];
            left < 0.0
        });
        self.p95.store(ceiling(last.unwrap_or(0)), Ordering::Relaxed);
    }
}

/// Moves a ratio towards what was seen. Two threads at once lose one lesson, which the next gives again.
fn blend(ratio: &AtomicU32, bytes: u64, tokens: u64, weight: f32) {
    if tokens < TELLING {
        return;
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio: far from 2^24 in precision")]
    let seen = (bytes as f32 / tokens as f32).clamp(RATIOS.0, RATIOS.1);
    let present = f32::from_bits(ratio.load(Ordering::Relaxed));
    ratio.store((present + (seen - present) * weight).to_bits(), Ordering::Relaxed);
}

fn tokens(bytes: u64, ratio: f32) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an estimate: positive, and far below 2^52"
    )]
    let count = (bytes as f64 / f64::from(ratio)).ceil() as u64;
    count
}

/// Half a doubling: 1, 2, 3, 4, 6, 8, 12…
fn bucket(tokens: u64) -> usize {
    (0..BUCKETS - 1).find(|index| tokens <= ceiling(*index)).unwrap_or(BUCKETS - 1)
}

/// The most tokens that a bucket counts.
fn ceiling(bucket: usize) -> u64 {
    let power = 1_u64 << (bucket / 2).min(62);
    if bucket.is_multiple_of(2) { power } else { power + power / 2 }
}

/// What is learned, by model.
#[derive(Debug)]
pub struct Estimates {
    models: RwLock<HashMap<Arc<str>, Arc<Calibration>, DefaultHashBuilder>>,
    tokenizers: ArcSwap<Tokenizers>,
    exact: Arc<Semaphore>,
}

impl Default for Estimates {
    fn default() -> Self {
        let exact = Arc::new(Semaphore::new(EXACT_AT_ONCE));
        Estimates { models: RwLock::default(), tokenizers: ArcSwap::default(), exact }
    }
}

impl Estimates {
    /// Takes the tokenizers of a configuration.
    pub fn reload(&self, config: &Config) {
        let present = self.tokenizers.load();
        self.tokenizers.store(Arc::new(Tokenizers::new(config, &present)));
    }

    /// What is learned of a model that the configuration names.
    pub fn of(&self, model: &Arc<str>) -> Arc<Calibration> {
        if let Some(known) = self.known(model) {
            return known;
        }
        self.models.write().unwrap_or_else(PoisonError::into_inner).entry(model.clone()).or_default().clone()
    }

    /// The same, for a name that a client wrote: only models met before are remembered.
    pub fn known(&self, name: &str) -> Option<Arc<Calibration>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Tokens of a body read as a request of this name, before the name is known to be a model's.
    pub fn guess(&self, name: Option<&str>, weight: Weight) -> u64 {
        match name.and_then(|name| self.known(name)) {
            Some(calibration) => calibration.input(weight),
            None => Calibration::default().input(weight),
        }
    }

    /// Counts a request's body, by its model's own tokenizer or by tiktoken, off the threads that carry requests. `None`
    /// when it is too long, or too many are being counted: the ratio will do.
    pub async fn count(&self, model: &str, body: &Bytes) -> Option<u64> {
        if body.len() > EXACT_BYTES {
            return None;
        }
        let permit = self.exact.clone().try_acquire_owned().ok()?;
        let (own, body) = (self.tokenizers.load().of(model), body.clone());
        let counted = tokio::task::spawn_blocking(move || {
            let count = tokenizer::count(own.as_deref(), &body);
            drop(permit);
            count
        });
        counted.await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_not_texts() {
        let body = br#"{"image_url":{"url":"data:image/png;base64,AAAABBBB"},"text":"abc"}"#;
        let weight = Weight::of(body);
        assert_eq!(weight, Weight { bytes: body.len() as u64 - 8, images: 1 });
        assert_eq!(Weight::of(b"data:;base64,AAAA"), Weight { bytes: 13, images: 1 });
        assert_eq!(Weight::of(b"{}"), Weight { bytes: 2, images: 0 });
    }

    #[test]
    fn a_ratio_is_learned_from_what_engines_count() {
        let calibration = Calibration::default();
        let weight = Weight { bytes: 3_000, images: 0 };
        assert_eq!(calibration.input(weight), 750);
        for _ in 0..200 {
            calibration.learn(weight, 1_000, 600, 100);
        }
        assert!((995..=1_005).contains(&calibration.input(weight)), "{}", calibration.input(weight));
        assert!((calibration.output_ratio() - 6.0).abs() < 0.05);
        // An engine that never counts: what we count teaches both, and soon.
        let silent = Calibration::default();
        (0..10).for_each(|_| silent.learn_counted(3_000, 1_500));
        assert!((1_420..=1_500).contains(&silent.input(weight)), "{}", silent.input(weight));
        assert!(silent.output_ratio() < 2.1, "{}", silent.output_ratio());
        // What an image counts for, and answers of a word, teach nothing.
        calibration.learn(Weight { bytes: 10, images: 3 }, 3_000, 1, 1);
        assert!((995..=1_005).contains(&calibration.input(weight)));
    }

    #[test]
    fn absurd_counts_do_not_break_estimates() {
        let calibration = Calibration::default();
        for _ in 0..1_000 {
            calibration.learn(Weight { bytes: 1, images: 0 }, u64::MAX, u64::MAX, TELLING);
            calibration.wrote(u64::MAX);
        }
        let input = calibration.input(Weight { bytes: 1_000, images: 0 });
        assert!((60..=2_100).contains(&input), "{input}");
        assert!(calibration.output_ratio() <= RATIOS.1);
    }

    #[test]
    fn the_length_of_answers_is_learned_and_forgotten() {
        let calibration = Calibration::default();
        assert_eq!(calibration.p95(), OUTPUT);
        for index in 0..1_000 {
            calibration.wrote(if index % 10 == 0 { 700 } else { 100 });
        }
        assert!((700..=1_024).contains(&calibration.p95()), "{}", calibration.p95());
        for _ in 0..20_000 {
            calibration.wrote(30);
        }
        assert_eq!(calibration.p95(), 32);
    }

    #[test]
    fn buckets_grow_by_half_a_doubling() {
        for tokens in [0, 1, 2, 3, 5, 100, 4_096, 1 << 20] {
            let held = ceiling(bucket(tokens));
            assert!(held >= tokens && held <= tokens.max(1) * 2, "{tokens} in {held}");
        }
        assert!((0..BUCKETS - 1).all(|index| ceiling(index) <= ceiling(index + 1)));
    }

    #[tokio::test]
    async fn texts_are_counted_off_the_threads_of_requests() {
        let estimates = Estimates::default();
        let text = "Bonjour, où est le guichet des cartes d’identité ? ".repeat(20);
        let body = Bytes::from(serde_json::json!({"prompt": text}).to_string());
        let counted = estimates.count("m", &body).await.unwrap();
        assert!((200..=600).contains(&counted), "{counted}");
        assert_eq!(estimates.count("m", &Bytes::from(vec![b'a'; EXACT_BYTES + 1])).await, None);
    }
}
