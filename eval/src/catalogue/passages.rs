//! Retrieval, and quotes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::frame::Frame;
use super::{Entry, Kind, LEVEL, Setting, column, maybe, told};
use crate::metrics::citation;
use crate::metrics::retrieval::{self, Query};
use crate::refusal::{Refusal, Result};
use crate::stats::proportion;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "retrieval",
        fr: "recherche : nDCG, rang réciproque, rappel, précision, précision moyenne",
        en: "retrieval: nDCG, reciprocal rank, recall, precision, average precision",
        columns: &[
            column("query", Kind::Label, "requête", "query"),
            column("document", Kind::Label, "document", "document"),
            maybe(
                "score",
                Kind::Number,
                "score de la recherche ; vide s’il n’est pas sorti",
                "score of the engine; empty if it did not come",
            ),
            maybe(
                "relevance",
                Kind::Number,
                "pertinence, 0 ou plus ; vide si non jugée",
                "relevance, 0 or more; empty if nobody judged",
            ),
        ],
        settings: &[Setting {
            name: "k",
            default: Some(""),
            fr: "s’arrêter aux k premiers pour nDCG, rappel et précision ; vide : tous",
            en: "look at the first k for nDCG, recall and precision; empty: all",
        }],
        source: "conventions of NIST's trec_eval 9",
        run: retrieval,
    },
    Entry {
        name: "citations",
        fr: "part de citations qui sont à la lettre dans leur passage",
        en: "share of quotes that are literally in their passage",
        columns: &[
            column("quote", Kind::Text, "citation", "quote"),
            column("passage", Kind::Text, "passage cité", "passage cited"),
        ],
        settings: &[LEVEL],
        source: "literal inclusion after white space and Unicode composition; Wilson 1927",
        run: citations,
    },
];

fn retrieval(frame: &Frame) -> Result<Value> {
    let mut queries: BTreeMap<String, Query> = BTreeMap::new();
    let (names, documents) = (frame.texts("query"), frame.texts("document"));
    let (scores, degrees) = (frame.maybe_numbers("score"), frame.maybe_numbers("relevance"));
    for row in 0..frame.rows() {
        let query = queries.entry(names[row].to_owned()).or_default();
        if let Some(score) = scores[row] {
            query.found.push((documents[row].to_owned(), score));
        }
        let Some(degree) = degrees[row] else { continue };
        if degree.fract() != 0.0 {
            return Err(Refusal::input(
                format!("la pertinence {degree} n’est pas un nombre entier"),
                format!("the relevance {degree} is not a whole number"),
            ));
        }
        if query.judged.insert(documents[row].to_owned(), degree as i64).is_some() {
            return Err(Refusal::input(
                format!("requête « {} » : le document « {} » est jugé deux fois", names[row], documents[row]),
                format!("query “{}”: document “{}” is judged twice", names[row], documents[row]),
            ));
        }
    }
    told(retrieval::evaluate(&queries, frame.setting_if_said("k")?)?)
}

fn citations(frame: &Frame) -> Result<Value> {
    let literal: Vec<bool> = frame
        .texts("quote")
        .into_iter()
        .zip(frame.texts("passage"))
        .map(|(quote, passage)| citation::is_literal(quote, passage))
        .collect();
    let share = proportion::wilson(literal.iter().filter(|found| **found).count(), literal.len(), frame.level()?)?;
    Ok(json!({"share": told(share)?, "literal": literal}))
}
