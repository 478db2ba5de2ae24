//! Found chunks into the numbered passages of a prompt, within a budget of tokens, nothing said twice.

use std::collections::HashSet;
use std::hash::Hash;
use std::ops::Range;

use crate::split::Tokenizer;

/// A chunk that was found, the most relevant first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<Id, Document> {
    pub id: Id,
    pub document: Document,
    /// Its bytes in its document's text: chunks of one document that overlap or touch become one passage.
    pub range: Range<usize>,
    pub text: String,
}

/// A passage of the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage<Id, Document> {
    /// What the answer cites it by, from 1.
    pub number: usize,
    pub document: Document,
    pub range: Range<usize>,
    pub text: String,
    /// The chunks it is made of, and those that say the same.
    pub chunks: Vec<Id>,
}

/// The passages that fit, and what was left out of the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed<Id, Document> {
    pub passages: Vec<Passage<Id, Document>>,
    pub left_out: Vec<Id>,
    /// Tokens of the passages' texts.
    pub tokens: usize,
}

/// Takes chunks in order as long as they fit, each with `frame` tokens for its title and fence. One that is too long
/// is left out, and shorter ones after it still come.
pub fn pack<Id: Copy, Document: Copy + Eq + Hash>(
    found: &[Found<Id, Document>],
    budget: usize,
    frame: usize,
    tokenizer: &dyn Tokenizer,
) -> Packed<Id, Document> {
    let mut packed = Packed { passages: Vec::new(), left_out: Vec::new(), tokens: 0 };
    let mut said: HashSet<String> = HashSet::new();
    for chunk in found {
        let words = words(&chunk.text);
        if words.is_empty() {
            continue;
        }
        if said.contains(&words) {
            if let Some(same) = packed.passages.iter_mut().find(|passage| contains(&passage.text, &words)) {
                same.chunks.push(chunk.id);
            }
            continue;
        }
        if add(&mut packed, chunk, budget, frame, tokenizer) {
            said.insert(words);
        } else {
            packed.left_out.push(chunk.id);
        }
    }
    for (number, passage) in (1..).zip(&mut packed.passages) {
        passage.number = number;
    }
    packed
}

fn add<Id: Copy, Document: Copy + Eq>(
    packed: &mut Packed<Id, Document>,
    chunk: &Found<Id, Document>,
    budget: usize,
    frame: usize,
    tokenizer: &dyn Tokenizer,
) -> bool {
    // Everything it overlaps becomes one passage, at the place of the first.
    let (joined, rest): (Vec<usize>, Vec<usize>) = (0..packed.passages.len())
        .partition(|nth| packed.passages.get(*nth).is_some_and(|passage| merge(passage, chunk).is_some()));
    let mut merged = Passage {
        number: 0,
        document: chunk.document,
        range: chunk.range.clone(),
        text: chunk.text.clone(),
        chunks: vec![],
    };
    let mut chunks = Vec::new();
    for passage in joined.iter().filter_map(|nth| packed.passages.get(*nth)) {
        let part =
            Found { id: chunk.id, document: merged.document, range: merged.range.clone(), text: merged.text.clone() };
        if let Some((range, text)) = merge(passage, &part) {
            merged.range = range;
            merged.text = text;
        }
        chunks.extend(passage.chunks.iter().copied());
    }
    chunks.push(chunk.id);
    merged.chunks = chunks;
    let others: usize =
        rest.iter().filter_map(|nth| packed.passages.get(*nth)).map(|p| cost(&p.text, frame, tokenizer)).sum();
    let total = others + cost(&merged.text, frame, tokenizer);
    if total > budget {
        return false;
    }
    packed.tokens = total;
    let place = joined.first().copied().unwrap_or(packed.passages.len());
    for nth in joined.iter().rev() {
        packed.passages.remove(*nth);
    }
    packed.passages.insert(place.min(packed.passages.len()), merged);
    true
}

fn cost(text: &str, frame: usize, tokenizer: &dyn Tokenizer) -> usize {
    tokenizer.count(text) + frame
}

/// The union of a passage and a chunk of the same document that overlap or touch.
fn merge<Id, Document: Eq>(
    passage: &Passage<Id, Document>,
    chunk: &Found<Id, Document>,
) -> Option<(Range<usize>, String)> {
    let (a, b) = (&passage.range, &chunk.range);
    if passage.document != chunk.document || a.start > b.end || b.start > a.end {
        return None;
    }
    let (first, first_text, second, second_text) =
        if a.start <= b.start { (a, &passage.text, b, &chunk.text) } else { (b, &chunk.text, a, &passage.text) };
    if second.end <= first.end {
        return Some((first.clone(), first_text.clone()));
    }
    // Texts that are not what their ranges say are kept apart.
    let more = second_text.get(first.end.checked_sub(second.start)?..)?;
    Some((first.start..second.end, format!("{first_text}{more}")))
}

/// What a text says, for telling two that say the same.
fn words(text: &str) -> String {
    crate::document::one_line(&text.to_lowercase())
}

fn contains(text: &str, other: &str) -> bool {
    words(text).contains(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize";

    fn count(text: &str) -> usize {
        text.split_whitespace().count()
    }

    fn chunk(id: u32, document: u32, range: Range<usize>) -> Found<u32, u32> {
        Found { id, document, range: range.clone(), text: TEXT[range].to_owned() }
    }

    #[test]
    fn overlapping_chunks_are_one_passage() {
        let found = [chunk(1, 1, 0..21), chunk(2, 2, 30..45), chunk(3, 1, 9..35), chunk(4, 1, 14..21)];
        let packed = pack(&found, 100, 0, &count);
        assert_eq!(packed.passages.len(), 2);
        assert_eq!((&packed.passages[0].chunks[..], packed.passages[0].range.clone()), (&[1, 3, 4][..], 0..35));
        assert_eq!(packed.passages[0].text, TEXT[0..35]);
        assert_eq!(packed.passages.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn the_same_text_elsewhere_is_said_once() {
        let mut other = chunk(2, 2, 0..21);
        other.range = 400..421;
        let packed = pack(&[chunk(1, 1, 0..21), other], 100, 0, &count);
        assert_eq!(packed.passages.len(), 1);
        assert_eq!(packed.passages[0].chunks, [1, 2]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_shorter_ones_still_come() {
        let found = [chunk(1, 1, 0..13), chunk(2, 2, 0..60), chunk(3, 3, 20..27)];
        let packed = pack(&found, 6, 1, &count);
        assert_eq!(packed.passages.iter().map(|p| p.chunks[0]).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((packed.left_out, packed.tokens), (vec![2], 6));
    }

    proptest! {
        #[test]
        fn within_the_budget_and_nothing_twice(
            ranges in proptest::collection::vec((0..8_usize, 1..9_usize, 1..3_u32), 1..12),
            budget in 1..40_usize,
        ) {
            // Cuts between words: « zéro » is five bytes, the text is ASCII after it.
            let starts: Vec<usize> = std::iter::once(0).chain(TEXT.match_indices(' ').map(|(at, _)| at + 1)).collect();
            let ends: Vec<usize> = TEXT.match_indices(' ').map(|(at, _)| at).chain([TEXT.len()]).collect();
            let found: Vec<_> = (0_u32..)
                .zip(&ranges)
                .map(|(id, (from, length, document))| chunk(id, *document, starts[*from]..ends[from + length - 1]))
                .collect();
            let packed = pack(&found, budget, 1, &count);
            prop_assert!(packed.tokens <= budget);
            prop_assert_eq!(packed.tokens, packed.passages.iter().map(|p| count(&p.text) + 1).sum::<usize>());
            for (nth, passage) in packed.passages.iter().enumerate() {
                prop_assert_eq!(&passage.text, &TEXT[passage.range.clone()]);
                for other in &packed.passages[nth + 1..] {
                    let apart = passage.range.end < other.range.start || other.range.end < passage.range.start;
                    prop_assert!(passage.document != other.document || apart);
                }
            }
        }
    }
}
