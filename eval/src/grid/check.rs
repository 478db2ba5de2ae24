//! What types cannot say: names that must be unique or exist, references that must end.

use std::collections::HashMap;

use super::model::Grid;
use super::problem::Problem;

pub(super) fn check(grid: &Grid, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, String> = HashMap::new();
    let facets = grid.facets.iter().enumerate().map(|(i, facet)| (&facet.id, format!("facets[{i}].id")));
    let criteria = grid.facets.iter().enumerate().flat_map(|(i, facet)| {
        let path = move |j: usize| format!("facets[{i}].criteria[{j}].id");
        facet.criteria.iter().enumerate().map(move |(j, criterion)| (&criterion.id, path(j)))
    });
    for (id, path) in facets.chain(criteria) {
        if id.is_empty() {
            continue;
        }
        if let Some(first) = seen.get(id.as_str()) {
            problems.push(Problem::new(
                path,
                (
                    format!("l’identifiant « {id} » est déjà pris par {first}"),
                    format!("the id “{id}” is already taken by {first}"),
                ),
                (
                    "donnez à chacun le sien : les tables de preuves les nomment",
                    "give each its own: tables of evidence name them",
                ),
            ));
        } else {
            seen.insert(id, path);
        }
    }
    let mut referenced: HashMap<&str, String> = HashMap::new();
    for (i, facet) in grid.facets.iter().enumerate() {
        if facet.criteria.is_empty() && facet.references.is_empty() {
            problems.push(Problem::new(
                format!("facets[{i}].criteria"),
                ("ce pan n’a ni critère ni référence", "this facet has neither criterion nor reference"),
                ("donnez-lui un critère, ou retirez-le", "give it a criterion, or remove it"),
            ));
        }
        for (j, name) in facet.references.iter().enumerate() {
            let path = format!("facets[{i}].references[{j}]");
            if !grid.facets.iter().any(|other| other.id == *name) {
                let known: Vec<&str> = grid.facets.iter().map(|facet| facet.id.as_str()).collect();
                let known = known.join(", ");
                problems.push(Problem::new(
                    path,
                    (format!("il n’y a pas de pan « {name} »"), format!("there is no facet “{name}”")),
                    (format!("nommez l’un de : {known}"), format!("name one of: {known}")),
                ));
            } else if let Some(first) = referenced.get(name.as_str()) {
                problems.push(Problem::new(
                    path,
                    (format!("« {name} » compte déjà dans {first}"), format!("“{name}” already counts in {first}")),
                    (
                        "un pan ne compte qu’une fois : gardez une seule référence",
                        "a facet counts once: keep one reference",
                    ),
                ));
            } else {
                referenced.insert(name, path);
            }
        }
    }
    cycles(grid, problems);
}

/// Tells each cycle by its way round: a depth-first walk, each facet walked once.
fn cycles(grid: &Grid, problems: &mut Vec<Problem>) {
    let place = |name: &String| grid.facets.iter().position(|facet| facet.id == *name);
    let next: Vec<Vec<usize>> =
        grid.facets.iter().map(|facet| facet.references.iter().filter_map(place).collect()).collect();
    let mut walked = vec![false; next.len()];
    for start in 0..next.len() {
        if walked[start] {
            continue;
        }
        walked[start] = true;
        // The way from the start, and how many references of each were followed.
        let mut way = vec![(start, 0_usize)];
        while let Some((facet, followed)) = way.last_mut() {
            let Some(to) = next[*facet].get(*followed).copied() else {
                way.pop();
                continue;
            };
            let (from, reference) = (*facet, *followed);
            *followed += 1;
            if let Some(first) = way.iter().position(|(seen, _)| *seen == to) {
                let round: Vec<&str> =
                    way[first..].iter().map(|(i, _)| *i).chain([to]).map(|i| grid.facets[i].id.as_str()).collect();
                let round = round.join(" → ");
                problems.push(Problem::new(
                    format!("facets[{from}].references[{reference}]"),
                    (format!("les références tournent en rond : {round}"), format!("references go round: {round}")),
                    ("ôtez l’une d’elles", "remove one of them"),
                ));
            } else if !walked[to] {
                walked[to] = true;
                way.push((to, 0));
            }
        }
    }
}
