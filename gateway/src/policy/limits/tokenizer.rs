//! Who counts the tokens of a text exactly: a model's own tokenizer where the configuration names its `tokenizer.json`,
//! else tiktoken.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use crate::config::Config;

/// A model's own tokenizer.
pub struct Tokenizer(Inner);

#[cfg(feature = "tokenizers")]
type Inner = Box<tokenizers::Tokenizer>;
#[cfg(not(feature = "tokenizers"))]
type Inner = std::convert::Infallible;

impl Tokenizer {
    /// Reads a `tokenizer.json`. Slow: tens of megabytes for large vocabularies.
    ///
    /// # Errors
    /// Why it is none, in a few words.
    #[cfg(feature = "tokenizers")]
    pub fn read(file: &Path) -> Result<Tokenizer, String> {
        let bytes = std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| format!("{} is not a tokenizer.json: {error}", file.display()))?;
        // Files often cut or fill texts to a length, and a count must be of the whole.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| error.to_string())?;
        Ok(Tokenizer(Box::new(inner)))
    }

    /// As said: this build has none.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "tokenizers"))]
    pub fn read(_file: &Path) -> Result<Tokenizer, String> {
        Err("this build of guichet holds no tokenizers (feature `tokenizers`)".to_owned())
    }

    /// Tokens of a text; `None` when it cannot say.
    #[cfg(feature = "tokenizers")]
    pub fn count(&self, text: &str) -> Option<u64> {
        self.0.encode_fast(text, false).ok().map(|encoding| encoding.len() as u64)
    }

    #[cfg(not(feature = "tokenizers"))]
    pub fn count(&self, _text: &str) -> Option<u64> {
        match self.0 {}
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokenizer")
    }
}

/// A tokenizer of the configuration, read when it is first needed.
#[derive(Debug)]
pub struct Source {
    file: PathBuf,
    modified: Option<SystemTime>,
    read: OnceLock<Option<Tokenizer>>,
}

impl Source {
    fn new(file: &Path) -> Source {
        let modified = std::fs::metadata(file).and_then(|known| known.modified()).ok();
        Source { file: file.to_owned(), modified, read: OnceLock::new() }
    }

    fn is_same(&self, other: &Source) -> bool {
        self.file == other.file && self.modified == other.modified
    }

    fn get(&self) -> Option<&Tokenizer> {
        let read = || match Tokenizer::read(&self.file) {
            Ok(tokenizer) => Some(tokenizer),
            Err(error) => {
                tracing::warn!(%error, "texts of a model are counted by tiktoken");
                None
            }
        };
        self.read.get_or_init(read).as_ref()
    }
}

/// The tokenizers of one configuration, by model.
#[derive(Debug, Default)]
pub struct Tokenizers(HashMap<Arc<str>, Arc<Source>>);

impl Tokenizers {
    /// Those of a configuration; what `before` has read of files that have not changed is kept.
    pub fn new(config: &Config, before: &Tokenizers) -> Tokenizers {
        let each = config.models.iter().filter_map(|model| {
            let source = Source::new(model.tokenizer.as_deref()?);
            let known = before.0.values().find(|known| known.is_same(&source)).cloned();
            Some((Arc::from(model.id.as_str()), known.unwrap_or_else(|| Arc::new(source))))
        });
        Tokenizers(each.collect())
    }

    pub fn of(&self, model: &str) -> Option<Arc<Source>> {
        self.0.get(model).cloned()
    }
}

/// Tokens of a request's body. Slow: for threads that carry no request.
pub fn count(own: Option<&Source>, body: &[u8]) -> Option<u64> {
    // Written anew, so that the escapes of a careful client do not weigh more than the letters they stand for.
    let text = serde_json::from_slice::<serde_json::Value>(body).ok()?.to_string();
    if let Some(counted) = own.and_then(Source::get).and_then(|tokenizer| tokenizer.count(&text)) {
        return Some(counted);
    }
    Some(tiktoken_rs::cl100k_base_singleton().encode_ordinary(&text).len() as u64)
}

#[cfg(all(test, feature = "tokenizers"))]
mod tests {
    use super::*;

    /// One token for each letter it knows.
    const LETTERS: &str = r#"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst",
        "stride": 0}, "padding": {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "?"}, "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "model": {"type": "BPE", "dropout": null, "unk_token": "?",
        "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        "vocab": {"?": 0, "a": 1, "b": 2, "é": 3, "ab": 4}, "merges": ["a b"]}}"#;

    #[expect(clippy::unwrap_used, reason = "in tests, a panic is how a failure is told")]
    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer.json");
        std::fs::write(&file, text).unwrap();
        (folder, file)
    }

    #[test]
    fn a_text_is_counted_whole_neither_cut_nor_filled() {
        let (_folder, file) = written(LETTERS);
        let tokenizer = Tokenizer::read(&file).unwrap();
        assert_eq!(tokenizer.count("aaaaaaaaaa"), Some(10));
        assert_eq!(tokenizer.count("ab"), Some(1));
        assert_eq!(tokenizer.count(""), Some(0));
    }

    #[test]
    fn escapes_weigh_what_they_stand_for() {
        let (_folder, file) = written(LETTERS);
        let own = Source::new(&file);
        assert_eq!(count(Some(&own), br#""\u00e9\u00e9a""#), Some(5), "two quotes and three letters");
        assert_eq!(count(Some(&own), "\"ééa\"".as_bytes()), Some(5));
        assert_eq!(count(Some(&own), b"no JSON"), None);
    }

    #[test]
    fn what_is_no_tokenizer_says_so() {
        let (_folder, file) = written("{\"model\": 5}");
        let said = Tokenizer::read(&file).unwrap_err();
        assert!(said.contains("is not a tokenizer.json"), "{said}");
        let said = Tokenizer::read(Path::new("/nowhere/tokenizer.json")).unwrap_err();
        assert!(said.contains("cannot be read"), "{said}");
        // One that is no longer there when it is needed: tiktoken counts.
        assert_eq!(
            count(Some(&Source::new(Path::new("/nowhere/tokenizer.json"))), b"\"Bonjour\""),
            count(None, b"\"Bonjour\"")
        );
    }

    #[test]
    fn what_was_read_is_kept_while_its_file_stays() {
        let (_folder, file) = written(LETTERS);
        let mut config =
            crate::config::load::from_text(&crate::config::load::Origin::Embedded, "", Vec::new()).unwrap();
        let text = format!("{{id: m, type: chat, tokenizer: {:?}, deployments: []}}", file.display().to_string());
        config.models = vec![serde_saphyr::from_str(&text).unwrap()];
        let first = Tokenizers::new(&config, &Tokenizers::default());
        let second = Tokenizers::new(&config, &first);
        assert!(Arc::ptr_eq(&first.of("m").unwrap(), &second.of("m").unwrap()));
        std::fs::File::options().append(true).open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let third = Tokenizers::new(&config, &second);
        assert!(!Arc::ptr_eq(&second.of("m").unwrap(), &third.of("m").unwrap()));
        assert!(third.of("another").is_none());
    }
}
