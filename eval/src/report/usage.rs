//! Indicators of use, month by month.

use std::collections::BTreeMap;

use serde::Serialize;

use super::FEWEST_USERS;
use crate::refusal::{Refusal, Result};
use crate::table::{Row, Table, number};

/// Indicators, each over months in order.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    pub indicators: BTreeMap<String, Vec<Month>>,
    /// Cells hidden because too few end users stand behind them.
    pub hidden: usize,
}

/// One month of one indicator.
#[derive(Clone, Debug, Serialize)]
pub struct Month {
    /// `2026-11`.
    pub month: String,
    pub value: Value,
    /// Bounds, when whoever computed it gave some.
    pub bounds: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "value")]
pub enum Value {
    Known(f64),
    /// « Non mesurable »: nobody told which requests are whose.
    NotMeasurable,
    Hidden,
}

impl Value {
    pub fn known(self) -> Option<f64> {
        match self {
            Value::Known(value) => Some(value),
            _ => None,
        }
    }

    /// In French.
    pub fn words(self) -> String {
        match self {
            Value::Known(value) => super::words::number(value),
            Value::NotMeasurable => "non mesurable".to_owned(),
            Value::Hidden => format!("moins de {FEWEST_USERS} usagers"),
        }
    }
}

/// Columns that would make a report of one person.
const PERSONAL: [&str; 7] = ["agent", "user", "usager", "utilisateur", "pseudonym", "pseudonyme", "email"];

impl Usage {
    /// Reads `indicator`, `month`, `value` (empty: not measurable), and maybe `users` (end users behind the cell), `low`,
    /// `high`. Of monthly active users, the value is the number of end users.
    ///
    /// # Errors
    /// A column that names people, a line that is not as said.
    pub fn read(table: &Table) -> Result<Usage> {
        if let Some(name) = table.header().iter().find(|name| PERSONAL.contains(&name.to_lowercase().as_str())) {
            return Err(Refusal::input(
                format!("la colonne « {name} » ferait un rapport par agent : additionnez d’abord"),
                format!("the column “{name}” would make a report of one agent: add up first"),
            ));
        }
        let columns = [table.column("indicator")?, table.column("month")?, table.column("value")?];
        let others = ["users", "low", "high"].map(|name| table.place(name));
        let mut usage = Usage { indicators: BTreeMap::new(), hidden: 0 };
        if let Some(broken) = table.broken().first() {
            return Err(Refusal::input(broken.to_string(), broken.to_string()));
        }
        for row in table.rows() {
            let [indicator, month, _] = columns.map(|place| row.cell(place).to_owned());
            let months = usage.indicators.entry(indicator.clone()).or_default();
            if !is_month(&month) {
                return Err(wrong(row, &month, "un mois comme 2026-11", "a month such as 2026-11"));
            }
            if months.iter().any(|other| other.month == month) {
                return Err(wrong(row, &month, "nouveau : ce mois est déjà donné", "new: this month is given already"));
            }
            let known = |place: Option<usize>| match place.map(|place| row.cell(place)) {
                None | Some("") => Ok(None),
                Some(cell) => match number(cell) {
                    Some(value) => Ok(Some(value)),
                    None => Err(wrong(row, cell, "un nombre", "a number")),
                },
            };
            let value = known(Some(columns[2]))?;
            let users = known(others[0])?.or(value.filter(|_| indicator == "monthly-active-users"));
            let mut cell = Month {
                month,
                value: value.map_or(Value::NotMeasurable, Value::Known),
                bounds: known(others[1])?.zip(known(others[2])?),
            };
            if value.is_some() && users.is_some_and(|users| users < FEWEST_USERS as f64) {
                cell = Month { value: Value::Hidden, bounds: None, ..cell };
                usage.hidden += 1;
            }
            months.push(cell);
        }
        usage.indicators.values_mut().for_each(|months| months.sort_by(|one, other| one.month.cmp(&other.month)));
        Ok(usage)
    }

    /// Six months up to the last one known of any indicator; those nobody gave are not measurable.
    pub fn six_months(&self, indicator: &str) -> Vec<Month> {
        let given = self.indicators.get(indicator);
        let Some(last) = self.indicators.values().flatten().map(|month| month.month.clone()).max() else {
            return Vec::new();
        };
        let months = six_up_to(&last).into_iter().map(|month| {
            let found = given.into_iter().flatten().find(|other| other.month == month);
            found.cloned().unwrap_or(Month { month, value: Value::NotMeasurable, bounds: None })
        });
        months.collect()
    }
}

fn wrong(row: &Row, said: &str, fr: &str, en: &str) -> Refusal {
    Refusal::input(
        format!("usage, ligne {} : « {said} » n’est pas {fr}", row.line),
        format!("usage, line {}: “{said}” is not {en}", row.line),
    )
}

fn is_month(text: &str) -> bool {
    let Some((year, month)) = text.split_once('-') else { return false };
    year.len() == 4
        && month.len() == 2
        && year.parse::<u32>().is_ok()
        && month.parse::<u32>().is_ok_and(|month| (1..=12).contains(&month))
}

fn six_up_to(last: &str) -> Vec<String> {
    let (year, month) = last.split_once('-').unwrap_or(("0", "1"));
    let count = year.parse::<u32>().unwrap_or(0) * 12 + month.parse::<u32>().unwrap_or(1) - 1;
    (0..6).rev().map(|back| count.saturating_sub(back)).map(|at| format!("{:04}-{:02}", at / 12, at % 12 + 1)).collect()
}
