//! BM25 as sparse vectors: the saturation of term frequencies on the document's side, the rarity of terms on the
//! query's side. Their dot product is the BM25 score.
//!
//! So loading another administration's corpus changes no weight stored for mine: rarity comes from counts given with
//! each query, those of the collections searched.
//!
//! A term's id is a 32-bit hash of it, so that no vocabulary needs to be shared or kept. In a vocabulary of `n` terms
//! some `n²/2³³` pairs share an id: one pair in 90,000 terms, a hundred in 900,000. Two such terms count as one.

use std::collections::BTreeMap;

/// Ascending ids, each once, with their weights: the form vector stores take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseVector {
    pub ids: Vec<u32>,
    pub weights: Vec<f32>,
}

/// How a document's terms weigh.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25 {
    /// How slowly repeats of a term stop counting.
    pub k1: f32,
    /// How much long texts are held back, 0 to 1.
    pub b: f32,
    /// Terms of an average chunk. Part of what is stored: chunks indexed with another average are compared wrongly, so
    /// it is chosen once for a collection (512-token chunks of French prose: about 200).
    pub average: f32,
}

impl Default for Bm25 {
    fn default() -> Bm25 {
        Bm25 { k1: 1.6, b: 0.75, average: 200.0 }
    }
}

/// How many times a title counts in its chunk's terms; docs/retrieval-core.md has the figures.
pub const TITLE_WEIGHT: f32 = 3.0;

/// How often terms occur in what is searched.
pub trait Counts {
    /// Chunks in all.
    fn chunks(&self) -> u64;
    /// Chunks that hold this term.
    fn with(&self, id: u32) -> u64;
}

/// The id of a term: FNV-1a, its two halves folded. Stored in indexes: never to change.
pub fn term_id(term: &str) -> u32 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in term.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash ^ (hash >> 32)) as u32
}

/// The frequency of each term, as `weight` for each occurrence: fields count more or less than once.
#[derive(Clone, Debug, Default)]
pub struct Frequencies {
    terms: BTreeMap<u32, f32>,
    length: f32,
}

impl Frequencies {
    /// Adds the terms of a field; a title at weight 2 counts as if it were written twice.
    pub fn add(&mut self, terms: impl Iterator<Item = impl AsRef<str>>, weight: f32) {
        for term in terms {
            *self.terms.entry(term_id(term.as_ref())).or_default() += weight;
            self.length += weight;
        }
    }

    /// The terms there are, to be counted for [`Counts`].
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.terms.keys().copied()
    }

    /// Terms in all, repeats and weights counted.
    pub fn length(&self) -> f32 {
        self.length
    }
}

impl Bm25 {
    /// The document's side.
    pub fn chunk(&self, frequencies: &Frequencies) -> SparseVector {
        let longer = frequencies.length / self.average.max(1.0);
        let held = self.k1 * (1.0 - self.b + self.b * longer);
        let weight = |frequency: f32| frequency * (self.k1 + 1.0) / (frequency + held);
        SparseVector {
            ids: frequencies.terms.keys().copied().collect(),
            weights: frequencies.terms.values().map(|frequency| weight(*frequency)).collect(),
        }
    }

    /// The query's side. A term that is in no chunk is left out.
    pub fn query(terms: impl Iterator<Item = impl AsRef<str>>, counts: &impl Counts) -> SparseVector {
        let mut repeats: BTreeMap<u32, f32> = BTreeMap::new();
        for term in terms {
            *repeats.entry(term_id(term.as_ref())).or_default() += 1.0;
        }
        let chunks = counts.chunks() as f64;
        let mut vector = SparseVector::default();
        for (id, repeat) in repeats {
            // Counts are kept apart from the index and may lag behind it by a moment.
            let with = (counts.with(id) as f64).min(chunks);
            if with > 0.0 {
                let rarity = (1.0 + (chunks - with + 0.5) / (with + 0.5)).ln();
                vector.ids.push(id);
                vector.weights.push(repeat * rarity as f32);
            }
        }
        vector
    }
}

impl SparseVector {
    pub fn dot(&self, other: &SparseVector) -> f32 {
        let (mut one, mut two, mut sum) = (0, 0, 0.0);
        while let (Some(a), Some(b)) = (self.ids.get(one), other.ids.get(two)) {
            match a.cmp(b) {
                std::cmp::Ordering::Less => one += 1,
                std::cmp::Ordering::Greater => two += 1,
                std::cmp::Ordering::Equal => {
                    sum += self.weights.get(one).unwrap_or(&0.0) * other.weights.get(two).unwrap_or(&0.0);
                    one += 1;
                    two += 1;
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given(u64, &'static [(&'static str, u64)]);

    impl Counts for Given {
        fn chunks(&self) -> u64 {
            self.0
        }
        fn with(&self, id: u32) -> u64 {
            self.1.iter().find(|(term, _)| term_id(term) == id).map_or(0, |(_, count)| *count)
        }
    }

    #[test]
    fn the_dot_product_is_bm25() {
        let bm25 = Bm25 { k1: 1.2, b: 0.75, average: 4.0 };
        let mut frequencies = Frequencies::default();
        frequencies.add(["cong", "pay", "cong", "salari"].into_iter(), 1.0);
        let counts = Given(10, &[("cong", 2), ("pay", 5)]);
        let query = Bm25::query(["cong", "pay", "inconnu"].into_iter(), &counts);
        assert_eq!(query.ids.len(), 2);
        let rarity = |with: f32| (1.0 + (10.0 - with + 0.5) / (with + 0.5)).ln();
        // The length is the average, so that k1 alone holds back.
        let expected = rarity(2.0) * 2.0 * 2.2 / (2.0 + 1.2) + rarity(5.0) * 1.0 * 2.2 / (1.0 + 1.2);
        assert!((bm25.chunk(&frequencies).dot(&query) - expected).abs() < 1e-5);
    }

    #[test]
    fn ids_are_stable_and_ascending() {
        assert_eq!(term_id(""), 0x84222325 ^ 0xcbf29ce4);
        assert_eq!((term_id("cong"), term_id("pay")), (term_id("cong"), term_id("pay")));
        let mut frequencies = Frequencies::default();
        frequencies.add("un deux trois quatre cinq six sept huit".split(' '), 1.0);
        let vector = Bm25::default().chunk(&frequencies);
        assert!(vector.ids.is_sorted() && vector.ids.len() == 8);
    }

    #[test]
    fn counts_that_lag_give_no_negative_weight() {
        let query = Bm25::query(["cong"].into_iter(), &Given(3, &[("cong", 7)]));
        assert!(query.weights.iter().all(|weight| *weight > 0.0), "{query:?}");
    }
}
