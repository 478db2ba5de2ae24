//! Tables by column, in and out of files: CSV, and Parquet where it is built in.

use crate::refusal::{Refusal, Result};

/// Named columns of one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(pub Vec<(String, Column)>);

/// Cells of one kind; none where there is no value.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    Text(Vec<Option<String>>),
    Number(Vec<Option<f64>>),
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Column::Text(cells) => cells.len(),
            Column::Number(cells) => cells.len(),
        }
    }

    fn cell(&self, row: usize) -> String {
        match self {
            Column::Text(cells) => cells.get(row).cloned().flatten().unwrap_or_default(),
            Column::Number(cells) => {
                cells.get(row).copied().flatten().map(|value| value.to_string()).unwrap_or_default()
            }
        }
    }
}

impl Columns {
    pub fn rows(&self) -> usize {
        self.0.iter().map(|(_, column)| column.len()).max().unwrap_or(0)
    }

    /// CSV with commas and a header; an absent value is an empty cell.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let wrong = |error: csv::Error| unwritten("CSV", &error);
        writer.write_record(self.0.iter().map(|(name, _)| name)).map_err(wrong)?;
        for row in 0..self.rows() {
            writer.write_record(self.0.iter().map(|(_, column)| column.cell(row))).map_err(wrong)?;
        }
        writer.into_inner().map_err(|error| unwritten("CSV", &error))
    }
}

pub(crate) fn unwritten(format: &str, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::undefined(format!("le {format} ne s’écrit pas : {error}"), format!("{format} cannot be written: {error}"))
}
