//! Edits of JSON as byte ranges: everything that is not edited keeps its bytes, and the whole is
//! copied once, or not at all when there is nothing to do.

use std::borrow::Cow;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::head::Head;
use super::object::Object;

/// Replacements over one text, by byte ranges that do not overlap.
#[derive(Debug, Default)]
pub struct Patch<'e> {
    edits: Vec<(Range<usize>, Cow<'e, [u8]>)>,
}

impl<'e> Patch<'e> {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Replaces a range; an empty range inserts there.
    pub fn replace(&mut self, range: Range<usize>, with: impl Into<Cow<'e, [u8]>>) {
        self.edits.push((range, with.into()));
    }

    /// Whether something is inserted at that place.
    pub(crate) fn inserts_at(&self, at: usize) -> bool {
        self.edits.iter().any(|(range, with)| range.start == at && range.is_empty() && !with.is_empty())
    }

    /// Takes over the edits of another patch of the same text, with their bytes.
    pub(crate) fn extend_owned(&mut self, other: Patch<'_>) {
        self.edits.extend(other.edits.into_iter().map(|(range, with)| (range, Cow::Owned(with.into_owned()))));
    }

    /// Length of the edited text.
    fn size(&self, original: usize) -> usize {
        self.edits.iter().fold(original, |size, (range, with)| (size + with.len()).saturating_sub(range.len()))
    }

    /// Appends the edited text to `out`.
    pub fn write(mut self, text: &[u8], out: &mut BytesMut) {
        out.reserve(self.size(text.len()));
        // Stable: insertions at one place stay in the order they were asked for.
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut at = 0;
        for (range, with) in &self.edits {
            out.extend_from_slice(text.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(with);
            at = at.max(range.end);
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
    }

    /// The edited text; the very same `Bytes` when there is no edit.
    #[must_use]
    pub fn finish(self, text: Bytes) -> Bytes {
        if self.edits.is_empty() {
            return text;
        }
        let mut out = BytesMut::with_capacity(self.size(text.len()));
        self.write(&text, &mut out);
        out.freeze()
    }
}

/// What becomes of one field.
#[derive(Debug, Clone)]
enum Fate<'e> {
    Keep,
    Set(Cow<'e, [u8]>),
    Rename(&'e str),
    Remove,
}

/// Edits of the fields of one object. The last word on a field wins.
#[derive(Debug)]
pub struct Edits<'h, 'b, 'e> {
    object: &'h Object<'b>,
    fates: Vec<Fate<'e>>,
    added: Vec<(&'e str, Cow<'e, [u8]>)>,
}

impl<'h, 'b, 'e> Edits<'h, 'b, 'e> {
    /// Edits of a request's top-level fields.
    #[must_use]
    pub fn new(head: &'h Head<'b>) -> Self {
        Self::of(head.object())
    }

    /// Edits of any object's fields.
    #[must_use]
    pub fn of(object: &'h Object<'b>) -> Self {
        Self { object, fates: vec![], added: vec![] }
    }

    fn fate(&mut self, name: &str) -> Option<&mut Fate<'e>> {
        let index = self.object.fields.iter().position(|field| field.name == name)?;
        if self.fates.is_empty() {
            self.fates.resize(self.object.fields.len(), Fate::Keep);
        }
        self.fates.get_mut(index)
    }

    /// Gives a field this JSON, at its place, or first in the object when it is not there. `name`
    /// must need no escape.
    pub fn set(&mut self, name: &'e str, json: impl Into<Cow<'e, [u8]>>) {
        let json = json.into();
        if let Some(fate) = self.fate(name) {
            *fate = Fate::Set(json);
            return;
        }
        match self.added.iter_mut().find(|(added, _)| *added == name) {
            Some((_, value)) => *value = json,
            None => self.added.push((name, json)),
        }
    }

    /// Takes a field away, with its comma.
    pub fn remove(&mut self, name: &str) {
        self.added.retain(|(added, _)| *added != name);
        if let Some(fate) = self.fate(name) {
            *fate = Fate::Remove;
        }
    }

    /// Gives a field another name and keeps its value. `to` must need no escape and be no other
    /// field's name.
    pub fn rename(&mut self, name: &str, to: &'e str) {
        if let Some(fate) = self.fate(name) {
            *fate = Fate::Rename(to);
        }
    }

    /// Turns the edits into replacements, added to those of the whole text.
    pub fn apply(self, patch: &mut Patch<'e>) {
        let fields = &self.object.fields;
        let removed = |index: usize| matches!(self.fates.get(index), Some(Fate::Remove));
        let mut index = 0;
        let mut kept = 0;
        while let Some(field) = fields.get(index) {
            match self.fates.get(index) {
                None | Some(Fate::Keep) => kept += 1,
                Some(Fate::Set(json)) => {
                    kept += 1;
                    patch.replace(field.value.clone(), json.clone());
                }
                Some(Fate::Rename(to)) => {
                    kept += 1;
                    patch.replace(field.key_range(), format!("\"{to}\"").into_bytes());
                }
                Some(Fate::Remove) => {
                    // A run of removed fields takes the comma after it, or before it at the end.
                    let mut last = index;
                    while removed(last + 1) {
                        last += 1;
                    }
                    let end = fields.get(last).map_or(field.entry.end, |field| field.entry.end);
                    let range = match (fields.get(last + 1), index.checked_sub(1).and_then(|before| fields.get(before)))
                    {
                        (Some(next), _) => field.entry.start..next.entry.start,
                        (None, Some(before)) => before.entry.end..end,
                        (None, None) => field.entry.start..end,
                    };
                    patch.replace(range, &[][..]);
                    index = last;
                }
            }
            index += 1;
        }
        if self.added.is_empty() {
            return;
        }
        let mut insert = Vec::with_capacity(self.added.iter().map(|(name, json)| name.len() + json.len() + 4).sum());
        for (index, (name, json)) in self.added.iter().enumerate() {
            if index > 0 {
                insert.push(b',');
            }
            insert.push(b'"');
            insert.extend_from_slice(name.as_bytes());
            insert.extend_from_slice(b"\":");
            insert.extend_from_slice(json);
        }
        if kept > 0 {
            insert.push(b',');
        }
        patch.replace(self.object.inside..self.object.inside, insert);
    }

    /// The edited body; the same `Bytes` when there is no edit. `body` must be what was parsed.
    #[must_use]
    pub fn finish(self, body: Bytes) -> Bytes {
        let mut patch = Patch::new();
        self.apply(&mut patch);
        patch.finish(body)
    }
}

#[cfg(test)]
mod tests;
