//! Scores of rankings: means with intervals, each query, the run as TREC writes it.

use std::collections::{BTreeMap, HashMap};

use ::eval::metrics::retrieval::{Query, Scores, evaluate};
use ::eval::stats::bootstrap::{FEWEST, Method, Plan, of_units};
use ::eval::stats::paired::difference;
use ::eval::stats::units::{Clusters, Units};
use ::eval::stats::{Level, mean};
use serde_json::{Map, Value, json};

use super::files::Asked;
use crate::cli::Failure;

/// What came back for one query, best first; the lanes that were fused, where there are two.
pub struct Ranked {
    pub main: Vec<String>,
    pub lanes: Vec<(&'static str, Vec<String>)>,
}

pub struct Report {
    k: usize,
    plan: Plan,
    /// By query: its unit and its text.
    asked: BTreeMap<String, (String, String)>,
    main: BTreeMap<String, Query>,
    lanes: BTreeMap<&'static str, BTreeMap<String, Query>>,
}

impl Report {
    pub fn new(k: usize, resamples: usize, seed: u64) -> Report {
        let plan = Plan { resamples, seed, method: Method::Bca, ..Plan::default() };
        Report { k, plan, asked: BTreeMap::new(), main: BTreeMap::new(), lanes: BTreeMap::new() }
    }

    pub fn add(&mut self, query: &Asked, grades: &HashMap<String, i64>, ranked: Ranked) {
        let scored = |ids: Vec<String>| Query { found: with_scores(ids), judged: grades.clone() };
        self.asked.insert(query.id.clone(), (query.unit.clone(), query.text.clone()));
        self.main.insert(query.id.clone(), scored(ranked.main));
        for (lane, ids) in ranked.lanes {
            self.lanes.entry(lane).or_default().insert(query.id.clone(), scored(ids));
        }
    }

    /// Means with intervals; for a fusion, its lanes and how far it is above each.
    pub fn told(&self) -> Result<Map<String, Value>, Failure> {
        let (cut, deep) = (evaluate(&self.main, Some(self.k))?, evaluate(&self.main, Some(super::KEPT))?);
        let units = Clusters::named(self.asked.values().map(|(unit, _)| unit.as_str()));
        let told = |of: &BTreeMap<String, Scores>, take: fn(&Scores) -> f64| -> Result<Value, Failure> {
            let values: Vec<f64> = of.values().map(take).collect();
            // Too few to resample: the mean alone.
            if units.count() < FEWEST {
                return Ok(json!({"estimate": mean(&values), "units": units.count()}));
            }
            Ok(match of_units(&Units::mean(&values, &units)?, &self.plan) {
                Ok(resampled) => serde_json::to_value(resampled)?,
                // All alike, for instance: a mean, and why it has no interval.
                Err(refusal) => {
                    json!({"estimate": mean(&values), "units": units.count(), "no_interval": refusal.to_string()})
                }
            })
        };
        let mut report = Map::new();
        let k = self.k;
        report.insert("queries".to_owned(), json!(self.main.len()));
        report.insert(format!("ndcg@{k}"), told(&cut.queries, |scores| scores.ndcg)?);
        report.insert("mrr".to_owned(), told(&deep.queries, |scores| scores.reciprocal_rank)?);
        report.insert(format!("recall@{k}"), told(&cut.queries, |scores| scores.recall)?);
        report.insert(format!("recall@{}", super::KEPT), told(&deep.queries, |scores| scores.recall)?);
        for (lane, queries) in &self.lanes {
            let scores = evaluate(queries, Some(k))?;
            let of = |scores: &BTreeMap<String, Scores>| scores.values().map(|s| s.ndcg).collect::<Vec<f64>>();
            let above = difference(&of(&cut.queries), &of(&scores.queries), &units, Level::default());
            report.insert(
                format!("{lane}_lane"),
                json!({format!("ndcg@{k}"): scores.mean.ndcg, "fusion_minus_lane": above.ok()}),
            );
        }
        Ok(report)
    }

    /// `query Q0 document rank score tag`.
    pub fn trec(&self, tag: &str) -> String {
        let mut text = String::new();
        for (id, query) in &self.main {
            for (rank, (document, score)) in (1..).zip(&query.found) {
                text.push_str(&format!("{id} Q0 {document} {rank} {score:.6} guichet-{tag}\n"));
            }
        }
        text
    }

    /// A line or an object a query.
    pub fn per_query(&self, as_json: bool) -> Result<String, Failure> {
        let scores = evaluate(&self.main, Some(self.k))?.queries;
        let rows = self.asked.iter().filter_map(|(id, (unit, text))| Some((id, unit, text, scores.get(id)?)));
        if as_json {
            let rows: Vec<Value> = rows
                .map(|(id, unit, text, scores)| {
                    let best = self.main.get(id).map(|query| query.found.iter().take(self.k).map(|(name, _)| name));
                    json!({"query": id, "unit": unit, "text": text, "scores": scores, "found": best.map(Vec::from_iter)})
                })
                .collect();
            return Ok(serde_json::to_string_pretty(&rows)?);
        }
        let mut text = format!("query,unit,text,ndcg@{k},reciprocal_rank,recall@{k}\n", k = self.k);
        for (id, unit, asked, scores) in rows {
            let Scores { ndcg, reciprocal_rank, recall, .. } = scores;
            let (id, unit, asked) = (cell(id), cell(unit), cell(asked));
            text.push_str(&format!("{id},{unit},{asked},{ndcg:.6},{reciprocal_rank:.6},{recall:.6}\n"));
        }
        Ok(text)
    }
}

/// Ranks as scores, so that whoever sorts by score keeps the order.
fn with_scores(ids: Vec<String>) -> Vec<(String, f64)> {
    (1..).zip(ids).map(|(rank, id): (u32, String)| (id, 1.0 / f64::from(rank))).collect()
}

fn cell(text: &str) -> String {
    // A table program would run what begins so.
    let safe = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}
