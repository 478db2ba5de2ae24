//! Lines into headings and paragraphs.

use std::collections::{HashMap, HashSet};

use super::lines::Line;
use crate::document::{Block, BlockKind};

/// First parts of words that keep their hyphen at the end of a line.
const HYPHENATED: [&str; 24] = [
    "anti", "après", "arrière", "auto", "avant", "celle", "celles", "celui", "ceux", "chef", "contre", "demi", "dix",
    "ex", "inter", "mi", "non", "porte", "procès", "quasi", "semi", "sous", "vice", "vingt",
];

/// Headings of this share of the body's size and more.
const LARGER: f64 = 1.15;

pub(super) fn blocks(mut pages: Vec<Vec<Line>>) -> Vec<Block> {
    drop_running_lines(&mut pages);
    let body = body_size(&pages);
    let levels = heading_sizes(&pages, body);
    let words = vocabulary(&pages);
    let mut blocks: Vec<Block> = Vec::new();
    for (number, lines) in (1..).zip(pages) {
        let pitch = pitch(&lines);
        let mut page: Vec<Block> = Vec::new();
        for (nth, line) in lines.iter().enumerate() {
            let kind = kind(line, body, &levels);
            let previous = nth.checked_sub(1).and_then(|nth| lines.get(nth));
            let joins = previous.zip(page.last()).is_some_and(|(previous, block)| {
                block.kind == kind && continues(previous, line, kind, pitch, right_margin(&lines, previous))
            });
            match page.last_mut().filter(|_| joins) {
                Some(block) => append(&mut block.text, &line.text, &words),
                None => page.push(Block { kind, text: line.text.clone(), page: Some(number) }),
            }
        }
        blocks.append(&mut page);
    }
    blocks
}

/// The size of most characters.
fn body_size(pages: &[Vec<Line>]) -> f64 {
    let mut sizes: HashMap<i64, usize> = HashMap::new();
    for line in pages.iter().flatten() {
        *sizes.entry(half_points(line.size)).or_default() += line.text.len();
    }
    let most = sizes.into_iter().max_by_key(|(size, count)| (*count, -*size));
    most.map_or(0.0, |(size, _)| size as f64 / 2.0)
}

fn half_points(size: f64) -> i64 {
    (size * 2.0).round() as i64
}

/// Sizes of headings, the largest first.
fn heading_sizes(pages: &[Vec<Line>], body: f64) -> Vec<i64> {
    let large = pages.iter().flatten().filter(|line| is_large(line, body)).map(|line| half_points(line.size));
    let mut sizes: Vec<i64> = large.collect::<HashSet<_>>().into_iter().collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    sizes
}

fn is_large(line: &Line, body: f64) -> bool {
    line.turn == 0
        && line.size >= body * LARGER
        && line.text.chars().count() <= 200
        && line.text.chars().filter(|c| c.is_alphabetic()).count() >= 3
}

fn kind(line: &Line, body: f64, levels: &[i64]) -> BlockKind {
    if let Some(level) = legal_level(&line.text) {
        return BlockKind::Heading { level };
    }
    if is_large(line, body) {
        let rank = levels.iter().position(|size| *size == half_points(line.size)).unwrap_or_default();
        return BlockKind::Heading { level: u8::try_from(rank + 1).unwrap_or(3).min(3) };
    }
    BlockKind::Paragraph
}

/// « TITRE II », « Chapitre 3 : … », « Article 1er » alone on their line are the headings of legal texts.
fn legal_level(line: &str) -> Option<u8> {
    let mut words = line.split([' ', '.', ':', ',']).filter(|word| !word.is_empty());
    let level = match words.next()?.to_lowercase().as_str() {
        "livre" => 1,
        "titre" | "annexe" => 2,
        "chapitre" => 3,
        "section" => 4,
        "article" => 5,
        _ => return None,
    };
    let number = words.next();
    let numbered = number.is_some_and(|number| {
        let number = number.trim_end_matches(['-', '–', ')', '°']);
        let digits = number.trim_start_matches(|c: char| c.is_ascii_alphabetic() && c.is_uppercase());
        let roman = !number.is_empty() && number.chars().all(|c| "IVXLCivxlc".contains(c));
        digits.starts_with(|c: char| c.is_ascii_digit()) || roman || matches!(number, "premier" | "PREMIER" | "unique")
    });
    let alone = line.chars().count() <= 60 && !line.ends_with([';', ',', '.']);
    let capital = line.starts_with(char::is_uppercase);
    (numbered && alone && capital).then_some(level)
}

/// The usual distance of baselines within a paragraph.
fn pitch(lines: &[Line]) -> f64 {
    let mut gaps: Vec<f64> = lines
        .windows(2)
        .filter_map(|pair| match pair {
            [one, next] => Some(next.y - one.y).filter(|gap| *gap > 0.0 && *gap < one.size * 2.0),
            _ => None,
        })
        .collect();
    gaps.sort_by(f64::total_cmp);
    // The lower quartile: between paragraphs there is more, never less.
    gaps.get(gaps.len() / 4).copied().unwrap_or(0.0)
}

/// Where the lines that begin at the same margin end at most: the right margin of the column.
fn right_margin(lines: &[Line], line: &Line) -> f64 {
    let column = lines.iter().filter(|other| (other.x - line.x).abs() < line.size * 3.0 && other.turn == line.turn);
    column.map(|other| other.end).fold(line.end, f64::max)
}

/// Whether a line goes on with the paragraph of the one before it, in a column that reaches to `right`.
fn continues(previous: &Line, line: &Line, kind: BlockKind, pitch: f64, right: f64) -> bool {
    let gap = line.y - previous.y;
    let near = gap > 0.0 && gap <= f64::max(pitch * 1.35, previous.size * 1.4);
    let alike = (line.size - previous.size).abs() <= previous.size * 0.15 && line.turn == previous.turn;
    if !near || !alike || is_item(&line.text) {
        return false;
    }
    if matches!(kind, BlockKind::Heading { .. }) {
        return legal_level(&line.text).is_none();
    }
    // A line that stops early ends its paragraph: a little early on a full stop, far from the margin before a capital.
    let left = right - previous.end;
    let ended = previous.text.ends_with(['.', ';', ':', '!', '?']) && left > previous.size * 3.0;
    let short = left > (right - previous.x) * 0.3 && line.text.starts_with(char::is_uppercase);
    !(ended || short)
}

/// `- …`, `• …`, `1° …`, `a) …`.
fn is_item(line: &str) -> bool {
    let mut words = line.split(' ');
    let (first, more) = (words.next().unwrap_or_default(), words.next().is_some());
    let bullet = matches!(first, "-" | "–" | "—" | "•" | "▪" | "●" | "◦" | "*" | "\u{f0b7}" | "\u{f0a7}");
    let number = first.strip_suffix(['°', ')', '/']).or_else(|| first.strip_suffix(".-"));
    let numbered = number.is_some_and(|n| {
        n.chars().count() <= 3 && (n.chars().all(|c| c.is_ascii_digit()) || n.chars().count() == 1) && !n.is_empty()
    });
    more && (bullet || numbered)
}

/// Words of the document that no line end cuts.
fn vocabulary(pages: &[Vec<Line>]) -> HashSet<String> {
    let mut words = HashSet::new();
    for line in pages.iter().flatten() {
        words.extend(line.text.split(|c: char| !c.is_alphanumeric() && c != '-').map(str::to_lowercase));
    }
    words
}

/// Joins a line to its paragraph; a word cut at the line's end is made whole.
fn append(text: &mut String, line: &str, words: &HashSet<String>) {
    let cut = text.strip_suffix(['-', '\u{2010}']).filter(|head| head.ends_with(char::is_alphabetic));
    if cut.is_some() && line.starts_with(char::is_uppercase) {
        text.push_str(line);
        return;
    }
    if let Some(head) = cut.filter(|_| line.starts_with(char::is_lowercase)) {
        let first = head.rsplit(|c: char| !c.is_alphanumeric() && c != '-').next().unwrap_or_default().to_lowercase();
        let second = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
        let whole = words.contains(&format!("{first}{second}"));
        let hyphen = words.contains(&format!("{first}-{second}")) || HYPHENATED.contains(&first.as_str());
        if whole || !hyphen {
            text.pop();
        }
        text.push_str(line);
        return;
    }
    text.push(' ');
    text.push_str(line);
}

/// Running titles and page numbers: lines at the top and foot of most pages, alike but for their digits. They stay
/// where they are first; a page number goes everywhere.
fn drop_running_lines(pages: &mut [Vec<Line>]) {
    const EDGE: usize = 3;
    if pages.len() < 3 {
        return;
    }
    let shape = |text: &str| -> String {
        let mut shape = String::new();
        for c in text.chars() {
            let c = if c.is_ascii_digit() { '0' } else { c };
            if !(c == '0' && shape.ends_with('0')) {
                shape.push(c);
            }
        }
        shape
    };
    let edge = |nth: usize, length: usize| nth < EDGE || nth + EDGE >= length;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for lines in pages.iter() {
        let edges = lines.iter().enumerate().filter(|(nth, _)| edge(*nth, lines.len()));
        for shape in edges.map(|(_, line)| shape(&line.text)).collect::<HashSet<_>>() {
            *counts.entry(shape).or_default() += 1;
        }
    }
    let often = pages.len().div_ceil(2).max(3);
    let mut kept: HashSet<String> = HashSet::new();
    let is_running = |nth: usize, length: usize, line: &Line| {
        edge(nth, length) && counts.get(&shape(&line.text)).is_some_and(|count| *count >= often)
    };
    for lines in pages.iter_mut() {
        let length = lines.len();
        // Where nothing else is on the page, it is what the page says.
        if lines.iter().enumerate().all(|(nth, line)| is_running(nth, length, line)) {
            continue;
        }
        let mut nth = 0;
        lines.retain(|line| {
            let running = is_running(nth, length, line);
            nth += 1;
            let shape = shape(&line.text);
            !running || (!is_page_number(&shape) && kept.insert(shape))
        });
    }
}

fn is_page_number(shape: &str) -> bool {
    let rest: String = shape.to_lowercase().replace("page", "").replace("sur", "").replace("of", "");
    rest.contains('0') && rest.chars().all(|c| c == '0' || !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, y: f64, size: f64) -> Line {
        Line { text: text.to_owned(), x: 50.0, end: 50.0 + text.len() as f64 * size * 0.5, y, size, turn: 0 }
    }

    fn told(blocks: &[Block]) -> Vec<(Option<u8>, &str)> {
        blocks.iter().map(|block| (block.level(), block.text.as_str())).collect()
    }

    #[test]
    fn larger_lines_and_legal_ones_are_headings() {
        let page = vec![
            line("Arrêté du 15 mai 2025", 100.0, 16.0),
            line("La ministre du travail, de la santé, des solidarités", 130.0, 11.0),
            line("et des familles arrête :", 143.0, 11.0),
            line("Article 1er", 170.0, 11.0),
            line("L’article 2 du code est abrogé.", 190.0, 11.0),
        ];
        let blocks = blocks(vec![page]);
        assert_eq!(
            told(&blocks),
            [
                (Some(1), "Arrêté du 15 mai 2025"),
                (None, "La ministre du travail, de la santé, des solidarités et des familles arrête :"),
                (Some(5), "Article 1er"),
                (None, "L’article 2 du code est abrogé."),
            ]
        );
        assert!(blocks.iter().all(|block| block.page == Some(1)));
    }

    #[test]
    fn cut_words_are_made_whole() {
        let words: HashSet<String> = ["information", "rendez-vous"].map(str::to_owned).into();
        let join = |head: &str, line: &str| {
            let mut text = head.to_owned();
            append(&mut text, line, &words);
            text
        };
        assert_eq!(join("l’infor-", "mation du public"), "l’information du public");
        assert_eq!(join("un rendez-", "vous"), "un rendez-vous");
        assert_eq!(join("le sous-", "préfet"), "le sous-préfet");
        assert_eq!(join("l’adminis-", "tration"), "l’administration");
        assert_eq!(join("Provence-", "Alpes"), "Provence-Alpes");
    }

    #[test]
    fn running_lines_are_kept_once() {
        let page = |n: u32| {
            vec![
                line("Préfecture du Nord – recueil", 20.0, 8.0),
                line(
                    &format!("Texte propre à la page numéro {}", ["un", "deux", "trois", "quatre"][n as usize]),
                    100.0,
                    11.0,
                ),
                line(&format!("Page {} sur 4", n + 1), 800.0, 8.0),
            ]
        };
        let blocks = blocks((0..4).map(page).collect());
        let text: Vec<&str> = blocks.iter().map(|block| block.text.as_str()).collect();
        assert_eq!(text.iter().filter(|text| text.starts_with("Préfecture")).count(), 1);
        assert_eq!(text.iter().filter(|text| text.starts_with("Page")).count(), 0);
        assert_eq!(text.len(), 5);
    }

    #[test]
    fn items_begin_paragraphs() {
        assert!(is_item("- un") && is_item("1° un") && is_item("a) un") && is_item("• un"));
        assert!(!is_item("-") && !is_item("le préfet") && !is_item("2025 a"));
        assert_eq!(legal_level("Article 12 du code"), Some(5));
        assert_eq!(legal_level("article 12"), None);
        assert_eq!(legal_level("Titre de séjour"), None);
    }
}
