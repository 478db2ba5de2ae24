//! A prompt file: `---`, YAML front matter, `---`, then one section a message, each opened by a line
//! such as `--- system ---`. Sections are cut before the template is compiled, so that no value can
//! open one.

use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Prompt;
use super::error::Problem;
use super::variable::{Kind, Variable};
use super::version::Version;

/// Far above any prompt a model could read; keeps a misplaced file from filling memory.
const MAX_FILE_BYTES: u64 = 256 * 1024;
const EXTENSION: &str = ".md.j2";

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model, in an example.
    Assistant,
}

/// The same sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bilingual {
    /// French.
    pub fr: String,
    /// English.
    pub en: String,
}

/// What is to be removed around the model's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleaning {
    /// A code fence around the whole answer.
    #[serde(default)]
    pub fence: bool,
    /// A sentence that announces the answer (« Voici le texte corrigé : »).
    #[serde(default)]
    pub preamble: bool,
}

/// A file not yet parsed.
pub(super) struct Source {
    /// File name without folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A file taken apart.
pub(super) struct Parsed {
    /// What it declares.
    pub prompt: Prompt,
    /// Template of each message, in the order of `prompt.messages`.
    pub sections: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    id: String,
    version: String,
    language: String,
    task: String,
    owner: String,
    description: Bilingual,
    messages: Vec<Role>,
    #[serde(default)]
    variables: Vec<Variable>,
    #[serde(default)]
    cleaning: Cleaning,
}

/// The prompt files of `folder`, by name, so that problems come in a stable order.
pub(super) fn read_folder(folder: &Path, problems: &mut Vec<Problem>) -> Vec<Source> {
    let shown = folder.display().to_string();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(Problem::new(&shown, "", format!("cannot read this folder of prompts: {error}")));
            return Vec::new();
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => {
                let message = format!("cannot read this folder of prompts: {error}");
                problems.push(Problem::new(&shown, "", message));
            }
        }
    }
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.ends_with(EXTENSION) {
            continue;
        }
        match read_file(&path) {
            Ok(bytes) => sources.push(Source { name, bytes }),
            Err(message) => problems.push(Problem::new(&name, "", message)),
        }
    }
    sources
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let about = std::fs::metadata(path).map_err(|error| format!("cannot read it: {error}"))?;
    if !about.is_file() {
        return Err("is not a file".to_owned());
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    std::fs::read(path).map_err(|error| format!("cannot read it: {error}"))
}

/// Takes a file apart and checks what it declares; `None` when anything is wrong.
pub(super) fn parse(source: &Source, problems: &mut Vec<Problem>) -> Option<Parsed> {
    let before = problems.len();
    let mut report = |path: &str, message: String| problems.push(Problem::new(&source.name, path.to_owned(), message));
    let text = match std::str::from_utf8(&source.bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').replace("\r\n", "\n"),
        Err(error) => {
            report("", format!("is not UTF-8 at byte {}", error.valid_up_to()));
            return None;
        }
    };
    let Some((front, body)) = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")) else {
        report("", "must begin with a line `---`, front matter, and a line `---`".to_owned());
        return None;
    };
    let front: FrontMatter = match serde_saphyr::from_str(front) {
        Ok(front) => front,
        Err(error) => {
            // One line for the file's own first `---`.
            let line = error.location().map_or(0, |location| location.line().saturating_add(1));
            let words = error.without_snippet().to_string();
            report(&format!("line {line}"), words);
            return None;
        }
    };
    let version = front.version.parse::<Version>().unwrap_or_else(|message| {
        report("version", message);
        Version { major: 0, minor: 0, patch: 0 }
    });
    check_names(&source.name, &front, &mut report);
    check_variables(&front, &mut report);
    let sections = match cut(body) {
        Ok(sections) => sections,
        Err(message) => {
            report("messages", message);
            Vec::new()
        }
    };
    let roles: Vec<Role> = sections.iter().map(|(role, _)| *role).collect();
    if !sections.is_empty() && roles != front.messages {
        report("messages", format!("declares {} but the sections are {}", list(&front.messages), list(&roles)));
    }
    if problems.len() > before {
        return None;
    }
    let prompt = Prompt {
        id: front.id,
        version,
        language: front.language,
        task: front.task,
        owner: front.owner,
        description: front.description,
        messages: front.messages,
        variables: front.variables,
        cleaning: front.cleaning,
        hash: sha256(&source.bytes),
    };
    Some(Parsed { prompt, sections: sections.into_iter().map(|(_, text)| text).collect() })
}

/// The sections of a body, in order, each trimmed.
fn cut(body: &str) -> Result<Vec<(Role, String)>, String> {
    let mut sections: Vec<(Role, String)> = Vec::new();
    for line in body.lines() {
        let role = match line.trim_end() {
            "--- system ---" => Some(Role::System),
            "--- user ---" => Some(Role::User),
            "--- assistant ---" => Some(Role::Assistant),
            _ => None,
        };
        match (role, sections.last_mut()) {
            (Some(role), _) => sections.push((role, String::new())),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => {
                return Err("has text before the first section, which a line `--- system ---` or `--- user ---` opens"
                    .to_owned());
            }
        }
    }
    if sections.is_empty() {
        return Err("has no section: a line `--- system ---` or `--- user ---` opens one".to_owned());
    }
    for (_, text) in &mut sections {
        *text = text.trim().to_owned();
    }
    if sections.iter().any(|(_, text)| text.is_empty()) {
        return Err("has an empty section".to_owned());
    }
    Ok(sections)
}

fn check_names(file: &str, front: &FrontMatter, report: &mut impl FnMut(&str, String)) {
    let lower = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if !front.task.split('-').all(|word| !word.is_empty() && lower(word)) {
        report("task", format!("`{}` must be lower-case words joined by `-`", front.task));
    }
    if !(2..=3).contains(&front.language.len()) || !front.language.bytes().all(|b| b.is_ascii_lowercase()) {
        report("language", format!("`{}` must be a code of two or three letters such as fr", front.language));
    }
    let id = format!("{}.{}", front.task, front.language);
    if front.id != id {
        report("id", format!("`{}` must be task and language: `{id}`", front.id));
    }
    let stem = file.strip_suffix(EXTENSION).unwrap_or(file);
    if stem != front.id && stem != format!("{}@{}", front.id, front.version) {
        let names = format!("`{id}{EXTENSION}` or `{id}@{}{EXTENSION}`", front.version);
        report("id", format!("the file must be called {names}"));
    }
    for (path, text) in
        [("owner", &front.owner), ("description.fr", &front.description.fr), ("description.en", &front.description.en)]
    {
        if text.trim().is_empty() {
            report(path, "must not be blank".to_owned());
        }
    }
}

fn check_variables(front: &FrontMatter, report: &mut impl FnMut(&str, String)) {
    for (at, variable) in front.variables.iter().enumerate() {
        let path = format!("variables[{at}]");
        if !is_identifier(&variable.name) {
            let words = format!("`{}` must be lower-case letters, digits and `_`, letter first", variable.name);
            report(&format!("{path}.name"), words);
        }
        if front.variables.iter().take(at).any(|other| other.name == variable.name) {
            report(&format!("{path}.name"), format!("`{}` is declared twice", variable.name));
        }
        if !variable.fields.is_empty() && variable.kind != Kind::List {
            report(&format!("{path}.fields"), "only a list has fields".to_owned());
        }
        for (nth, field) in variable.fields.iter().enumerate() {
            let path = format!("{path}.fields[{nth}].name");
            if !is_identifier(&field.name) {
                let words = format!("`{}` must be lower-case letters, digits and `_`, letter first", field.name);
                report(&path, words);
            }
            if variable.fields.iter().take(nth).any(|other| other.name == field.name) {
                report(&path, format!("`{}` is declared twice", field.name));
            }
        }
        let Some(default) = &variable.default else {
            continue;
        };
        if variable.required {
            report(&format!("{path}.default"), "a required variable has no use for a default".to_owned());
        }
        if let Err(error) = variable.read(default, &front.language) {
            report(&format!("{path}.default"), error.to_string());
        }
    }
}

/// What a template can name.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn list(roles: &[Role]) -> String {
    let words = roles.iter().map(|role| match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    });
    format!("[{}]", words.collect::<Vec<_>>().join(", "))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
