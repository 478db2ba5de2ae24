//! Text into terms: what the lexical lane compares.
//!
//! French: elisions go (`l’employeur`), accents are folded (so that a query without accents finds as much), stop words
//! go, the rest is stemmed (Snowball). English likewise. Numbers stay; the number of a legal article is one more term
//! (`L. 1234-5`, `L1234-5` and `l.1234-5` are all `l1234-5`), besides its parts.

mod stop;

use std::ops::Range;

use rust_stemmers::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::Language;

/// A term and the bytes of the text it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub term: String,
    pub range: Range<usize>,
}

/// The analysis of one language.
pub struct Analyser {
    language: Language,
    stemmer: Stemmer,
}

impl std::fmt::Debug for Analyser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Analyser").field(&self.language).finish()
    }
}

/// Longer runs of letters and digits are no words: encoded data, tables of dots.
const LONGEST: usize = 64;

impl Analyser {
    pub fn new(language: Language) -> Analyser {
        let algorithm = match language {
            Language::French => Algorithm::French,
            Language::English => Algorithm::English,
        };
        Analyser { language, stemmer: Stemmer::create(algorithm) }
    }

    pub fn language(&self) -> Language {
        self.language
    }

    /// The terms of a text, in order, with repeats.
    pub fn terms<'a>(&'a self, text: &'a str) -> impl Iterator<Item = String> + 'a {
        self.tokens(text).map(|token| token.term)
    }

    /// As [`Analyser::terms`], with their places.
    pub fn tokens<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Token> + 'a {
        let words = Words { text, at: 0 }.filter(|word| word.len() <= LONGEST);
        let mut letter: Option<(char, usize)> = None;
        words.flat_map(move |range| {
            let word = text.get(range.clone()).unwrap_or_default();
            let folded = fold(word);
            let article = article(letter, &folded, &range, text);
            letter = section_letter(word).map(|letter| (letter, range.end));
            let elided = text.get(range.end..).is_some_and(|rest| rest.starts_with(['\'', '’', 'ʼ']));
            let term = (!self.is_stop(&folded, elided)).then(|| self.stem(folded));
            let plain = term.map(|term| Token { term, range });
            plain.into_iter().chain(article)
        })
    }

    fn is_stop(&self, folded: &str, elided: bool) -> bool {
        match self.language {
            Language::French => (elided && stop::ELIDED.contains(&folded)) || stop::FRENCH.contains(&folded),
            Language::English => stop::ENGLISH.contains(&folded),
        }
    }

    fn stem(&self, folded: String) -> String {
        if folded.bytes().any(|b| b.is_ascii_digit()) {
            return folded;
        }
        self.stemmer.stem(&folded).into_owned()
    }
}

/// Runs of letters and digits; a hyphen or a dot between two digits is part of the run.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Words<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.text.get(self.at..)?;
        let start = self.at + rest.find(char::is_alphanumeric)?;
        let rest = self.text.get(start..)?;
        let mut end = rest.len();
        let mut chars = rest.char_indices().peekable();
        let mut digit = false;
        while let Some((at, c)) = chars.next() {
            let joins = digit && c == '-' && chars.peek().is_some_and(|(_, next)| next.is_ascii_digit());
            if !(c.is_alphanumeric() || is_combining_mark(c) || joins) {
                end = at;
                break;
            }
            digit = c.is_ascii_digit();
        }
        self.at = start + end;
        Some(start..self.at)
    }
}

/// Lower case, without accents, ligatures undone.
fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(word.len());
    for c in word.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase) {
        match c {
            'œ' => folded.push_str("oe"),
            'æ' => folded.push_str("ae"),
            'ß' => folded.push_str("ss"),
            c => folded.push(c),
        }
    }
    folded
}

/// `L`, `R`, `D`, `A`: the parts of a code (law, decree in council, decree, order).
fn section_letter(word: &str) -> Option<char> {
    let mut chars = word.chars();
    match (chars.next().map(|c| c.to_ascii_lowercase()), chars.next()) {
        (Some(c @ ('l' | 'r' | 'd' | 'a')), None) => Some(c),
        _ => None,
    }
}

/// The term of an article's number, when this word is one.
fn article(letter: Option<(char, usize)>, folded: &str, range: &Range<usize>, text: &str) -> Option<Token> {
    if folded.starts_with(['l', 'r', 'd', 'a']) && folded.as_bytes().get(1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let (letter, end) = letter?;
    let between = text.get(end..range.start)?;
    let near =
        !between.is_empty() && between.len() <= 4 && between.chars().all(|c| matches!(c, '.' | ' ' | '*' | '\u{a0}'));
    let number = folded.as_bytes().first().is_some_and(u8::is_ascii_digit) && folded.len() >= 3;
    (near && number).then(|| Token { term: format!("{letter}{folded}"), range: end.saturating_sub(1)..range.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn french(text: &str) -> Vec<String> {
        Analyser::new(Language::French).terms(text).collect()
    }

    #[test]
    fn elisions_accents_stop_words_and_endings_go() {
        assert_eq!(french("L’employeur"), ["employeur"]);
        assert_eq!(french("Les congés payés des salariés"), french("conge paye salarie"));
        assert_eq!(french("l'œuvre, jusqu’à la cœlioscopie"), french("oeuvre coelioscopie"));
        assert_eq!(french("e\u{301}te\u{301}"), french("été"));
        assert!(french("le la les de du des et à l’ qu’").is_empty());
        // Letters that are not elided stay.
        assert_eq!(french("R.S.T. 35 heures, s’il"), ["r", "s", "t", "35", "heur"]);
    }

    #[test]
    fn article_numbers_are_terms() {
        for text in ["article L. 1234-5", "art. L1234-5", "l.1234-5", "L.\u{a0}1234-5"] {
            assert!(french(text).contains(&"l1234-5".to_owned()), "{text}: {:?}", french(text));
        }
        assert_eq!(french("de 10 à 1234-5"), ["10", "1234-5"]);
    }

    #[test]
    fn tokens_know_their_place() {
        let text = "Le préavis de l’employé";
        let analyser = Analyser::new(Language::French);
        let words: Vec<&str> = analyser.tokens(text).map(|token| &text[token.range]).collect();
        assert_eq!(words, ["préavis", "employé"]);
    }

    #[test]
    fn english_is_analysed_too() {
        let analyser = Analyser::new(Language::English);
        let terms: Vec<String> = analyser.terms("The employees' notices were running").collect();
        assert_eq!(terms, ["employe", "notic", "run"]);
    }
}
