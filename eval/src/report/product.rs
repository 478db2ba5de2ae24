//! The sheet of a decision at six months: go, no-go, or what is missing to tell.

use std::collections::BTreeMap;

use serde::Serialize;

use super::decision::Standing;
use super::usage::{Month, Value};
use super::{Decision, Usage, words};
use crate::grid::{Report as Scored, Total, Veto};
use crate::refusal::{Refusal, Result};

/// What the sheet is asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub name: String,
    /// Indicator → the least its last month must reach; at most, for a cost.
    pub targets: BTreeMap<String, f64>,
}

/// The sheet.
#[derive(Clone, Debug, Serialize)]
pub struct Product {
    pub name: String,
    pub verdict: Verdict,
    pub conditions: Vec<Condition>,
    /// Monthly active users over six months.
    pub active: Vec<Month>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Go,
    NoGo,
    /// Something that was agreed cannot be told.
    Undecided,
}

/// One condition, met or not, or not measurable.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    pub label: String,
    pub met: Option<bool>,
    pub seen: String,
}

impl Product {
    pub(super) fn new(ask: &Ask, scored: &Scored, decision: &Decision, usage: Option<&Usage>) -> Result<Product> {
        if let Some(name) = ask.targets.keys().find(|name| !crate::grid::USAGE.contains(&name.as_str())) {
            let known = crate::grid::USAGE.join(", ");
            return Err(Refusal::input(
                format!("« {name} » n’est pas un indicateur (il y a : {known})"),
                format!("“{name}” is not an indicator (there are: {known})"),
            ));
        }
        let mut conditions = vec![vetoes(scored), threshold(scored, decision)];
        conditions.extend(ask.targets.iter().map(|(name, target)| reached(name, *target, usage)));
        let verdict = if conditions.iter().any(|one| one.met == Some(false)) {
            Verdict::NoGo
        } else if conditions.iter().all(|one| one.met == Some(true)) {
            Verdict::Go
        } else {
            Verdict::Undecided
        };
        let active = usage.map(|usage| usage.six_months("monthly-active-users")).unwrap_or_default();
        Ok(Product { name: ask.name.clone(), verdict, conditions, active })
    }
}

fn vetoes(scored: &Scored) -> Condition {
    let all = scored.profile.iter().flat_map(|facet| &facet.criteria);
    let of = |wanted: Veto| {
        let named = all.clone().filter(|criterion| criterion.veto == Some(wanted));
        named.map(|criterion| criterion.id.as_str()).collect::<Vec<&str>>()
    };
    let (fired, unknown) = (of(Veto::Fired), of(Veto::Unknown));
    // What a judge alone says lifts nothing.
    let judged = |id: &str| all.clone().any(|one| one.id == id && one.doubt().is_some());
    let unknown: Vec<String> = unknown
        .into_iter()
        .map(|id| if judged(id) { format!("{id} (juge dont l’accord n’est pas établi)") } else { id.to_owned() })
        .collect();
    let (met, seen) = match (fired.is_empty(), unknown.is_empty()) {
        (false, _) => (Some(false), format!("déclenchés : {}", fired.join(", "))),
        (true, false) => (None, format!("non vérifiables : {}", unknown.join(", "))),
        (true, true) => (Some(true), "tous levés".to_owned()),
    };
    Condition { label: "Aucun veto de la grille ne se déclenche".to_owned(), met, seen }
}

fn threshold(scored: &Scored, decision: &Decision) -> Condition {
    let label = match decision.threshold {
        Some(threshold) => format!("La note d’ensemble atteint {} (borne basse)", words::score(threshold)),
        None => "La note d’ensemble atteint un seuil (aucun n’est donné)".to_owned(),
    };
    let met = match decision.standing {
        Standing::Reached => Some(true),
        Standing::NotReached => Some(false),
        _ => None,
    };
    let doubted = decision.standing == Standing::Doubted;
    let seen = match &scored.total {
        Total::Given { score, .. } if doubted => {
            format!("{}, mais par un juge dont l’accord avec les personnes n’est pas établi", words::figure(score))
        }
        Total::Given { score, .. } => words::figure(score),
        Total::Blocked { .. } => "total bloqué par un veto".to_owned(),
        Total::Inconclusive => "pas de total".to_owned(),
    };
    Condition { label, met, seen }
}

fn reached(name: &str, target: f64, usage: Option<&Usage>) -> Condition {
    let cost = name == "cost-per-request";
    let last = usage.and_then(|usage| usage.six_months(name).pop());
    let at = words::number(target);
    let label =
        format!("{} : {at} {} le dernier mois", words::indicator(name), if cost { "au plus" } else { "au moins" });
    let value = last.as_ref().map_or(Value::NotMeasurable, |month| month.value);
    let met = value.known().map(|value| if cost { value <= target } else { value >= target });
    let seen = match &last {
        Some(month) => format!("{} ({})", value.words(), month.month),
        None => value.words(),
    };
    Condition { label, met, seen }
}
