//! The table of one statistic, its cells of the kinds it wants.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Ask, Column, Entry, Kind};
use crate::refusal::{Refusal, Result};
use crate::stats::Level;
use crate::stats::bootstrap::{Method, Plan};
use crate::stats::units::Clusters;
use crate::table::{self, Broken, Row, Table};

#[derive(Clone, Debug)]
enum Cell {
    Number(f64),
    YesNo(bool),
    Text(String),
    Empty,
}

/// Usable rows, and settings with their defaults.
pub(super) struct Frame {
    columns: BTreeMap<&'static str, Vec<Cell>>,
    settings: BTreeMap<&'static str, String>,
    rows: usize,
}

impl Frame {
    /// Also gives the lines that cannot be used.
    pub(super) fn new(entry: &Entry, table: &Table, ask: &Ask) -> Result<(Frame, Vec<Broken>)> {
        unknown(ask.columns.keys(), entry.columns.iter().map(|column| column.role), "colonne", "column")?;
        unknown(ask.settings.keys(), entry.settings.iter().map(|setting| setting.name), "réglage", "setting")?;
        let mut settings = BTreeMap::new();
        for setting in entry.settings {
            let value = ask.settings.get(setting.name).cloned().or(setting.default.map(str::to_owned));
            let value = value.ok_or_else(|| {
                Refusal::input(
                    format!("il faut dire « {} » ({})", setting.name, setting.fr),
                    format!("“{}” must be said ({})", setting.name, setting.en),
                )
            })?;
            settings.insert(setting.name, value);
        }
        let mut places: Vec<(&Column, usize)> = Vec::new();
        for column in entry.columns {
            match ask.columns.get(column.role) {
                Some(name) => places.push((column, table.column(name)?)),
                None if column.optional => places.extend(table.place(column.role).map(|place| (column, place))),
                None => places.push((column, table.column(column.role)?)),
            }
        }
        let mut columns: BTreeMap<&'static str, Vec<Cell>> =
            places.iter().map(|(column, _)| (column.role, Vec::new())).collect();
        let mut broken = if entry.columns.is_empty() { Vec::new() } else { table.broken().to_vec() };
        let mut rows = 0;
        for row in table.rows().iter().filter(|_| !entry.columns.is_empty()) {
            let cells: std::result::Result<Vec<Cell>, Broken> =
                places.iter().map(|(column, place)| cell(column, row, *place)).collect();
            match cells {
                Ok(cells) => {
                    rows += 1;
                    for ((column, _), cell) in places.iter().zip(cells) {
                        columns.entry(column.role).or_default().push(cell);
                    }
                }
                Err(line) => broken.push(line),
            }
        }
        broken.sort_by_key(|broken| broken.line);
        Ok((Frame { columns, settings, rows }, broken))
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn settings(&self) -> &BTreeMap<&'static str, String> {
        &self.settings
    }

    pub(super) fn has(&self, role: &str) -> bool {
        self.columns.contains_key(role)
    }

    fn cells(&self, role: &str) -> &[Cell] {
        self.columns.get(role).map_or(&[], Vec::as_slice)
    }

    /// Numbers of a column without empty cells.
    pub(super) fn numbers(&self, role: &str) -> Vec<f64> {
        self.maybe_numbers(role).into_iter().flatten().collect()
    }

    pub(super) fn maybe_numbers(&self, role: &str) -> Vec<Option<f64>> {
        let number = |cell: &Cell| match cell {
            Cell::Number(number) => Some(*number),
            _ => None,
        };
        self.cells(role).iter().map(number).collect()
    }

    pub(super) fn yes_or_no(&self, role: &str) -> Vec<bool> {
        self.cells(role).iter().map(|cell| matches!(cell, Cell::YesNo(true))).collect()
    }

    /// Names or texts; empty ones for empty cells.
    pub(super) fn texts(&self, role: &str) -> Vec<&str> {
        fn text(cell: &Cell) -> &str {
            match cell {
                Cell::Text(text) => text.as_str(),
                _ => "",
            }
        }
        self.cells(role).iter().map(text).collect()
    }

    pub(super) fn clusters(&self) -> Clusters {
        if self.has("cluster") { Clusters::named(self.texts("cluster")) } else { Clusters::alone(self.rows) }
    }

    pub(super) fn word(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    pub(super) fn setting<T: FromStr>(&self, name: &str) -> Result<T> {
        let word = self.word(name).trim();
        word.parse().map_err(|_| not_understood(name, word))
    }

    /// A setting that may be left empty.
    pub(super) fn setting_if_said<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        if self.word(name).trim().is_empty() { Ok(None) } else { self.setting(name).map(Some) }
    }

    /// A setting among words.
    pub(super) fn among<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<T> {
        let said = self.word(name).trim();
        words.iter().find(|(word, _)| *word == said).map(|(_, value)| *value).ok_or_else(|| not_understood(name, said))
    }

    pub(super) fn level(&self) -> Result<Level> {
        Level::new(self.setting("level")?)
    }

    pub(super) fn plan(&self) -> Result<Plan> {
        let method = self.among("method", &[("bca", Method::Bca), ("percentile", Method::Percentile)])?;
        Ok(Plan { resamples: self.setting("resamples")?, seed: self.setting("seed")?, method, level: self.level()? })
    }
}

fn cell(column: &Column, row: &Row, place: usize) -> std::result::Result<Cell, Broken> {
    let text = row.cell(place);
    let role = column.role;
    if text.is_empty() {
        if column.may_be_empty {
            return Ok(Cell::Empty);
        }
        if column.kind != Kind::Text {
            return Err(Broken::new(row.line, format!("« {role} » est vide"), format!("“{role}” is empty")));
        }
    }
    let read = match column.kind {
        Kind::Number => table::number(text).map(Cell::Number),
        Kind::YesNo => table::yes_or_no(text).map(Cell::YesNo),
        Kind::Label => Some(Cell::Text(text.to_owned())),
        Kind::Text => Some(Cell::Text(row.text(place).to_owned())),
    };
    read.ok_or_else(|| {
        let (fr, en) = match column.kind {
            Kind::YesNo => ("oui ou non (1 ou 0)", "yes or no (1 or 0)"),
            _ => ("un nombre", "a number"),
        };
        Broken::new(
            row.line,
            format!("« {role} » : « {text} » n’est pas {fr}"),
            format!("“{role}”: “{text}” is not {en}"),
        )
    })
}

fn not_understood(name: &str, word: &str) -> Refusal {
    Refusal::input(
        format!("le réglage « {name} » ne peut pas être « {word} »"),
        format!("the setting “{name}” cannot be “{word}”"),
    )
}

fn unknown<'a>(
    said: impl Iterator<Item = &'a String>,
    known: impl Iterator<Item = &'static str>,
    fr: &str,
    en: &str,
) -> Result<()> {
    let known: Vec<&str> = known.collect();
    for name in said {
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            return Err(Refusal::input(
                format!("le nom de {fr} « {name} » n’est pas connu ici (il y a : {known})"),
                format!("{en} “{name}” is unknown here (there are: {known})"),
            ));
        }
    }
    Ok(())
}
