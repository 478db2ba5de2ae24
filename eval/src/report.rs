//! What a grid says of its evidence, for people to decide on: profile first, total second, and what would change it.
//!
//! A report is made once, as data, and written in several forms. What fewer than ten end users stand behind is hidden in
//! all of them ([`hidden`]), and nothing in it speaks of one agent.

pub mod comparison;
pub mod decision;
pub mod hidden;
mod html;
mod markdown;
pub mod product;
pub mod rows;
pub mod usage;
pub mod words;

use serde::Serialize;

pub use comparison::Comparison;
pub use decision::Decision;
pub use hidden::FEWEST_USERS;
pub use product::Product;
pub use usage::Usage;

use crate::Refusal;
use crate::grid::{Distribution, EvidenceTable, Grid, Report as Scored};
use crate::refusal::Result;
use crate::stats::Level;
use crate::table::Table;

/// All a report is made from.
pub struct Sources<'a> {
    pub grid: &'a Grid,
    pub evidence: &'a EvidenceTable,
    /// Duels: `first`, `second`, `winner`, and `cluster` where it serves.
    pub duels: Option<&'a Table>,
    /// Indicators of use: see [`Usage::read`].
    pub usage: Option<&'a Table>,
    pub level: Level,
    /// The score a total must reach for sure, when one was agreed beforehand.
    pub threshold: Option<f64>,
    /// Makes the sheet of a decision at six months.
    pub product: Option<product::Ask>,
    /// Items were written for the evaluation: no end user is behind them, so none is hidden.
    pub no_end_users: bool,
    pub provenance: Provenance,
}

/// Where the numbers come from, so that another can make them again.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Provenance {
    /// Day it was made, `2026-11-25`.
    pub date: String,
    pub program: String,
    /// Files read, each with its SHA-256.
    pub files: Vec<(String, String)>,
    /// Prompts of judges, `id@version`, each with its SHA-256; none when this program does not have it.
    pub prompts: Vec<(String, Option<String>)>,
    /// Seeds of the draws before this report: of a sample, of a campaign's order. It draws nothing itself.
    pub seeds: Vec<(String, String)>,
}

/// A report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub title: String,
    #[serde(flatten)]
    pub scored: Scored,
    pub distributions: Vec<Distribution>,
    pub decision: Decision,
    /// The ranking, or why there is none.
    pub comparison: Option<Comparison>,
    pub usage: Option<Usage>,
    pub product: Option<Product>,
    pub provenance: Provenance,
    /// Figures that were hidden because fewer than [`FEWEST_USERS`] end users stand behind them.
    pub hidden: usize,
}

impl Report {
    /// Makes a report, with what must be hidden already gone.
    ///
    /// # Errors
    /// Tables that are not what they should be: duels or indicators without their columns, a column that names agents.
    pub fn new(sources: Sources<'_>) -> Result<Report> {
        if let Some(threshold) = sources.threshold.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
            return Err(Refusal::input(
                format!("le seuil {threshold} n’est pas entre 0 et 1"),
                format!("the threshold {threshold} is not between 0 and 1"),
            ));
        }
        let (grid, evidence, level) = (sources.grid, sources.evidence, sources.level);
        let mut scored = grid.score(evidence, level);
        let comparison = sources.duels.map(|duels| Comparison::read(duels, level)).transpose()?;
        let usage = sources.usage.map(Usage::read).transpose()?;
        let criteria = grid.facets.iter().flat_map(|facet| &facet.criteria);
        let mut distributions: Vec<Distribution> =
            criteria.flat_map(|criterion| evidence.distributions(criterion)).collect();
        let mut decision = Decision::new(grid, evidence, &scored, level, sources.threshold);
        let mut hidden = usage.as_ref().map_or(0, |usage| usage.hidden);
        if !sources.no_end_users {
            hidden += hidden::hide(&mut scored, &mut distributions, &mut decision);
        }
        let product =
            sources.product.as_ref().map(|ask| Product::new(ask, &scored, &decision, usage.as_ref())).transpose()?;
        let title = match &product {
            Some(product) => format!("{} : fiche de décision à six mois", product.name),
            None => scored.grid.title.fr.clone(),
        };
        let provenance = sources.provenance;
        Ok(Report { title, scored, distributions, decision, comparison, usage, product, provenance, hidden })
    }

    /// A page that needs nothing else: to open, to print, to send.
    pub fn html(&self) -> String {
        html::page(self)
    }

    pub fn markdown(&self) -> String {
        markdown::text(self)
    }
}

#[cfg(test)]
mod tests;
