//! The top level of a request body, read once and borrowed. Values that nobody reads stay raw.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::object::{Field, NotObject, Object};
use super::scan::{refuse_duplicates, too_deep, unquote};
use super::wire_error::{Expected, WireError};

/// Fields whose inside is read on some path: a key said twice there is refused as at the top, since
/// we and the engine might read different ones.
const READ_INSIDE: [&str; 7] =
    ["messages", "prompt", "stream_options", "response_format", "input", "documents", "chat_template_kwargs"];

/// A request body's top-level fields, the ones every endpoint shares already checked.
///
/// JSON `null` counts as absent in every accessor.
#[derive(Debug, Clone)]
pub struct Head<'b> {
    body: &'b str,
    object: Object<'b>,
    model: Option<Cow<'b, str>>,
    user: Option<Cow<'b, str>>,
    stream: bool,
    include_usage: bool,
    max_tokens: Option<u64>,
    n: Option<u64>,
}

impl<'b> Head<'b> {
    /// Reads a request body.
    ///
    /// # Errors
    /// When it is not one JSON object in UTF-8, says a key twice (at the top, or inside a field that
    /// we read), nests too deep, or gives a known field another type than it has.
    pub fn parse(body: &'b [u8]) -> Result<Self, WireError> {
        let body = simdutf8::basic::from_utf8(body).map_err(|_| WireError::NotUtf8)?;
        let object = match Object::parse(body) {
            Ok(object) => object,
            Err(NotObject::Duplicate(path)) => return Err(WireError::DuplicateKey { path }),
            // Right JSON of another kind is told apart from JSON that is wrong.
            Err(NotObject::Json(error)) => {
                return Err(match serde_json::from_str::<&RawValue>(body) {
                    Ok(_) => WireError::NotAnObject,
                    Err(_) if error.is_data() => first_fault(body, &error),
                    Err(_) => WireError::malformed(&error),
                });
            }
        };
        if too_deep(body) {
            return Err(WireError::TooDeep);
        }
        for field in &object.fields {
            if matches!(field.raw.get().as_bytes().first(), Some(b'{' | b'[')) && READ_INSIDE.contains(&&*field.name) {
                refuse_duplicates(&field.name, field.raw.get())?;
            }
        }
        let include_usage = match object.raw("stream_options") {
            None => false,
            Some(raw) => match Object::within(body, raw.get()) {
                Ok(options) => boolean(options.raw("include_usage"), "stream_options.include_usage")?.unwrap_or(false),
                Err(_) => return Err(WireError::wrong("stream_options", Expected::Object)),
            },
        };
        let max_tokens = count(object.raw("max_completion_tokens"), "max_completion_tokens")?;
        let max_tokens = max_tokens.or(count(object.raw("max_tokens"), "max_tokens")?);
        Ok(Self {
            model: string(object.raw("model"), "model")?,
            user: string(object.raw("user"), "user")?,
            stream: boolean(object.raw("stream"), "stream")?.unwrap_or(false),
            include_usage,
            max_tokens,
            n: count(object.raw("n"), "n")?,
            body,
            object,
        })
    }

    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    #[must_use]
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Whether the client asked for the usage chunk at the end of its stream.
    #[must_use]
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// `max_completion_tokens`, else `max_tokens`.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// The end user as the client names them. To be made a pseudonym before it is kept.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// How many answers were asked for.
    #[must_use]
    pub fn n(&self) -> Option<u64> {
        self.n
    }

    /// The messages of a chat, checked to be a non-empty list.
    ///
    /// # Errors
    /// When they are missing, empty or not a list.
    pub fn messages(&self) -> Result<&'b RawValue, WireError> {
        let raw = self.raw("messages").ok_or(WireError::Missing { field: "messages" })?;
        let inside = raw.get().strip_prefix('[').ok_or_else(|| WireError::wrong("messages", Expected::Array))?;
        if inside.trim_ascii_start() == "]" {
            return Err(WireError::Missing { field: "messages" });
        }
        Ok(raw)
    }

    /// A field's bytes, as sent.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'b RawValue> {
        self.object.raw(name)
    }

    /// A field that must be a string.
    ///
    /// # Errors
    /// When it is something else.
    pub fn string(&self, name: &str) -> Result<Option<Cow<'b, str>>, WireError> {
        string(self.raw(name), name)
    }

    /// A field that must be a whole number, zero or more.
    ///
    /// # Errors
    /// When it is something else.
    pub fn count(&self, name: &str) -> Result<Option<u64>, WireError> {
        count(self.raw(name), name)
    }

    /// A field that must be true or false.
    ///
    /// # Errors
    /// When it is something else.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, WireError> {
        boolean(self.raw(name), name)
    }

    #[must_use]
    pub fn fields(&self) -> &[Field<'b>] {
        &self.object.fields
    }

    #[must_use]
    pub fn object(&self) -> &Object<'b> {
        &self.object
    }

    #[must_use]
    pub fn body(&self) -> &'b str {
        self.body
    }

    /// See [`super::parameters::parameters`].
    #[must_use]
    pub fn parameters(&self) -> Option<String> {
        super::parameters::parameters(self)
    }
}

/// A body whose first value is right but no object, and which goes on wrong: where it goes wrong.
fn first_fault(body: &str, seen: &serde_json::Error) -> WireError {
    match serde_json::from_str::<serde::de::IgnoredAny>(body) {
        Ok(_) => WireError::malformed(seen),
        Err(error) => WireError::malformed(&error),
    }
}

fn string<'b>(raw: Option<&'b RawValue>, field: &str) -> Result<Option<Cow<'b, str>>, WireError> {
    let Some(raw) = raw else { return Ok(None) };
    unquote(raw.get()).map(Some).ok_or_else(|| WireError::wrong(field, Expected::String))
}

fn boolean(raw: Option<&RawValue>, field: &str) -> Result<Option<bool>, WireError> {
    match raw.map(RawValue::get) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(WireError::wrong(field, Expected::Boolean)),
    }
}

fn count(raw: Option<&RawValue>, field: &str) -> Result<Option<u64>, WireError> {
    let Some(raw) = raw else { return Ok(None) };
    raw.get()
        .parse()
        .ok()
        .or_else(|| whole(raw.get()))
        .map(Some)
        .ok_or_else(|| WireError::wrong(field, Expected::Count))
}

/// `1e3` and `100.0` are whole numbers too, and some clients send them.
fn whole(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    let exact = (0.0..9.0e15).contains(&number) && number.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
    exact.then_some(number as u64)
}

#[cfg(test)]
mod tests;
