//! What a limit is: who it is on, what it counts, over which time, and how much.

use std::fmt;
use std::sync::Arc;

use crate::policy::key::KeyId;

/// The largest value a limit may have: a float holds it exactly, as the scripts of Redis need.
pub const LARGEST: u64 = 1_000_000_000_000_000;

/// Whom a limit is on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Scope {
    Organization(i64),
    Project(i64),
    Key(KeyId),
    Member(i64),
}

/// What a rate counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Meter {
    Requests,
    Input,
    Output,
    /// Input and output together.
    Tokens,
}

/// Over which time: a minute slides, days and months follow the calendar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Window {
    Minute,
    Day,
    Month,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    Rate {
        meter: Meter,
        window: Window,
    },
    /// Requests being answered at one time.
    Concurrent,
}

/// Which counter: two limits with the same id share one count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CounterId {
    pub scope: Scope,
    /// `*`, the name of a group, or a model's id.
    pub models: Arc<str>,
    pub kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    pub id: CounterId,
    pub max: u64,
    pub guarantees: Option<Arc<Guarantees>>,
}

/// What projects are sure to find of their organization's limit, whatever the others use. A request of project P passes
/// if `used + ask ≤ max − Σ max(0, guaranteed_Q − used_Q)` over the other projects Q. A ceiling needs no word of its own:
/// it is a limit on the project.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Guarantees {
    pub by_project: Vec<(i64, u64)>,
}

/// All limits of one request, in one organization. A request passes all or takes from none.
#[derive(Clone, Debug)]
pub struct Chain {
    pub organization: i64,
    pub project: i64,
    /// No two with the same id: of those, keep the tightest.
    pub limits: Arc<[Limit]>,
}

/// Tokens to hold before the engine is called. A request counts for one, and takes one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ask {
    pub input: u64,
    pub output: u64,
}

/// Tokens the engine really read and wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    pub input: u64,
    pub output: u64,
}

impl Meter {
    pub const ALL: [Meter; 4] = [Meter::Requests, Meter::Input, Meter::Output, Meter::Tokens];

    pub fn word(self) -> &'static str {
        match self {
            Meter::Requests => "requests",
            Meter::Input => "input_tokens",
            Meter::Output => "output_tokens",
            Meter::Tokens => "tokens",
        }
    }

    pub fn parse(word: &str) -> Option<Meter> {
        Meter::ALL.into_iter().find(|meter| meter.word() == word)
    }

    /// What one request weighs on this meter.
    pub fn of(self, input: u64, output: u64) -> u64 {
        match self {
            Meter::Requests => 1,
            Meter::Input => input,
            Meter::Output => output,
            Meter::Tokens => input.saturating_add(output),
        }
    }
}

impl Window {
    pub const ALL: [Window; 3] = [Window::Minute, Window::Day, Window::Month];

    pub fn word(self) -> &'static str {
        match self {
            Window::Minute => "minute",
            Window::Day => "day",
            Window::Month => "month",
        }
    }

    pub fn parse(word: &str) -> Option<Window> {
        Window::ALL.into_iter().find(|window| window.word() == word)
    }
}

impl Kind {
    /// Reads `tokens/day`, `input/minute`, `concurrent`.
    pub fn parse(text: &str) -> Option<Kind> {
        if text == "concurrent" {
            return Some(Kind::Concurrent);
        }
        let (meter, window) = text.split_once('/')?;
        let meter = match meter {
            "input" => Meter::Input,
            "output" => Meter::Output,
            word => Meter::parse(word)?,
        };
        Some(Kind::Rate { meter, window: Window::parse(window)? })
    }

    /// The calendar window it counts over, when it does.
    pub fn is_calendar(self) -> bool {
        matches!(self, Kind::Rate { window: Window::Day | Window::Month, .. })
    }

    /// What a request that asks or used so many tokens weighs on a limit of this kind.
    pub fn weight(self, input: u64, output: u64) -> u64 {
        match self {
            Kind::Rate { meter, .. } => meter.of(input, output),
            Kind::Concurrent => 1,
        }
    }
}

impl Scope {
    pub fn word(self) -> &'static str {
        match self {
            Scope::Organization(_) => "organization",
            Scope::Project(_) => "project",
            Scope::Key(_) => "key",
            Scope::Member(_) => "member",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Organization(id) | Scope::Project(id) | Scope::Member(id) => write!(f, "{}:{id}", self.word()),
            Scope::Key(id) => write!(f, "{}:{id}", self.word()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Rate { meter, window } => write!(f, "{}/{}", meter.word(), window.word()),
            Kind::Concurrent => f.write_str("concurrent"),
        }
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// `organization:12 * tokens/day`.
impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.scope, self.models, self.kind)
    }
}

/// Why a text is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// Not `600/minute`, `5M/day`, `20`.
    Shape,
    /// Not `minute`, `day`, `month`.
    Window,
    Negative,
    Zero,
    TooLarge,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Shape => f.write_str("must be a whole number, such as 600, 200k or 5M"),
            Wrong::Window => f.write_str("must say per what: /minute, /day or /month"),
            Wrong::Negative => f.write_str("must not be negative"),
            Wrong::Zero => f.write_str("must be at least 1"),
            Wrong::TooLarge => write!(f, "must not exceed {LARGEST}"),
        }
    }
}

/// Reads a quantity: `20`, `600`, `200k`, `5M`, `1.5G`, `10_000`.
pub fn parse_amount(text: &str) -> Result<u64, Wrong> {
    let text = text.trim();
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 3),
        Some(b'M') => (&text[..text.len() - 1], 6),
        Some(b'G') => (&text[..text.len() - 1], 9),
        _ => (text, 0),
    };
    if let Some(rest) = number.strip_prefix('-') {
        return Err(if rest.starts_with(|c: char| c.is_ascii_digit()) { Wrong::Negative } else { Wrong::Shape });
    }
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    if !whole.starts_with(|c: char| c.is_ascii_digit()) || !digits(whole) || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Wrong::Shape);
    }
    if number.contains('.') && (part.is_empty() || part.len() > unit) {
        return Err(Wrong::Shape);
    }
    let zeros = unit - part.len();
    let all: String =
        whole.chars().filter(|c| *c != '_').chain(part.chars()).chain(std::iter::repeat_n('0', zeros)).collect();
    // Only digits: a failure is a number too long for 64 bits.
    match all.parse::<u64>() {
        Ok(0) => Err(Wrong::Zero),
        Ok(amount) if amount <= LARGEST => Ok(amount),
        _ => Err(Wrong::TooLarge),
    }
}

/// Reads a rate: `600/minute`, `5M/day`, `1G / month`.
pub fn parse_rate(text: &str) -> Result<(u64, Window), Wrong> {
    let (amount, window) = text.split_once('/').ok_or(Wrong::Window)?;
    Ok((parse_amount(amount)?, Window::parse(window.trim()).ok_or(Wrong::Window)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_limits_in_these_words() {
        assert_eq!(parse_rate("600/minute"), Ok((600, Window::Minute)));
        assert_eq!(parse_rate("5M/day"), Ok((5_000_000, Window::Day)));
        assert_eq!(parse_rate(" 1.5G / month "), Ok((1_500_000_000, Window::Month)));
        assert_eq!(parse_amount("10_000"), Ok(10_000));
        assert_eq!(parse_amount("200k"), Ok(200_000));
        assert_eq!(parse_amount("0.5M"), Ok(500_000));
        assert_eq!(parse_amount(&LARGEST.to_string()), Ok(LARGEST));
    }

    #[test]
    fn what_cannot_be_a_limit_is_told_apart() {
        for (text, wrong) in [
            ("", Wrong::Shape),
            ("many", Wrong::Shape),
            ("1.5", Wrong::Shape),
            ("1.2345k", Wrong::Shape),
            ("1.k", Wrong::Shape),
            (".5M", Wrong::Shape),
            ("_1", Wrong::Shape),
            ("1e9", Wrong::Shape),
            ("NaN", Wrong::Shape),
            ("+5", Wrong::Shape),
            ("--5", Wrong::Shape),
            ("5 000", Wrong::Shape),
            ("-1", Wrong::Negative),
            ("-5M", Wrong::Negative),
            ("0", Wrong::Zero),
            ("0.0M", Wrong::Zero),
            ("1000000000000001", Wrong::TooLarge),
            ("99999999999999999999999999", Wrong::TooLarge),
            ("9999999999G", Wrong::TooLarge),
        ] {
            assert_eq!(parse_amount(text), Err(wrong), "{text:?}");
        }
        assert_eq!(parse_rate("600"), Err(Wrong::Window));
        assert_eq!(parse_rate("600/hour"), Err(Wrong::Window));
        assert_eq!(parse_rate("-600/day"), Err(Wrong::Negative));
    }

    #[test]
    fn words_are_read_back() {
        for meter in Meter::ALL {
            assert_eq!(Meter::parse(meter.word()), Some(meter));
        }
        for window in Window::ALL {
            assert_eq!(Window::parse(window.word()), Some(window));
        }
        let kind = Kind::Rate { meter: Meter::Tokens, window: Window::Day };
        let id = CounterId { scope: Scope::Organization(12), models: "*".into(), kind };
        assert_eq!(id.to_string(), "organization:12 * tokens/day");
    }

    proptest! {
        #[test]
        fn any_text_is_read_calmly(text in "\\PC{0,30}") {
            let _calm = parse_rate(&text);
        }

        #[test]
        fn whole_numbers_are_read_as_they_are(amount in 1..=LARGEST) {
            prop_assert_eq!(parse_amount(&amount.to_string()), Ok(amount));
        }
    }
}
