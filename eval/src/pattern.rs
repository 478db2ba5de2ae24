//! Regular expressions written in the source.

use regex::Regex;

/// Compiles a pattern that is a constant of this crate; matching is linear in the text.
#[expect(clippy::expect_used, reason = "a constant pattern: wrong, it fails the tests of whoever uses it")]
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of the source")
}
