//! The page: French, in the manner of the State's design system, whole in one file.

mod plots;
mod tables;

use super::decision::Standing;
use super::product::Verdict;
use super::{Report, words};
use crate::grid::Total;
use crate::plot::escaped;

const STYLE: &str = include_str!("style.css");

/// The whole page. Nothing is fetched: the policy in its head forbids it.
pub(super) fn page(report: &Report) -> String {
    let title = escaped(&report.title);
    let grid = &report.scored.grid;
    let mut sections: Vec<(&str, &str, String)> = Vec::new();
    if report.product.is_some() {
        sections.push(("decision", "Décision", product(report)));
    }
    sections.push(("profil", "Profil par pan", format!("{}{}", plots::profile(report), tables::profile(report))));
    sections.push(("total", "Note d’ensemble", total(report)));
    sections.push(("change", "Ce qui changerait la décision", changes(report)));
    sections.push(("criteres", "Critères", tables::criteria(report)));
    if !report.distributions.is_empty() {
        sections.push(("reponses", "Répartition des réponses", plots::distributions(report)));
    }
    if report.comparison.is_some() {
        sections.push(("duels", "Comparaison des candidats", plots::comparison(report)));
    }
    if report.usage.is_some() {
        sections.push(("usage", "Usage", plots::usage(report)));
    }
    sections.push(("origine", "D’où viennent ces chiffres", tables::provenance(report)));
    sections.push(("limites", "Ce que la méthode ne montre pas", limits()));
    let links: String = sections.iter().map(|(id, name, _)| format!("<li><a href=\"#{id}\">{name}</a></li>")).collect();
    let body: String = sections
        .iter()
        .map(|(id, name, body)| {
            format!("<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{name}</h2>{body}</section>\n")
        })
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"fr\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#contenu\">Aller au contenu</a>\n\
         <header><div><p class=\"mark\" aria-hidden=\"true\"><i></i><i></i><i></i></p><h1>{title}</h1>\
         <p>Grille « {} », version {} · {} · niveau de confiance {}</p>\
         <nav aria-label=\"Sommaire\"><ul>{links}</ul></nav></div></header>\n\
         <main id=\"contenu\">\n{body}</main>\n\
         <footer><div>Établi par {} le {}. Les notes vont de 0 (le pire) à 1 (le mieux).</div></footer>\n</body>\n</html>\n",
        escaped(&grid.title.fr),
        escaped(&grid.version),
        escaped(&report.provenance.date),
        words::percent(report.scored.level),
        escaped(&report.provenance.program),
        escaped(&report.provenance.date),
    )
}

fn call(tone: &str, lines: &[String]) -> String {
    let lines: String = lines
        .iter()
        .enumerate()
        .map(|(place, line)| format!("<p{}>{}</p>", if place == 0 { " class=\"big\"" } else { "" }, escaped(line)))
        .collect();
    format!("<div class=\"call {tone}\">{lines}</div>")
}

fn product(report: &Report) -> String {
    let Some(product) = &report.product else { return String::new() };
    let (tone, said, why) = match product.verdict {
        Verdict::Go => ("good", "Go", "Toutes les conditions convenues sont remplies."),
        Verdict::NoGo => ("bad", "No-go", "Au moins une condition convenue n’est pas remplie."),
        Verdict::Undecided => (
            "open",
            "Non concluant",
            "Aucune condition ne manque à coup sûr, mais l’une au moins ne peut pas être vérifiée.",
        ),
    };
    let mut html = call(
        tone,
        &[said.to_owned(), why.to_owned(), "Cette fiche prépare la décision ; elle ne la prend pas.".to_owned()],
    );
    html.push_str(&tables::conditions(product));
    html.push_str(&plots::active(product));
    html
}

fn total(report: &Report) -> String {
    let (tone, lines) = match &report.scored.total {
        Total::Given { score, weight_covered, if_missing } => {
            let mut lines = vec![
                format!("{} (intervalle {})", words::score(score.estimate), words::interval(&score.interval)),
                format!(
                    "{} du poids de la grille est couvert par des preuves concluantes.",
                    words::percent(*weight_covered)
                ),
            ];
            if *weight_covered < 1.0 {
                let (low, high) = if_missing;
                lines.push(format!(
                    "Si tout ce qui manque était au pire, {} ; au mieux, {}.",
                    words::score(*low),
                    words::score(*high)
                ));
            }
            let tone = match (report.decision.standing, report.decision.threshold.map(words::score)) {
                (Standing::Reached, Some(bar)) => {
                    lines.push(format!("Le seuil {bar} est atteint : la borne basse est au-dessus."));
                    "good"
                }
                (Standing::NotReached, Some(bar)) => {
                    lines.push(format!("Le seuil {bar} n’est pas atteint : la borne haute est en dessous."));
                    "bad"
                }
                (Standing::Doubted, Some(bar)) => {
                    lines.push(format!(
                        "Par rapport au seuil {bar} : non concluant, la décision reposerait sur un juge dont l’accord avec les personnes n’est pas établi."
                    ));
                    "open"
                }
                (_, Some(bar)) => {
                    lines.push(format!("Par rapport au seuil {bar} : non concluant, l’intervalle le contient."));
                    "open"
                }
                _ => "",
            };
            (tone, lines)
        }
        Total::Blocked { by } => {
            let named = by.iter().map(|one| {
                format!("« {} » {} (seuil {})", one.criterion, words::veto(one.veto), words::score(one.threshold))
            });
            (
                "bad",
                vec![
                    "Pas de note d’ensemble : un veto la bloque.".to_owned(),
                    format!("Vetos : {}.", named.collect::<Vec<_>>().join(" ; ")),
                ],
            )
        }
        Total::Inconclusive if report.hidden > 0 => (
            "open",
            vec![
                "Pas de note d’ensemble".to_owned(),
                "Trop peu est concluant, ou trop peu d’usagers l’ont permise.".to_owned(),
            ],
        ),
        Total::Inconclusive => (
            "open",
            vec!["Non concluant".to_owned(), "Aucun pan n’est concluant : il n’y a pas de note d’ensemble.".to_owned()],
        ),
    };
    format!(
        "{}<p class=\"small\">La note d’ensemble est une moyenne des pans, pondérée par des poids choisis par l’auteur de la grille. Lisez d’abord le profil : deux produits de même note peuvent ne pas se ressembler.</p>",
        call(tone, &lines)
    )
}

fn changes(report: &Report) -> String {
    if report.decision.changes.is_empty() {
        return "<p>Rien de ce que ce rapport sait calculer ne changerait la décision.</p>".to_owned();
    }
    let items: String = report.decision.changes.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
    format!("<ul>{items}</ul>{}", tables::weights(report))
}

fn limits() -> String {
    let items: String = LIMITS.iter().map(|line| format!("<li>{line}</li>")).collect();
    format!("<ul>{items}</ul>")
}

/// Said in every report.
pub(super) const LIMITS: [&str; 6] = [
    "L’intervalle parle de la population d’où vient l’échantillon ; il ne dit rien des usagers qui ne sont pas venus.",
    "Les poids, les seuils et les questions de la grille sont des choix. Les notes de deux grilles ne se comparent pas.",
    "Un accord élevé entre personnes n’est pas une preuve qu’elles ont raison.",
    "Un juge automatique non corrigé par des personnes peut se tromper toujours dans le même sens.",
    "« Non concluant » est un résultat : il ne veut dire ni bon, ni mauvais. Un intervalle qui contient zéro ne prouve pas l’égalité.",
    "Un évènement grave et rare peut ne pas apparaître : aucun cas sur 300 en laisse encore un sur cent possible.",
];
