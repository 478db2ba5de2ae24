//! What would change the decision.

use serde::Serialize;

use super::words;
use crate::grid::{CriterionScore, EvidenceTable, Figure, Grid, Report as Scored, State, Total, Veto};
use crate::stats::Level;

/// What the total says beside its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The lower bound is at the threshold or over it.
    Reached,
    /// The upper bound is under it.
    NotReached,
    /// The interval holds the threshold.
    Inconclusive,
    /// It would be reached, or not, but for a judge alone whose agreement with people is too little or unknown.
    Doubted,
    /// A veto blocks the total.
    Blocked,
    /// There is no total, or no threshold to hold it to.
    Unknown,
}

/// A decision, and how firm it is.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    pub threshold: Option<f64>,
    pub standing: Standing,
    /// In French, the most decisive first.
    pub changes: Vec<String>,
    /// The total were a facet to weigh nothing, or twice as much.
    pub weights: Vec<Weighed>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Weighed {
    pub facet: String,
    pub label: String,
    pub without: Option<f64>,
    pub doubled: Option<f64>,
}

impl Decision {
    pub(super) fn new(
        grid: &Grid,
        evidence: &EvidenceTable,
        scored: &Scored,
        level: Level,
        threshold: Option<f64>,
    ) -> Decision {
        let weights = match scored.total {
            Total::Given { .. } => weighed(grid, evidence, level),
            _ => Vec::new(),
        };
        let doubted: Vec<&CriterionScore> = criteria(scored).filter(|one| one.doubt().is_some()).collect();
        let mut standing = standing(&scored.total, threshold);
        if let (Standing::Reached | Standing::NotReached, false) = (standing, doubted.is_empty()) {
            let ids: Vec<&str> = doubted.iter().map(|one| one.id.as_str()).collect();
            let without = grid.score(&evidence.without(&ids), level);
            if self::standing(&without.total, threshold) != standing {
                standing = Standing::Doubted;
            }
        }
        let mut changes = doubts(&doubted, standing);
        changes.extend(vetoes(scored));
        if let Total::Given { score, weight_covered, if_missing } = &scored.total {
            changes.extend(total(score, *weight_covered, *if_missing, threshold));
        }
        changes.extend(weights_said(&weights, &scored.total, threshold));
        changes.extend(inconclusive(scored));
        Decision { threshold, standing, changes, weights }
    }

    /// The total was hidden: nothing that tells it may stay.
    pub(super) fn hidden(&mut self) {
        self.standing = Standing::Unknown;
        self.changes = vec![format!("Le total est masqué : {}.", super::hidden::reason().fr)];
        self.weights.clear();
    }
}

fn criteria(scored: &Scored) -> impl Iterator<Item = &CriterionScore> {
    scored.profile.iter().flat_map(|facet| &facet.criteria)
}

/// Scores that a judge alone gives, and what would let one believe them.
fn doubts(doubted: &[&CriterionScore], standing: Standing) -> Vec<String> {
    let said = doubted.iter().filter_map(|one| Some(format!("« {} » : {}", one.id, one.doubt()?.fr)));
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        return Vec::new();
    }
    let rests = match standing {
        Standing::Doubted => " Sans elles, la décision changerait : elle ne peut pas reposer dessus.",
        Standing::Reached | Standing::NotReached => " Sans elles, la décision serait la même.",
        _ => "",
    };
    vec![format!(
        "Notes d’un juge que rien ne confirme : {}.{rests} Faites noter par des personnes une partie des éléments du juge, {} au moins.",
        said.join(" ; "),
        crate::stats::FEWEST_UNITS
    )]
}

fn standing(total: &Total, threshold: Option<f64>) -> Standing {
    match (total, threshold) {
        (Total::Blocked { .. }, _) => Standing::Blocked,
        (Total::Given { score, .. }, Some(threshold)) if score.interval.low >= threshold => Standing::Reached,
        (Total::Given { score, .. }, Some(threshold)) if score.interval.high < threshold => Standing::NotReached,
        (Total::Given { .. }, Some(_)) => Standing::Inconclusive,
        _ => Standing::Unknown,
    }
}

fn vetoes(scored: &Scored) -> Vec<String> {
    let mut said = Vec::new();
    for criterion in criteria(scored) {
        let Some((veto, threshold)) = criterion.veto.zip(criterion.veto_threshold) else { continue };
        let (id, bar) = (&criterion.id, words::score(threshold));
        match (veto, criterion.score) {
            (Veto::Unknown, _) if criterion.doubt().is_some() => said.push(format!(
                "Le veto « {id} » bloque le total : un juge dont l’accord avec les personnes n’est pas établi ne le lève pas."
            )),
            (Veto::Unknown, _) => {
                said.push(format!("Le veto « {id} » bloque le total faute de preuve : des preuves concluantes le lèveraient ou le confirmeraient."));
            }
            (Veto::Fired, Some(score)) if score.estimate > threshold => {
                let more = needed(criterion.n, score.estimate - score.interval.low, score.estimate - threshold);
                said.push(format!(
                    "Le veto « {id} » se déclenche car la borne basse {} est sous {bar} ; la note {} est au-dessus. Si elle se confirme, environ {more} éléments (au lieu de {}) suffiraient à le lever.",
                    words::score(score.interval.low),
                    words::score(score.estimate),
                    criterion.n
                ));
            }
            (Veto::Fired, Some(score)) => said.push(format!(
                "Le veto « {id} » se déclenche et la note elle-même, {}, est sous le seuil {bar} : il faut améliorer le produit, pas la mesure.",
                words::score(score.estimate)
            )),
            _ => {}
        }
    }
    said
}

/// Items for a half-width to shrink to `room`: errors go as 1/√n.
fn needed(n: usize, half: f64, room: f64) -> u64 {
    (n as f64 * (half / room).powi(2)).ceil().max(n as f64) as u64
}

fn total(score: &Figure, covered: f64, if_missing: (f64, f64), threshold: Option<f64>) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(bar) = threshold {
        let (low, high) = (score.interval.low, score.interval.high);
        let room = (score.estimate - bar).abs();
        if low < bar && high >= bar && room > 1e-6 {
            let half = if score.estimate > bar { score.estimate - low } else { high - score.estimate };
            said.push(format!(
                "L’intervalle du total contient le seuil {} : avec environ {} fois plus d’éléments, et la même note, il ne le contiendrait plus.",
                words::score(bar),
                words::number((half / room).powi(2).max(1.0))
            ));
        }
        let swing = (if_missing.0 < bar) != (if_missing.1 < bar);
        if covered < 1.0 && swing {
            said.push(format!(
                "Les preuves manquantes ({} du poids) peuvent à elles seules changer la décision : le total irait de {} à {}.",
                words::percent(1.0 - covered),
                words::score(if_missing.0),
                words::score(if_missing.1)
            ));
        }
    }
    if covered < 1.0 && said.is_empty() {
        said.push(format!(
            "Il manque {} du poids : selon ce que diraient les preuves manquantes, le total irait de {} à {}.",
            words::percent(1.0 - covered),
            words::score(if_missing.0),
            words::score(if_missing.1)
        ));
    }
    said
}

/// The total with one facet without weight, and with twice its weight.
fn weighed(grid: &Grid, evidence: &EvidenceTable, level: Level) -> Vec<Weighed> {
    let total = |grid: &Grid| match grid.score(evidence, level).total {
        Total::Given { score, .. } => Some(score.estimate),
        _ => None,
    };
    let weighed = grid.facets.iter().map(|facet| {
        let mut without = grid.clone();
        without.facets.retain(|other| other.id != facet.id);
        without.facets.iter_mut().for_each(|other| other.references.retain(|id| *id != facet.id));
        let mut doubled = grid.clone();
        doubled.facets.iter_mut().filter(|other| other.id == facet.id).for_each(|other| other.weight *= 2.0);
        Weighed {
            facet: facet.id.clone(),
            label: facet.label.fr.clone(),
            without: total(&without),
            doubled: total(&doubled),
        }
    });
    weighed.collect()
}

fn weights_said(weights: &[Weighed], total: &Total, threshold: Option<f64>) -> Option<String> {
    let Total::Given { score, .. } = total else { return None };
    let values = weights.iter().flat_map(|one| [one.without, one.doubled]).flatten();
    let (low, high) = values.fold((score.estimate, score.estimate), |(low, high), v| (low.min(v), high.max(v)));
    if high - low < 0.005 {
        return Some("Ôter ou doubler le poids d’un pan ne change pas le total.".to_owned());
    }
    let moved = format!(
        "Ôter ou doubler le poids d’un seul pan ferait aller le total de {} à {}",
        words::score(low),
        words::score(high)
    );
    Some(match threshold {
        Some(bar) if low < bar && high >= bar => {
            format!("{moved}, de part et d’autre du seuil : la décision dépend des poids choisis.")
        }
        Some(_) => format!("{moved}, du même côté du seuil : la décision ne dépend pas d’un poids."),
        None => format!("{moved}."),
    })
}

fn inconclusive(scored: &Scored) -> Option<String> {
    let named: Vec<String> = criteria(scored)
        .filter(|criterion| criterion.state == State::Inconclusive)
        .map(|criterion| format!("{} ({} sur {})", criterion.id, criterion.n, criterion.minimum))
        .collect();
    (!named.is_empty()).then(|| format!("Non concluants faute d’assez d’éléments : {}.", named.join(", ")))
}
