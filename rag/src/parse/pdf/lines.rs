//! Characters into lines of words.

use super::glyphs::{Glyph, Glyphs};
use crate::parse::flow::clean;

/// A blank wider than this share of the size parts two words.
const WORD: f64 = 0.16;
/// A blank wider than this is a tab or the space between columns.
const COLUMN: f64 = 4.0;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub text: String,
    pub x: f64,
    pub end: f64,
    /// Its baseline; grows down the page.
    pub y: f64,
    pub size: f64,
    pub turn: u8,
}

/// The lines of a page, in reading order: upright ones first, then those turned.
pub(super) fn of(glyphs: Glyphs) -> Vec<Line> {
    let mut lines = Vec::new();
    for turn in 0..4 {
        let pieces = pieces(glyphs.all.iter().filter(|glyph| glyph.turn == turn));
        lines.extend(assembled(ordered(pieces)));
    }
    lines
}

/// Runs of characters drawn one after the other on one baseline.
fn pieces<'a>(glyphs: impl Iterator<Item = &'a Glyph>) -> Vec<Line> {
    let mut pieces: Vec<Line> = Vec::new();
    for glyph in glyphs {
        let follows = pieces.last_mut().filter(|piece| {
            let size = piece.size.max(glyph.size);
            // A raised or lowered character (1er, n°, CO2) is smaller and within the height of its line.
            let script = glyph.size < piece.size * 0.85 || piece.size < glyph.size * 0.85;
            let drift = (glyph.y - piece.y).abs();
            let gap = glyph.x - piece.end;
            drift < size * if script { 0.6 } else { 0.3 } && gap > -size * 0.6 && gap < size * COLUMN
        });
        match follows {
            Some(piece) => {
                if glyph.x - piece.end > glyph.size.min(piece.size) * WORD {
                    piece.text.push(' ');
                }
                piece.text.push_str(&glyph.text);
                piece.end = piece.end.max(glyph.end);
                // The baseline of a line is that of its larger characters.
                if glyph.size > piece.size {
                    piece.y = glyph.y;
                    piece.size = glyph.size;
                }
            }
            None => pieces.push(Line {
                text: glyph.text.clone(),
                x: glyph.x,
                end: glyph.end,
                y: glyph.y,
                size: glyph.size,
                turn: glyph.turn,
            }),
        }
    }
    pieces.retain(|piece| !piece.text.trim().is_empty());
    pieces
}

/// The order of drawing is the order of reading in what word processors write, columns included. Where it jumps
/// about, the place on the page decides.
fn ordered(mut pieces: Vec<Line>) -> Vec<Line> {
    let up = pieces.windows(2).filter(|pair| matches!(pair, [one, next] if next.y < one.y - one.size)).count();
    if up > 3 && up * 5 > pieces.len() {
        // Baselines a hair apart are one line; steps keep the order total.
        let step = pieces.iter().map(|piece| piece.size).fold(f64::INFINITY, f64::min).max(1.0) * 0.5;
        pieces.sort_by(|one, other| {
            let rows = ((one.y / step).round(), (other.y / step).round());
            rows.0.total_cmp(&rows.1).then(one.x.total_cmp(&other.x))
        });
    }
    pieces
}

/// Pieces on one baseline that follow each other are one line: the cells of a row, what a tab parts.
fn assembled(pieces: Vec<Line>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for piece in pieces {
        let same = lines.last_mut().filter(|line| {
            let drift = (line.y - piece.y).abs();
            let script = piece.size < line.size * 0.85 || line.size < piece.size * 0.85;
            drift < line.size.max(piece.size) * if script { 0.6 } else { 0.3 } && piece.x > line.end - line.size * 0.6
        });
        match same {
            Some(line) => {
                if piece.x - line.end > line.size.min(piece.size) * WORD {
                    line.text.push(' ');
                }
                line.text.push_str(&piece.text);
                line.end = piece.end;
                if piece.size > line.size {
                    line.y = piece.y;
                    line.size = piece.size;
                }
            }
            None => lines.push(piece),
        }
    }
    for line in &mut lines {
        line.text = close_up(&clean(&line.text));
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// `A R R Ê T E` is a word set wide; it is found as the word.
fn close_up(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let single = |word: &str| word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let wide = words.iter().filter(|word| single(word)).count();
    if wide >= 4 && wide * 10 >= words.len() * 8 { words.concat() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glyphs(text: &str, x: f64, y: f64, size: f64) -> Vec<Glyph> {
        let place = |nth: usize| x + nth as f64 * size * 0.5;
        let glyph = |(nth, c): (usize, char)| Glyph {
            x: place(nth),
            y,
            end: place(nth + 1),
            size,
            turn: 0,
            text: c.to_string(),
        };
        text.chars().enumerate().filter(|(_, c)| *c != '~').map(glyph).collect()
    }

    fn read(glyphs: Vec<Glyph>) -> Vec<String> {
        assembled(ordered(pieces(glyphs.iter()))).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn words_are_parted_by_space_with_or_without_characters() {
        assert_eq!(read(glyphs("le~préfet du Nord", 10.0, 100.0, 10.0)), ["le préfet du Nord"]);
    }

    #[test]
    fn raised_characters_stay_on_their_line() {
        let mut all = glyphs("Article 1", 10.0, 100.0, 12.0);
        all.extend(glyphs("er", 64.5, 95.5, 7.0));
        all.extend(glyphs("suite", 10.0, 120.0, 12.0));
        assert_eq!(read(all), ["Article 1er", "suite"]);
    }

    #[test]
    fn wide_words_are_closed_up() {
        assert_eq!(close_up("A R R Ê T E"), "ARRÊTE");
        assert_eq!(close_up("il y a à la mer"), "il y a à la mer");
        assert_eq!(close_up("a b"), "a b");
    }

    #[test]
    fn what_is_drawn_in_disorder_is_read_in_order() {
        let mut all = Vec::new();
        for nth in (0..10).rev() {
            all.extend(glyphs(&format!("ligne {nth}"), 10.0, 100.0 + 15.0 * f64::from(nth), 10.0));
        }
        let expected: Vec<String> = (0..10).map(|nth| format!("ligne {nth}")).collect();
        assert_eq!(read(all), expected);
    }
}
