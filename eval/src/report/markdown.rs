//! The report as Markdown, for a merge request or a wiki.

use super::product::Verdict;
use super::{Report, html, words};
use crate::grid::Total;

pub(super) fn text(report: &Report) -> String {
    let scored = &report.scored;
    let mut text = format!("# {}\n", plain(&report.title));
    let line = |text: &mut String, words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    line(
        &mut text,
        &format!(
            "\nGrille « {} », version {}, niveau de confiance {}. Notes de 0 (le pire) à 1 (le mieux).",
            plain(&scored.grid.title.fr),
            plain(&scored.grid.version),
            words::percent(scored.level)
        ),
    );
    if let Some(product) = &report.product {
        let verdict = match product.verdict {
            Verdict::Go => "go",
            Verdict::NoGo => "no-go",
            Verdict::Undecided => "non concluant",
        };
        line(&mut text, &format!("\n## Décision : {verdict}\n\n| Condition | Remplie | Constaté |\n|---|---|---|"));
        for one in &product.conditions {
            let met = one.met.map_or("non vérifiable", |met| if met { "oui" } else { "non" });
            line(&mut text, &format!("| {} | {met} | {} |", plain(&one.label), plain(&one.seen)));
        }
        line(&mut text, "\n| Mois | Utilisateurs actifs |\n|---|--:|");
        for month in &product.active {
            line(&mut text, &format!("| {} | {} |", month.month, month.value.words()));
        }
    }
    line(&mut text, "\n## Profil par pan\n\n| Pan | État | Note (intervalle) | Poids couvert |\n|---|---|--:|--:|");
    for facet in &scored.profile {
        let score = facet.score.as_ref().map_or_else(|| "–".to_owned(), words::figure);
        line(
            &mut text,
            &format!(
                "| {} | {} | {score} | {} |",
                plain(&facet.label.fr),
                words::state(facet.state),
                words::percent(facet.weight_covered)
            ),
        );
    }
    line(&mut text, "\n## Note d’ensemble\n");
    line(
        &mut text,
        &match &scored.total {
            Total::Given { score, weight_covered, .. } => {
                format!("**{}**, {} du poids couvert.", words::figure(score), words::percent(*weight_covered))
            }
            Total::Blocked { by } => {
                let named: Vec<String> =
                    by.iter().map(|one| format!("{} ({})", one.criterion, words::veto(one.veto))).collect();
                format!("Bloquée par un veto : {}.", named.join(", "))
            }
            Total::Inconclusive => "Pas de note d’ensemble.".to_owned(),
        },
    );
    line(&mut text, "\n## Ce qui changerait la décision\n");
    for change in &report.decision.changes {
        line(&mut text, &format!("- {}", plain(change)));
    }
    line(
        &mut text,
        "\n## Critères\n\n| Critère | État | Note (intervalle) | n | Unités | Couverture | α | α du juge | Veto | Source |\n|---|---|--:|--:|--:|--:|--:|--:|---|---|",
    );
    for one in scored.profile.iter().flat_map(|facet| &facet.criteria) {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        line(
            &mut text,
            &format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                plain(&one.id),
                if one.doubt().is_some() { "sous réserve" } else { words::state(one.state) },
                or_dash(one.score.as_ref().map(words::figure)),
                one.n,
                one.units,
                or_dash(one.coverage.map(words::percent)),
                or_dash(one.alpha.map(|alpha| words::alpha(alpha.estimate))),
                or_dash(one.judge.as_ref().map(words::agreement)),
                or_dash(one.veto.map(|veto| words::veto(veto).to_owned())),
                or_dash(one.basis.map(|basis| match one.doubt() {
                    Some(doubt) => format!("{} : {}", words::basis(basis), plain(&doubt.fr)),
                    None => words::basis(basis).to_owned(),
                })),
            ),
        );
    }
    if let Some(comparison) = &report.comparison {
        line(&mut text, &format!("\n## Comparaison : {} duels\n", comparison.duels));
        match (&comparison.ranking, &comparison.refused) {
            (Some(ranking), _) => {
                line(&mut text, "| Candidat | Rangs possibles | Force (intervalle) |\n|---|--:|--:|");
                for place in &ranking.places {
                    line(
                        &mut text,
                        &format!(
                            "| {} | {} à {} | {} ({}) |",
                            plain(&place.name),
                            place.rank_low,
                            place.rank_high,
                            words::score(place.strength),
                            words::interval(&place.interval)
                        ),
                    );
                }
            }
            (None, Some(refused)) => line(&mut text, &format!("Pas de classement : {}", plain(&refused.fr))),
            _ => {}
        }
    }
    line(&mut text, "\n## D’où viennent ces chiffres\n");
    line(
        &mut text,
        &format!("- grille {} {} : `{}`", plain(&scored.grid.id), plain(&scored.grid.version), scored.grid.hash),
    );
    for (file, hash) in &report.provenance.files {
        line(&mut text, &format!("- {} : `{hash}`", plain(file)));
    }
    for (prompt, hash) in &report.provenance.prompts {
        line(
            &mut text,
            &format!("- consigne {} : `{}`", plain(prompt), hash.as_deref().unwrap_or("inconnue de ce programme")),
        );
    }
    for (what, seed) in &report.provenance.seeds {
        line(&mut text, &format!("- graine {} : `{}`", plain(what), plain(seed)));
    }
    line(
        &mut text,
        &format!(
            "- {}, le {} ; {} lignes employées, {} mises de côté, {} chiffres masqués",
            plain(&report.provenance.program),
            plain(&report.provenance.date),
            scored.rows,
            scored.set_aside.len(),
            report.hidden
        ),
    );
    line(&mut text, "\n## Ce que la méthode ne montre pas\n");
    for limit in html::LIMITS {
        line(&mut text, &format!("- {limit}"));
    }
    text
}

/// Words of others, with nothing that Markdown would take for its own.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => safe.extend(['\\', sign]),
            '<' => safe.push_str("&lt;"),
            '\n' | '\r' => safe.push(' '),
            sign => safe.push(sign),
        }
    }
    safe
}
