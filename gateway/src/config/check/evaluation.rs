//! Evaluation: shares that are shares, models that exist, a queue that holds something.

use std::collections::HashSet;

use super::Checker;
use crate::config::Config;
use crate::recorder::Endpoint;

/// `models_known`: models were all read, so that a name not among them is wrong.
pub(super) fn check(config: &Config, models_known: bool, checker: &mut Checker<'_>) {
    let Some(evaluation) = &config.evaluation else { return };
    if !cfg!(feature = "eval") {
        checker.tell("evaluation".to_owned(), "this program was built without evaluation", "take the section out");
    }
    if evaluation.keep.0.is_zero() {
        checker.tell("evaluation.keep".to_owned(), "content would be kept for no time", "write for instance 90d");
    }
    if evaluation.threads == 0 || evaluation.threads > 64 {
        checker.tell("evaluation.threads".to_owned(), "threads go from 1 to 64", "write 1");
    }
    if evaluation.largest.0 == 0 || evaluation.largest > evaluation.queue {
        let message = "the largest content is not within the queue";
        checker.tell("evaluation.largest".to_owned(), message, "write 1MiB, and more for `queue`");
    }
    let share = |rate: f64| (0.0..=1.0).contains(&rate);
    if !share(evaluation.sampling.rate) {
        checker.tell("evaluation.sampling.rate".to_owned(), "a share goes from 0 to 1", "write for instance 0.1");
    }
    let mut names = HashSet::new();
    for (index, rule) in evaluation.sampling.rules.iter().enumerate() {
        let path = format!("evaluation.sampling.rules[{index}]");
        if rule.name.trim().is_empty() || rule.name.len() > 64 || !names.insert(&rule.name) {
            let message = "each rule has a name of its own, of at most 64 bytes";
            checker.tell(format!("{path}.name"), message, "name it by what it is for");
        }
        if !share(rule.rate) {
            checker.tell(format!("{path}.rate"), "a share goes from 0 to 1", "write for instance 0.1");
        }
        if let Some(model) = rule.model.as_ref().filter(|_| models_known)
            && !config.models.iter().any(|known| known.id == **model)
        {
            checker.tell(format!("{path}.model"), format!("there is no model {model:?}"), "name a model by its id");
        }
        if let Some(endpoint) = &rule.endpoint
            && !matches!(endpoint.parse(), Ok(Endpoint::ChatCompletions | Endpoint::Completions))
        {
            let message = "content is kept of chat.completions and completions";
            checker.tell(format!("{path}.endpoint"), message, "name one of them, or none");
        }
    }
}
