//! What too few end users stand behind is not shown, nor what would let one compute it.

use super::Decision;
use crate::grid::{Distribution, FacetScore, Report as Scored, State, Total};
use crate::refusal::{Code, Refusal};

/// Fewer end users than this behind a figure, and it is hidden.
pub const FEWEST_USERS: usize = 10;

/// Why a figure is not there.
pub(super) fn reason() -> Refusal {
    Refusal::new(
        Code::TooFew,
        format!("masqué : moins de {FEWEST_USERS} usagers"),
        format!("hidden: fewer than {FEWEST_USERS} end users"),
    )
}

/// Hides in place; how many figures.
///
/// A criterion scored over fewer than ten units loses its score and agreement. A facet with a single such criterion would
/// give it away by subtraction, and is hidden too; so is the total over a single hidden facet. A slice of a distribution
/// under ten users is folded with its next until all have ten.
pub(super) fn hide(scored: &mut Scored, distributions: &mut Vec<Distribution>, decision: &mut Decision) -> usize {
    let mut hidden = 0;
    let mut facets_hidden = 0;
    for facet in &mut scored.profile {
        let inside = criteria(facet);
        hidden += inside;
        if inside == 1 {
            (facet.score, facet.if_missing) = (None, None);
            facets_hidden += 1;
        }
    }
    hidden += facets_hidden;
    if facets_hidden > 0 {
        // What the total would be without a facet, or with what is missing, gives hidden facets away.
        decision.weights.clear();
    }
    if facets_hidden == 1 && matches!(scored.total, Total::Given { .. }) {
        scored.total = Total::Inconclusive;
        decision.hidden();
        hidden += 1;
    }
    let before = distributions.len();
    distributions.retain(|distribution| distribution.units == 0 || distribution.units >= FEWEST_USERS);
    hidden += before - distributions.len();
    for distribution in distributions {
        hidden += fold(distribution);
    }
    hidden
}

fn criteria(facet: &mut FacetScore) -> usize {
    let mut hidden = 0;
    for criterion in &mut facet.criteria {
        let fact = matches!(criterion.basis, Some("attestation" | "usage"));
        if criterion.state == State::Conclusive && !fact && criterion.units < FEWEST_USERS {
            criterion.score = None;
            criterion.reason = Some(reason());
            hidden += 1;
        }
        if !fact && criterion.n < FEWEST_USERS {
            (criterion.alpha, criterion.alpha_refused) = (None, None);
        }
        if let Some(judge) =
            criterion.judge.as_mut().filter(|judge| judge.alpha.is_some_and(|a| a.items < FEWEST_USERS))
        {
            judge.hide();
        }
    }
    hidden
}

/// Joins neighbouring levels until each is empty or has ten users.
fn fold(distribution: &mut Distribution) -> usize {
    let mut folded = 0;
    let small = |units: usize| units > 0 && units < FEWEST_USERS;
    while let Some(place) = distribution.slices.iter().position(|slice| small(slice.units)) {
        if distribution.slices.len() < 2 {
            break;
        }
        let with = if place + 1 < distribution.slices.len() { place + 1 } else { place - 1 };
        let (low, high) = (place.min(with), place.max(with));
        let upper = distribution.slices.remove(high);
        let lower = &mut distribution.slices[low];
        lower.label = joined(&lower.label, &upper.label);
        lower.answers += upper.answers;
        // One unit may have answers in both: the larger is surely reached, the sum may not be.
        lower.units = lower.units.max(upper.units);
        folded += 1;
    }
    folded
}

/// Two neighbouring ranges are one longer range; levels are one or the other.
fn joined(lower: &str, upper: &str) -> String {
    let range = |label: &str| {
        let (low, high) = label.strip_prefix("note de ")?.split_once(" à ")?;
        Some((low.to_owned(), high.to_owned()))
    };
    match (range(lower), range(upper)) {
        (Some((low, middle)), Some((same, high))) if middle == same => format!("note de {low} à {high}"),
        _ => format!("{lower} ou {upper}"),
    }
}
