//! Reading: embedded defaults, one file, the environment; then decoding without stopping at the first problem.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::{Config, Problem, check};

/// The configuration of an empty machine.
const DEFAULT: &str = include_str!("../../default.yaml");

/// Environment variables that set a value: `GUICHET__SERVER__LISTEN` is `server.listen`.
const PREFIX: &str = "GUICHET__";

/// Problems reported at most: past that, mend these first.
const MOST: usize = 100;

/// Where a configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Embedded,
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Embedded => f.write_str("embedded default"),
            Origin::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Origin {
    /// The file named, else `$GUICHET_CONFIG`, else `./guichet.yaml` when it is there, else the embedded default.
    pub fn find(named: Option<&Path>) -> Origin {
        let from_env = || std::env::var_os("GUICHET_CONFIG").map(PathBuf::from);
        let here = || Some(PathBuf::from("guichet.yaml")).filter(|path| path.exists());
        match named.map(Path::to_path_buf).or_else(from_env).or_else(here) {
            Some(path) => Origin::File(path),
            None => Origin::Embedded,
        }
    }
}

/// Reads and checks the whole configuration. Every problem is in the error, none hides another.
pub fn load(origin: &Origin) -> Result<Config, Vec<Problem>> {
    let text = match origin {
        Origin::Embedded => String::new(),
        Origin::File(path) => std::fs::read_to_string(path).map_err(|error| {
            vec![Problem {
                origin: origin.to_string(),
                path: String::new(),
                message: format!("the file cannot be read: {error}"),
                remedy: "name another with --config, or write one with `guichet init`".to_owned(),
            }]
        })?,
    };
    let environment = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    from_text(origin, &text, environment)
}

/// As [`load`], from the file's text and the environment variables that count.
pub fn from_text(origin: &Origin, text: &str, environment: Vec<(String, String)>) -> Result<Config, Vec<Problem>> {
    let problem = |message: String, remedy: &str| {
        vec![Problem { origin: origin.to_string(), path: String::new(), message, remedy: remedy.to_owned() }]
    };
    let mut tree = parse(DEFAULT).map_err(|error| problem(error, ""))?;
    let file = parse(text).map_err(|error| problem(error, "mend the YAML at that place"))?;
    if !file.is_object() {
        return Err(problem("the file is not a mapping of settings".to_owned(), "see docs/configuration.md"));
    }
    merge(&mut tree, file);
    let mut problems = Vec::new();
    let mut variables: Vec<(String, String)> = Vec::new();
    for (name, value) in environment {
        let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
        let value = parse(&value).unwrap_or(Value::String(value));
        variables.push((path.join("."), name.clone()));
        if !set(&mut tree, &path, value) {
            problems.push(Problem {
                origin: name,
                path: path.join("."),
                message: "this path is not a setting that the environment can set".to_owned(),
                remedy: "only settings inside mappings can be set so; lists belong to the file".to_owned(),
            });
        }
    }
    let decoded = decode(origin, tree, &mut problems);
    if let Some(config) = &decoded {
        check::check(origin, config, &mut problems);
    }
    for problem in &mut problems {
        let set_it = variables.iter().find(|(path, _)| within(&problem.path, path) || within(path, &problem.path));
        if let Some((_, name)) = set_it {
            problem.origin.clone_from(name);
        }
    }
    match decoded {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

/// Whether a place is another one, or a piece of it.
fn within(place: &str, whole: &str) -> bool {
    place.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// YAML to a tree; an empty text is an empty mapping.
fn parse(text: &str) -> Result<Value, String> {
    let only_comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if only_comments {
        return Ok(Value::Object(Map::new()));
    }
    // Without the lines around the mistake: they may hold a password.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|error| error.to_string())
}

/// Lays `over` on `base`: mappings merge, anything else replaces.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn set(tree: &mut Value, path: &[String], value: Value) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut node = tree;
    for key in parents {
        let Value::Object(map) = node else { return false };
        node = map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
    }
    match node {
        Value::Object(map) => {
            map.insert(last.clone(), value);
            true
        }
        _ => false,
    }
}

/// Decodes the tree; at each problem, notes it, puts the place out of the way and goes on, so that all are seen.
fn decode(origin: &Origin, mut tree: Value, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut mended: Vec<String> = Vec::new();
    for _ in 0..MOST {
        let error = match serde_path_to_error::deserialize::<_, Config>(&tree) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let path = segments(error.path());
        let message = error.inner().to_string();
        let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
        let (place, told, remedy) = if message.starts_with("missing field") {
            let field = quoted(&message)?;
            let place = [path.as_slice(), &[Step::Key(field.clone())]].concat();
            (place, format!("`{field}` is missing"), format!("add `{field}`; docs/configuration.md says what it takes"))
        } else if message.starts_with("unknown field") {
            let field = quoted(&message)?;
            let place = match path.last() {
                Some(Step::Key(last)) if *last == field => path,
                _ => [path.as_slice(), &[Step::Key(field.clone())]].concat(),
            };
            let known =
                message.split_once("expected ").map(|(_, names)| names.replace("one of ", "")).unwrap_or_default();
            (place, format!("`{field}` is not a setting"), format!("take it out, or use one of: {known}"))
        } else {
            (path, message.clone(), "docs/configuration.md says what this setting takes".to_owned())
        };
        let shown = show(&place);
        if !mended.contains(&shown) {
            problems.push(Problem { origin: origin.to_string(), path: shown.clone(), message: told, remedy });
        }
        let missing = message.starts_with("missing field");
        let done = if missing { stand_in(&mut tree, &place) } else { remove(&mut tree, &place) };
        if !done {
            return None;
        }
        mended.push(shown);
    }
    None
}

#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

fn segments(path: &serde_path_to_error::Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn show(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.push_str(&format!(".{key}")),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

fn at<'t>(tree: &'t mut Value, path: &[Step]) -> Option<&'t mut Value> {
    path.iter().try_fold(tree, |node, step| match step {
        Step::Key(key) => node.get_mut(key.as_str()),
        Step::Index(index) => node.get_mut(*index),
    })
}

fn remove(tree: &mut Value, path: &[Step]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    match (at(tree, parents), last) {
        (Some(Value::Object(map)), Step::Key(key)) => map.remove(key).is_some(),
        (Some(Value::Array(list)), Step::Index(index)) if *index < list.len() => {
            // A null in its place keeps the indexes of the neighbours; decoding it fails once more, then it goes.
            if list[*index].is_null() {
                list.remove(*index);
            } else {
                list[*index] = Value::Null;
            }
            true
        }
        _ => false,
    }
}

/// Puts a value of the right type where a required one is missing, so that decoding can go on. The configuration
/// is refused in any case.
fn stand_in(tree: &mut Value, path: &[Step]) -> bool {
    let Some((Step::Key(key), parents)) = path.split_last() else { return false };
    let value = match key.as_str() {
        "state_operated" => Value::Bool(true),
        "country" | "jurisdiction" => Value::from("FR"),
        "qualification" => Value::from("none"),
        "type" => Value::from("chat"),
        "engine" => Value::from("openai"),
        "url" => Value::from("http://127.0.0.1/"),
        "deployments" => Value::Array(Vec::new()),
        "secret" => serde_json::json!({"env": check::MISSING}),
        "per_second" | "burst" | "wh_per_1000_output" | "g_per_kwh" | "rate" => Value::from(1),
        _ => Value::from(check::MISSING),
    };
    match at(tree, parents) {
        Some(Value::Object(map)) => map.insert(key.clone(), value).is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        match from_text(&Origin::Embedded, text, Vec::new()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect(),
        }
    }

    #[test]
    fn nothing_written_is_a_working_configuration() {
        let config = from_text(&Origin::Embedded, "", Vec::new()).unwrap();
        assert_eq!(config.server.listen.port(), 8080);
        assert!(config.models.is_empty());
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_path() {
        let text = "
server: {listen: nowhere, bodylimit: 3MB}
hostings:
  local: {operator: X, state_operated: true, country: France, qualification: none, zone: z}
models:
  - id: a
    type: chat
    deployments:
      - {name: one, url: 'http://127.0.0.1:1/v1', engine: vllm}
      - {name: two, url: 'not a url', engine: warp, hosting: local}
  - type: poetry
    deployments: []
";
        let told = problems(text);
        for path in [
            "server.listen",
            "server.bodylimit",
            "hostings.local.country",
            "hostings.local.jurisdiction",
            "models[0].deployments[0].hosting",
            "models[0].deployments[1].url",
            "models[0].deployments[1].engine",
            "models[1].id",
            "models[1].type",
        ] {
            assert!(told.iter().any(|line| line.starts_with(&format!("{path}:"))), "{path} not in {told:#?}");
        }
        assert_eq!(told.len(), 9, "nothing else is told: {told:#?}");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let environment = vec![("GUICHET__SERVER__LISTEN".to_owned(), "127.0.0.1:9".to_owned())];
        let config = from_text(&Origin::Embedded, "server: {listen: '127.0.0.1:8'}", environment).unwrap();
        assert_eq!(config.server.listen.port(), 9);
    }

    #[test]
    fn broken_yaml_says_where() {
        let told = problems("server: [1,\nmodels: {");
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("line"), "{told:?}");
    }
}
