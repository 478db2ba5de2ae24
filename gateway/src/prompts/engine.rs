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

/// Marks of chat templates. Some engines read them as control tokens inside a message, where a text
/// could then speak as the system.
const CONTROL_MARKS: [&str; 9] = [
    "start_of_turn>",
    "end_of_turn>",
    "<sys>>",
    "</sys>>",
    "[inst]",
    "[/inst]",
    "[system_prompt]",
    "[/system_prompt]",
    "[tool_results]",
];

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

/// `{{ text | fenced("texte") }}`: the text between `<texte>` and `</texte>` on lines of their own, such
/// that it can neither close the fence nor open another. `n=loop.index` numbers the opening tag.
///
/// In the text, `<` before that tag's name and the first character of a chat template's control mark
/// become a look-alike; nothing else changes.
fn fenced(text: &str, tag: &str, options: Kwargs) -> Result<String, Error> {
    let number: Option<i64> = options.get("n")?;
    options.assert_all_used()?;
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(Error::new(ErrorKind::InvalidOperation, "a fence's tag is lower-case letters and `_`"));
    }
    let mut out = String::with_capacity(text.len() + 2 * tag.len() + 24);
    match number {
        Some(number) => out.push_str(&format!("<{tag} n=\"{number}\">\n")),
        None => out.push_str(&format!("<{tag}>\n")),
    }
    let mut kept = 0;
    for (at, mark) in text.match_indices(['<', '[']) {
        let rest = text.get(at..).unwrap_or_default();
        if is_tag(rest, tag) || is_control_mark(rest) {
            out.push_str(text.get(kept..at).unwrap_or_default());
            out.push(if mark == "<" { '‹' } else { '⁅' });
            kept = at + 1;
        }
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out.push_str(&format!("\n</{tag}>"));
    Ok(out)
}

/// Whether `rest`, which begins with `<` or `[`, begins with an opening or closing `tag`, in any case and
/// with any blanks.
fn is_tag(rest: &str, tag: &str) -> bool {
    let Some(inside) = rest.strip_prefix('<') else {
        return false;
    };
    let inside = inside.trim_start();
    let inside = inside.strip_prefix('/').map_or(inside, str::trim_start);
    starts_with(inside, tag)
}

fn is_control_mark(rest: &str) -> bool {
    // `<|name|>`, whatever the name: Qwen, Llama, gpt-oss, Phi. Also DeepSeek's full-width bar.
    let inside = rest.strip_prefix('<').unwrap_or(rest);
    let bar = inside.strip_prefix(['|', '｜']);
    let named = bar.is_some_and(|name| {
        let end = name.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '▁' | ' '));
        end.is_some_and(|end| end > 0 && name.get(end..).is_some_and(|tail| tail.starts_with(['|', '｜'])))
    });
    (rest.starts_with('<') && named) || CONTROL_MARKS.iter().any(|mark| starts_with(inside, mark))
}

fn starts_with(text: &str, lower: &str) -> bool {
    text.get(..lower.len()).is_some_and(|start| start.eq_ignore_ascii_case(lower))
}
