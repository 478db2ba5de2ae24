//! What can be wrong with a prompt file, and with a call of a prompt.

use std::fmt;

use super::variable::Expected;

/// Something wrong in a prompt file. All are reported at once, at start and on reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File name, or the folder when it cannot be read.
    pub file: String,
    /// Where in it: a front matter path (`variables[1].default`), `messages[0]` for the first section,
    /// empty for the file as a whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    pub(super) fn new(file: &str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a prompt could not be found or filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptError {
    /// No prompt has this id.
    UnknownPrompt {
        /// As the caller wrote it.
        id: String,
    },
    /// The prompt exists, in other languages.
    UnknownLanguage {
        /// As the caller wrote it.
        id: String,
        /// As the caller wrote it.
        language: String,
        /// Languages it has.
        known: Vec<String>,
    },
    /// The prompt exists, in other versions.
    UnknownVersion {
        /// As the caller wrote it.
        id: String,
        /// As the caller wrote it.
        version: String,
        /// Versions it has, oldest first.
        known: Vec<String>,
    },
    /// A required variable is absent, null or blank.
    MissingVariable {
        /// Path inside `variables`: `text`, `passages[2].text`.
        name: String,
    },
    /// The prompt has no such variable.
    UnknownVariable {
        /// Path inside `variables`.
        name: String,
        /// Variables it has at that place.
        known: Vec<String>,
    },
    /// A variable, or a field of the `prompt` object itself, has the wrong type.
    WrongType {
        /// Path inside `variables`, or `prompt`, `prompt.id`… for the object itself.
        name: String,
        /// What it should be.
        expected: Expected,
    },
    /// The template failed. The detail is for the log only.
    Render {
        /// Prompt that failed.
        id: String,
        /// The engine's words.
        detail: String,
    },
}

impl PromptError {
    /// The request parameter at fault, as OpenAI's error object names it.
    pub fn param(&self) -> Option<String> {
        match self {
            Self::UnknownPrompt { .. } => Some("prompt.id".to_owned()),
            Self::UnknownLanguage { .. } => Some("prompt.language".to_owned()),
            Self::UnknownVersion { .. } => Some("prompt.version".to_owned()),
            Self::WrongType { name, .. } | Self::UnknownVariable { name, .. }
                if name == "prompt" || name.starts_with("prompt.") =>
            {
                Some(name.clone())
            }
            Self::MissingVariable { name } if name.starts_with("prompt.") => Some(name.clone()),
            Self::MissingVariable { name } | Self::UnknownVariable { name, .. } | Self::WrongType { name, .. } => {
                Some(format!("prompt.variables.{name}"))
            }
            Self::Render { .. } => None,
        }
    }

    /// Whether the caller can mend it (400); otherwise it is the template's fault (500).
    pub fn is_callers(&self) -> bool {
        !matches!(self, Self::Render { .. })
    }

    /// What to tell the caller, in French for `fr`, in English otherwise. Nothing internal.
    pub fn message(&self, language: &str) -> String {
        if language == "fr" { self.french() } else { self.to_string() }
    }

    fn french(&self) -> String {
        match self {
            Self::UnknownPrompt { id } => {
                format!("Il n'y a pas de prompt « {} ». GET /v1/prompts les liste.", shown(id))
            }
            Self::UnknownLanguage { id, language, known } => format!(
                "Le prompt « {} » n'existe pas dans la langue « {} ». Langues connues : {}.",
                shown(id),
                shown(language),
                known.join(", ")
            ),
            Self::UnknownVersion { id, version, known } => format!(
                "Le prompt « {} » n'a pas de version « {} ». Versions connues : {}.",
                shown(id),
                shown(version),
                known.join(", ")
            ),
            Self::MissingVariable { name } => format!("La variable « {} » du prompt manque ou est vide.", shown(name)),
            Self::UnknownVariable { name, known } if known.is_empty() => {
                format!("Le prompt n'a pas de variable « {} » ; il n'en prend aucune.", shown(name))
            }
            Self::UnknownVariable { name, known } => {
                format!("Le prompt n'a pas de variable « {} ». Variables connues : {}.", shown(name), known.join(", "))
            }
            Self::WrongType { name, expected } => {
                format!("La variable « {} » du prompt doit être {}.", shown(name), expected.french())
            }
            Self::Render { .. } => "Le prompt n'a pas pu être rempli.".to_owned(),
        }
    }
}

impl fmt::Display for PromptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPrompt { id } => {
                write!(f, "There is no prompt \"{}\". GET /v1/prompts lists them.", shown(id))
            }
            Self::UnknownLanguage { id, language, known } => write!(
                f,
                "The prompt \"{}\" does not exist in the language \"{}\". Known languages: {}.",
                shown(id),
                shown(language),
                known.join(", ")
            ),
            Self::UnknownVersion { id, version, known } => write!(
                f,
                "The prompt \"{}\" has no version \"{}\". Known versions: {}.",
                shown(id),
                shown(version),
                known.join(", ")
            ),
            Self::MissingVariable { name } => {
                write!(f, "The variable \"{}\" of the prompt is missing or blank.", shown(name))
            }
            Self::UnknownVariable { name, known } if known.is_empty() => {
                write!(f, "The prompt has no variable \"{}\"; it takes none.", shown(name))
            }
            Self::UnknownVariable { name, known } => {
                write!(f, "The prompt has no variable \"{}\". Known variables: {}.", shown(name), known.join(", "))
            }
            Self::WrongType { name, expected } => {
                write!(f, "The variable \"{}\" of the prompt must be {}.", shown(name), expected.english())
            }
            Self::Render { .. } => f.write_str("The prompt could not be filled in."),
        }
    }
}

impl std::error::Error for PromptError {}

/// A caller's word in a message: its first 80 characters, control characters left out.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(80).collect()
}
