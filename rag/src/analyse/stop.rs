//! Words that say too little to search by, folded: lower case, without accents.
//!
//! Kept out of the lists on purpose: « pas », « sans », « non », « été » (the season, and of no weight as a verb once
//! its documents are counted), « plus », and single letters that are not elided.

/// Before an apostrophe only.
pub(super) const ELIDED: [&str; 16] = [
    "l", "d", "j", "m", "t", "s", "n", "c", "qu", "jusqu", "lorsqu", "puisqu", "quoiqu", "presqu", "quelqu", "aujourd",
];

pub(super) const FRENCH: [&str; 118] = [
    "a", "afin", "ai", "ainsi", "alors", "au", "aucun", "aussi", "autre", "autres", "aux", "avait", "avant", "avec",
    "avoir", "car", "ce", "ceci", "cela", "celle", "celles", "celui", "ces", "cet", "cette", "ceux", "chaque", "chez",
    "ci", "comme", "comment", "dans", "de", "des", "depuis", "dont", "donc", "du", "elle", "elles", "en", "entre",
    "es", "est", "et", "etaient", "etait", "etant", "etc", "etre", "eu", "eux", "fait", "il", "ils", "je", "la", "le",
    "les", "leur", "leurs", "lors", "lui", "ma", "mais", "me", "meme", "memes", "mes", "moi", "mon", "ne", "ni", "nos",
    "notre", "nous", "on", "ont", "or", "ou", "par", "parce", "peut", "peuvent", "pour", "puis", "quand", "que",
    "quel", "quelle", "quelles", "quels", "qui", "quoi", "sa", "se", "selon", "sera", "seront", "ses", "si", "soit",
    "son", "sont", "sous", "sur", "ta", "te", "tes", "toi", "ton", "tous", "tout", "toute", "toutes", "un", "une",
    "vers",
];

pub(super) const ENGLISH: [&str; 96] = [
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "but", "by", "can", "could", "did", "do", "does", "doing", "each", "for", "from", "had", "has",
    "have", "he", "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "me", "more",
    "most", "my", "of", "on", "or", "other", "our", "ours", "out", "over", "own", "s", "same", "shall", "she",
    "should", "so", "some", "such", "t", "than", "that", "the", "their", "theirs", "them", "then", "there", "these",
    "they", "this", "those", "through", "to", "too", "under", "up", "was", "we", "were", "what", "when", "which",
    "while", "who", "will", "with", "you", "your",
];
