//! The pieces of an answer that a judge held to a schema chooses its quote from.

use crate::metrics::citation::is_literal;

/// Pieces at most, and letters of one at most: what engines take in a schema without a word.
const PIECES: usize = 32;
const LETTERS: usize = 240;

/// The sentences of an answer, as they are written; the first letters of a long one. Each is literally in the answer.
pub fn quotable(answer: &str) -> Vec<&str> {
    let mut pieces: Vec<&str> = Vec::new();
    for line in answer.lines() {
        for sentence in sentences(line) {
            let piece = start(sentence.trim());
            if pieces.len() < PIECES && !pieces.contains(&piece) && is_literal(piece, answer) {
                pieces.push(piece);
            }
        }
    }
    pieces
}

/// Cuts after a mark that ends a sentence and is followed by a space.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    let mut ended = false;
    line.split_inclusive(move |c: char| {
        let cut = ended && c.is_whitespace();
        ended = matches!(c, '.' | '!' | '?' | '…') || (ended && matches!(c, '»' | '”' | '"' | ')'));
        cut
    })
}

/// Whole words, as many as fit.
fn start(sentence: &str) -> &str {
    let Some((end, _)) = sentence.char_indices().nth(LETTERS) else { return sentence };
    let cut = &sentence[..end];
    cut.rfind(char::is_whitespace).map_or(cut, |word| cut[..word].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_is_in_the_answer_once() {
        let answer = "Oui.  Le délai est de 1.5 mois ! Vraiment ?\n\n- « Deux » mois…\n- Oui.\n…\n";
        let pieces = quotable(answer);
        assert_eq!(pieces, ["Oui.", "Le délai est de 1.5 mois !", "Vraiment ?", "- « Deux » mois…", "- Oui."]);
        assert!(quotable("").is_empty() && quotable(" … ").is_empty());
    }

    #[test]
    fn long_and_many_are_bounded() {
        let long = "mot ".repeat(500);
        let pieces = quotable(&long);
        assert_eq!((pieces.len(), pieces[0].ends_with("mot")), (1, true));
        assert!(pieces[0].chars().count() <= LETTERS && is_literal(pieces[0], &long));
        let unbroken = "é".repeat(1000);
        assert_eq!(quotable(&unbroken)[0].chars().count(), LETTERS);
        let many: String = (0..100).map(|i| format!("Phrase {i}. ")).collect();
        assert_eq!(quotable(&many).len(), PIECES);
    }
}
