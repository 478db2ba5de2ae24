//! The fields of one JSON object, in order, each with its bytes and where they stand.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::scan::{duplicate, unquote};

/// One `"key": value` of an object. Ranges are bytes of the text the object was read from.
#[derive(Debug, Clone)]
pub struct Field<'b> {
    /// The key, escapes undone.
    pub name: Cow<'b, str>,
    /// The key with its quotes, as sent.
    pub key: &'b str,
    pub raw: &'b RawValue,
    /// From the key's opening quote to the end of the value.
    pub entry: Range<usize>,
    pub value: Range<usize>,
}

impl<'b> Field<'b> {
    /// The value's bytes, unless it is `null`.
    #[must_use]
    pub fn present(&self) -> Option<&'b RawValue> {
        (self.raw.get() != "null").then_some(self.raw)
    }

    /// Where the key stands, quotes included.
    #[must_use]
    pub fn key_range(&self) -> Range<usize> {
        self.entry.start..self.entry.start + self.key.len()
    }
}

/// One JSON object and its fields.
#[derive(Debug, Clone)]
pub struct Object<'b> {
    pub fields: Vec<Field<'b>>,
    /// Just past the `{`.
    pub inside: usize,
}

/// Why text is not an object with distinct keys.
#[derive(Debug)]
pub enum NotObject {
    Json(serde_json::Error),
    Duplicate(String),
}

/// Where `part` begins inside `whole`; it must be borrowed from it.
pub(crate) fn offset(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize)
}

/// Where a raw value stands inside the text it was read from.
pub(crate) fn range_in(whole: &str, raw: &RawValue) -> Range<usize> {
    let start = offset(whole, raw.get());
    start..start + raw.get().len()
}

impl<'b> Object<'b> {
    /// Reads `json`, one object and nothing after it. Ranges are bytes of `json`.
    ///
    /// # Errors
    /// When it is not JSON, not an object, or says a key twice.
    pub fn parse(json: &'b str) -> Result<Self, NotObject> {
        Self::within(json, json)
    }

    /// Reads `json`, a part of `whole`. Ranges are bytes of `whole`.
    ///
    /// # Errors
    /// As [`Object::parse`].
    pub fn within(whole: &'b str, json: &'b str) -> Result<Self, NotObject> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let fields = Fields { whole }.deserialize(&mut reader).map_err(NotObject::Json)?;
        reader.end().map_err(NotObject::Json)?;
        match duplicate(fields.iter().map(|field| field.key)) {
            Some(name) => Err(NotObject::Duplicate(name.into_owned())),
            None => Ok(Self { fields, inside: offset(whole, json) + json.find('{').unwrap_or(0) + 1 }),
        }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Field<'b>> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The value of a field, `null` counting as absent.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'b RawValue> {
        self.get(name).and_then(Field::present)
    }
}

/// Reads the fields of an object, duplicates kept, which is a part of a text.
struct Fields<'b> {
    whole: &'b str,
}

impl<'b> DeserializeSeed<'b> for Fields<'b> {
    type Value = Vec<Field<'b>>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for Fields<'b> {
    type Value = Vec<Field<'b>>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(8);
        while let Some((key, raw)) = map.next_entry::<&'b RawValue, &'b RawValue>()? {
            let key = key.get();
            let value = range_in(self.whole, raw);
            // A lone surrogate is no name that anybody reads: keep it as it was sent.
            let name = unquote(key).unwrap_or(Cow::Borrowed(key));
            fields.push(Field { name, key, raw, entry: offset(self.whole, key)..value.end, value });
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_text() {
        let json = r#" { "a\u0062" : 1 ,"c":[2, 3] , "d":null} "#;
        let object = Object::parse(json).unwrap();
        let field = object.get("ab").unwrap();
        assert_eq!(&json[field.entry.clone()], r#""a\u0062" : 1"#);
        assert_eq!(&json[field.key_range()], r#""a\u0062""#);
        assert_eq!(&json[object.get("c").unwrap().value.clone()], "[2, 3]");
        assert_eq!(&json[object.inside..object.inside + 2], " \"");
        assert!(object.raw("d").is_none() && object.get("d").is_some());
        assert!(matches!(Object::parse(r#"{"a":1,"\u0061":2}"#), Err(NotObject::Duplicate(name)) if name == "a"));
        assert!(matches!(Object::parse("[1]"), Err(NotObject::Json(_))));
    }
}
