//! The fields of an upload, in Albert API's words of all its generations.

use serde_json::{Map, Value, json};

use super::upload::Incoming;
use crate::api::metadata;
use crate::error::{ApiError, ApiResult, short};
use crate::ingest::reading::Splitting;
use crate::store::documents::{NewDocument, NewFile};

/// Characters of a document's name.
const NAME: usize = 255;
/// Characters of a chunk, at most.
const CHUNK: usize = 100_000;
/// Splitters of the older names; only the second says something.
const CHUNKERS: [&str; 3] = ["RecursiveCharacterTextSplitter", "LangchainRecursiveCharacterTextSplitter", "NoSplitter"];
/// What `preset_separators` may name. Our splitter cuts each of them by its structure.
const PRESETS: [&str; 28] = [
    "",
    "c",
    "cobol",
    "cpp",
    "csharp",
    "elixir",
    "go",
    "haskell",
    "html",
    "java",
    "js",
    "kotlin",
    "latex",
    "lua",
    "markdown",
    "perl",
    "php",
    "powershell",
    "proto",
    "python",
    "r",
    "rst",
    "ruby",
    "rust",
    "scala",
    "sol",
    "swift",
    "ts",
];

/// Fields as they came, in their order.
#[derive(Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn take(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    /// The value of a field: the last one, unless it is empty.
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &'static str, least: usize) -> ApiResult<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let number = value.parse().ok().filter(|number| (least..=CHUNK).contains(number));
        number.map(Some).ok_or_else(|| {
            ApiError::bad_request(
                format!("« {name} » est un entier de {least} à {CHUNK}."),
                format!("“{name}” is an integer from {least} to {CHUNK}."),
            )
            .param(name)
        })
    }

    fn truth(&self, name: &'static str) -> ApiResult<bool> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0" | "no" | "off") => Ok(false),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some(_) => Err(ApiError::bad_request(
                format!("« {name} » vaut true ou false."),
                format!("“{name}” is true or false."),
            )
            .param(name)),
        }
    }

    /// The collection it goes into: `collection_id`, or `collection` as it was called.
    pub fn collection(&self) -> ApiResult<i64> {
        let value = self.get("collection_id").or_else(|| self.get("collection"));
        value.and_then(|value| value.parse().ok()).ok_or_else(|| {
            ApiError::bad_request(
                "« collection_id » est le numéro d’une collection.",
                "“collection_id” is the number of a collection.",
            )
            .param("collection_id")
        })
    }

    /// How it is split: only what was said.
    fn splitting(&self) -> ApiResult<Map<String, Value>> {
        let mut options = Map::new();
        for (name, least) in [("chunk_size", 1), ("chunk_overlap", 0), ("chunk_min_size", 0)] {
            if let Some(number) = self.number(name, least)? {
                options.insert(name.to_owned(), number.into());
            }
        }
        let separators: Vec<String> = separators(&self.0).into_iter().filter(|one| !one.is_empty()).collect();
        if !separators.is_empty() {
            options.insert("separators".to_owned(), json!(separators));
        }
        let among = |name: &'static str, known: &[&str]| match self.get(name) {
            Some(said) if !known.contains(&said) => Err(ApiError::bad_request(
                format!("« {name} » : « {} » n’est pas connu.", short(said)),
                format!("“{name}”: “{}” is not known.", short(said)),
            )
            .param(name)),
            said => Ok(said),
        };
        among("preset_separators", &PRESETS)?;
        let whole = among("chunker", &CHUNKERS)? == Some("NoSplitter");
        if self.truth("is_separator_regex")? {
            options.insert("is_separator_regex".to_owned(), true.into());
        }
        if self.truth("disable_chunking")? || whole {
            options.insert("disable_chunking".to_owned(), true.into());
        }
        check_splitting(&options)?;
        Ok(options)
    }

    /// The document that the fields and the file describe.
    pub fn document(&self, file: Option<&Incoming>) -> ApiResult<NewDocument> {
        let given = file.and_then(|file| file.name.as_deref()).map(base_name);
        let name = tidy_name(self.get("name").or(given).unwrap_or_default())?;
        let metadata = metadata::read(self.get("metadata").unwrap_or_default())?;
        let mut options = self.splitting()?;
        let Some(file) = file else {
            return Ok(NewDocument {
                name,
                file: None,
                metadata: Value::Object(metadata).to_string(),
                options: "{}".to_owned(),
            });
        };
        if file.bytes == 0 {
            return Err(ApiError::bad_request("Le fichier est vide.", "The file is empty.").param("file"));
        }
        // What tells its format, where the name it goes by does not.
        if let Some(given) = given.filter(|given| *given != name) {
            options.insert("filename".to_owned(), given.into());
        }
        let kind = file.kind.clone().filter(|kind| kind.len() <= NAME && kind != "application/octet-stream");
        let bytes = i64::try_from(file.bytes).unwrap_or(i64::MAX);
        Ok(NewDocument {
            name,
            file: Some(NewFile { hash: file.hash.clone(), bytes, kind }),
            metadata: Value::Object(metadata).to_string(),
            options: Value::Object(options).to_string(),
        })
    }
}

/// `separators`, repeated; or one that is a JSON list of them.
fn separators(fields: &[(String, String)]) -> Vec<String> {
    let mut all = Vec::new();
    for (_, value) in fields.iter().filter(|(name, _)| matches!(name.as_str(), "separators" | "separators[]")) {
        match serde_json::from_str::<Vec<String>>(value) {
            Ok(list) => all.extend(list),
            Err(_) => all.push(value.clone()),
        }
    }
    all
}

/// Refuses sizes that contradict each other and separators that are no patterns, before anything is stored.
fn check_splitting(options: &Map<String, Value>) -> ApiResult<()> {
    let said: Splitting = serde_json::from_value(Value::Object(options.clone())).map_err(ApiError::internal)?;
    let (options, _) = said.options(512);
    let nothing = rag::Document::default();
    match rag::split::split(&nothing, &options, &rag::split::Characters) {
        Ok(_) => Ok(()),
        Err(bad) => Err(ApiError::bad_request(bad.french(), bad.english()).param("chunk_size")),
    }
}

/// The last part of a path, as some clients give one.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or_default()
}

fn tidy_name(name: &str) -> ApiResult<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        return Err(ApiError::bad_request(
            "« name », ou le nom du fichier, a de 1 à 255 caractères, sans caractère de contrôle.",
            "“name”, or the name of the file, has 1 to 255 characters, none of control.",
        )
        .param("name"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn old_and_new_names_say_the_same() {
        for name in ["collection_id", "collection"] {
            assert_eq!(fields(&[(name, "12")]).collection().unwrap(), 12);
        }
        let new = fields(&[("disable_chunking", "true"), ("separators", "a"), ("separators", "b")]);
        let old = fields(&[("chunker", "NoSplitter"), ("separators", r#"["a", "b"]"#)]);
        let wanted = json!({"disable_chunking": true, "separators": ["a", "b"]});
        assert_eq!(Value::Object(new.splitting().unwrap()), wanted);
        assert_eq!(Value::Object(old.splitting().unwrap()), wanted);
    }

    #[test]
    fn what_is_not_said_is_not_kept() {
        let said = fields(&[("chunk_size", ""), ("preset_separators", "markdown"), ("is_separator_regex", "False")]);
        assert!(said.splitting().unwrap().is_empty());
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("chunk_size", "0"),
            ("chunk_size", "many"),
            ("chunk_overlap", "-1"),
            ("chunk_min_size", "100001"),
            ("is_separator_regex", "perhaps"),
            ("preset_separators", "klingon"),
            ("chunker", "Other"),
        ] {
            let body = fields(&[(name, value)]).splitting().unwrap_err().body(crate::config::server::Language::Fr);
            assert_eq!(body["error"]["param"], name, "{body}");
        }
        assert!(fields(&[("chunk_size", "10"), ("chunk_overlap", "10")]).splitting().is_err());
        assert!(fields(&[("separators", "("), ("is_separator_regex", "true")]).splitting().is_err());
        assert!(fields(&[("collection_id", "x")]).collection().is_err());
    }

    #[test]
    fn a_path_is_no_name() {
        assert_eq!(base_name("C:\\Users\\a\\note.pdf"), "note.pdf");
        assert_eq!(base_name("../../etc/passwd"), "passwd");
        assert!(tidy_name(" ").is_err() && tidy_name("a\nb").is_err() && tidy_name(&"é".repeat(256)).is_err());
    }
}
