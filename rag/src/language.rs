//! Which language a text is in, by its small words: enough to choose an analysis.

#[cfg(feature = "documents")]
use serde::{Deserialize, Serialize};

/// A language whose analysis we have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "documents", derive(Serialize, Deserialize), serde(rename_all = "lowercase"))]
pub enum Language {
    #[cfg_attr(feature = "documents", serde(rename = "fr"))]
    French,
    #[cfg_attr(feature = "documents", serde(rename = "en"))]
    English,
}

/// Words that only one of the two languages has; `on`, `me`, `an`, `plus` and the like are in neither list.
const FRENCH: [&str; 28] = [
    "le", "la", "les", "des", "du", "un", "une", "et", "est", "que", "qui", "dans", "pour", "par", "sur", "au", "aux",
    "ce", "cette", "ne", "pas", "avec", "sont", "vous", "il", "ou", "de", "en",
];
const ENGLISH: [&str; 26] = [
    "the", "of", "and", "to", "is", "that", "for", "with", "are", "this", "be", "by", "it", "as", "was", "from", "or",
    "not", "you", "have", "which", "at", "what", "how", "your", "in",
];

/// Text enough to tell from; the rest of a long document is not read for it.
const SAMPLE: usize = 40_000;

impl Language {
    /// Of one text; `None` when it is too short or in neither language.
    pub fn of(text: &str) -> Option<Language> {
        Language::of_blocks(std::iter::once(text))
    }

    /// Of a document given as pieces.
    pub fn of_blocks<'a>(blocks: impl Iterator<Item = &'a str>) -> Option<Language> {
        let (mut words, mut french, mut english) = (0_usize, 0_usize, 0_usize);
        let mut left = SAMPLE;
        for block in blocks {
            for word in block.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
                let lower = word.to_lowercase();
                words += 1;
                french += usize::from(FRENCH.contains(&lower.as_str()));
                english += usize::from(ENGLISH.contains(&lower.as_str()));
                left = left.saturating_sub(word.len() + 1);
                if left == 0 {
                    break;
                }
            }
            if left == 0 {
                break;
            }
        }
        // One small word in ten is far below what prose has (four in ten), far above what chance gives.
        let clear = |ours: usize, other: usize| ours > 0 && ours * 10 >= words && ours > 2 * other;
        match (french, english) {
            _ if clear(french, english) => Some(Language::French),
            _ if clear(english, french) => Some(Language::English),
            _ => None,
        }
    }

    /// ISO 639-1.
    pub fn code(self) -> &'static str {
        match self {
            Language::French => "fr",
            Language::English => "en",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_words_tell() {
        let french = "Le préfet de la région est chargé de l’exécution du présent arrêté, qui sera publié au recueil.";
        assert_eq!(Language::of(french), Some(Language::French));
        let english = "The holder of the permit shall be notified of the decision by the authority within two months.";
        assert_eq!(Language::of(english), Some(Language::English));
        assert_eq!(Language::of("Der Präfekt wird mit der Ausführung dieses Erlasses beauftragt."), None);
        assert_eq!(Language::of("42 1337"), None);
        assert_eq!(Language::of(""), None);
    }
}
