//! Plots of the page, each beside its figures.

use super::super::product::Product;
use super::super::usage::{Month, Value};
use super::super::{Report, words};
use super::tables::table;
use crate::plot::{self, Axis, Bar, Caption, Dot, Point, escaped};

fn figure(svg: &str) -> String {
    format!("<figure>{svg}</figure>")
}

fn caption(id: &str, title: &str, description: String) -> Caption {
    Caption { id: id.to_owned(), title: title.to_owned(), description }
}

pub(super) fn profile(report: &Report) -> String {
    let rows: Vec<Dot> = report
        .scored
        .profile
        .iter()
        .map(|facet| Dot {
            label: facet.label.fr.clone(),
            at: facet.score.map(|figure| (figure.estimate, figure.interval.low, figure.interval.high)),
            mark: None,
            note: match facet.score {
                Some(figure) => words::figure(&figure),
                None if facet.state == crate::grid::State::Conclusive => "masqué".to_owned(),
                None => words::state(facet.state).to_owned(),
            },
        })
        .collect();
    let told: Vec<String> = rows.iter().map(|row| format!("{} : {}", row.label, row.note)).collect();
    let caption = caption("fig-profil", "Profil par pan, avec intervalles", told.join(" ; "));
    let ticks = [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| (at, words::score(at))).to_vec();
    figure(&plot::dots(&caption, &rows, &Axis { low: 0.0, high: 1.0, ticks }))
}

pub(super) fn distributions(report: &Report) -> String {
    let mut html = String::new();
    let questions: Vec<_> = report.scored.profile.iter().flat_map(|facet| &facet.criteria).collect();
    for (place, one) in report.distributions.iter().enumerate() {
        let question = questions.iter().find(|criterion| criterion.id == one.criterion);
        let question = question.map_or(one.criterion.as_str(), |criterion| criterion.question.fr.as_str());
        let source = words::source(&one.source);
        let bars: Vec<Bar> = one
            .slices
            .iter()
            .map(|slice| Bar { label: slice.label.clone(), count: Some(slice.answers as u64) })
            .collect();
        let told: Vec<String> = one.slices.iter().map(|slice| format!("{} : {}", slice.label, slice.answers)).collect();
        let caption = caption(&format!("fig-reponses-{place}"), &format!("{question} ({source})"), told.join(" ; "));
        html.push_str(&format!(
            "<h3>{}</h3><p class=\"small\">{} · {} réponses, {} sans réponse, {} sans objet</p>",
            escaped(question),
            escaped(&source),
            one.slices.iter().map(|slice| slice.answers).sum::<usize>(),
            one.missing,
            one.not_applicable
        ));
        html.push_str(&figure(&plot::bars(&caption, &bars)));
    }
    html
}

pub(super) fn comparison(report: &Report) -> String {
    let Some(comparison) = &report.comparison else { return String::new() };
    let mut html = format!("<p>{} duels entre {} candidats.</p>", comparison.duels, comparison.names.len());
    if let Some(refused) = &comparison.refused {
        html.push_str(&format!(
            "<div class=\"call open\"><p class=\"big\">Pas de classement</p><p>{}</p></div>",
            escaped(&refused.fr)
        ));
    }
    if let Some(ranking) = &comparison.ranking {
        let low = ranking.places.iter().map(|place| place.interval.low).fold(f64::INFINITY, f64::min);
        let high = ranking.places.iter().map(|place| place.interval.high).fold(f64::NEG_INFINITY, f64::max);
        let rows: Vec<Dot> = ranking
            .places
            .iter()
            .map(|place| Dot {
                label: place.name.clone(),
                at: Some((place.strength, place.interval.low, place.interval.high)),
                mark: None,
                note: format!("rangs {} à {}", place.rank_low, place.rank_high),
            })
            .collect();
        let told: Vec<String> = rows.iter().map(|row| format!("{} : {}", row.label, row.note)).collect();
        let caption = caption("fig-classement", "Classement, avec intervalles", told.join(" ; "));
        let ticks = [low, 0.0, high].map(|at| (at, words::score(at))).to_vec();
        html.push_str("<h3>Classement</h3>");
        html.push_str(&figure(&plot::dots(&caption, &rows, &Axis { low, high, ticks })));
        let rows = ranking.places.iter().map(|place| {
            vec![
                escaped(&place.name),
                format!("{} à {}", place.rank_low, place.rank_high),
                words::score(place.strength),
                words::interval(&place.interval),
                place.wins.to_string(),
                place.ties.to_string(),
                place.losses.to_string(),
            ]
        });
        let columns = ["Candidat", "#Rangs possibles", "#Force", "#Intervalle", "#Gagnés", "#Nuls", "#Perdus"];
        html.push_str(&table("Forces estimées (Bradley-Terry avec nuls, moyenne 0)", &columns, rows));
        html.push_str("<p class=\"small\">Deux candidats dont les rangs se chevauchent ne sont pas départagés.</p>");
    }
    let told = "Part de victoires du candidat de la ligne contre celui de la colonne, un nul comptant pour moitié.";
    let caption = caption("fig-victoires", "Matrice des victoires", told.to_owned());
    html.push_str(&format!("<h3>Matrice des victoires</h3><p class=\"small\">{told}</p>"));
    html.push_str(&figure(&plot::matrix(&caption, &comparison.names, &comparison.cells())));
    let rows = comparison.wins.iter().flat_map(|(one, others)| {
        others.iter().filter(move |(other, _)| one < *other).map(move |(other, (share, duels))| {
            vec![escaped(&format!("{one} contre {other}")), words::percent(*share), duels.to_string()]
        })
    });
    html.push_str(&table("Victoires par paire", &["Paire", "#Victoires du premier", "#Duels"], rows));
    html
}

fn months(id: &str, name: &str, months: &[Month]) -> String {
    let points: Vec<Point> = months
        .iter()
        .map(|month| Point {
            label: month.month.clone(),
            value: month.value.known().map(|value| (value, month.bounds)),
            absent: if month.value == Value::Hidden { "masqué" } else { "non mesurable" },
        })
        .collect();
    let told: Vec<String> = months.iter().map(|month| format!("{} : {}", month.month, month.value.words())).collect();
    let caption = caption(id, &format!("{name}, mois par mois"), told.join(" ; "));
    let rows = months.iter().map(|month| {
        let bounds = month
            .bounds
            .map_or_else(|| "–".to_owned(), |(low, high)| format!("{} à {}", words::number(low), words::number(high)));
        vec![escaped(&month.month), escaped(&month.value.words()), bounds]
    });
    format!("{}{}", figure(&plot::curve(&caption, &points)), table(name, &["Mois", "#Valeur", "#Intervalle"], rows))
}

pub(super) fn active(product: &Product) -> String {
    let name = words::indicator("monthly-active-users");
    let heading = format!("<h3>{name}, sur six mois</h3>");
    if product.active.is_empty() {
        return format!("{heading}<p>Non mesurable : aucun indicateur d’usage n’a été donné.</p>");
    }
    format!("{heading}{}", months("fig-actifs-produit", name, &product.active))
}

pub(super) fn usage(report: &Report) -> String {
    let Some(usage) = &report.usage else { return String::new() };
    let mut html = String::from(
        "<p class=\"small\">« Non mesurable » : l’application n’a pas dit quelles requêtes viennent du même usager. Ce n’est pas zéro.</p>",
    );
    // Six months of active users are already on the sheet.
    let sheet = report.product.is_some();
    for (place, (name, given)) in usage.indicators.iter().enumerate() {
        if sheet && name == "monthly-active-users" && given.len() <= 6 {
            continue;
        }
        let words = words::indicator(name);
        html.push_str(&format!("<h3>{}</h3>{}", escaped(words), months(&format!("fig-usage-{place}"), words, given)));
    }
    html
}
