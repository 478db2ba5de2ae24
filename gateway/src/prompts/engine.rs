//! The template engine: every section compiled once, rendered within a budget.
//!
//! Templates get no built-in filter, test or function beyond ours: what a prompt needs is `if`, `for`
//! and [`fenced`], and less cannot go wrong.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, escape_formatter};
use serde_json::Map;

use super::error::{Problem, PromptError};
use super::file::{Parsed, Role};
use super::variable;
use super::{Message, Prompt};

/// Work one section may do: about one unit an instruction and one per 64 bytes read or written. Some
/// 60 MB of text pass three times; an endless loop ends within a few tenths of a second.
const FUEL: u64 = 4_000_000;

#[derive(Debug)]
pub(super) struct Engine(Environment<'static>);

impl Engine {
    pub fn new() -> Self {
        let mut environment = Environment::empty();
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("fenced", fenced);
        // A file that included another would say more than its hash vouches for.
        environment.set_path_join_callback(|_, _| Cow::Borrowed(""));
        environment.set_formatter(|out, state, value| {
            if value.is_none() {
                let words = "an absent optional variable is printed; put it inside `{% if %}`";
                return Err(Error::new(ErrorKind::UndefinedError, words));
            }
            escape_formatter(out, state, value)
        });
        let mut syntax = minijinja::syntax::SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        // The default delimiters are always valid, so this never takes the other branch.
        if let Ok(syntax) = syntax.build() {
            environment.set_syntax(syntax);
        }
        Self(environment)
    }

    /// Compiles a file's sections, checks that they use exactly what is declared, and tries them once
    /// with every variable and once with the required ones. False when there is a problem.
    pub fn add(&mut self, file: &str, parsed: &Parsed, problems: &mut Vec<Problem>) -> bool {
        let before = problems.len();
        let prompt = &parsed.prompt;
        let mut used = BTreeSet::new();
        for (nth, section) in parsed.sections.iter().enumerate() {
            let path = format!("messages[{nth}]");
            let name = section_name(prompt, nth);
            if let Err(error) = self.0.add_template_owned(name.clone(), section.clone()) {
                problems.push(Problem::new(file, path, words(&error)));
                continue;
            }
            let Ok(template) = self.0.get_template(&name) else {
                continue;
            };
            for variable in template.undeclared_variables(false) {
                if !prompt.variables.iter().any(|declared| declared.name == variable) {
                    let message = format!("uses `{variable}`, which `variables` does not declare");
                    problems.push(Problem::new(file, path.clone(), message));
                }
                used.insert(variable);
            }
        }
        for (nth, variable) in prompt.variables.iter().enumerate() {
            if !used.contains(&variable.name) {
                let message = format!("`{}` is declared and never used", variable.name);
                problems.push(Problem::new(file, format!("variables[{nth}].name"), message));
            }
        }
        for with_optional in [true, false] {
            if problems.len() == before {
                self.try_out(file, prompt, with_optional, problems);
            }
        }
        problems.len() == before
    }

    fn try_out(&self, file: &str, prompt: &Prompt, with_optional: bool, problems: &mut Vec<Problem>) {
        let chosen = prompt.variables.iter().filter(|variable| variable.required || with_optional);
        let sample: Map<_, _> =
            chosen.map(|variable| (variable.name.clone(), variable.sample(with_optional))).collect();
        let tried = variable::values(&prompt.variables, &sample, &prompt.language)
            .and_then(|values| self.render(prompt, &values));
        match tried {
            Ok(messages) if messages.is_empty() => {
                problems.push(Problem::new(file, "messages", "renders no message at all"));
            }
            Ok(_) => {}
            Err(PromptError::Render { detail, .. }) => {
                let which = if with_optional { "every variable" } else { "only the required variables" };
                problems.push(Problem::new(file, "messages", format!("fails with {which}: {detail}")));
            }
            Err(error) => problems.push(Problem::new(file, "variables", error.to_string())),
        }
    }

    /// The messages of `prompt`, those that come out blank left out.
    pub fn render(&self, prompt: &Prompt, values: &BTreeMap<String, Value>) -> Result<Vec<Message>, PromptError> {
        let context = Value::from_pairs(values.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut messages = Vec::with_capacity(prompt.messages.len());
        for (nth, role) in prompt.messages.iter().enumerate() {
            let content = self
                .0
                .get_template(&section_name(prompt, nth))
                .and_then(|template| template.render(context.clone()))
                .map_err(|error| PromptError::Render { id: prompt.id.clone(), detail: words(&error) })?;
            if let Some(message) = message(*role, content) {
                messages.push(message);
            }
        }
        Ok(messages)
    }
}

/// Trims in place: a text can be megabytes.
fn message(role: Role, mut content: String) -> Option<Message> {
    content.truncate(content.trim_end().len());
    let blank = content.len() - content.trim_start().len();
    if blank > 0 {
        content.drain(..blank);
    }
    (!content.is_empty()).then_some(Message { role, content })
}

fn section_name(prompt: &Prompt, nth: usize) -> String {
    format!("{}@{}#{nth}", prompt.id, prompt.version)
}

/// The error without the template's internal name, the line counted within the section.
fn words(error: &Error) -> String {
    let what = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    match error.line() {
        Some(line) => format!("{what} (line {line} of the section)"),
        None => what,
    }
}

/// `{{ text | fenced("texte") }}`: see [`rag::fence::fenced`]. `n=loop.index` numbers the opening tag.
fn fenced(text: &str, tag: &str, options: Kwargs) -> Result<String, Error> {
    let number: Option<i64> = options.get("n")?;
    options.assert_all_used()?;
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(Error::new(ErrorKind::InvalidOperation, "a fence's tag is lower-case letters and `_`"));
    }
    Ok(rag::fence::fenced(text, tag, number))
}
