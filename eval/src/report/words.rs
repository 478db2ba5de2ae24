//! Numbers and states as a French reader expects them.

use crate::grid::{Agrees, Figure, JudgeAgreement, State, Veto};
use crate::stats::Interval;

/// `0,73`.
pub fn score(value: f64) -> String {
    let text = format!("{:.2}", value.abs()).replace('.', ",");
    if value < 0.0 && text != "0,00" { format!("−{text}") } else { text }
}

/// French typography: no line begins with `?`, `!`, `;`, `:` or `»`, none ends with `«`.
pub fn spaced(text: &str) -> String {
    let mut text = text.to_owned();
    for sign in ["?", "!", ";", ":", "»"] {
        text = text.replace(&format!(" {sign}"), &format!("\u{a0}{sign}"));
    }
    text.replace("« ", "«\u{a0}")
}

/// `−0,05`, `+0,02`.
pub fn signed(value: f64) -> String {
    let text = format!("{:.3}", value.abs()).replace('.', ",");
    match value {
        _ if text == "0,000" => text,
        value if value < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// `0,65 à 0,81`.
pub fn interval(interval: &Interval) -> String {
    format!("{} à {}", score(interval.low), score(interval.high))
}

/// `0,73 (0,65 à 0,81)`.
pub fn figure(figure: &Figure) -> String {
    format!("{} ({})", score(figure.estimate), interval(&figure.interval))
}

/// `87 %`, with a no-break space.
pub fn percent(share: f64) -> String {
    format!("{:.0}\u{a0}%", share * 100.0)
}

/// A number with no more decimals than it needs, at most two.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.replace('.', ",")
}

pub fn state(state: State) -> &'static str {
    match state {
        State::Conclusive => "concluant",
        State::Inconclusive => "non concluant",
        State::Missing => "sans preuve",
        State::NotApplicable => "sans objet",
    }
}

pub fn veto(veto: Veto) -> &'static str {
    match veto {
        Veto::Lifted => "levé",
        Veto::Fired => "déclenché",
        Veto::Unknown => "non vérifiable",
    }
}

/// Where a score comes from.
pub fn basis(basis: &str) -> &'static str {
    match basis {
        "human" => "personnes",
        "judge" => "juge automatique, non corrigé",
        "judge_corrected" => "juge corrigé par des personnes",
        "auto" => "mesure automatique",
        "attestation" => "attestation",
        "usage" => "usage",
        _ => "autre",
    }
}

/// Agreement of people. Under .667, Krippendorff's own bar for tentative conclusions, the reader is told that it is low
/// (Krippendorff 2004, Content Analysis, 2nd ed., p. 241).
pub fn alpha(estimate: f64) -> String {
    format!("{}{}", score(estimate), if estimate < 0.667 { " (faible)" } else { "" })
}

/// How far a judge follows people.
pub fn agreement(judge: &JudgeAgreement) -> String {
    match (judge.agrees, &judge.alpha) {
        (_, Some(alpha)) => score(alpha.estimate),
        (Agrees::Enough, None) => "suffisant".to_owned(),
        (Agrees::TooLittle, None) => "insuffisant".to_owned(),
        (Agrees::Unmeasured, None) => "non mesuré".to_owned(),
    }
}

/// A source of evidence, `judge:…` and so on.
pub fn source(source: &str) -> String {
    match source.split_once(':') {
        Some(("judge", judge)) => format!("juge {judge}"),
        Some(("auto", metric)) => format!("mesure {metric}"),
        _ if source == "human" => "personnes".to_owned(),
        _ => source.to_owned(),
    }
}

/// An indicator of use.
pub fn indicator(name: &str) -> &str {
    match name {
        "monthly-active-users" => "Utilisateurs actifs par mois",
        "return" => "Part des utilisateurs qui reviennent",
        "satisfaction" => "Satisfaction",
        "time-saved" => "Temps gagné (minutes par semaine)",
        "availability" => "Disponibilité",
        "cost-per-request" => "Coût d’une requête (euros)",
        "requests" => "Requêtes",
        other => other,
    }
}
