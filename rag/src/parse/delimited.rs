//! CSV: each row a paragraph of `column : value` lines, so that a row found alone still says what its values are.

use super::budget::Budget;
use super::flow::Flow;
use super::{Refusal, encoding};
use crate::document::{BlockKind, Document};

const KIND: &str = "CSV";

pub(crate) fn parse(bytes: &[u8], budget: &Budget) -> Result<Document, Refusal> {
    let text = encoding::decode(bytes, None).0;
    let delimiter = delimiter(&text).unwrap_or(b',');
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut flow = Flow::new(budget);
    let mut head: Option<Vec<String>> = None;
    for row in reader.records() {
        let row = row.map_err(|_| Refusal::broken(KIND))?;
        if row.iter().all(|value| value.trim().is_empty()) {
            continue;
        }
        let Some(names) = &head else {
            let names: Vec<String> = row.iter().map(|value| value.trim().to_owned()).collect();
            if !is_head(&names) {
                flow.push(BlockKind::Paragraph, &row_text(&[], row.iter()));
                head = Some(Vec::new());
            } else {
                head = Some(names);
            }
            continue;
        };
        flow.push(BlockKind::Paragraph, &row_text(names, row.iter()));
        if flow.refused() {
            break;
        }
    }
    let mut blocks = flow.finish()?;
    if let (true, Some(names)) = (blocks.is_empty(), head.filter(|names| !names.is_empty())) {
        blocks.push(crate::Block::paragraph(names.join(" | ")));
    }
    Ok(Document { blocks, ..Document::default() })
}

/// Names are there, differ, and are no numbers.
fn is_head(names: &[String]) -> bool {
    let distinct: std::collections::HashSet<&String> = names.iter().collect();
    distinct.len() == names.len() && names.iter().all(|name| !name.is_empty() && name.parse::<f64>().is_err())
}

fn row_text<'a>(names: &[String], values: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (column, value) in values.enumerate() {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        match names.get(column) {
            Some(name) => text.push_str(&format!("{name} : {value}\n")),
            None => text.push_str(&format!("{value}\n")),
        }
    }
    text
}

/// The character that parts each of the first lines the same number of times.
pub(crate) fn delimiter(text: &str) -> Option<u8> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(20).collect();
    let count = |line: &str, delimiter: u8| {
        let mut quoted = false;
        let parts = line.bytes().filter(|b| {
            quoted ^= *b == b'"';
            !quoted && *b == delimiter
        });
        parts.count()
    };
    let steady = |delimiter: &u8| {
        let first = lines.first().map_or(0, |line| count(line, *delimiter));
        let same = lines.iter().filter(|line| count(line, *delimiter) == first).count();
        first > 0 && same * 10 >= lines.len() * 8
    };
    [b';', b'\t', b',', b'|'].into_iter().filter(steady).max_by_key(|d| lines.first().map_or(0, |line| count(line, *d)))
}
