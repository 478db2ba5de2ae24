//! Chunks in memory, searched exactly: the weights and the fusion of the gateway, without its engine.

use std::collections::{HashMap, HashSet};

use rag::analyse::Analyser;
use rag::fuse::{Fused, Hit, Lane, fuse};
use rag::sparse::{Bm25, Counts, SparseVector};

/// What is searched.
#[derive(Default)]
pub struct Index {
    /// The document of each chunk, by place in the corpus.
    documents: Vec<usize>,
    terms: HashMap<u32, Vec<(usize, f32)>>,
    /// Vectors by chunk; none where a chunk is not in the dense lane.
    dense: Vec<Option<Vec<f32>>>,
}

impl Counts for Index {
    fn chunks(&self) -> u64 {
        self.documents.len() as u64
    }

    fn with(&self, id: u32) -> u64 {
        self.terms.get(&id).map_or(0, Vec::len) as u64
    }
}

/// How two lanes become one ranking.
#[derive(Clone, Copy, Debug)]
pub struct Fusion {
    pub k: f64,
    /// Hits of each lane that are fused.
    pub depth: usize,
    /// Of the semantic and of the lexical lane.
    pub weights: (f64, f64),
    /// Lanes are turned into rankings of documents, each at its best chunk, before they are fused; else after.
    pub by_document: bool,
}

impl Index {
    pub fn add(&mut self, document: usize, sparse: &SparseVector, dense: Option<Vec<f32>>) {
        let chunk = self.documents.len();
        self.documents.push(document);
        self.dense.push(dense);
        for (id, weight) in sparse.ids.iter().zip(&sparse.weights) {
            self.terms.entry(*id).or_default().push((chunk, *weight));
        }
    }

    /// Chunks by BM25, all that share a term with the query.
    pub fn lexical(&self, query: &str, analyser: &Analyser) -> Vec<Hit<usize>> {
        let vector = Bm25::query(analyser.terms(query), self);
        let mut scores: HashMap<usize, f32> = HashMap::new();
        for (id, weight) in vector.ids.iter().zip(&vector.weights) {
            for (chunk, stored) in self.terms.get(id).map_or(&[][..], Vec::as_slice) {
                *scores.entry(*chunk).or_default() += weight * stored;
            }
        }
        ordered(scores.into_iter())
    }

    /// Chunks by cosine. Vectors are of length 1.
    pub fn semantic(&self, query: &[f32]) -> Vec<Hit<usize>> {
        let dot = |vector: &Vec<f32>| vector.iter().zip(query).map(|(one, other)| one * other).sum::<f32>();
        ordered(self.dense.iter().enumerate().filter_map(|(chunk, vector)| Some((chunk, dot(vector.as_ref()?)))))
    }

    /// Documents, each at the place of its best chunk.
    pub fn documents(&self, hits: &[Hit<usize>]) -> Vec<Hit<usize>> {
        let mut seen = HashSet::new();
        let document = |hit: &Hit<usize>| Some(Hit { id: *self.documents.get(hit.id)?, score: hit.score });
        hits.iter().filter_map(document).filter(|hit| seen.insert(hit.id)).collect()
    }

    /// Documents by both lanes.
    pub fn hybrid(&self, semantic: &[Hit<usize>], lexical: &[Hit<usize>], fusion: &Fusion) -> Vec<Hit<usize>> {
        let lane = |name, weight, hits: &[Hit<usize>]| {
            let mut hits = if fusion.by_document { self.documents(hits) } else { hits.to_vec() };
            hits.truncate(fusion.depth);
            Lane { name, weight, hits }
        };
        let lanes = [lane("semantic", fusion.weights.0, semantic), lane("lexical", fusion.weights.1, lexical)];
        let fused = fuse(&lanes, fusion.k, fusion.depth);
        let hits: Vec<Hit<usize>> =
            fused.iter().map(|Fused { id, score, .. }| Hit { id: *id, score: *score as f32 }).collect();
        if fusion.by_document { hits } else { self.documents(&hits) }
    }
}

fn ordered(scores: impl Iterator<Item = (usize, f32)>) -> Vec<Hit<usize>> {
    let mut hits: Vec<Hit<usize>> = scores.map(|(id, score)| Hit { id, score }).collect();
    hits.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.id.cmp(&other.id)));
    hits
}

#[cfg(test)]
mod tests {
    use rag::Language;
    use rag::sparse::Frequencies;

    use super::*;

    fn index() -> (Index, Analyser) {
        let analyser = Analyser::new(Language::French);
        let mut index = Index::default();
        let texts = [(0, "congés payés", [1.0, 0.0]), (1, "préavis", [0.0, 1.0]), (0, "démission", [0.6, 0.8])];
        for (document, text, vector) in texts {
            let mut frequencies = Frequencies::default();
            frequencies.add(analyser.terms(text), 1.0);
            index.add(document, &Bm25::default().chunk(&frequencies), Some(vector.to_vec()));
        }
        (index, analyser)
    }

    #[test]
    fn a_document_is_where_its_best_chunk_is() {
        let (index, analyser) = index();
        let lexical = index.lexical("préavis de démission", &analyser);
        assert_eq!(lexical.iter().map(|hit| hit.id).collect::<Vec<_>>(), [1, 2]);
        let semantic = index.semantic(&[0.0, 1.0]);
        assert_eq!(semantic.iter().map(|hit| hit.id).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(index.documents(&semantic).iter().map(|hit| hit.id).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn both_ways_of_fusing_agree_on_a_clear_case() {
        let (index, analyser) = index();
        let (semantic, lexical) = (index.semantic(&[0.0, 1.0]), index.lexical("préavis", &analyser));
        for by_document in [true, false] {
            let fusion = Fusion { k: 60.0, depth: 10, weights: (1.0, 1.0), by_document };
            assert_eq!(index.hybrid(&semantic, &lexical, &fusion).first().map(|hit| hit.id), Some(1));
        }
    }
}
