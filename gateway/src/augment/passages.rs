//! What was found, as the numbered passages of a prompt.

use std::collections::HashMap;
use std::ops::Range;

use rag::pack::{Found as Piece, Packed, pack as pack_pieces};
use serde_json::{Value, json};

use crate::passage;
use crate::recorder::capture::Passage as Noted;
use crate::retriever::Found;
use crate::store::passages::Passage;

/// Tokens around a passage: its fence and its title.
const FRAME: usize = 48;
/// Bytes to one token, on the safe side of what French costs with any vocabulary.
const BYTES_PER_TOKEN: usize = 3;
/// The fewest bytes by which two neighbours overlap, rather than begin alike by chance.
const OVERLAP: usize = 24;

/// Passages, each with what it is called.
pub struct Packing {
    pub packed: Packed<i64, i64>,
    titles: Vec<String>,
}

/// Packs results, the best first, into a budget of tokens.
pub fn pack(results: &[Found], budget: usize) -> Packing {
    let ranges = ranges(results);
    let pieces: Vec<Piece<i64, i64>> = results
        .iter()
        .map(|found| Piece {
            id: found.passage.id,
            document: found.passage.document,
            range: ranges.get(&found.passage.id).cloned().unwrap_or_default(),
            text: found.passage.content.clone(),
        })
        .collect();
    let packed = pack_pieces(&pieces, budget, FRAME, &|text: &str| text.len().div_ceil(BYTES_PER_TOKEN));
    let titles = packed.passages.iter().map(|passage| {
        let first = passage.chunks.iter().find_map(|id| results.iter().find(|found| found.passage.id == *id));
        first.map(|found| title(&found.passage)).unwrap_or_default()
    });
    let titles = titles.collect();
    Packing { packed, titles }
}

impl Packing {
    /// The number of the passage that holds a chunk; none where it was left out of the prompt.
    pub fn number(&self, chunk: i64) -> Option<usize> {
        self.packed.passages.iter().find(|passage| passage.chunks.contains(&chunk)).map(|passage| passage.number)
    }

    /// What was found, as evaluation keeps it; which of it the answer cites is known later.
    pub fn noted(&self, results: &[Found]) -> Vec<Noted> {
        let noted = (1..).zip(results).map(|(rank, found)| {
            let number = self.number(found.passage.id);
            Noted {
                rank,
                text: found.passage.content.clone(),
                document: Some(found.passage.document_name.clone()),
                in_prompt: number.is_some(),
                cited: false,
                number,
            }
        });
        noted.collect()
    }

    /// The variable `passages` of the prompt.
    pub fn variables(&self) -> Value {
        let one =
            |(passage, title): (&rag::pack::Passage<i64, i64>, &String)| json!({"title": title, "text": passage.text});
        self.packed.passages.iter().zip(&self.titles).map(one).collect::<Vec<Value>>().into()
    }
}

/// Document, headings and page, as a reader would be told.
fn title(passage: &Passage) -> String {
    let mut parts = vec![passage.title()];
    let headings = passage.own.get(passage::HEADINGS).and_then(Value::as_array);
    parts
        .extend(headings.into_iter().flatten().filter_map(Value::as_str).filter(|heading| *heading != passage.title()));
    // On one line, whatever a document calls itself.
    let mut title = parts.join(" > ").split_whitespace().collect::<Vec<&str>>().join(" ");
    if let Some(page) = passage.own.get(passage::PAGE).and_then(Value::as_u64) {
        title.push_str(&format!(" (page {page})"));
    }
    title
}

/// Where each chunk is in its document, as far as chunks tell: neighbours that repeat each other's end overlap.
fn ranges(results: &[Found]) -> HashMap<i64, Range<usize>> {
    let mut passages: Vec<&Passage> = results.iter().map(|found| &found.passage).collect();
    passages.sort_by_key(|passage| (passage.document, passage.position));
    let mut ranges = HashMap::new();
    let mut before: Option<(&Passage, usize)> = None;
    for passage in passages {
        let start = match before {
            Some((last, end)) if last.document == passage.document => {
                let next = last.position + 1 == passage.position;
                match next.then(|| overlap(&last.content, &passage.content)).flatten() {
                    Some(shared) => end - shared,
                    // Apart, so that they stay two.
                    None => end + 2,
                }
            }
            _ => 0,
        };
        let end = start + passage.content.len();
        ranges.insert(passage.id, start..end);
        before = Some((passage, end));
    }
    ranges
}

/// Bytes at the end of a text that another begins with.
fn overlap(text: &str, next: &str) -> Option<usize> {
    let most = text.len().min(next.len());
    let bound = |length: &usize| text.is_char_boundary(text.len() - length) && next.is_char_boundary(*length);
    (OVERLAP..=most).rev().filter(bound).find(|length| next.get(..*length) == text.get(text.len() - length..))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn found(id: i64, document: i64, position: i64, content: &str) -> Found {
        let own = json!({"title": "Congés", "headings": ["Congés", "Durée"], "page": 3}).as_object().cloned().unwrap();
        let passage = Passage {
            id,
            collection: 1,
            document,
            position,
            content: content.to_owned(),
            own,
            document_name: "conges.pdf".to_owned(),
            shared: Map::new(),
        };
        Found { passage, score: 1.0, ranks: Vec::new(), reranked: false, others: Vec::new() }
    }

    #[test]
    fn overlapping_neighbours_are_one_passage_and_repeats_are_left_out() {
        let shared = "Tout salarié a droit à des congés payés.";
        let results = [
            found(2, 1, 1, &format!("{shared} Ils durent trente jours.")),
            found(9, 7, 0, "Le préavis est d’un mois."),
            found(1, 1, 0, &format!("Article premier. {shared}")),
            found(8, 6, 0, "Le  préavis est d’un mois."),
        ];
        let packing = pack(&results, 1_000);
        let texts: Vec<&str> = packing.packed.passages.iter().map(|passage| passage.text.as_str()).collect();
        assert_eq!(
            texts,
            [&format!("Article premier. {shared} Ils durent trente jours."), "Le préavis est d’un mois."]
        );
        assert_eq!(packing.packed.passages[1].chunks, [9, 8]);
        assert_eq!(packing.variables()[0]["title"], "Congés > Durée (page 3)");
    }

    #[test]
    fn the_budget_holds() {
        let results =
            [found(1, 1, 0, &"mot ".repeat(100)), found(2, 2, 0, &"long ".repeat(1_000)), found(3, 3, 0, "court")];
        let packing = pack(&results, 400);
        assert!(packing.packed.tokens <= 400);
        assert_eq!(packing.packed.left_out, [2]);
        assert_eq!(packing.packed.passages.len(), 2);
    }
}
