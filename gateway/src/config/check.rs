//! What the types of the configuration cannot say: names that must exist, be unique, or make sense together.

mod evaluation;
mod limits;
mod retrieval;

use std::collections::{HashMap, HashSet};

use super::load::Origin;
use super::model::{Deployment, Model, ModelType};
use super::{Config, Problem};
use crate::policy::limits::tokenizer::Tokenizer;

/// Stands for a required text that is missing; the lack itself was already told.
pub(super) const MISSING: &str = "\u{0}missing";

struct Checker<'a> {
    origin: String,
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    fn tell(&mut self, path: String, message: impl Into<String>, remedy: impl Into<String>) {
        // A place already told of, or a piece of it, says enough.
        let covered = |problem: &Problem| !problem.path.is_empty() && path.starts_with(&problem.path);
        if !self.problems.iter().any(covered) {
            self.problems.push(Problem {
                origin: self.origin.clone(),
                path,
                message: message.into(),
                remedy: remedy.into(),
            });
        }
    }
}

/// Adds to `problems` whatever is wrong in a decoded configuration.
pub(super) fn check(origin: &Origin, config: &Config, problems: &mut Vec<Problem>) {
    let broken_models = problems.iter().any(|problem| problem.path.starts_with("models"));
    let broken_hostings: Vec<String> = problems.iter().map(|problem| problem.path.clone()).collect();
    let mut checker = Checker { origin: origin.to_string(), problems };
    settings(config, &mut checker);

    let mut names: HashMap<&str, String> = HashMap::new();
    let mut deployments: HashSet<&str> = HashSet::new();
    for (index, model) in config.models.iter().enumerate() {
        let path = format!("models[{index}]");
        let aliases = model.aliases.iter().enumerate().map(|(i, alias)| (alias, format!("{path}.aliases[{i}]")));
        for (name, place) in std::iter::once((&model.id, format!("{path}.id"))).chain(aliases) {
            if name == MISSING {
                continue;
            }
            if name.trim().is_empty() {
                checker.tell(place, "a model's name is empty", "write the name clients will use");
            } else if let Some(first) = names.get(name.as_str()) {
                checker.tell(
                    place,
                    format!("the name {name:?} is already used at {first}"),
                    "give each model names of its own",
                );
            } else {
                names.insert(name, place);
            }
        }
        one_model(model, &path, &mut checker);
        for (i, deployment) in model.deployments.iter().enumerate() {
            let path = format!("{path}.deployments[{i}]");
            if deployment.name != MISSING && !deployments.insert(&deployment.name) {
                let message = format!("the name {:?} is used by another deployment", deployment.name);
                checker.tell(format!("{path}.name"), message, "give each deployment a name of its own");
            }
            let hosting_broken = broken_hostings.iter().any(|p| p == &format!("hostings.{}", deployment.hosting));
            if !config.hostings.contains_key(&deployment.hosting) && deployment.hosting != MISSING && !hosting_broken {
                let known: Vec<&str> = config.hostings.keys().map(String::as_str).collect();
                let message = format!("there is no hosting named {:?}", deployment.hosting);
                let remedy = format!("describe it under `hostings`, or use one of: {}", known.join(", "));
                checker.tell(format!("{path}.hosting"), message, remedy);
            }
            one_deployment(deployment, &path, &mut checker);
            if model.r#type == ModelType::Rerank && !deployment.engine.reranks() {
                let message = "this engine does not put documents in order";
                checker.tell(
                    format!("{path}.engine"),
                    message,
                    "serve a rerank model from vllm, tei, sglang or llamacpp",
                );
            }
        }
    }
    if !broken_models {
        fallbacks(config, &mut checker);
    }
    limits::check(config, !broken_models, &mut checker);
    retrieval::check(config, !broken_models, &mut checker);
    evaluation::check(config, !broken_models, &mut checker);
}

fn settings(config: &Config, checker: &mut Checker<'_>) {
    let zero = |span: &super::Span| span.0.is_zero();
    for (path, is_zero) in [
        ("server.header_timeout", zero(&config.server.header_timeout)),
        ("server.body_timeout", zero(&config.server.body_timeout)),
        ("server.keepalive", zero(&config.server.keepalive)),
        ("records.flush", zero(&config.records.flush)),
        ("records.keep", zero(&config.records.keep)),
        ("fleet.connect_timeout", zero(&config.fleet.connect_timeout)),
        ("fleet.health_interval", zero(&config.fleet.health_interval)),
        ("fleet.eject", zero(&config.fleet.eject)),
    ] {
        if is_zero {
            checker.tell(path.to_owned(), "this length of time is zero", "write a length above zero, such as 5s");
        }
    }
    if config.records.flush > super::Span::millis(100) {
        let message = "records would reach the disk later than 100ms after the request";
        checker.tell("records.flush".to_owned(), message, "write at most 100ms");
    }
    if config.server.max_connections == 0 {
        checker.tell("server.max_connections".to_owned(), "no connection could be opened", "write 1 or more");
    }
    if config.server.body_limit.0 < 1_024 {
        checker.tell("server.body_limit".to_owned(), "no real request fits in less than 1KiB", "write 1MiB or more");
    }
    if config.records.spool.0 < (16 << 20) {
        checker.tell("records.spool".to_owned(), "the journal needs room", "write 16MiB or more");
    }
    if config.fleet.attempts == 0 {
        checker.tell("fleet.attempts".to_owned(), "no engine would ever be tried", "write 1 or more");
    }
    if config.fleet.failures == 0 {
        checker.tell("fleet.failures".to_owned(), "every engine would be set aside at once", "write 1 or more");
    }
    if !(0.0..=10.0).contains(&config.fleet.retry_budget) {
        checker.tell(
            "fleet.retry_budget".to_owned(),
            "a share of requests is between 0 and 10",
            "write for instance 0.2",
        );
    }
    if let Err(message) = config.database.url.read() {
        checker.tell("database.url".to_owned(), message, "");
    }
    if tracing_subscriber::EnvFilter::try_new(&config.log.level).is_err() {
        let message = format!("{:?} is not a level or a filter", config.log.level);
        checker.tell(
            "log.level".to_owned(),
            message,
            "write info, debug, or a filter such as info,guichet::fleet=debug",
        );
    }
    if let Some(folder) = &config.prompts.folder
        && let Err(problems) = crate::prompts::Library::load(Some(folder))
    {
        for problem in problems {
            let message = format!("{}: {} {}", problem.file, problem.path, problem.message);
            checker.problems.push(Problem {
                origin: checker.origin.clone(),
                path: "prompts.folder".to_owned(),
                message,
                remedy: "docs/prompts.md says how a template is written".to_owned(),
            });
        }
    }
}

fn one_model(model: &Model, path: &str, checker: &mut Checker<'_>) {
    if model.context_length == Some(0) {
        checker.tell(
            format!("{path}.context_length"),
            "a context of 0 tokens answers nothing",
            "write the model's own length",
        );
    }
    if let Some(file) = &model.tokenizer
        && let Err(message) = Tokenizer::read(file)
    {
        let remedy = "give the path of the model's tokenizer.json, or take it out: tiktoken then counts";
        checker.tell(format!("{path}.tokenizer"), message, remedy);
    }
    if model.dimensions.is_some() && model.r#type != ModelType::Embeddings {
        checker.tell(
            format!("{path}.dimensions"),
            "only an embeddings model has dimensions",
            "take it out, or set type: embeddings",
        );
    }
    for (name, cost) in [("input", model.costs.input), ("output", model.costs.output)] {
        if !(cost.is_finite() && cost >= 0.0) {
            checker.tell(format!("{path}.costs.{name}"), "a price is zero or more", "write euros per million tokens");
        }
    }
    if let Some(impact) = &model.impact {
        let figures = [impact.wh_per_1000_input, impact.wh_per_1000_output, impact.g_per_kwh];
        if figures.iter().any(|figure| !figure.is_finite() || *figure < 0.0) {
            checker.tell(format!("{path}.impact"), "a figure of energy is zero or more", "write watt-hours and grams");
        }
    }
    if let (Some(deprecated), Some(sunset)) = (model.deprecated, model.sunset)
        && sunset < deprecated
    {
        checker.tell(
            format!("{path}.sunset"),
            "the model ends before it is announced as deprecated",
            "put sunset after deprecated",
        );
    }
}

fn one_deployment(deployment: &Deployment, path: &str, checker: &mut Checker<'_>) {
    let url = &deployment.url;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        checker.tell(
            format!("{path}.url"),
            "an engine is reached by http or https",
            "write for instance http://127.0.0.1:8000/v1",
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        checker.tell(format!("{path}.url"), "a URL must not hold a password", "use api_key: {env: NAME}");
    }
    if url.query().is_some() || url.fragment().is_some() {
        checker.tell(
            format!("{path}.url"),
            "the base URL holds a query or a fragment",
            "keep only scheme, host, port and path",
        );
    }
    if deployment.capacity == 0 {
        checker.tell(
            format!("{path}.capacity"),
            "this engine would never be asked",
            "write the requests it answers at once",
        );
    }
    if let Some(source) = &deployment.api_key
        && let Err(message) = source.read()
    {
        checker.tell(format!("{path}.api_key"), message, "");
    }
}

fn fallbacks(config: &Config, checker: &mut Checker<'_>) {
    let by_id: HashMap<&str, &Model> = config.models.iter().map(|model| (model.id.as_str(), model)).collect();
    for (index, model) in config.models.iter().enumerate() {
        let Some(fallback) = &model.fallback else { continue };
        let path = format!("models[{index}].fallback");
        match by_id.get(fallback.as_str()) {
            None => checker.tell(path, format!("there is no model with the id {fallback:?}"), "name a model by its id"),
            Some(other) if other.id == model.id => {
                checker.tell(path, "a model cannot replace itself", "name another model")
            }
            Some(other) if other.r#type != model.r#type => {
                let message = format!("{fallback:?} is not of the same type");
                checker.tell(path, message, "name a model of the same type");
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::{Origin, from_text};

    fn told(text: &str) -> Vec<String> {
        from_text(&Origin::Embedded, text, Vec::new())
            .err()
            .unwrap_or_default()
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect()
    }

    #[test]
    fn names_must_be_unique_and_known() {
        let text = "
hostings:
  local: {operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: z}
models:
  - {id: a, type: chat, aliases: [b], fallback: zzz, deployments: [{name: d, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: local}]}
  - {id: b, type: chat, fallback: b, deployments: [{name: d, url: 'ftp://127.0.0.1:1/v1', engine: vllm, hosting: elsewhere, capacity: 0}]}
";
        let lines = told(text);
        for path in [
            "models[0].fallback",
            "models[1].id",
            "models[1].fallback",
            "models[1].deployments[0].name",
            "models[1].deployments[0].hosting",
            "models[1].deployments[0].url",
            "models[1].deployments[0].capacity",
        ] {
            assert!(lines.iter().any(|line| line.starts_with(path)), "{path} not in {lines:#?}");
        }
        assert_eq!(lines.len(), 7, "{lines:#?}");
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let text = "
hostings:
  local: {operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: z}
models:
  - {id: a, type: chat, deployments: [{name: d, url: 'http://u:hunter2@127.0.0.1:1/v1', engine: vllm, hosting: local}]}
";
        let lines = told(text);
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains("hunter2"), "{lines:?}");
    }
}
