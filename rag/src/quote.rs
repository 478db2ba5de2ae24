//! Whether what an answer puts in quotation marks is in the passages, and which sentence of a passage bears a claim.

use std::collections::HashSet;
use std::ops::Range;

use crate::analyse::Analyser;

/// A text between quotation marks in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Its bytes in the answer, marks left out.
    pub range: Range<usize>,
    /// The number (from 1) of the first passage that says it word for word.
    pub passage: Option<usize>,
}

/// Shorter than this many words, marks set a term apart rather than quote.
const SHORTEST: usize = 3;

/// The quotes of an answer, each looked for in the passages. Case, blanks, the form of apostrophes and of quotation
/// marks do not count; every word and number does.
pub fn check<'a>(answer: &str, passages: impl IntoIterator<Item = &'a str>) -> Vec<Quote> {
    let passages: Vec<String> = passages.into_iter().map(plain).collect();
    quoted(answer)
        .into_iter()
        .map(|range| {
            let quote = plain(answer.get(range.clone()).unwrap_or_default());
            // « … » in a quote stands for what was left out: its parts are to be found in order.
            let parts: Vec<&str> = quote
                .split(['…', '\u{0}'])
                .map(|part| part.trim_matches([' ', '.']))
                .filter(|part| !part.is_empty())
                .collect();
            let passage = passages.iter().position(|passage| holds(passage, &parts)).map(|nth| nth + 1);
            Quote { range, passage }
        })
        .collect()
}

fn holds(passage: &str, parts: &[&str]) -> bool {
    let mut rest = passage;
    !parts.is_empty()
        && parts.iter().all(|part| match rest.find(part) {
            Some(at) => {
                rest = rest.get(at + part.len()..).unwrap_or_default();
                true
            }
            None => false,
        })
}

fn quoted(answer: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, char)> = None;
    for (at, c) in answer.char_indices() {
        match (open, c) {
            (Some((start, close)), c) if c == close => {
                let text = answer.get(start..at).unwrap_or_default();
                if text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count() >= SHORTEST {
                    let blank = text.len() - text.trim_start().len();
                    found.push(start + blank..start + text.trim_end().len());
                }
                open = None;
            }
            (None, '«') => open = Some((at + c.len_utf8(), '»')),
            (None, '“') => open = Some((at + c.len_utf8(), '”')),
            (None, '"') => open = Some((at + 1, '"')),
            (Some(_), '\n') => open = None,
            _ => {}
        }
    }
    found
}

/// Lower case, one space, one form of apostrophe and dots; quotation marks and emphasis go.
fn plain(text: &str) -> String {
    let text =
        text.replace("[…]", "…").replace("[...]", "…").replace("(…)", "…").replace("(...)", "…").replace("...", "…");
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let start = out.len();
        if start > 0 {
            out.push(' ');
        }
        for c in word.chars().flat_map(char::to_lowercase) {
            match c {
                '’' | 'ʼ' | '‘' => out.push('\''),
                '–' | '—' | '‑' => out.push('-'),
                '«' | '»' | '“' | '”' | '"' | '*' | '_' | '#' | '|' => {}
                c => out.push(c),
            }
        }
        if out.ends_with(' ') {
            out.pop();
        }
    }
    out
}

/// The sentence of a passage that shares the most with a claim: its bytes, or none when nothing is shared.
pub fn bearing(passage: &str, claim: &str, analyser: &Analyser) -> Option<Range<usize>> {
    let wanted: HashSet<String> = analyser.terms(claim).collect();
    let mut best: Option<(f64, Range<usize>)> = None;
    for range in sentences(passage) {
        let sentence = passage.get(range.clone()).unwrap_or_default();
        let terms: HashSet<String> = analyser.terms(sentence).collect();
        let shared = terms.intersection(&wanted).count() as f64;
        // A long sentence shares more by its length alone.
        let score = shared / (terms.len() as f64 + 8.0).sqrt();
        if shared > 0.0 && best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, range));
        }
    }
    best.map(|(_, range)| range)
}

/// Sentences and lines, without the blanks around them.
fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut push = |start: usize, end: usize| {
        let part = text.get(start..end).unwrap_or_default();
        let blank = part.len() - part.trim_start().len();
        if !part.trim().is_empty() {
            found.push(start + blank..start + part.trim_end().len());
        }
    };
    for end in crate::split::sentence_ends(text)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect::<std::collections::BTreeSet<_>>()
    {
        push(start, end);
        start = end;
    }
    push(start, text.len());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    const PASSAGE: &str = "La durée du préavis est d’un mois. L’employeur verse une indemnité de 1 500 € au salarié.";

    #[test]
    fn literal_quotes_are_told_from_invented_ones() {
        let answer = "Le texte dit « l'employeur verse une indemnité de 1 500 € » et \"la durée est de deux mois\".";
        let quotes = check(answer, ["Autre chose.", PASSAGE]);
        assert_eq!(quotes.iter().map(|quote| quote.passage).collect::<Vec<_>>(), [Some(2), None]);
        assert_eq!(&answer[quotes[0].range.clone()], "l'employeur verse une indemnité de 1 500 €");
    }

    #[test]
    fn what_is_left_out_of_a_quote_may_be() {
        assert_eq!(check("« La durée du préavis […] est d’un mois. »", [PASSAGE])[0].passage, Some(1));
        assert_eq!(check("« est d’un mois … la durée du préavis »", [PASSAGE])[0].passage, None);
    }

    #[test]
    fn short_terms_are_not_quotes() {
        assert!(check("Le « préavis » et “la faute”.", [PASSAGE]).is_empty());
    }

    #[test]
    fn the_sentence_that_bears_a_claim_is_found() {
        let analyser = Analyser::new(Language::French);
        let range = bearing(PASSAGE, "Une indemnité est versée par l’employeur [1].", &analyser).unwrap();
        assert!(PASSAGE[range].starts_with("L’employeur verse"));
        assert_eq!(bearing(PASSAGE, "Rien à voir", &analyser), None);
    }
}
