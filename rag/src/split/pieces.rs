//! The ranges of a document's chunks.

use std::ops::Range;

use super::cut::Step;
use super::{Options, Tokenizer};
use crate::document::{Document, Rendered};

pub(super) struct Cutter<'a> {
    pub document: &'a Document,
    pub rendered: &'a Rendered,
    pub options: &'a Options,
    pub tokenizer: &'a dyn Tokenizer,
    pub steps: &'a [Step],
}

/// A range, and whether it goes on with the section of the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    range: Range<usize>,
    continues: bool,
}

impl Cutter<'_> {
    /// Trimmed, in order; they overlap only as the options allow.
    pub fn pieces(&self) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        self.sections(self.trim(0..self.rendered.text.len()), 0, &mut pieces);
        let pieces = self.without_crumbs(pieces);
        self.overlapped(pieces)
    }

    fn count(&self, range: &Range<usize>) -> usize {
        self.tokenizer.count(self.rendered.text.get(range.clone()).unwrap_or_default())
    }

    fn fits(&self, range: &Range<usize>) -> bool {
        self.count(range) <= self.options.size
    }

    fn trim(&self, range: Range<usize>) -> Range<usize> {
        trimmed(&self.rendered.text, range)
    }

    /// Cuts at headings as long as there are finer ones; what fits is a piece.
    fn sections(&self, range: Range<usize>, step: usize, pieces: &mut Vec<Piece>) {
        if range.is_empty() {
            return;
        }
        if self.fits(&range) {
            pieces.push(Piece { range, continues: false });
            return;
        }
        let Some(Step::Heading(_)) = self.steps.get(step) else {
            let limit = self.options.size - self.options.overlap;
            let start = pieces.len();
            let ranges = self.fragments(range, step, limit);
            pieces.extend(ranges.into_iter().map(|range| Piece { range, continues: true }));
            if let Some(first) = pieces.get_mut(start) {
                first.continues = false;
            }
            return;
        };
        for part in self.parts(&range, step) {
            self.sections(self.trim(part), step + 1, pieces);
        }
    }

    /// Cuts a range that is too large; parts are gathered as long as they fit in `limit`.
    fn fragments(&self, range: Range<usize>, step: usize, limit: usize) -> Vec<Range<usize>> {
        let range = self.trim(range);
        if range.is_empty() {
            return Vec::new();
        }
        if self.count(&range) <= limit {
            return vec![range];
        }
        if matches!(self.steps.get(step), None | Some(Step::Character)) {
            return self.characters(range, limit);
        }
        let parts = self.parts(&range, step);
        if parts.len() < 2 {
            return self.fragments(range, step + 1, limit);
        }
        let mut out = Vec::new();
        let mut gathered: Option<(Range<usize>, usize)> = None;
        for part in parts {
            // With the blanks after it: sums of counts then never fall short of the count of the whole.
            let size = self.count(&part);
            match &mut gathered {
                Some((whole, sum)) if *sum + size <= limit => {
                    whole.end = part.end;
                    *sum += size;
                }
                _ => {
                    let full = gathered.replace((part, size));
                    self.close(full, step, limit, &mut out);
                }
            }
        }
        self.close(gathered, step, limit, &mut out);
        out
    }

    fn close(&self, gathered: Option<(Range<usize>, usize)>, step: usize, limit: usize, out: &mut Vec<Range<usize>>) {
        let Some((range, _)) = gathered else { return };
        let range = self.trim(range);
        if range.is_empty() {
            return;
        }
        // Also where a tokenizer counts more for the whole than for its parts.
        match self.count(&range) <= limit {
            true => out.push(range),
            false => out.append(&mut self.fragments(range, step + 1, limit)),
        }
    }

    /// A run without blanks: as many characters at a time as fit, at least one.
    fn characters(&self, range: Range<usize>, limit: usize) -> Vec<Range<usize>> {
        let mut out = Vec::new();
        let text = &self.rendered.text;
        let mut start = range.start;
        while start < range.end {
            let rest = text.get(start..range.end).unwrap_or_default();
            // A token is a few characters: what fits is looked for by halves, not far.
            let reach: Vec<usize> =
                rest.char_indices().skip(1).map(|(at, _)| start + at).take(limit.saturating_mul(16)).collect();
            let whole = (reach.len() < limit.saturating_mul(16)).then_some(range.end);
            let ends: Vec<usize> = reach.into_iter().chain(whole).collect();
            let fitting = ends.partition_point(|end| self.count(&(start..*end)) <= limit);
            let end = ends.get(fitting.saturating_sub(1)).copied().unwrap_or(range.end);
            out.push(self.trim(start..end));
            start = end;
        }
        out.retain(|range| !range.is_empty());
        out
    }

    /// The parts of a range at a step. A heading is not parted from what follows it.
    fn parts(&self, range: &Range<usize>, step: usize) -> Vec<Range<usize>> {
        let Some(step) = self.steps.get(step) else { return vec![range.clone()] };
        let mut parts = Vec::new();
        let mut start = range.start;
        for cut in step.cuts(self.document, self.rendered, range) {
            if matches!(step, Step::Word) || !self.only_headings(start..cut) {
                parts.push(start..cut);
                start = cut;
            }
        }
        parts.push(start..range.end);
        parts
    }

    /// Whether headings are all there is in this range.
    fn only_headings(&self, range: Range<usize>) -> bool {
        let first = self.rendered.blocks.partition_point(|block| block.end <= range.start);
        let last = self.rendered.blocks.partition_point(|block| block.start < range.end);
        let blocks = self.document.blocks.get(first..last).unwrap_or_default();
        blocks.iter().all(|block| block.level().is_some())
    }

    /// Joins what is smaller than the least size to its neighbour, when both fit in one.
    fn without_crumbs(&self, pieces: Vec<Piece>) -> Vec<Piece> {
        let least = self.options.min_size;
        let mut kept: Vec<Piece> = Vec::new();
        for piece in pieces {
            let joined = kept.last().map(|last| last.range.start..piece.range.end);
            let crumb = |range: &Range<usize>| self.count(range) < least;
            match kept.last_mut().zip(joined) {
                Some((last, joined)) if (crumb(&last.range) || crumb(&piece.range)) && self.fits(&joined) => {
                    last.range = joined;
                }
                _ => kept.push(piece),
            }
        }
        kept
    }

    /// Lets each piece of a cut section begin with the end of the one before it.
    fn overlapped(&self, pieces: Vec<Piece>) -> Vec<Range<usize>> {
        let starts: Vec<usize> = pieces.iter().map(|piece| piece.range.start).collect();
        let mut out = Vec::with_capacity(pieces.len());
        for (nth, piece) in pieces.into_iter().enumerate() {
            let before = nth.checked_sub(1).and_then(|nth| starts.get(nth));
            let start = match before.filter(|_| piece.continues && self.options.overlap > 0) {
                Some(before) => self.earlier(*before, &piece.range),
                None => piece.range.start,
            };
            out.push(start..piece.range.end);
        }
        out
    }

    /// The earliest start of a word from which the overlap, and the whole, still fit.
    fn earlier(&self, before: usize, range: &Range<usize>) -> usize {
        let text = self.rendered.text.get(before..range.start).unwrap_or_default();
        let blanks = text.match_indices(char::is_whitespace).map(|(at, blank)| before + at + blank.len());
        let mut start = range.start;
        for at in blanks.collect::<Vec<_>>().into_iter().rev().chain([before]) {
            let repeated = self.trim(at..range.start);
            if repeated.is_empty() {
                continue;
            }
            if self.count(&repeated) > self.options.overlap || !self.fits(&(repeated.start..range.end)) {
                break;
            }
            start = repeated.start;
        }
        start
    }
}

pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = text.get(range.clone()).unwrap_or_default();
    let start = range.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}
