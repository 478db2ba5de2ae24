//! Which passages an answer cites: `[1]`, `[1, 2]`, `[1][3]`, `[1-3]`, `【1】`, `【1†source】`, as it streams or whole.

use std::ops::Range;

/// One number of one mark in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    pub number: usize,
    /// The bytes of the mark, brackets included, in all of the answer so far.
    pub range: Range<usize>,
}

/// A longer mark is not one: it bounds what is held between two pieces of a stream.
const LONGEST: usize = 64;

/// Reads an answer piece by piece; what it finds does not depend on where the pieces are cut.
#[derive(Clone, Debug, Default)]
pub struct Citations {
    passages: usize,
    /// Bytes read before this piece.
    read: usize,
    /// The mark under way: where it began and what is inside so far.
    open: Option<(usize, String)>,
    /// Code fences (```` ``` ````): inside, brackets are code.
    ticks: usize,
    in_code: bool,
    found: Vec<Citation>,
    unknown: Vec<Citation>,
}

impl Citations {
    /// For an answer given `passages` numbered from 1.
    pub fn of(passages: usize) -> Citations {
        Citations { passages, ..Citations::default() }
    }

    pub fn push(&mut self, piece: &str) {
        for (at, c) in piece.char_indices() {
            self.character(self.read + at, c);
        }
        self.read += piece.len();
    }

    fn character(&mut self, at: usize, c: char) {
        if c == '`' {
            self.ticks += 1;
            if self.ticks == 3 {
                self.in_code = !self.in_code;
                self.ticks = 0;
            }
            self.open = None;
            return;
        }
        self.ticks = 0;
        match (&mut self.open, c) {
            _ if self.in_code => {}
            (_, '[' | '【') => self.open = Some((at, String::new())),
            (Some((start, inside)), ']' | '】') => {
                let range = *start..at + c.len_utf8();
                let numbers = numbers(inside);
                self.open = None;
                for number in numbers {
                    let citation = Citation { number, range: range.clone() };
                    if (1..=self.passages).contains(&number) {
                        self.found.push(citation);
                    } else {
                        self.unknown.push(citation);
                    }
                }
            }
            (Some((_, inside)), c) if c != '\n' && inside.len() < LONGEST => inside.push(c),
            _ => self.open = None,
        }
    }

    /// Every citation of a passage that was given, in the order of the answer.
    pub fn found(&self) -> &[Citation] {
        &self.found
    }

    /// Citations of numbers that no passage has.
    pub fn unknown(&self) -> &[Citation] {
        &self.unknown
    }

    /// The passages cited, each once, in the order of their first citation.
    pub fn cited(&self) -> Vec<usize> {
        let mut cited = Vec::new();
        for citation in &self.found {
            if !cited.contains(&citation.number) {
                cited.push(citation.number);
            }
        }
        cited
    }
}

/// The numbers in a mark; none when something else is in it.
fn numbers(inside: &str) -> Vec<usize> {
    // « 【1†source】 », « 【1†L3-L9】 »: what follows the dagger says where in the passage.
    let inside = inside.split('†').next().unwrap_or_default();
    let mut numbers = Vec::new();
    for part in inside.split([',', ';']) {
        let part = part.trim().trim_start_matches('^').trim_start_matches("n°").trim();
        let part = part.strip_prefix("passage").or_else(|| part.strip_prefix("Passage")).unwrap_or(part).trim();
        let (first, last) = part.split_once(['-', '–']).unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last && last - first < 10 => numbers.extend(first..=last),
            _ => return Vec::new(),
        }
    }
    numbers
}

/// Up to three digits: a year in brackets is no citation.
fn number(text: &str) -> Option<usize> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(answer: &str, passages: usize) -> Citations {
        let mut citations = Citations::of(passages);
        citations.push(answer);
        citations
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(read("Oui [2]. Aussi [1, 3], [1][2] et 【3】 ou 【1†source】.", 3).cited(), [2, 1, 3]);
        assert_eq!(read("Voir [1-3].", 5).cited(), [1, 2, 3]);
        assert_eq!(read("Voir [1; 2] et [passage 4].", 5).cited(), [1, 2, 4]);
    }

    #[test]
    fn other_brackets_are_no_citations() {
        let citations = read("L’an [2024], [sic], [a, 1], [1.5], [] et [0] [7]\n[1\n]", 3);
        assert_eq!(citations.cited(), [0_usize; 0]);
        assert_eq!(citations.unknown().iter().map(|c| c.number).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(read("```\nx[1]\n``` fin [2]", 3).cited(), [2]);
    }

    #[test]
    fn places_are_those_of_the_answer() {
        let answer = "Été [1], hiver 【2】";
        let citations = read(answer, 2);
        let marks: Vec<&str> = citations.found().iter().map(|citation| &answer[citation.range.clone()]).collect();
        assert_eq!(marks, ["[1]", "【2】"]);
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(answer in "([a-zé .]|\\[|\\]|[0-9]|,|【|】|`|\n){0,80}", cuts in proptest::collection::vec(0..80_usize, 0..8)) {
            let whole = read(&answer, 9);
            let mut streamed = Citations::of(9);
            let mut from = 0;
            let mut cuts = cuts;
            cuts.sort_unstable();
            for cut in cuts {
                let cut = answer.floor_char_boundary(cut.min(answer.len()));
                if cut >= from {
                    streamed.push(&answer[from..cut]);
                    from = cut;
                }
            }
            streamed.push(&answer[from..]);
            prop_assert_eq!(whole.found(), streamed.found());
            prop_assert_eq!(whole.unknown(), streamed.unknown());
        }
    }
}
