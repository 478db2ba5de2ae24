//! Values that come from the environment or from a file, and never show.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A value that never shows in logs, errors or `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself. Every call site is a place to review.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret is read: `{env: NAME}` or `{file: PATH}`. A secret written in the file itself is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SecretSource {
    /// Name of the environment variable that holds it.
    pub env: Option<String>,
    /// Path of the file that holds it; surrounding white space is cut.
    #[schema(value_type = Option<String>)]
    pub file: Option<PathBuf>,
}

impl SecretSource {
    /// Reads the secret now. The error says what to mend and holds no value.
    pub fn read(&self) -> Result<Secret, String> {
        match (&self.env, &self.file) {
            (Some(name), None) => match std::env::var(name) {
                Ok(value) if !value.trim().is_empty() => Ok(Secret(value.trim().to_owned())),
                _ => Err(format!("the environment variable {name} is not set; set it, or use {{file: PATH}}")),
            },
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) if !text.trim().is_empty() => Ok(Secret(text.trim().to_owned())),
                Ok(_) => Err(format!("the file {} is empty", path.display())),
                Err(error) => Err(format!("the file {} cannot be read: {error}", path.display())),
            },
            _ => Err("give exactly one of {env: NAME} and {file: PATH}".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    /// By hand: serde's own words for a value of the wrong type repeat it, and it may be the secret.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            #[serde(default)]
            env: Option<String>,
            #[serde(default)]
            file: Option<PathBuf>,
        }

        fn refused<T, E: de::Error>() -> Result<T, E> {
            Err(E::custom("a secret is not written in the file; write {env: NAME} or {file: PATH}"))
        }

        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = SecretSource;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{env: NAME} or {file: PATH}")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
                let Form { env, file } = Form::deserialize(MapAccessDeserializer::new(map))?;
                Ok(SecretSource { env, file })
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<SecretSource, E> {
                refused()
            }
            fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretSource, E> {
                refused()
            }
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretSource, E> {
                refused()
            }
            fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretSource, E> {
                refused()
            }
            fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretSource, E> {
                refused()
            }
        }
        d.deserialize_any(Words)
    }
}

/// A text that may hold a password (a database URL): written plain, or as a `SecretSource`.
#[derive(Clone, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(untagged, expecting = "this is neither a text, nor {env: NAME}, nor {file: PATH}")]
pub enum Sourced {
    Plain(String),
    From(SecretSource),
}

impl Sourced {
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            Sourced::Plain(text) => Ok(Secret::new(text.clone())),
            Sourced::From(source) => source.read(),
        }
    }
}

impl Serialize for Sourced {
    /// As it is written, but for a URL that may hold a password.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Sourced::Plain(text) if text.contains('@') => s.serialize_str("…"),
            Sourced::Plain(text) => s.serialize_str(text),
            Sourced::From(source) => source.serialize(s),
        }
    }
}

impl fmt::Debug for Sourced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sourced::Plain(_) => f.write_str("Plain(…)"),
            Sourced::From(source) => source.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
        assert!(!format!("{:?}", Sourced::Plain("postgres://u:hunter2@h/d".into())).contains("hunter2"));
    }

    #[test]
    fn a_missing_secret_says_what_to_mend() {
        let missing = SecretSource { env: Some("GUICHET_NO_SUCH_VARIABLE".into()), file: None };
        assert!(missing.read().unwrap_err().contains("GUICHET_NO_SUCH_VARIABLE"));
        let both = SecretSource { env: Some("A".into()), file: Some("b".into()) };
        assert!(both.read().unwrap_err().contains("exactly one"));
    }
}
