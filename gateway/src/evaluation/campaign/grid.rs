//! The grid of a campaign, and which of its criteria people are asked.

use ::eval::grid::{Criterion, Evidence, GUICHET_1, Grid, Problem, Scale};
use serde::Serialize;
use serde_json::{Value, json};

use super::Trouble;
use crate::store::Database;
use crate::store::campaigns::{Campaign, NewItem};
use crate::store::grids::GridName;
use crate::store::page::Reach;

/// Problems of a grid told at once.
const SHOWN: usize = 20;

/// Where a grid was found.
pub enum Found {
    Stored(i64),
    Shipped(GridName, &'static str),
}

/// Reads a grid's document.
///
/// # Errors
/// All its problems, each with its path and what to do.
pub fn read(document: &str) -> Result<Grid, Trouble> {
    Grid::read(document).map_err(|problems| {
        let told = |of: fn(&Problem) -> (&str, &str)| -> String {
            let lines = problems.iter().take(SHOWN).map(|problem| {
                let (message, remedy) = of(problem);
                format!("\n{}: {message} → {remedy}", problem.path)
            });
            lines.collect()
        };
        let (count, french) = (problems.len(), told(|p| (&p.message.fr, &p.remedy.fr)));
        let english = told(|p| (&p.message.en, &p.remedy.en));
        Trouble::wrong(
            "document",
            format!("La grille a {count} problème(s) :{french}"),
            format!("The grid has {count} problem(s):{english}"),
        )
    })
}

/// The name of a grid that was read.
pub fn name(grid: &Grid) -> GridName {
    GridName { name: grid.id.clone(), version: grid.version.clone() }
}

/// The shipped grid, if that is its name.
pub fn shipped(wanted: &GridName) -> Option<(Grid, &'static str)> {
    let grid = Grid::read(GUICHET_1).ok()?;
    (name(&grid) == *wanted).then_some((grid, GUICHET_1))
}

/// The grid that an organization calls by that name: its own, else everybody's, else the shipped one.
pub async fn find(database: &Database, organization: Option<i64>, said: &str) -> Result<(Found, Grid), Trouble> {
    let unknown = || {
        Trouble::wrong(
            "grid",
            "Il n’y a pas de grille de ce nom ; une grille se nomme « id@version ».",
            "There is no grid of that name; a grid is named “id@version”.",
        )
    };
    let wanted = GridName::parse(said).ok_or_else(unknown)?;
    let reach = Reach::Only { organizations: organization.into_iter().collect(), projects: Vec::new() };
    if let Some(stored) = database.grids_named(&reach, &wanted).await?.pop() {
        return Ok((Found::Stored(stored.number), read(&stored.document)?));
    }
    let (grid, document) = shipped(&wanted).ok_or_else(unknown)?;
    Ok((Found::Shipped(wanted, document), grid))
}

/// The grid that a campaign uses.
pub async fn of(database: &Database, campaign: &Campaign) -> Result<Grid, Trouble> {
    let stored = database.grid(campaign.grid_number).await?.ok_or(crate::store::StoreError::NotFound)?;
    read(&stored.document)
}

/// Whether a criterion is asked of pairs, or of one answer.
pub fn is_of_pairs(criterion: &Criterion) -> bool {
    criterion.scale == Scale::Pairwise
}

/// Criteria asked of an item, in the grid's order.
pub fn of_item<'g>(grid: &'g Grid, criteria: &[String], pair: bool) -> Vec<&'g Criterion> {
    let all = grid.facets.iter().flat_map(|facet| &facet.criteria);
    all.filter(|criterion| criteria.contains(&criterion.id) && is_of_pairs(criterion) == pair).collect()
}

/// The criteria a campaign asks: those named, or all human ones that fit its items; in the grid's order.
pub fn asked(grid: &Grid, named: &[String], items: &[NewItem]) -> Result<Vec<String>, Trouble> {
    for id in named {
        let Some(criterion) = grid.criterion(id) else {
            let french = format!("La grille n’a pas de critère « {id} ».");
            return Err(Trouble::wrong("criteria", french, format!("The grid has no criterion “{id}”.")));
        };
        if !criterion.evidence.contains(&Evidence::Human) {
            return Err(Trouble::wrong(
                "criteria",
                format!("Le critère « {id} » ne se juge pas par des personnes : sa preuve n’est pas « human »."),
                format!("The criterion “{id}” is not judged by people: its evidence is not “human”."),
            ));
        }
    }
    let kinds = [false, true].map(|pair| items.iter().any(|item| item.pair == pair));
    let all = grid.facets.iter().flat_map(|facet| &facet.criteria);
    let asked: Vec<&Criterion> = all
        .filter(|criterion| match named.is_empty() {
            true => criterion.evidence.contains(&Evidence::Human) && kinds[usize::from(is_of_pairs(criterion))],
            false => named.contains(&criterion.id),
        })
        .collect();
    for (pair, there) in [false, true].into_iter().zip(kinds) {
        let wanted = asked.iter().any(|criterion| is_of_pairs(criterion) == pair);
        if wanted == there {
            continue;
        }
        let (french, english) = match (pair, wanted) {
            (true, true) => (
                "Un critère par paires veut des éléments à deux réponses.",
                "A pairwise criterion wants items with two answers.",
            ),
            (true, false) => (
                "Des éléments ont deux réponses, et aucun critère n’est par paires.",
                "Items have two answers, and no criterion is pairwise.",
            ),
            (false, true) => (
                "Un critère qui n’est pas par paires veut des éléments à une réponse.",
                "A criterion that is not pairwise wants items with one answer.",
            ),
            (false, false) => {
                ("Aucun critère humain ne porte sur une seule réponse.", "No human criterion bears on one answer.")
            }
        };
        return Err(Trouble::wrong("criteria", french, english));
    }
    Ok(asked.into_iter().map(|criterion| criterion.id.clone()).collect())
}

/// One criterion as it is asked. What each answer is worth is not told.
#[derive(Serialize)]
pub struct Asked {
    pub id: String,
    pub question: ::eval::grid::Text,
    pub scale: Value,
}

impl Asked {
    pub fn of(criterion: &Criterion) -> Asked {
        let scale = match &criterion.scale {
            Scale::Boolean => json!({"kind": "boolean", "values": [true, false]}),
            Scale::Nominal(categories) => {
                let names: Vec<&str> = categories.iter().map(|(name, _)| name.as_str()).collect();
                json!({"kind": "nominal", "values": names})
            }
            Scale::Ordinal(levels) => {
                let levels: Vec<Value> = levels
                    .iter()
                    .map(|(value, anchor)| json!({"value": value, "fr": anchor.fr, "en": anchor.en}))
                    .collect();
                json!({"kind": "ordinal", "levels": levels})
            }
            Scale::Interval { low, high } => json!({"kind": "interval", "low": low, "high": high}),
            Scale::Severity { .. } => json!({"kind": "severity"}),
            Scale::Pairwise => json!({"kind": "pairwise", "values": ["A", "B", "tie"]}),
        };
        Asked { id: criterion.id.clone(), question: criterion.question.clone(), scale }
    }
}
