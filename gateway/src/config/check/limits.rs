//! Plans, groups of models and where limits are counted: names that must exist, limits that could never be met.

use std::collections::{HashMap, HashSet};

use super::Checker;
use crate::config::Config;
use crate::config::limits::{ALL_MODELS, LimitStore, ModelGroups, Plan};
use crate::policy::limits::calendar::Calendar;
use crate::policy::limits::rule::Kind;

/// Shortest secret of a webhook.
const SECRET: usize = 16;

/// `models_known`: models were all read, so that a name not among them is wrong.
pub(super) fn check(config: &Config, models_known: bool, checker: &mut Checker<'_>) {
    let models: HashSet<&str> = config.models.iter().map(|model| model.id.as_str()).collect();
    let aliases: HashMap<&str, &str> = config
        .models
        .iter()
        .flat_map(|model| model.aliases.iter().map(|alias| (alias.as_str(), model.id.as_str())))
        .collect();
    settings(config, checker);
    for (name, members) in &config.model_groups {
        let path = format!("model_groups.{name}");
        if name.trim().is_empty() || name == ALL_MODELS {
            checker.tell(path.clone(), "this name cannot be a group's", "name it, such as `large`");
        } else if models.contains(name.as_str()) || aliases.contains_key(name.as_str()) {
            checker.tell(
                path.clone(),
                format!("{name:?} is already a model's name"),
                "give the group a name of its own",
            );
        }
        if members.is_empty() {
            checker.tell(path.clone(), "this group holds no model", "list ids of models");
        }
        for (index, member) in members.iter().enumerate() {
            if models_known && !models.contains(member.as_str()) {
                let (message, remedy) = no_model(member, &aliases);
                checker.tell(format!("{path}[{index}]"), message, remedy);
            }
        }
    }
    for (name, plan) in &config.plans {
        let path = format!("plans.{name}");
        if plan.weight == 0 || plan.weight > 1_000 {
            checker.tell(format!("{path}.weight"), "a weight goes from 1 to 1000", "write 1 for an ordinary share");
        }
        for (scope, allowances) in plan.scopes() {
            for (index, allowance) in allowances.iter().enumerate() {
                let place = format!("{path}.{scope}[{index}]");
                let said = allowance.models();
                let known = said == ALL_MODELS || models.contains(said) || config.model_groups.contains_key(said);
                if models_known && !known {
                    let (message, remedy) = no_model(said, &aliases);
                    checker.tell(format!("{place}.models"), message, remedy);
                }
                // One of which a piece was already told of may hold nothing else.
                let told = checker.problems.iter().any(|problem| problem.path.starts_with(&place));
                if allowance.limits().next().is_none() && !told {
                    let remedy = "write requests, tokens, input, output or concurrent";
                    checker.tell(place, "this limits nothing", remedy);
                }
            }
        }
        told_once(plan, &path, checker);
        within_organization(plan, &config.model_groups, &path, checker);
    }
}

fn settings(config: &Config, checker: &mut Checker<'_>) {
    let limits = &config.limits;
    if let Err(unknown) = Calendar::new(&limits.time_zone) {
        checker.tell("limits.time_zone".to_owned(), unknown.to_string(), "write for instance Europe/Paris");
    }
    if let LimitStore::Redis(url) = &limits.store {
        match url.read() {
            Err(message) => checker.tell("limits.store.redis".to_owned(), message, ""),
            Ok(url) if !["redis://", "rediss://", "unix://"].iter().any(|start| url.reveal().starts_with(start)) => {
                let remedy = "write for instance redis://127.0.0.1:6379/0";
                checker.tell(
                    "limits.store.redis".to_owned(),
                    "this is not the URL of a Redis or Valkey server",
                    remedy,
                );
            }
            Ok(_) => {}
        }
    }
    if let Some(name) = &limits.default_plan
        && !config.plans.contains_key(name)
    {
        let known: Vec<&str> = config.plans.keys().map(String::as_str).collect();
        let remedy = match known.as_slice() {
            [] => "describe it under `plans`".to_owned(),
            known => format!("describe it under `plans`, or use one of: {}", known.join(", ")),
        };
        checker.tell("limits.default_plan".to_owned(), format!("there is no plan named {name:?}"), remedy);
    }
    if let Some(warnings) = &limits.warnings {
        if !matches!(warnings.url.scheme(), "http" | "https") || warnings.url.host().is_none() {
            checker.tell(
                "limits.warnings.url".to_owned(),
                "a webhook is reached by http or https",
                "write for instance https://alerts.example.org/guichet",
            );
        }
        match warnings.secret.read() {
            Err(message) => checker.tell("limits.warnings.secret".to_owned(), message, ""),
            Ok(secret) if secret.reveal().len() < SECRET => checker.tell(
                "limits.warnings.secret".to_owned(),
                format!("the secret is shorter than {SECRET} characters"),
                "make one with `openssl rand -hex 32`",
            ),
            Ok(_) => {}
        }
    }
}

fn no_model(name: &str, aliases: &HashMap<&str, &str>) -> (String, String) {
    match aliases.get(name) {
        Some(id) => (format!("{name:?} is an alias"), format!("write the model's id: {id}")),
        None => {
            let message = format!("there is no model or group named {name:?}");
            (message, "name a model by its id, or a group of `model_groups`".to_owned())
        }
    }
}

/// One count has one limit.
fn told_once(plan: &Plan, path: &str, checker: &mut Checker<'_>) {
    for (scope, allowances) in plan.scopes() {
        let mut seen: HashSet<(&str, Kind)> = HashSet::new();
        for (index, allowance) in allowances.iter().enumerate() {
            for (setting, kind, _) in allowance.limits() {
                if !seen.insert((allowance.models(), kind)) {
                    let message = format!("{kind} is already limited for {:?} in this list", allowance.models());
                    checker.tell(format!("{path}.{scope}[{index}].{setting}"), message, "keep one of the two");
                }
            }
        }
    }
}

/// What a project, a key or a member may use is a part of what their organization may.
fn within_organization(plan: &Plan, groups: &ModelGroups, path: &str, checker: &mut Checker<'_>) {
    let whole: Vec<(&str, Kind, u64)> = plan
        .organization
        .iter()
        .flat_map(|allowance| allowance.limits().map(|(_, kind, max)| (allowance.models(), kind, max)))
        .collect();
    // What is on all models, or on a group, is on each of its models.
    let holds = |whole: &str, part: &str| {
        whole == ALL_MODELS || whole == part || groups.get(whole).is_some_and(|ids| ids.iter().any(|id| id == part))
    };
    for (scope, allowances) in plan.scopes().into_iter().skip(1) {
        for (index, allowance) in allowances.iter().enumerate() {
            for (setting, kind, max) in allowance.limits() {
                let above = whole.iter().filter(|(models, of, _)| *of == kind && holds(models, allowance.models()));
                let most = above.map(|(_, _, most)| *most).min();
                if let Some(most) = most.filter(|most| max > *most) {
                    checker.tell(
                        format!("{path}.{scope}[{index}].{setting}"),
                        format!("{max} is above the organization's own limit, {most}"),
                        format!("write at most {most}, or raise the organization's limit"),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load::{Origin, from_text};

    const MODELS: &str = "
hostings:
  local: {operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: z}
models:
  - {id: a, aliases: [petit, mini], type: chat, deployments: [{name: d, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: local}]}
";

    fn told(text: &str) -> Vec<String> {
        from_text(&Origin::Embedded, &format!("{MODELS}{text}"), Vec::new())
            .err()
            .unwrap_or_default()
            .iter()
            .map(|problem| format!("{}: {} → {}", problem.path, problem.message, problem.remedy))
            .collect()
    }

    #[test]
    fn a_whole_configuration_of_limits_is_read() {
        let text = "
limits: {time_zone: Europe/Paris, store: {redis: 'redis://127.0.0.1:6379/0'}, when_store_down: closed, default_plan: p}
model_groups: {large: [a]}
plans:
  p:
    weight: 2
    priority: true
    organization:
      - {requests: 600/minute, tokens: [200k/minute, 5M/day, 100M/month], concurrent: 50}
      - {models: large, output: 1M/day}
      - {models: a, input: 1M/day}
    project: [{requests: 300/minute}]
    key: [{concurrent: 10}]
    member: [{tokens: 100k/day}]
";
        let told = told(text);
        assert!(told.is_empty(), "{told:#?}");
    }

    #[test]
    fn every_problem_is_told_with_its_path_and_remedy() {
        let text = "
limits: {time_zone: Europe/Lutece, store: {redis: 'http://x'}, default_plan: gold, warnings: {url: 'ftp://x/', secret: {env: GUICHET_NO_SUCH}}}
model_groups: {a: [a], petit: [b], vide: []}
plans:
  p:
    weight: 0
    organization:
      - {models: large, tokens: 5M/day}
      - {models: mini, tokens: 5M/day}
      - {}
      - {tokens: -5/day}
      - {tokens: 5M/hour}
      - {requests: 99999999999999999/day}
      - {requests: 100/day, concurrent: 0}
      - {requests: 200/day}
      - {tokenz: 1/day}
    project: [{requests: 201/day}]
  q: {organization: [{tokens: 5M/day}], key: [{models: a, tokens: 6M/day}]}
";
        let told = told(text);
        for path in [
            "limits.time_zone",
            "limits.store.redis",
            "limits.default_plan",
            "limits.warnings.url",
            "limits.warnings.secret",
            "model_groups.a",
            "model_groups.petit",
            "model_groups.vide",
            "plans.p.weight",
            "plans.p.organization[0].models",
            "plans.p.organization[1].models",
            "plans.p.organization[2]",
            "plans.p.organization[3].tokens",
            "plans.p.organization[4].tokens",
            "plans.p.organization[5].requests",
            "plans.p.organization[6].concurrent",
            "plans.p.organization[7].requests",
            "plans.p.organization[8].tokenz",
            "plans.p.project[0].requests",
            "plans.q.key[0].tokens",
        ] {
            assert!(told.iter().any(|line| line.starts_with(&format!("{path}:"))), "{path} not in {told:#?}");
        }
        assert_eq!(told.len(), 20, "nothing else is told: {told:#?}");
    }
}
