//! What goes beside an answer: what was found, and which of it the answer cites.

use rag::cite::Citations;
use rag::quote;
use serde_json::{Value, json};

use super::passages::Packing;
use crate::openai::annex::{Annex, Fields};
use crate::passage;
use crate::retriever::{Found, Plan, SearchRequest};

/// Of an answer, before a citation, that is compared with the passage it cites: bytes.
const CLAIM: usize = 400;

/// Waits for the text of the answer.
pub fn annex(results: Vec<Found>, packing: Packing, request: SearchRequest, plan: Plan) -> Annex {
    Annex::new(move |answer| fields(answer, &results, &packing, &request, &plan))
}

fn fields(answer: &str, results: &[Found], packing: &Packing, request: &SearchRequest, plan: &Plan) -> Fields {
    let passages = &packing.packed.passages;
    let mut citations = Citations::of(passages.len());
    citations.push(answer);
    let cited = citations.cited();
    let found: Vec<Value> = results
        .iter()
        .map(|found| {
            let number = packing.number(found.passage.id);
            let mut result = found.json(request, plan);
            result["in_prompt"] = number.is_some().into();
            result["cited"] = number.is_some_and(|number| cited.contains(&number)).into();
            result["number"] = number.into();
            result
        })
        .collect();
    let quotes = quote::check(answer, passages.iter().map(|passage| passage.text.as_str()));
    let notes: Vec<Value> = passages
        .iter()
        .filter_map(|passage| {
            let first = results.iter().find(|found| passage.chunks.contains(&found.passage.id))?;
            let mark = citations.found().iter().find(|citation| citation.number == passage.number);
            // Words the answer quotes; else the sentence that bears what is said before the mark.
            let literal = quotes.iter().find(|quote| quote.passage == Some(passage.number));
            let literal = literal.and_then(|quote| answer.get(quote.range.clone())).map(str::to_owned);
            let bearing = || {
                let claim = claim(answer, mark?.range.start);
                let range = quote::bearing(&passage.text, claim, plan.analyser(first.passage.collection))?;
                passage.text.get(range).map(str::to_owned)
            };
            let own = &first.passage.own;
            Some(json!({
                "number": passage.number,
                "collection_id": first.passage.collection,
                "document_id": first.passage.document,
                "document_name": first.passage.document_name,
                "title": first.passage.title(),
                "headings": own.get(passage::HEADINGS),
                "page": own.get(passage::PAGE),
                "last_page": own.get(passage::LAST_PAGE),
                "chunk_ids": passage.chunks,
                "score": first.score,
                "in_prompt": true,
                "cited": mark.is_some(),
                "quote": mark.and_then(|_| literal.or_else(bearing)),
            }))
        })
        .collect();
    let mut fields =
        vec![("search_results", Value::from(found).to_string()), ("citations", Value::from(notes).to_string())];
    if !citations.unknown().is_empty() {
        // Numbers the model made up: an interface shows no link for them.
        let unknown: Vec<usize> = citations.unknown().iter().map(|citation| citation.number).collect();
        fields.push(("unknown_citations", json!(unknown).to_string()));
    }
    fields
}

/// What is said before a citation mark: the sentence it ends.
fn claim(answer: &str, mark: usize) -> &str {
    let from = answer.floor_char_boundary(mark.saturating_sub(CLAIM));
    let before = answer.get(from..mark).unwrap_or_default().trim_end();
    let body = before.trim_end_matches(['.', '!', '?', ']', ')', '»', ' ']);
    let start = body.rfind(['.', '!', '?', '\n', ']']).map_or(0, |at| at + 1);
    before.get(start..).unwrap_or(before).trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_the_sentence_before_its_mark() {
        let answer = "Le préavis est d’un mois [1]. L’indemnité est due. [2]";
        assert_eq!(claim(answer, answer.find("[1]").unwrap()), "Le préavis est d’un mois");
        assert_eq!(claim(answer, answer.find("[2]").unwrap()), "L’indemnité est due.");
    }
}
