//! What a chunk is to each lane of a search: the text that is embedded, the terms that are weighed, the fields that are
//! filtered. One place, so that what counts say is what the index holds.

use rag::Language;
use rag::analyse::Analyser;
use rag::sparse::{Bm25, Frequencies, SparseVector, TITLE_WEIGHT};
use serde_json::{Map, Value};

/// Keys of a chunk's metadata that come from its document.
pub const TITLE: &str = "title";
pub const HEADINGS: &str = "headings";
pub const PAGE: &str = "page";
pub const LAST_PAGE: &str = "last_page";
pub const DOCUMENT_NAME: &str = "document_name";

/// The metadata of a chunk that was cut out of a document.
pub fn metadata(chunk: &rag::split::Chunk) -> Map<String, Value> {
    let mut metadata = Map::new();
    if let Some(title) = &chunk.title {
        metadata.insert(TITLE.to_owned(), title.as_str().into());
    }
    if !chunk.headings.is_empty() {
        metadata.insert(HEADINGS.to_owned(), chunk.headings.clone().into());
    }
    for (key, page) in [(PAGE, chunk.page), (LAST_PAGE, chunk.last_page)] {
        if let Some(page) = page {
            metadata.insert(key.to_owned(), page.into());
        }
    }
    metadata
}

/// A JSON object of the database; an empty one for anything else.
pub fn object(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).unwrap_or_default()
}

fn title(metadata: &Map<String, Value>) -> &str {
    metadata.get(TITLE).and_then(Value::as_str).unwrap_or_default()
}

/// The text that stands for a chunk in the dense lane: under its document's title, which it does not repeat.
pub fn embedded(metadata: &Map<String, Value>, content: &str) -> String {
    let title = title(metadata);
    let start = content.trim_start_matches(['#', ' ']);
    if title.is_empty() || start.starts_with(title) { content.to_owned() } else { format!("{title}\n{content}") }
}

/// The analysis of a collection's language.
pub fn analyser(language: &str) -> Analyser {
    Analyser::new(if language == "en" { Language::English } else { Language::French })
}

/// Terms of a chunk in all, as collections count them.
pub fn length(frequencies: &Frequencies) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a count of terms, far below 2^24")]
    let length = frequencies.length() as i64;
    length
}

/// The terms of a chunk, its title's counted several times.
pub fn frequencies(analyser: &Analyser, metadata: &Map<String, Value>, content: &str) -> Frequencies {
    let mut frequencies = Frequencies::default();
    frequencies.add(analyser.terms(title(metadata)), TITLE_WEIGHT);
    frequencies.add(analyser.terms(content), 1.0);
    frequencies
}

/// The chunk's side of BM25.
pub fn sparse(analyser: &Analyser, metadata: &Map<String, Value>, content: &str) -> SparseVector {
    Bm25::default().chunk(&frequencies(analyser, metadata, content))
}

/// What filters look at: the document's fields, under the chunk's own.
pub fn fields(name: &str, document: &Map<String, Value>, chunk: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = document.clone();
    fields.extend(chunk.iter().map(|(key, value)| (key.clone(), value.clone())));
    fields.insert(DOCUMENT_NAME.to_owned(), name.into());
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_title_is_embedded_once() {
        let metadata = json!({"title": "Congés payés"}).as_object().cloned().unwrap();
        assert_eq!(embedded(&metadata, "Durée : 30 jours."), "Congés payés\nDurée : 30 jours.");
        assert_eq!(embedded(&metadata, "# Congés payés\n\nTout salarié"), "# Congés payés\n\nTout salarié");
        assert_eq!(embedded(&Map::new(), "Durée"), "Durée");
    }

    #[test]
    fn a_title_weighs_three_times() {
        let metadata = json!({"title": "Congés"}).as_object().cloned().unwrap();
        let counted = frequencies(&Analyser::new(Language::French), &metadata, "durée du contrat");
        assert!((counted.length() - 5.0).abs() < f32::EPSILON, "{}", counted.length());
    }

    #[test]
    fn a_chunks_own_fields_win() {
        let document = json!({"page": "?", "theme": "travail"}).as_object().cloned().unwrap();
        let chunk = json!({"page": 3}).as_object().cloned().unwrap();
        let wanted = json!({"page": 3, "theme": "travail", "document_name": "a.pdf"});
        assert_eq!(Value::Object(fields("a.pdf", &document, &chunk)), wanted);
    }
}
