//! Whether the right passages came, and high enough. Conventions of NIST's trec_eval.
//!
//! - Documents are put in order by score, as a 32-bit number, highest first; of two with one score, the one whose name
//!   sorts last comes first. Ranks given by the engine are not believed.
//! - A document nobody judged is not relevant. Relevance of 1 or more is relevant; nDCG takes the degree as gain.
//! - Precision at k divides by k even when fewer came. A query without relevant document scores 0, a query that got no
//!   document too (`trec_eval -c`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use crate::refusal::{Refusal, Result};

/// One query: what came back, and what people said of which document.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Document and score.
    pub found: Vec<(String, f64)>,
    /// Document and relevance.
    pub judged: HashMap<String, i64>,
}

/// Scores of one query, or their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Scores {
    pub ndcg: f64,
    /// Reciprocal rank of the first relevant document; its mean over queries is MRR.
    pub reciprocal_rank: f64,
    pub recall: f64,
    pub precision: f64,
    pub average_precision: f64,
}

impl Query {
    /// Scores, nDCG, recall and precision looking at the first `k` documents where a cut is given.
    ///
    /// nDCG = Σ gainᵣ/log₂(r+1) over its value for the best order of all judged documents (Järvelin & Kekäläinen 2002, as
    /// trec_eval); average precision = Σ precision at each relevant rank / relevant documents (Voorhees & Harman 2005).
    pub fn scores(&self, k: Option<usize>) -> Result<Scores> {
        let ranked = self.ranked()?;
        let cut = k.unwrap_or(ranked.len());
        let gain = |document: &str| self.judged.get(document).copied().unwrap_or(0).max(0);
        let relevant = self.judged.values().filter(|degree| **degree > 0).count() as f64;
        if relevant == 0.0 {
            return Ok(Scores::default());
        }
        let (mut gained, mut hits, mut precisions, mut first, mut hits_in_cut) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (place, document) in ranked.iter().enumerate() {
            let (degree, rank) = (gain(document), place as f64 + 1.0);
            if degree == 0 {
                continue;
            }
            hits += 1.0;
            precisions += hits / rank;
            if hits == 1.0 {
                first = 1.0 / rank;
            }
            if place < cut {
                hits_in_cut += 1.0;
                gained += degree as f64 / (rank + 1.0).log2();
            }
        }
        let mut best: Vec<i64> = self.judged.values().copied().filter(|degree| *degree > 0).collect();
        best.sort_unstable_by(|a, b| b.cmp(a));
        let ideal_cut = k.unwrap_or(best.len());
        let ideal: f64 =
            best.iter().take(ideal_cut).enumerate().map(|(i, degree)| *degree as f64 / (i as f64 + 2.0).log2()).sum();
        Ok(Scores {
            ndcg: gained / ideal,
            reciprocal_rank: first,
            recall: hits_in_cut / relevant,
            precision: if cut == 0 { 0.0 } else { hits_in_cut / cut as f64 },
            average_precision: precisions / relevant,
        })
    }

    fn ranked(&self) -> Result<Vec<&str>> {
        let mut found: Vec<(&str, f32)> = self.found.iter().map(|(name, score)| (&name[..], *score as f32)).collect();
        found.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then_with(|| b.0.cmp(a.0)));
        let mut seen = std::collections::HashSet::new();
        for (name, score) in &found {
            if score.is_nan() {
                return Err(Refusal::input(
                    format!("le document « {name} » n’a pas de score"),
                    format!("document “{name}” has no score"),
                ));
            }
            if !seen.insert(*name) {
                return Err(Refusal::input(
                    format!("le document « {name} » est deux fois dans une même réponse"),
                    format!("document “{name}” is twice in one result"),
                ));
            }
        }
        Ok(found.into_iter().map(|(name, _)| name).collect())
    }
}

/// Means over queries, each query, and how many had no relevant document.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Evaluation {
    pub mean: Scores,
    pub queries: BTreeMap<String, Scores>,
    pub without_relevant: usize,
    pub without_result: usize,
}

/// Scores of queries that somebody judged.
pub fn evaluate(queries: &BTreeMap<String, Query>, k: Option<usize>) -> Result<Evaluation> {
    let judged = queries.iter().filter(|(_, query)| !query.judged.is_empty());
    let scores: BTreeMap<String, Scores> =
        judged.clone().map(|(name, query)| Ok((name.clone(), query.scores(k)?))).collect::<Result<_>>()?;
    if scores.is_empty() {
        return Err(Refusal::too_few("requêtes jugées", "judged queries", 0, 1));
    }
    let mean = |of: fn(&Scores) -> f64| scores.values().map(of).sum::<f64>() / scores.len() as f64;
    Ok(Evaluation {
        mean: Scores {
            ndcg: mean(|s| s.ndcg),
            reciprocal_rank: mean(|s| s.reciprocal_rank),
            recall: mean(|s| s.recall),
            precision: mean(|s| s.precision),
            average_precision: mean(|s| s.average_precision),
        },
        without_relevant: judged.clone().filter(|(_, query)| query.judged.values().all(|d| *d <= 0)).count(),
        without_result: judged.filter(|(_, query)| query.found.is_empty()).count(),
        queries: scores,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(found: &[(&str, f64)], judged: &[(&str, i64)]) -> Query {
        Query {
            found: found.iter().map(|(name, score)| ((*name).to_owned(), *score)).collect(),
            judged: judged.iter().map(|(name, degree)| ((*name).to_owned(), *degree)).collect(),
        }
    }

    #[test]
    fn by_hand() {
        let query = query(&[("a", 9.0), ("b", 8.0), ("c", 7.0), ("d", 6.0)], &[("b", 2), ("d", 1), ("z", 1), ("a", 0)]);
        let got = query.scores(None).unwrap();
        assert!((got.reciprocal_rank - 0.5).abs() < 1e-12);
        assert!((got.average_precision - (0.5 + 0.5) / 3.0).abs() < 1e-12);
        assert!((got.recall - 2.0 / 3.0).abs() < 1e-12 && (got.precision - 0.5).abs() < 1e-12);
        let (gained, ideal) = (2.0 / 3_f64.log2() + 1.0 / 5_f64.log2(), 2.0 + 1.0 / 3_f64.log2() + 0.5);
        assert!((got.ndcg - gained / ideal).abs() < 1e-12);
        let cut = query.scores(Some(10)).unwrap();
        assert!((cut.precision - 0.2).abs() < 1e-12);
    }

    #[test]
    fn equal_scores_put_the_last_name_first() {
        let tied = query(&[("a", 1.0), ("b", 1.0 + 1e-12)], &[("a", 1)]);
        assert!((tied.scores(None).unwrap().reciprocal_rank - 0.5).abs() < 1e-12);
        assert!(query(&[("a", 1.0), ("a", 2.0)], &[("a", 1)]).scores(None).is_err());
        assert!(query(&[("a", f64::NAN)], &[("a", 1)]).scores(None).is_err());
        assert_eq!(query(&[], &[("a", 1)]).scores(Some(5)).unwrap(), Scores::default());
    }
}
