//! Text between `<think>` tags, told apart while it streams, the tags split anywhere.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Before a tag, these mean that the answer speaks of it and does not use it.
const QUOTES: [char; 6] = ['`', '"', '\'', '«', '“', '('];

/// White space held back at the very beginning, before it is known whether a tag follows.
const LEADING: usize = 64;

/// Splits one choice's text.
#[derive(Debug)]
pub struct Think {
    inside: bool,
    /// The beginning of what may be a tag, or the white space that opens the answer.
    held: String,
    /// Some content has gone out.
    seen: bool,
    /// Line ends are dropped until something else comes.
    trim: bool,
    /// The last character of the content that went out.
    last: Option<char>,
}

/// Where the pieces of text go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub reasoning: String,
    pub content: String,
}

impl Parts {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reasoning.is_empty() && self.content.is_empty()
    }
}

impl Think {
    /// `opened`: the text begins inside the tags.
    #[must_use]
    pub fn new(opened: bool) -> Self {
        Self { inside: opened, held: String::new(), seen: false, trim: opened, last: None }
    }

    /// Whether a piece of content, given as JSON, would go through as it is. It then counts as gone.
    pub fn passes(&mut self, quoted: &str) -> bool {
        let settled = !self.inside && self.seen && !self.trim && self.held.is_empty();
        let bytes = quoted.as_bytes();
        let tag = || memchr::memchr(b'<', bytes).is_some() || memchr::memmem::find(bytes, b"\\u003").is_some();
        if !settled || tag() {
            return false;
        }
        self.last = quoted.strip_suffix('"').and_then(|text| text.chars().next_back());
        true
    }

    pub fn push(&mut self, text: &str, parts: &mut Parts) {
        let joined;
        let mut rest = text;
        if !self.held.is_empty() {
            joined = std::mem::take(&mut self.held) + text;
            rest = &joined;
        }
        while !rest.is_empty() {
            if self.trim {
                rest = rest.trim_start_matches(['\n', '\r']);
                if rest.is_empty() {
                    return;
                }
                self.trim = false;
            }
            rest = if self.inside { self.reason(rest, parts) } else { self.speak(rest, parts) };
        }
    }

    /// Inside the tags: what is left after the closing one.
    fn reason<'t>(&mut self, text: &'t str, parts: &mut Parts) -> &'t str {
        if let Some(at) = text.find(CLOSE) {
            let (before, after) = text.split_at(at);
            parts.reasoning.push_str(before.trim_end_matches(['\n', '\r']));
            self.inside = false;
            self.trim = !self.seen;
            return after.strip_prefix(CLOSE).unwrap_or("");
        }
        let (sure, maybe) = text.split_at(text.len() - beginning(text, CLOSE));
        // Line ends before the closing tag belong to it.
        let kept = sure.trim_end_matches(['\n', '\r']);
        let tail = text.get(kept.len()..).unwrap_or(maybe);
        if tail.len() > LEADING {
            parts.reasoning.push_str(sure);
            maybe.clone_into(&mut self.held);
        } else {
            parts.reasoning.push_str(kept);
            tail.clone_into(&mut self.held);
        }
        ""
    }

    /// Outside the tags: what is left after an opening one.
    fn speak<'t>(&mut self, text: &'t str, parts: &mut Parts) -> &'t str {
        if !self.seen {
            let begun = text.trim_start();
            if let Some(after) = begun.strip_prefix(OPEN) {
                (self.inside, self.trim) = (true, true);
                return after;
            }
            if OPEN.starts_with(begun) && text.len() <= LEADING {
                text.clone_into(&mut self.held);
                return "";
            }
        }
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(OPEN)).map(|at| from + at) {
            let (before, after) = text.split_at(at);
            let after = after.strip_prefix(OPEN).unwrap_or("");
            if !self.quoted(before) {
                self.emit(before, parts);
                (self.inside, self.trim) = (true, true);
                return after;
            }
            from = at + OPEN.len();
        }
        let held = beginning(text, OPEN);
        let (sure, maybe) = text.split_at(text.len() - held);
        if held > 0 && self.quoted(sure) {
            self.emit(text, parts);
        } else {
            self.emit(sure, parts);
            maybe.clone_into(&mut self.held);
        }
        ""
    }

    fn quoted(&self, before: &str) -> bool {
        before.chars().next_back().or(self.last).is_some_and(|c| QUOTES.contains(&c))
    }

    fn emit(&mut self, text: &str, parts: &mut Parts) {
        if let Some(last) = text.chars().next_back() {
            (self.seen, self.last) = (true, Some(last));
            parts.content.push_str(text);
        }
    }

    /// At the end: what was held back was no tag.
    pub fn finish(&mut self, parts: &mut Parts) {
        let held = std::mem::take(&mut self.held);
        if self.inside {
            parts.reasoning.push_str(held.trim_end_matches(['\n', '\r']));
        } else {
            self.emit(&held, parts);
        }
    }
}

/// How many bytes at the end of `text` are the beginning of `tag`.
fn beginning(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|len| tag.get(..*len).is_some_and(|head| text.ends_with(head))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(opened: bool, pieces: &[&str]) -> (String, String) {
        let mut think = Think::new(opened);
        let mut parts = Parts::default();
        for piece in pieces {
            let quoted = serde_json::to_string(piece).unwrap();
            if think.passes(&quoted) {
                parts.content.push_str(piece);
            } else {
                think.push(piece, &mut parts);
            }
        }
        think.finish(&mut parts);
        (parts.reasoning, parts.content)
    }

    #[test]
    fn any_cut_of_the_text_gives_the_same_parts() {
        for (opened, text, reasoning, content) in [
            (false, "<think>\nJe pense.\n</think>\n\nBonjour é", "Je pense.", "Bonjour é"),
            (false, "\n <think>a\n\nb</think>c", "a\n\nb", "c"),
            (true, "\nJe pense.\n</think>\n\nBonjour", "Je pense.", "Bonjour"),
            (false, "Bonjour <b>gras</b> < 3 <thin", "", "Bonjour <b>gras</b> < 3 <thin"),
            (false, "Bonjour <think>x</think> monde", "x", "Bonjour  monde"),
            (false, "La balise `<think>` ouvre, `</think>` ferme.", "", "La balise `<think>` ouvre, `</think>` ferme."),
            (false, "<think>sans fin </th", "sans fin </th", ""),
            (false, "<think></think>\n\nBonjour", "", "Bonjour"),
            (false, "<think>a</think>\n<think>b</think>\nc", "ab", "c"),
            (false, "\n\n  Bonjour", "", "\n\n  Bonjour"),
            (false, "", "", ""),
        ] {
            let chars: Vec<String> = text.chars().map(String::from).collect();
            for size in 1..=chars.len().max(1) {
                let pieces: Vec<String> = chars.chunks(size).map(|piece| piece.concat()).collect();
                let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
                assert_eq!(split(opened, &pieces), (reasoning.into(), content.into()), "{text:?} by {size}");
            }
        }
    }
}
