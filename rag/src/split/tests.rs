use proptest::prelude::*;

use super::*;
use crate::{Block, BlockKind};

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn document(blocks: Vec<Block>) -> Document {
    Document { title: Some("Guide".to_owned()), blocks, ..Document::default() }
}

fn by_words(blocks: Vec<Block>, options: &Options) -> Vec<Chunk> {
    split(&document(blocks), options, &words).unwrap()
}

fn options(size: usize) -> Options {
    Options { min_size: 0, ..Options::tokens(size) }
}

fn texts(chunks: &[Chunk]) -> Vec<&str> {
    chunks.iter().map(|chunk| chunk.text.as_str()).collect()
}

#[test]
fn a_short_fiche_stays_whole() {
    let blocks = vec![Block::heading(1, "Congés"), Block::paragraph("Deux jours."), Block::heading(2, "Délai")];
    let chunks = by_words(blocks, &options(50));
    assert_eq!(texts(&chunks), ["# Congés\n\nDeux jours.\n\n## Délai"]);
    assert_eq!((chunks[0].title.as_deref(), &chunks[0].headings[..]), (Some("Guide"), &["Congés".to_owned()][..]));
}

#[test]
fn sections_that_fit_stay_whole_and_know_their_headings() {
    let mut blocks = vec![Block::heading(1, "Code"), Block::heading(2, "Chapitre I")];
    for n in 1..=3 {
        blocks.push(Block::heading(3, format!("Article {n}")));
        blocks.push(Block::paragraph("mot ".repeat(20).trim()));
    }
    let chunks = by_words(blocks, &options(30));
    assert_eq!(chunks.len(), 3);
    // Headings with nothing of their own go with the first section under them.
    assert!(chunks[0].text.starts_with("# Code\n\n## Chapitre I\n\n### Article 1\n\nmot"), "{}", chunks[0].text);
    assert!(chunks[2].text.starts_with("### Article 3"), "{}", chunks[2].text);
    let headings: Vec<&str> = chunks[2].headings.iter().map(String::as_str).collect();
    assert_eq!(headings, ["Code", "Chapitre I", "Article 3"]);
}

#[test]
fn what_is_too_long_is_cut_between_blocks_then_sentences() {
    let long = "Première phrase de cinq mots. Deuxième phrase de cinq mots. Voir l’art. L. 1234-5 du code.";
    let blocks = vec![Block::heading(2, "Long"), Block::paragraph("Court début."), Block::paragraph(long)];
    let chunks = by_words(blocks, &options(10));
    assert_eq!(
        texts(&chunks),
        [
            "## Long\n\nCourt début.",
            "Première phrase de cinq mots. Deuxième phrase de cinq mots.",
            "Voir l’art. L. 1234-5 du code."
        ]
    );
    assert!(chunks.iter().all(|chunk| chunk.headings == ["Long"]));
}

#[test]
fn pages_follow() {
    let mut blocks = vec![Block::paragraph("un ".repeat(5).trim()), Block::paragraph("deux ".repeat(5).trim())];
    blocks[0].page = Some(3);
    blocks[1].page = Some(4);
    let whole = by_words(blocks.clone(), &options(20));
    assert_eq!((whole[0].page, whole[0].last_page), (Some(3), Some(4)));
    let apart = by_words(blocks, &options(6));
    assert_eq!((apart[1].page, apart[1].last_page), (Some(4), Some(4)));
}

#[test]
fn crumbs_join_their_neighbours() {
    let section = |n: usize| [Block::heading(2, format!("S{n}")), Block::paragraph("mot ".repeat(n).trim())];
    let blocks: Vec<Block> = [1, 2, 40, 3].into_iter().flat_map(section).collect();
    let chunks = by_words(blocks, &Options { min_size: 10, ..options(50) });
    assert_eq!(chunks.iter().map(|chunk| words(&chunk.text)).collect::<Vec<_>>(), [49, 5]);
    assert!(chunks[0].headings.is_empty());
}

#[test]
fn albert_s_separators_are_tried_in_order() {
    let blocks = vec![Block::paragraph("a1 a2;b1 b2;c1 c2|d1 d2")];
    let literal =
        Options { separators: Separators::Literal(vec!["|".to_owned(), ";".to_owned()]), ..Options::albert() };
    let chunks = split(&document(blocks.clone()), &Options { size: 12, ..literal }, &Characters).unwrap();
    assert_eq!(texts(&chunks), ["a1 a2;b1 b2", ";c1 c2", "|d1 d2"]);
    let pattern = Options { separators: Separators::Patterns(vec!["[b-d]1".to_owned()]), size: 6, ..Options::albert() };
    let chunks = split(&document(blocks), &pattern, &Characters).unwrap();
    assert_eq!(texts(&chunks), ["a1 a2;", "b1 b2;", "c1 c2|", "d1 d2"]);
}

#[test]
fn chunking_can_be_disabled() {
    let blocks = vec![Block::heading(1, "A"), Block::paragraph("mot ".repeat(500).trim())];
    let whole = Options { separators: Separators::Whole, ..options(10) };
    assert_eq!(by_words(blocks, &whole).len(), 1);
}

#[test]
fn overlap_repeats_the_end_of_the_chunk_before() {
    let text = (1..=30).map(|n| format!("m{n}")).collect::<Vec<_>>().join(" ");
    let chunks = by_words(vec![Block::paragraph(text)], &Options { overlap: 3, ..options(10) });
    assert_eq!(chunks[0].text, "m1 m2 m3 m4 m5 m6 m7");
    assert_eq!(chunks[1].text, "m5 m6 m7 m8 m9 m10 m11 m12 m13 m14");
}

#[test]
fn contradictions_are_told() {
    let bad = |options: Options| split(&document(vec![]), &options, &Characters).unwrap_err();
    assert_eq!(bad(Options { size: 0, ..Options::albert() }), BadOptions::Size);
    assert!(bad(Options { overlap: 2048, ..Options::albert() }).french().contains("chunk_overlap"));
    assert!(bad(Options { min_size: 4000, ..Options::albert() }).english().contains("chunk_min_size"));
    let patterns =
        |pattern: &str| Options { separators: Separators::Patterns(vec![pattern.to_owned()]), ..Options::albert() };
    assert_eq!(bad(patterns("(")), BadOptions::Separator("(".to_owned()));
    assert!(matches!(bad(patterns("(a{1000}){1000}")), BadOptions::Separator(_)));
    assert!(matches!(bad(patterns(&"a".repeat(300))), BadOptions::Separator(_)));
}

#[test]
fn an_empty_document_has_no_chunk() {
    assert!(by_words(vec![], &options(10)).is_empty());
    assert!(by_words(vec![], &Options { separators: Separators::Whole, ..options(10) }).is_empty());
}

#[test]
fn sentences_end_where_they_do() {
    let parts = |text: &str| sentence_ends(text).collect::<Vec<_>>();
    assert!(parts("M. Martin, art. L. 3 et 1.5 %. ok").is_empty());
    assert_eq!(parts("Fin en 2024. Suite !").len(), 1);
    assert_eq!(parts("un ; deux ; trois").len(), 2);
}

fn block() -> impl Strategy<Value = Block> {
    let text = "([a-zàéœ]{1,12}|[A-Z]\\.|[0-9]{1,4}|[.;!]|🙂|一二)( |\n|\\. ){1}";
    let text = proptest::collection::vec(text, 1..40).prop_map(|parts| parts.concat().trim().to_owned());
    (0..9_u8, text).prop_filter_map("blank", |(kind, text)| {
        let kind = match kind {
            level @ 1..=3 => BlockKind::Heading { level },
            4 => BlockKind::Table,
            _ => BlockKind::Paragraph,
        };
        (!text.is_empty()).then(|| Block::new(kind, text))
    })
}

fn separators() -> impl Strategy<Value = Separators> {
    prop_oneof![
        Just(Separators::Structure),
        Just(Separators::Literal(vec!["\n\n".to_owned(), ". ".to_owned(), "a".to_owned()])),
        Just(Separators::Patterns(vec!["\n#{1,6} ".to_owned(), "[0-9]+".to_owned()])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Nothing lost, nothing twice, no chunk too large, whatever the document, the sizes and the separators.
    #[test]
    fn chunks_are_the_document(
        blocks in proptest::collection::vec(block(), 0..12),
        size in 1..60_usize,
        least in 0..60_usize,
        separators in separators(),
        characters: bool,
    ) {
        let document = document(blocks);
        let options = Options { size, overlap: 0, min_size: least.min(size), separators };
        let tokenizer: &dyn Tokenizer = if characters { &Characters } else { &words };
        let text = document.render().text;
        let chunks = split(&document, &options, tokenizer).unwrap();
        let mut end = 0;
        for chunk in &chunks {
            prop_assert!(chunk.range.start >= end);
            prop_assert!(text[end..chunk.range.start].trim().is_empty());
            prop_assert_eq!(&chunk.text, &text[chunk.range.clone()]);
            prop_assert_eq!(chunk.text.trim(), &chunk.text);
            prop_assert!(tokenizer.count(&chunk.text) <= size, "{} > {size}", tokenizer.count(&chunk.text));
            end = chunk.range.end;
        }
        prop_assert!(text[end..].trim().is_empty());
    }

    /// With overlap: still nothing lost, no chunk too large, no more repeated than asked.
    #[test]
    fn overlap_is_bounded(
        blocks in proptest::collection::vec(block(), 0..12),
        size in 2..60_usize,
        overlap in 1..30_usize,
    ) {
        let document = document(blocks);
        let options = Options { size, overlap: overlap.min(size - 1), min_size: 0, separators: Separators::Structure };
        let text = document.render().text;
        let chunks = split(&document, &options, &words).unwrap();
        let mut end = 0;
        for chunk in &chunks {
            prop_assert!(words(&chunk.text) <= size);
            match text.get(chunk.range.start..end) {
                Some(repeated) => prop_assert!(words(repeated) <= options.overlap),
                None => prop_assert!(text[end..chunk.range.start].trim().is_empty()),
            }
            prop_assert!(chunk.range.end > end);
            end = chunk.range.end;
        }
        prop_assert!(text[end..].trim().is_empty());
    }
}
