//! Where a query's words are in a chunk, and the part of it to show.

use std::collections::HashSet;
use std::ops::Range;

use crate::analyse::Analyser;

/// The bytes of each word of `text` that the query has too, as the analysis sees them: in order, apart from each other.
pub fn matches(text: &str, query: &str, analyser: &Analyser) -> Vec<Range<usize>> {
    let wanted: HashSet<String> = analyser.terms(query).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    for token in analyser.tokens(text).filter(|token| wanted.contains(&token.term)) {
        match found.last_mut() {
            // The number of an article and its parts overlap.
            Some(last) if token.range.start < last.end => {
                last.start = last.start.min(token.range.start);
                last.end = last.end.max(token.range.end);
            }
            _ => found.push(token.range),
        }
    }
    found
}

/// The stretch of at most `length` bytes, cut between words, that holds the most matches; the earliest of several.
pub fn excerpt(text: &str, matches: &[Range<usize>], length: usize) -> Range<usize> {
    let best = |first: &Range<usize>| {
        matches.iter().filter(|m| m.start >= first.start && m.end <= first.start + length).count()
    };
    let mut from = 0;
    let mut most = 0;
    for found in matches {
        let count = best(found);
        if count > most {
            most = count;
            from = found.start;
        }
    }
    // A little of what comes before, for the sense.
    let before = from.saturating_sub(length / 5);
    let start = if text.len() <= length { 0 } else { word_start(text, before.min(text.len().saturating_sub(length))) };
    let end = text.floor_char_boundary(start.saturating_add(length));
    let end = if end < text.len() { word_end(text, start, end) } else { end };
    start..end
}

fn word_start(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    let head = text.get(..at).unwrap_or_default();
    head.rfind(char::is_whitespace).map_or(0, |blank| text.ceil_char_boundary(blank + 1))
}

fn word_end(text: &str, start: usize, end: usize) -> usize {
    let part = text.get(start..end).unwrap_or_default();
    if text.get(end..).is_some_and(|rest| rest.starts_with(char::is_whitespace)) {
        return end;
    }
    part.rfind(char::is_whitespace).filter(|at| *at > 0).map_or(end, |at| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;
    use proptest::prelude::*;

    #[test]
    fn words_are_found_whatever_their_endings() {
        let text = "L’employeur verse les congés payés. Le congé payé est dû (art. L. 3141-1).";
        let analyser = Analyser::new(Language::French);
        let found = matches(text, "congé payé L3141-1", &analyser);
        let words: Vec<&str> = found.into_iter().map(|range| &text[range]).collect();
        assert_eq!(words, ["congés", "payés", "congé", "payé", "L. 3141-1"]);
    }

    #[test]
    fn the_excerpt_is_where_the_words_are() {
        let text =
            format!("{}le préavis de démission {}", "texte sans rapport ".repeat(30), "suite et fin ".repeat(30));
        let analyser = Analyser::new(Language::French);
        let found = matches(&text, "préavis démission", &analyser);
        let excerpt = &text[excerpt(&text, &found, 100)];
        assert!(excerpt.contains("préavis de démission") && excerpt.len() <= 100, "{excerpt:?}");
    }

    proptest! {
        #[test]
        fn excerpts_are_parts_of_the_text(text in "\\PC{0,200}", query in "\\PC{0,20}", length in 0..100_usize) {
            let analyser = Analyser::new(Language::French);
            let found = matches(&text, &query, &analyser);
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(found.iter().all(|range| text.get(range.clone()).is_some()));
            let excerpt = excerpt(&text, &found, length);
            prop_assert!(text.get(excerpt.clone()).is_some() && excerpt.len() <= length);
        }
    }
}
