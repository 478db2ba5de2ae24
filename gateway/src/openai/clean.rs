//! A preamble or a code fence around an answer, removed while it streams.
//!
//! Little is held back: the first line while it may still be a preamble or a fence, then the line
//! that may be the closing fence. Whatever is not recognised for certain goes through.

use super::rules::Cleaning;

/// A first line that introduces the answer. It must end in a colon and name what was asked for.
const INTRODUCTIONS: [&str; 21] = [
    "voici",
    "voilà",
    "ci-dessous",
    "bien sûr",
    "bien entendu",
    "certainement",
    "d'accord",
    "avec plaisir",
    "absolument",
    "entendu",
    "je vous propose",
    "here is",
    "here's",
    "here are",
    "below is",
    "sure",
    "certainly",
    "of course",
    "absolutely",
    "okay",
    "ok,",
];

/// What an introduction must name.
const ANNOUNCED: [&str; 34] = [
    "texte",
    "version",
    "traduction",
    "résumé",
    "reformulation",
    "reformulé",
    "correction",
    "corrigé",
    "proposition",
    "paragraphe",
    "phrase",
    "réécriture",
    "réécrit",
    "mise en forme",
    "synthèse",
    "traduit",
    "contenu",
    "document",
    "réponse",
    "text",
    "translation",
    "translated",
    "summary",
    "rewrite",
    "rewritten",
    "rephrased",
    "corrected",
    "paragraph",
    "sentence",
    "content",
    "draft",
    "emoji",
    "émoji",
    "formatted",
];

/// A first line that is nothing but courtesy. It must end in an exclamation mark.
const COURTESIES: [&str; 13] = [
    "bien sûr",
    "bien entendu",
    "certainement",
    "avec plaisir",
    "absolument",
    "d'accord",
    "entendu",
    "sure",
    "sure thing",
    "certainly",
    "of course",
    "absolutely",
    "with pleasure",
];

/// A first line that labels the answer: these words and a colon, nothing more.
const LABELS: [&str; 10] = [
    "texte corrigé",
    "texte reformulé",
    "texte traduit",
    "version corrigée",
    "version reformulée",
    "corrected text",
    "corrected version",
    "rephrased text",
    "rewritten text",
    "translated text",
];

/// Languages of a fence that wraps prose. A fence of code is content.
const PROSE: [&str; 7] = ["", "markdown", "md", "text", "txt", "texte", "plaintext"];

/// Longest first line looked at, in bytes of UTF-8 with some room for accents.
const FIRST_LINE: usize = 220;
/// Most bytes held back, white space included.
const HELD: usize = 400;

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The first line is not decided. `lines`: how many more may be taken for a preamble.
    Start { lines: u8 },
    /// Inside a fence that opened the answer. `prose`: it said so (`markdown`); `nested`: fences
    /// open within it.
    Fenced { prose: bool, nested: usize, line_start: bool },
    /// What looks like the closing fence has come; held back with what follows it.
    Closed { prose: bool },
    /// Nothing is looked for any more.
    Through,
}

/// Cleans one choice's content.
#[derive(Debug)]
pub struct Clean {
    rules: Cleaning,
    state: State,
    held: String,
    /// The line end before the line being read, in a fence: dropped if that line closes it.
    owed: String,
}

impl Clean {
    #[must_use]
    pub fn new(rules: Cleaning) -> Self {
        let lines = if rules.preamble { 2 } else { 0 };
        Self { rules, state: State::Start { lines }, held: String::new(), owed: String::new() }
    }

    /// Nothing is held and nothing will change any more.
    #[must_use]
    pub fn is_through(&self) -> bool {
        self.state == State::Through
    }

    pub fn push(&mut self, text: &str, out: &mut String) {
        match self.state {
            State::Through => out.push_str(text),
            State::Start { .. } => {
                self.held.push_str(text);
                self.decide(out);
            }
            State::Fenced { .. } | State::Closed { .. } => self.in_fence(text, out),
        }
    }

    /// At the end: what was held back and is no closing fence.
    pub fn finish(&mut self, out: &mut String) {
        let held = std::mem::take(&mut self.held);
        let owed = std::mem::take(&mut self.owed);
        match self.state {
            State::Start { .. } => out.push_str(&held),
            State::Fenced { nested, .. } => {
                if !(nested == 0 && fence(&held) == Some("")) {
                    out.push_str(&owed);
                    out.push_str(&held);
                }
            }
            State::Closed { .. } | State::Through => {}
        }
        self.state = State::Through;
    }

    fn through(&mut self, out: &mut String) {
        out.push_str(&std::mem::take(&mut self.held));
        self.state = State::Through;
    }

    /// Looks at the first line of what is held.
    fn decide(&mut self, out: &mut String) {
        while let State::Start { lines } = self.state {
            let begun = self.held.trim_start_matches(['\n', '\r', ' ']);
            let Some((line, rest)) = begun.split_once('\n') else {
                if self.held.len() > HELD || begun.len() > FIRST_LINE || !self.may_become(begun, lines) {
                    self.through(out);
                }
                return;
            };
            if lines > 0
                && let Some(kind) = preamble(line)
            {
                let rest = rest.trim_start_matches(['\n', '\r']);
                if rest.trim().is_empty() {
                    // Nothing follows yet: alone, the line would be the answer.
                    if self.held.len() > HELD {
                        self.through(out);
                    }
                    return;
                }
                let lines = if kind == Preamble::Courtesy { lines - 1 } else { 0 };
                self.held = rest.to_owned();
                self.state = State::Start { lines };
                continue;
            }
            match fence(line) {
                Some(language) if self.rules.fence && is_prose(language) => {
                    self.state = State::Fenced { prose: !language.is_empty(), nested: 0, line_start: true };
                    let rest = rest.to_owned();
                    self.held.clear();
                    self.in_fence(&rest, out);
                }
                _ => self.through(out),
            }
        }
    }

    /// Whether a first line cut short may still turn out to be something to remove.
    fn may_become(&self, begun: &str, lines: u8) -> bool {
        let opening = || {
            "```".starts_with(begun)
                || fence(begun)
                    .is_some_and(|word| PROSE.iter().any(|prose| prose.starts_with(&word.to_ascii_lowercase())))
        };
        if begun.is_empty() || (self.rules.fence && opening()) {
            return true;
        }
        let line = plain(begun);
        let like = |start: &&str| line.starts_with(*start) || start.starts_with(&line);
        lines > 0 && INTRODUCTIONS.iter().chain(&COURTESIES).chain(&LABELS).any(like)
    }

    /// Reads on inside the fence, line by line.
    fn in_fence(&mut self, text: &str, out: &mut String) {
        let buffer = std::mem::take(&mut self.held) + text;
        let mut rest = buffer.as_str();
        while !rest.is_empty() {
            match self.state {
                State::Closed { prose } => {
                    if rest.trim().is_empty() {
                        if self.owed.len() + rest.len() <= HELD {
                            self.owed.push_str(rest);
                        }
                        return;
                    }
                    let closing = std::mem::take(&mut self.owed);
                    if prose {
                        // It opens a fence within the document that the answer is.
                        out.push_str(&closing);
                        self.state = State::Fenced { prose, nested: 1, line_start: true };
                    } else {
                        // The fence held only the beginning: text goes on after it.
                        out.push('\n');
                        out.push_str(rest);
                        self.state = State::Through;
                        return;
                    }
                }
                State::Fenced { prose, nested, line_start } => {
                    let (line, after) = match rest.split_once('\n') {
                        Some((line, after)) => (line, Some(after)),
                        None => (rest, None),
                    };
                    if line_start && after.is_none() && line.len() <= 48 && may_be_fence(line) {
                        line.clone_into(&mut self.held);
                        return;
                    }
                    let kind = if line_start { fence(line) } else { None };
                    if kind == Some("") && nested == 0 {
                        self.owed.push_str(line);
                        self.owed.push('\n');
                        self.state = State::Closed { prose };
                    } else {
                        out.push_str(&std::mem::take(&mut self.owed));
                        out.push_str(line);
                        if after.is_some() {
                            self.owed.push('\n');
                        }
                        let nested = match kind {
                            Some("") => nested - 1,
                            Some(_) => nested + 1,
                            None => nested,
                        };
                        self.state = State::Fenced { prose, nested, line_start: after.is_some() };
                    }
                    rest = after.unwrap_or("");
                }
                State::Start { .. } | State::Through => {
                    out.push_str(rest);
                    return;
                }
            }
        }
    }
}

/// The info string of a fence line; `None` for any other line.
fn fence(line: &str) -> Option<&str> {
    let word = line.trim_ascii().strip_prefix("```")?;
    word.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_#.".contains(&b)).then_some(word)
}

fn may_be_fence(line: &str) -> bool {
    let begun = line.trim_start_matches(' ');
    "```".starts_with(begun) || fence(begun).is_some()
}

fn is_prose(language: &str) -> bool {
    PROSE.iter().any(|prose| prose.eq_ignore_ascii_case(language))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Preamble {
    Courtesy,
    Introduction,
}

/// Lower case, typographic apostrophes and spaces made plain, emphasis marks off.
fn plain(line: &str) -> String {
    let trimmed = line.trim_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '#'));
    let mut plain = String::with_capacity(trimmed.len());
    for c in trimmed.chars() {
        match c {
            '’' => plain.push('\''),
            '\u{a0}' | '\u{202f}' => plain.push(' '),
            _ => plain.extend(c.to_lowercase()),
        }
    }
    plain
}

/// Whether a whole first line is a preamble.
fn preamble(line: &str) -> Option<Preamble> {
    if line.len() > FIRST_LINE {
        return None;
    }
    let line = plain(line);
    if let Some(words) = line.strip_suffix('!') {
        return COURTESIES.contains(&words.trim_end()).then_some(Preamble::Courtesy);
    }
    let words = line.strip_suffix(':')?.trim_end();
    let starts = |start: &&str| words.strip_prefix(*start).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    let announced = ANNOUNCED.iter().any(|noun| words.contains(noun));
    (LABELS.contains(&words) || (announced && INTRODUCTIONS.iter().any(starts))).then_some(Preamble::Introduction)
}

/// The same over a whole answer, where it can be known that a fence wraps all of it. `None` when
/// there is nothing to remove.
#[must_use]
pub fn clean_whole(text: &str, rules: Cleaning) -> Option<&str> {
    let mut rest = text;
    let mut lines = if rules.preamble { 2 } else { 0 };
    while lines > 0 {
        let Some((line, after)) = rest.trim_start().split_once('\n') else { break };
        let after = after.trim_start_matches(['\n', '\r']);
        match preamble(line) {
            Some(kind) if !after.trim().is_empty() => {
                rest = after;
                lines = if kind == Preamble::Courtesy { lines - 1 } else { 0 };
            }
            _ => break,
        }
    }
    if rules.fence
        && let Some(inner) = unfence(rest)
    {
        rest = inner;
    }
    (rest.len() != text.len()).then_some(rest)
}

/// What a fence wraps, if it wraps all.
fn unfence(text: &str) -> Option<&str> {
    let (first, body) = text.trim().split_once('\n')?;
    let language = fence(first).filter(|language| is_prose(language))?;
    let (inner, last) = body.rsplit_once('\n').unwrap_or(("", body));
    if fence(last) != Some("") {
        return None;
    }
    let mut open = 0usize;
    for line in inner.lines() {
        match fence(line) {
            Some("") if open > 0 => open -= 1,
            // In a document that says it is one, a bare fence may open another.
            Some("") if language.is_empty() => return None,
            Some(_) => open += 1,
            None => {}
        }
    }
    (open == 0).then(|| inner.strip_suffix('\r').unwrap_or(inner))
}

#[cfg(test)]
mod tests;
