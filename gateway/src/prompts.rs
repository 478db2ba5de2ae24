//! Versioned prompts: which there are, and what one says for given variables.
//!
//! A prompt is one file of `prompts/`: YAML front matter, then one section a message. It is parsed,
//! checked and compiled once, when the [`Library`] is made; rendering only fills it in. The values a
//! caller gives are data: they are inserted after the template was compiled and never read as one.
//! `prompts/README.md` describes the format.

mod call;
mod engine;
mod error;
mod file;
mod language;
mod shipped;
mod variable;
mod version;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Map;

pub use call::Call;
pub use error::{Problem, PromptError};
pub use file::{Bilingual, Cleaning, Role};
pub use variable::{Expected, Field, Kind, Variable};
pub use version::Version;

use engine::Engine;

/// The language a prompt is taken in when nobody asked for one.
const DEFAULT_LANGUAGE: &str = "fr";

/// One version of one prompt in one language. Serialises to what `GET /v1/prompts` shows.
#[derive(Clone, Debug, Serialize)]
pub struct Prompt {
    /// `task.language`, for instance `docs-correct.fr`: unique together with `version`.
    pub id: String,
    /// Version of the text: a changed text is a new version.
    pub version: Version,
    /// Language of the instructions, not of the text they are applied to.
    pub language: String,
    /// What it does, the same in every language: `docs-correct`.
    pub task: String,
    /// Who answers for its wording.
    pub owner: String,
    /// One sentence for people.
    pub description: Bilingual,
    /// Roles of the messages it renders, in order.
    pub messages: Vec<Role>,
    /// What a caller may or must give.
    pub variables: Vec<Variable>,
    /// What is to be removed around the model's answer.
    pub cleaning: Cleaning,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub hash: String,
}

/// One message to send to the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The text.
    pub content: String,
}

/// A prompt filled in, with what the usage record keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The messages, in order, none of them empty.
    pub messages: Vec<Message>,
    /// `task.language`, for the record's `prompt_id`.
    pub id: String,
    /// For the record's `prompt_version`.
    pub version: Version,
    /// For the record's `prompt_hash`.
    pub hash: String,
    /// What is to be removed around the model's answer.
    pub cleaning: Cleaning,
}

impl Rendered {
    /// Messages that go before those of the caller: all but a last one that the user speaks.
    pub fn opening(&self) -> &[Message] {
        match self.messages.split_last() {
            Some((last, rest)) if last.role == Role::User => rest,
            _ => &self.messages,
        }
    }

    /// The message that goes after those of the caller, if the prompt ends with the user speaking.
    pub fn closing(&self) -> Option<&Message> {
        self.messages.last().filter(|last| last.role == Role::User)
    }
}

/// Every prompt this instance knows, compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Library {
    /// By id; the versions of an id in ascending order, never none.
    prompts: BTreeMap<String, Vec<Prompt>>,
    engine: Engine,
    language: String,
}

impl Library {
    /// The prompts shipped inside the binary.
    ///
    /// # Errors
    /// Every problem of a shipped file; a test keeps this from happening.
    pub fn embedded() -> Result<Self, Vec<Problem>> {
        Self::load(None)
    }

    /// The shipped prompts, then those of `folder` (its `*.md.j2` files, not its subfolders). A file
    /// with the id and version of a shipped prompt replaces it; any other adds to them.
    ///
    /// # Errors
    /// Every problem of every file at once, each with its file and the path inside it.
    pub fn load(folder: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut library =
            Self { prompts: BTreeMap::new(), engine: Engine::new(), language: DEFAULT_LANGUAGE.to_owned() };
        library.add_all(shipped::sources(), &mut problems);
        if let Some(folder) = folder {
            let sources = file::read_folder(folder, &mut problems);
            library.add_all(sources, &mut problems);
        }
        if problems.is_empty() { Ok(library) } else { Err(problems) }
    }

    /// The same library, answering in `language` (`fr`, `en`) when a caller names none.
    #[must_use]
    pub fn speaking(mut self, language: &str) -> Self {
        language.clone_into(&mut self.language);
        self
    }

    /// The prompt called `id`, which is a task (`docs-correct`) or a task in a language
    /// (`docs-correct.en`). `version` is whole (`1.2.0`) or the start of one (`1`, `1.2`); the newest
    /// that fits is taken, the newest of all when it is `None`. With neither a language in `id` nor in
    /// `language`, the library's own is taken, else French, else any the task has.
    ///
    /// # Errors
    /// [`PromptError::UnknownPrompt`], [`PromptError::UnknownLanguage`], [`PromptError::UnknownVersion`].
    pub fn get(&self, id: &str, version: Option<&str>, language: Option<&str>) -> Result<&Prompt, PromptError> {
        let versions = self.versions(id, language)?;
        versions.iter().rev().find(|prompt| version.is_none_or(|asked| prompt.version.answers(asked))).ok_or_else(
            || PromptError::UnknownVersion {
                id: id.to_owned(),
                version: version.unwrap_or_default().to_owned(),
                known: versions.iter().map(|prompt| prompt.version.to_string()).collect(),
            },
        )
    }

    /// Every prompt in every version, by id and then version, oldest first.
    pub fn list(&self) -> impl Iterator<Item = &Prompt> {
        self.prompts.values().flatten()
    }

    /// Fills `prompt`, one of this library, with `variables`. A null counts as absent.
    ///
    /// # Errors
    /// [`PromptError::MissingVariable`], [`PromptError::UnknownVariable`], [`PromptError::WrongType`];
    /// [`PromptError::Render`] when the template itself fails, which is no fault of the caller.
    pub fn render(&self, prompt: &Prompt, variables: &Map<String, serde_json::Value>) -> Result<Rendered, PromptError> {
        let values = variable::values(&prompt.variables, variables, &prompt.language)?;
        Ok(Rendered {
            messages: self.engine.render(prompt, &values)?,
            id: prompt.id.clone(),
            version: prompt.version,
            hash: prompt.hash.clone(),
            cleaning: prompt.cleaning,
        })
    }

    /// Finds and fills the prompt that the `prompt` object of a request names.
    ///
    /// # Errors
    /// Those of [`Library::get`] and [`Library::render`].
    pub fn apply(&self, call: &Call) -> Result<Rendered, PromptError> {
        let prompt = self.get(&call.id, call.version.as_deref(), call.language.as_deref())?;
        self.render(prompt, &call.variables)
    }

    fn versions(&self, id: &str, language: Option<&str>) -> Result<&[Prompt], PromptError> {
        if let Some(versions) = self.prompts.get(id) {
            let spoken = versions.first().map_or("", |prompt| prompt.language.as_str());
            return match language {
                Some(asked) if asked != spoken => Err(unknown_language(id, asked, vec![spoken.to_owned()])),
                _ => Ok(versions),
            };
        }
        let in_language = |language: &str| self.prompts.get(&format!("{id}.{language}"));
        let mut spoken = self.prompts.values().filter_map(|versions| versions.first()).filter(|p| p.task == id);
        let found = match language {
            Some(asked) => in_language(asked),
            None => in_language(&self.language)
                .or_else(|| in_language(DEFAULT_LANGUAGE))
                .or_else(|| spoken.clone().find_map(|prompt| self.prompts.get(&prompt.id))),
        };
        match (found, language) {
            (Some(versions), _) => Ok(versions),
            (None, Some(asked)) if spoken.clone().next().is_some() => {
                Err(unknown_language(id, asked, spoken.map(|prompt| prompt.language.clone()).collect()))
            }
            _ => {
                debug_assert!(spoken.next().is_none());
                Err(PromptError::UnknownPrompt { id: id.to_owned() })
            }
        }
    }

    /// Adds the files of one origin. Within it an id and version may appear once; over an earlier
    /// origin it wins.
    fn add_all(&mut self, sources: Vec<file::Source>, problems: &mut Vec<Problem>) {
        let mut seen = BTreeMap::new();
        for source in sources {
            let Some(parsed) = file::parse(&source, problems) else {
                continue;
            };
            let prompt = &parsed.prompt;
            if let Some(first) = seen.insert((prompt.id.clone(), prompt.version), source.name.clone()) {
                let message = format!("{} {} is already in {first}", prompt.id, prompt.version);
                problems.push(Problem::new(&source.name, "version", message));
                continue;
            }
            if self.engine.add(&source.name, &parsed, problems) {
                self.insert(parsed.prompt);
            }
        }
    }

    fn insert(&mut self, prompt: Prompt) {
        let versions = self.prompts.entry(prompt.id.clone()).or_default();
        match versions.binary_search_by_key(&prompt.version, |known| known.version) {
            Ok(at) => {
                if let Some(known) = versions.get_mut(at) {
                    *known = prompt;
                }
            }
            Err(at) => versions.insert(at, prompt),
        }
    }
}

fn unknown_language(id: &str, language: &str, known: Vec<String>) -> PromptError {
    PromptError::UnknownLanguage { id: id.to_owned(), language: language.to_owned(), known }
}
