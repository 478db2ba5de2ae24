//! The `prompt` object of a request, as OpenAI's API has it, and `language` of our own.

use serde_json::{Map, Value as Json};

use super::error::PromptError;
use super::variable::Expected;

/// Which prompt a caller wants, and with what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// A task (`docs-correct`) or a task in a language (`docs-correct.en`).
    pub id: String,
    /// Whole (`1.2.0`) or the start of one (`1`); the newest when absent.
    pub version: Option<String>,
    /// Language of the instructions, when `id` names none.
    pub language: Option<String>,
    /// Values by name.
    pub variables: Map<String, Json>,
}

impl Call {
    /// Reads the value of `prompt`. A null field counts as absent.
    ///
    /// # Errors
    /// [`PromptError::WrongType`], [`PromptError::MissingVariable`] or [`PromptError::UnknownVariable`]
    /// whose name begins with `prompt`.
    pub fn read(prompt: Json) -> Result<Self, PromptError> {
        let Json::Object(fields) = prompt else {
            return Err(wrong("prompt", Expected::Object));
        };
        let mut call = Self::default();
        for (field, value) in fields {
            match (field.as_str(), value) {
                ("id", Json::String(id)) => call.id = id,
                ("version", Json::String(version)) => call.version = Some(version),
                ("language", Json::String(language)) => call.language = Some(language),
                ("variables", Json::Object(variables)) => call.variables = variables,
                ("id" | "version" | "language" | "variables", Json::Null) => {}
                ("id" | "version" | "language", _) => {
                    return Err(wrong(&format!("prompt.{field}"), Expected::Text));
                }
                ("variables", _) => return Err(wrong("prompt.variables", Expected::Object)),
                _ => {
                    let known = ["id", "version", "language", "variables"].map(str::to_owned).to_vec();
                    return Err(PromptError::UnknownVariable { name: format!("prompt.{field}"), known });
                }
            }
        }
        if call.id.is_empty() {
            return Err(PromptError::MissingVariable { name: "prompt.id".to_owned() });
        }
        Ok(call)
    }
}

fn wrong(name: &str, expected: Expected) -> PromptError {
    PromptError::WrongType { name: name.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Call;

    #[test]
    fn reads_openais_form_and_takes_null_as_absent() {
        let call = Call::read(json!({"id": "docs-correct", "version": null, "variables": {"text": "a"}})).unwrap();
        assert_eq!((call.id.as_str(), call.version, call.language), ("docs-correct", None, None));
        assert_eq!(call.variables["text"], "a");
        let call = Call::read(json!({"id": "x", "version": "2", "language": "en", "variables": null})).unwrap();
        assert_eq!((call.version.as_deref(), call.language.as_deref()), (Some("2"), Some("en")));
        assert!(call.variables.is_empty());
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (prompt, param) in [
            (json!("docs-correct"), "prompt"),
            (json!([]), "prompt"),
            (json!({}), "prompt.id"),
            (json!({"id": ""}), "prompt.id"),
            (json!({"id": 3}), "prompt.id"),
            (json!({"id": "x", "version": 1}), "prompt.version"),
            (json!({"id": "x", "language": []}), "prompt.language"),
            (json!({"id": "x", "variables": []}), "prompt.variables"),
            (json!({"id": "x", "variable": {}}), "prompt.variable"),
        ] {
            let error = Call::read(prompt.clone()).unwrap_err();
            assert_eq!(error.param().as_deref(), Some(param), "{prompt}");
            assert!(error.is_callers());
        }
    }
}
