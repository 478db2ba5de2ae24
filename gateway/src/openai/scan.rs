//! A tokenizer over JSON that `serde_json` has already accepted: no allocation, strings skipped
//! with `memchr`. It answers what a typed parse cannot without copying: how deep the nesting goes,
//! whether a nested object says a key twice, where a given key stands anywhere in a body.

use std::borrow::Cow;

use memchr::{memchr2, memchr2_iter};

use super::wire_error::WireError;

/// The deepest nesting of objects and arrays accepted in a request.
pub const MAX_DEPTH: usize = 128;

/// One piece of JSON. Strings keep their quotes and escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'b> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Key(&'b str),
    String(&'b str),
    /// A number, `true`, `false` or `null`.
    Scalar,
}

/// Walks valid JSON. On anything else it stops early or yields nonsense, but never panics.
#[derive(Debug)]
pub struct Scanner<'b> {
    text: &'b str,
    at: usize,
}

impl<'b> Scanner<'b> {
    #[must_use]
    pub fn new(text: &'b str) -> Self {
        Self { text, at: 0 }
    }

    /// The end of the string that opens at `start` (a quote), past its closing quote.
    fn string_end(bytes: &[u8], start: usize) -> usize {
        let mut at = start + 1;
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += found;
            if bytes.get(at) == Some(&b'"') {
                return at + 1;
            }
            at += 2;
        }
        bytes.len()
    }
}

impl<'b> Iterator for Scanner<'b> {
    type Item = Token<'b>;

    fn next(&mut self) -> Option<Token<'b>> {
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.at)?;
            let start = self.at;
            self.at += 1;
            match byte {
                b'{' => return Some(Token::ObjectStart),
                b'}' => return Some(Token::ObjectEnd),
                b'[' => return Some(Token::ArrayStart),
                b']' => return Some(Token::ArrayEnd),
                b'"' => {
                    self.at = Self::string_end(bytes, start);
                    let string = self.text.get(start..self.at)?;
                    let mut after = self.at;
                    while matches!(bytes.get(after), Some(b' ' | b'\n' | b'\r' | b'\t')) {
                        after += 1;
                    }
                    if bytes.get(after) == Some(&b':') {
                        self.at = after + 1;
                        return Some(Token::Key(string));
                    }
                    return Some(Token::String(string));
                }
                b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => {}
                _ => {
                    while bytes
                        .get(self.at)
                        .is_some_and(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
                    {
                        self.at += 1;
                    }
                    return Some(Token::Scalar);
                }
            }
        }
    }
}

/// The text of a JSON string given with its quotes; borrowed when it holds no escape.
/// `None` when it does not decode (a lone surrogate).
#[must_use]
pub fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(quoted).ok().map(Cow::Owned)
}

/// Whether brackets nest deeper than [`MAX_DEPTH`].
#[must_use]
pub fn too_deep(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Most bodies have not so many brackets in all.
    if memchr2_iter(b'{', b'[', bytes).take(MAX_DEPTH + 1).count() <= MAX_DEPTH {
        return false;
    }
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = Scanner::string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// Where the walk stands: the objects and arrays around it.
enum Frame<'b> {
    /// Where this object's keys begin in the common stack.
    Object {
        first_key: usize,
        last: Option<&'b str>,
    },
    Array {
        index: usize,
    },
}

/// Refuses a value in which any object, at any depth, says a key twice.
///
/// # Errors
/// [`WireError::DuplicateKey`] with the path from `root`.
pub fn refuse_duplicates(root: &str, json: &str) -> Result<(), WireError> {
    let mut frames: Vec<Frame<'_>> = Vec::with_capacity(8);
    let mut keys: Vec<&str> = Vec::with_capacity(16);
    for token in Scanner::new(json) {
        match token {
            Token::Key(key) => {
                if let Some(Frame::Object { last, .. }) = frames.last_mut() {
                    *last = Some(key);
                }
                keys.push(key);
                continue;
            }
            Token::ObjectStart => {
                frames.push(Frame::Object { first_key: keys.len(), last: None });
                continue;
            }
            Token::ArrayStart => {
                frames.push(Frame::Array { index: 0 });
                continue;
            }
            Token::ObjectEnd => {
                if let Some(Frame::Object { first_key, .. }) = frames.pop() {
                    if let Some(name) = keys.get(first_key..).and_then(|keys| duplicate(keys.iter().copied())) {
                        return Err(WireError::DuplicateKey { path: path(root, &frames, &name) });
                    }
                    keys.truncate(first_key);
                }
            }
            Token::ArrayEnd => {
                frames.pop();
            }
            Token::String(_) | Token::Scalar => {}
        }
        // A whole value has just ended.
        if let Some(Frame::Array { index }) = frames.last_mut() {
            *index += 1;
        }
    }
    Ok(())
}

/// Below this many keys, comparing each with each beats sorting.
const FEW: usize = 24;

/// The first key found twice among keys given with their quotes.
pub(crate) fn duplicate<'k>(keys: impl ExactSizeIterator<Item = &'k str> + Clone) -> Option<Cow<'k, str>> {
    let escaped = keys.clone().any(|key| key.as_bytes().contains(&b'\\'));
    if !escaped && keys.len() <= FEW {
        let twice = keys.clone().enumerate().find(|(i, key)| keys.clone().take(*i).any(|before| before == *key));
        return twice.and_then(|(_, key)| unquote(key));
    }
    let mut names: Vec<Cow<'k, str>> = keys.map(|key| unquote(key).unwrap_or(Cow::Borrowed(key))).collect();
    names.sort_unstable();
    let twice = names.windows(2).position(|pair| pair.first() == pair.last())?;
    Some(names.swap_remove(twice))
}

fn path(root: &str, frames: &[Frame<'_>], name: &str) -> String {
    use std::fmt::Write;
    let mut path = String::from(root);
    for frame in frames {
        match frame {
            Frame::Object { last, .. } => {
                path.push('.');
                path.push_str(&last.and_then(unquote).unwrap_or_default());
            }
            Frame::Array { index } => {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
            }
        }
    }
    path.push('.');
    path.push_str(name);
    path.truncate(path.floor_char_boundary(200));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(!too_deep(&deep));
        assert!(too_deep(&format!("[{deep}]")));
        assert!(!too_deep(&format!("\"{}\\\"{}\"", "[".repeat(200), "{".repeat(200))));
    }

    #[test]
    fn duplicates_are_found_at_any_depth_and_behind_escapes() {
        let found = |json: &str| refuse_duplicates("messages", json);
        assert_eq!(found(r#"[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"a"}]"#), Ok(()));
        assert_eq!(
            found(r#"[{"role":"user"},{"content":[1,{"type":"text", "t\u0079pe":"x"}]}]"#),
            Err(WireError::DuplicateKey { path: "messages[1].content[1].type".into() })
        );
        let many: String = (0..2000).map(|i| format!("\"k{i}\":{i},")).collect();
        assert_eq!(found(&format!("{{{many}\"z\":1}}")), Ok(()));
        assert_eq!(found(&format!("{{{many}\"k7\":1}}")), Err(WireError::DuplicateKey { path: "messages.k7".into() }));
    }

    #[test]
    fn scanner_tells_keys_from_strings() {
        let tokens: Vec<_> = Scanner::new(r#"{"a" : "b\"]", "c":[1,true]}"#).collect();
        assert_eq!(
            tokens,
            [
                Token::ObjectStart,
                Token::Key("\"a\""),
                Token::String(r#""b\"]""#),
                Token::Key("\"c\""),
                Token::ArrayStart,
                Token::Scalar,
                Token::Scalar,
                Token::ArrayEnd,
                Token::ObjectEnd
            ]
        );
    }
}
