//! Candidates ranked by their duels.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalogue::{self, Ask, Failure};
use crate::plot::Cell;
use crate::refusal::{Code, Refusal, Result};
use crate::stats::Level;
use crate::stats::ranking::Ranking;
use crate::table::Table;

/// Who won against whom, and the ranking if there can be one.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub ranking: Option<Ranking>,
    pub refused: Option<Refusal>,
    /// Names in the order of the matrix: by rank, else by name.
    pub names: Vec<String>,
    /// Share of wins of the first over the second, ties as half, and duels.
    pub wins: BTreeMap<String, BTreeMap<String, (f64, u64)>>,
    pub duels: usize,
}

impl Comparison {
    /// Reads duels: `first`, `second`, `winner` (`first`, `second`, `tie` or a name), and maybe `cluster`.
    pub fn read(table: &Table, level: Level) -> Result<Comparison> {
        let columns = [table.column("first")?, table.column("second")?, table.column("winner")?];
        if let Some(broken) = table.broken().first() {
            return Err(Refusal::input(broken.to_string(), broken.to_string()));
        }
        let mut tally: BTreeMap<(String, String), (f64, u64)> = BTreeMap::new();
        for row in table.rows() {
            let [first, second, winner] = columns.map(|place| row.cell(place).to_owned());
            let share = match winner.as_str() {
                "first" => 1.0,
                "second" => 0.0,
                "tie" => 0.5,
                winner if winner == first => 1.0,
                winner if winner == second => 0.0,
                _ => {
                    return Err(Refusal::input(
                        format!(
                            "duels, ligne {} : le gagnant « {winner} » n’est ni first, ni second, ni tie",
                            row.line
                        ),
                        format!("duels, line {}: the winner “{winner}” is not first, second or tie", row.line),
                    ));
                }
            };
            for (one, other, share) in [(&first, &second, share), (&second, &first, 1.0 - share)] {
                let cell = tally.entry((one.clone(), other.clone())).or_insert((0.0, 0));
                (cell.0, cell.1) = (cell.0 + share, cell.1 + 1);
            }
        }
        let settings = BTreeMap::from([("level".to_owned(), level.share().to_string())]);
        let ask = Ask { settings, ..Ask::default() };
        let (ranking, refused) = match catalogue::ranking(table, &ask) {
            Ok(ranking) => (Some(ranking), None),
            Err(Failure::Refused(refusal)) => (None, Some(refusal)),
            Err(lines) => (None, Some(Refusal::new(Code::Input, lines.to_string(), lines.to_string()))),
        };
        let mut names: Vec<String> = tally.keys().map(|(one, _)| one.clone()).collect();
        names.dedup();
        if let Some(ranking) = &ranking {
            names = ranking.places.iter().map(|place| place.name.clone()).collect();
        }
        let mut wins: BTreeMap<String, BTreeMap<String, (f64, u64)>> = BTreeMap::new();
        for ((one, other), (won, duels)) in tally {
            wins.entry(one).or_default().insert(other, (won / duels as f64, duels));
        }
        Ok(Comparison { ranking, refused, names, wins, duels: table.rows().len() })
    }

    /// The matrix, one line and column a name.
    pub(super) fn cells(&self) -> Vec<Vec<Option<Cell>>> {
        let cell = |one: &String, other: &String| {
            let (share, duels) = *self.wins.get(one)?.get(other)?;
            Some(Cell { share, duels })
        };
        self.names.iter().map(|one| self.names.iter().map(|other| cell(one, other)).collect()).collect()
    }
}
