//! Tables: what plots draw, in figures.

use super::super::product::{Condition, Product};
use super::super::{Report, words};
use crate::grid::{CriterionScore, State, Veto};
use crate::plot::escaped;

fn badge(tone: &str, text: &str) -> String {
    format!("<span class=\"badge {tone}\">{}</span>", escaped(text))
}

fn state(state: State) -> String {
    let tone = match state {
        State::Conclusive => "good",
        State::Inconclusive => "open",
        _ => "",
    };
    badge(tone, words::state(state))
}

/// A table; columns whose name starts with `#` hold figures. Cells are markup already.
pub(super) fn table(caption: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let numeric: Vec<bool> = columns.iter().map(|name| name.starts_with('#')).collect();
    let class = |place: usize| if numeric.get(place).copied().unwrap_or(false) { " class=\"n\"" } else { "" };
    let head: String = columns
        .iter()
        .enumerate()
        .map(|(place, name)| {
            format!("<th scope=\"col\"{}>{}</th>", class(place), escaped(name.trim_start_matches('#')))
        })
        .collect();
    let body: String = rows
        .into_iter()
        .map(|cells| {
            let cells: String = cells
                .iter()
                .enumerate()
                .map(|(place, cell)| match place {
                    0 => format!("<th scope=\"row\">{cell}</th>"),
                    place => format!("<td{}>{cell}</td>", class(place)),
                })
                .collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table><caption>{}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>",
        escaped(caption)
    )
}

pub(super) fn profile(report: &Report) -> String {
    let rows = report.scored.profile.iter().map(|facet| {
        let score = facet.score.map_or_else(|| "–".to_owned(), |figure| words::score(figure.estimate));
        let interval = facet.score.map_or_else(|| "–".to_owned(), |figure| words::interval(&figure.interval));
        let if_missing = match facet.if_missing {
            Some((low, high)) if facet.weight_covered < 1.0 => {
                format!("{} à {}", words::score(low), words::score(high))
            }
            _ => "–".to_owned(),
        };
        vec![
            escaped(&facet.label.fr),
            match facet.criteria.iter().any(|one| one.doubt().is_some()) {
                true => badge("open", "sous réserve"),
                false => state(facet.state),
            },
            score,
            interval,
            words::percent(facet.weight_covered),
            if_missing,
            words::number(facet.weight),
        ]
    });
    let columns =
        ["Pan", "État", "#Note", "#Intervalle", "#Poids couvert", "#Si le manquant était au pire, au mieux", "#Poids"];
    table("Notes par pan, de 0 (le pire) à 1 (le mieux)", &columns, rows)
}

pub(super) fn criteria(report: &Report) -> String {
    let mut html = String::new();
    for facet in report.scored.profile.iter().filter(|facet| !facet.criteria.is_empty()) {
        html.push_str(&format!("<h3>{}</h3>", escaped(&facet.label.fr)));
        let columns =
            ["Critère", "État", "#Note et intervalle", "#n (unités)", "#Couverture", "#Accord α", "Veto", "Source"];
        html.push_str(&table(
            &format!("Critères du pan « {} »", facet.label.fr),
            &columns,
            facet.criteria.iter().map(line),
        ));
    }
    html.push_str("<p class=\"small\">n : éléments notés ; unités : usagers ou conversations indépendants. Couverture : part des éléments concernés qui ont une réponse. α de Krippendorff, accord des personnes au-delà du hasard : sous 0,67, il est faible ; la note reste une moyenne juste de leurs réponses, mais la question du critère et ses niveaux sont à revoir avant d’en conclure (quand presque toutes les réponses sont les mêmes, α est bas même entre gens d’accord) ; « juge » : son accord avec les personnes, sur les éléments que tous ont notés. « Sous réserve » : note d’un juge seul, que l’accord avec les personnes ne confirme pas ; rien ne se décide dessus. Un veto se déclenche quand la borne basse de la note est sous son seuil.</p>");
    html
}

fn line(criterion: &CriterionScore) -> Vec<String> {
    let mut question =
        format!("{}<span class=\"small\">{}", escaped(&words::spaced(&criterion.question.fr)), escaped(&criterion.id));
    if let Some(reason) = &criterion.reason {
        question.push_str(&format!(" — {}", escaped(&reason.fr)));
    }
    if let Some(unused) = &criterion.judge_unused {
        question.push_str(&format!(" — juge non employé : {}", escaped(&unused.fr)));
    }
    question.push_str("</span>");
    let alpha = match (&criterion.alpha, &criterion.alpha_refused) {
        (Some(alpha), _) => words::alpha(alpha.estimate),
        (None, Some(_)) => "non défini".to_owned(),
        _ => "–".to_owned(),
    };
    let judge = criterion.judge.as_ref().map_or_else(String::new, |judge| {
        format!("<br><span class=\"small\">juge : {}</span>", words::agreement(judge))
    });
    let doubt = criterion
        .doubt()
        .map_or_else(String::new, |doubt| format!("<br><span class=\"small\">{}</span>", escaped(&doubt.fr)));
    let shown = if doubt.is_empty() { state(criterion.state) } else { badge("open", "sous réserve") };
    let veto = match (criterion.veto, criterion.veto_threshold) {
        (Some(veto), Some(threshold)) => {
            let tone = match veto {
                Veto::Lifted => "good",
                Veto::Fired => "bad",
                Veto::Unknown => "open",
            };
            format!("{} <span class=\"small\">seuil {}</span>", badge(tone, words::veto(veto)), words::score(threshold))
        }
        _ => "–".to_owned(),
    };
    let n = match criterion.units {
        0 => criterion.n.to_string(),
        units => format!("{} ({units})", criterion.n),
    };
    vec![
        question,
        shown,
        criterion.score.as_ref().map_or_else(|| "–".to_owned(), words::figure),
        n,
        criterion.coverage.map_or_else(|| "–".to_owned(), words::percent),
        format!("{alpha}{judge}"),
        veto,
        criterion.basis.map_or_else(|| "–".to_owned(), |basis| format!("{}{doubt}", words::basis(basis))),
    ]
}

pub(super) fn conditions(product: &Product) -> String {
    let rows = product.conditions.iter().map(|Condition { label, met, seen }| {
        let told = match met {
            Some(true) => badge("good", "remplie"),
            Some(false) => badge("bad", "non remplie"),
            None => badge("open", "non vérifiable"),
        };
        vec![escaped(label), told, escaped(seen)]
    });
    table("Conditions convenues", &["Condition", "État", "Constaté"], rows)
}

pub(super) fn weights(report: &Report) -> String {
    if report.decision.weights.is_empty() {
        return String::new();
    }
    let told = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), words::score);
    let rows =
        report.decision.weights.iter().map(|one| vec![escaped(&one.label), told(one.without), told(one.doubled)]);
    table("Ce que deviendrait la note d’ensemble", &["Pan", "#Sans ce pan", "#Avec un poids double"], rows)
}

pub(super) fn provenance(report: &Report) -> String {
    let code = |text: &str| format!("<code>{}</code>", escaped(text));
    let (scored, origin) = (&report.scored, &report.provenance);
    let mut rows = vec![
        vec![
            "Grille".to_owned(),
            format!("{} {}", escaped(&scored.grid.id), escaped(&scored.grid.version)),
            code(&scored.grid.hash),
        ],
        vec![
            "Preuves".to_owned(),
            format!("{} lignes employées, {} mises de côté", scored.rows, scored.set_aside.len()),
            String::new(),
        ],
    ];
    for (file, hash) in &origin.files {
        rows.push(vec!["Fichier".to_owned(), escaped(file), code(hash)]);
    }
    for (prompt, hash) in &origin.prompts {
        let hash = hash.as_deref().map_or_else(|| "inconnue de ce programme".to_owned(), code);
        rows.push(vec!["Consigne de juge".to_owned(), escaped(prompt), hash]);
    }
    for (what, seed) in &origin.seeds {
        rows.push(vec!["Graine".to_owned(), escaped(what), code(seed)]);
    }
    rows.push(vec!["Programme".to_owned(), escaped(&origin.program), String::new()]);
    let mut html = table("Versions et empreintes", &["Quoi", "Lequel", "Empreinte SHA-256 ou graine"], rows);
    html.push_str("<p class=\"small\">Les intervalles de ce rapport se calculent par formule : aucun tirage n’y intervient, et les mêmes fichiers redonnent les mêmes chiffres.</p>");
    if report.hidden > 0 {
        html.push_str(&format!(
            "<p>{} chiffre(s) masqué(s) ou regroupé(s) : moins de {} usagers derrière, ou de quoi les retrouver.</p>",
            report.hidden,
            super::super::FEWEST_USERS
        ));
    }
    if !scored.set_aside.is_empty() {
        let rows = scored.set_aside.iter().take(50).map(|broken| vec![broken.line.to_string(), escaped(&broken.fr)]);
        html.push_str(&table("Lignes de preuves mises de côté (50 au plus)", &["Ligne", "Raison"], rows));
    }
    html
}
