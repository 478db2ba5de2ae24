//! What is wrong with a request, as data. The words for people are chosen where errors become
//! answers, so that one fault has one wording in each language.

/// A request body that cannot be served as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// Not JSON, or JSON cut short or followed by something else. One-based, as editors count.
    Malformed { line: usize, column: usize },
    /// The body is not UTF-8.
    NotUtf8,
    /// JSON, but not an object.
    NotAnObject,
    /// Nested deeper than [`crate::openai::scan::MAX_DEPTH`].
    TooDeep,
    /// The same key twice in one object, escapes undone. `path` as in `messages[2].role`.
    DuplicateKey { path: String },
    /// A field we read has another type than it must.
    WrongType { field: String, expected: Expected },
    /// A field that must be there is not, or is `null`.
    Missing { field: &'static str },
    /// A URL that an engine would fetch and whose host is not allowed. For other schemes than
    /// http(s), `host` holds the scheme with its colon (`file:`); it is empty when there is none.
    ForbiddenUrl { host: String },
    /// Well-formed, and not something we serve.
    Unsupported { field: String, remedy: Remedy },
}

/// The type a field should have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    String,
    Boolean,
    /// A whole number, zero or more.
    Count,
    Object,
    Array,
    /// A string or a list of content parts.
    Content,
    /// A string, a list of strings, a list of token ids or a list of such lists.
    EmbeddingInput,
    /// A list of strings, or of objects with `text`.
    Documents,
}

/// What the caller can do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Send text, not token ids.
    SendText,
    /// `encoding_format` is `float` or `base64`.
    FloatOrBase64,
    /// Ask for the number of dimensions the model has, or leave the field out.
    ModelDimensions,
    /// Send at least one item.
    SendSomething,
}

impl WireError {
    /// The error of a `serde_json` failure over the text it was given.
    pub(crate) fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed { line: error.line(), column: error.column() }
    }

    pub(crate) fn wrong(field: impl Into<String>, expected: Expected) -> Self {
        Self::WrongType { field: field.into(), expected }
    }
}
