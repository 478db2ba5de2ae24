//! What a chunk's metadata must say.

use serde_json::Value;

/// A condition on metadata. A list matches when one of its items does; a chunk without the key does not match.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Equal, as JSON: text `"1"` and number `1` differ, `1` and `1.0` do not. Texts are compared as they are written.
    Eq { key: String, value: Value },
    /// A text that starts so. Here and below capitals and accents count.
    StartsWith { key: String, text: String },
    /// A text that ends so.
    EndsWith { key: String, text: String },
    /// A text that has this in it.
    Contains { key: String, text: String },
    /// A number or a date in between, ends included. Both bounds are of one kind.
    Range { key: String, from: Option<Bound>, to: Option<Bound> },
    /// Every one; none given: everything matches.
    And(Vec<Filter>),
    /// At least one; none given: nothing matches.
    Or(Vec<Filter>),
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    Number(f64),
    /// Unix time in milliseconds; compared with texts that are dates. A day without time starts at 00:00 UTC.
    Date(i64),
}
