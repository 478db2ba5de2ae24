//! Tables of evidence: CSV with a header, whose broken lines are told by their number.

use std::fmt;

use crate::refusal::{Refusal, Result};

/// A table, its columns by name.
#[derive(Clone, Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Row>,
    broken: Vec<Broken>,
}

/// One line of data.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it starts in the file, the header being line 1.
    pub line: u64,
    cells: Vec<String>,
}

/// A line that is not data.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Broken {
    pub line: u64,
    pub fr: String,
    pub en: String,
}

impl Broken {
    pub fn new(line: u64, fr: impl Into<String>, en: impl Into<String>) -> Broken {
        Broken { line, fr: fr.into(), en: en.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ligne {} : {} / line {}: {}", self.line, self.fr, self.line, self.en)
    }
}

impl Table {
    /// Reads CSV: UTF-8, a header, commas (or semicolons or tabs when the header has more of those).
    /// Lines that cannot be read are kept aside.
    pub fn read(bytes: &[u8]) -> Result<Table> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let count = |sign: u8| first.iter().filter(|byte| **byte == sign).count();
        let delimiter = [b',', b';', b'\t'].into_iter().rev().max_by_key(|sign| count(*sign)).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bytes);
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => {
                return Err(Refusal::input(
                    format!("l’en-tête ne se lit pas : {error}"),
                    format!("the header cannot be read: {error}"),
                ));
            }
        };
        if header.iter().all(String::is_empty) {
            return Err(Refusal::input(
                "la table est vide : il y faut une ligne d’en-tête",
                "the table is empty: it needs a header",
            ));
        }
        if let Some(name) =
            header.iter().enumerate().find(|(i, name)| header[..*i].contains(name)).map(|(_, name)| name)
        {
            return Err(Refusal::input(
                format!("la colonne « {name} » est deux fois dans l’en-tête"),
                format!("the column “{name}” is twice in the header"),
            ));
        }
        let mut table = Table { header, ..Table::default() };
        for record in reader.into_byte_records() {
            match record {
                Ok(record) => table.take(&record),
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    table.broken.push(Broken::new(
                        line,
                        format!("illisible : {error}"),
                        format!("unreadable: {error}"),
                    ));
                    break;
                }
            }
        }
        Ok(table)
    }

    fn take(&mut self, record: &csv::ByteRecord) {
        let line = record.position().map_or(0, csv::Position::line);
        let (found, wanted) = (record.len(), self.header.len());
        if found != wanted {
            let (fr, en) =
                (format!("{found} cellules au lieu de {wanted}"), format!("{found} cells instead of {wanted}"));
            self.broken.push(Broken::new(line, fr, en));
            return;
        }
        match record.iter().map(|cell| std::str::from_utf8(cell).map(str::to_owned)).collect() {
            Ok(cells) => self.rows.push(Row { line, cells }),
            Err(_) => self.broken.push(Broken::new(line, "ce n’est pas de l’UTF-8", "this is not UTF-8")),
        }
    }

    pub fn header(&self) -> &[String] {
        &self.header
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Lines kept aside.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// Place of a column, if there is one of that name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// Place of a column that must be there.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.place(name).ok_or_else(|| {
            let known = self.header.join(", ");
            Refusal::input(
                format!("il n’y a pas de colonne « {name} » (il y a : {known})"),
                format!("there is no column “{name}” (there are: {known})"),
            )
        })
    }
}

/// Lines of CSV, the first of them the header.
pub fn write<R: IntoIterator<Item: AsRef<[u8]>>>(delimiter: u8, lines: impl IntoIterator<Item = R>) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).map_err(unwritten)?;
    }
    writer.into_inner().map_err(unwritten)
}

fn unwritten(error: impl fmt::Display) -> Refusal {
    Refusal::input(format!("la table ne s’écrit pas : {error}"), format!("the table cannot be written: {error}"))
}

impl Row {
    /// A cell, white space at its ends aside.
    pub fn cell(&self, place: usize) -> &str {
        self.cells.get(place).map_or("", |cell| cell.trim())
    }

    /// A cell as it is.
    pub fn text(&self, place: usize) -> &str {
        self.cells.get(place).map_or("", String::as_str)
    }
}

/// A number as people write it: a decimal point, or a comma.
pub fn number(cell: &str) -> Option<f64> {
    let value: f64 = cell.trim().replacen(',', ".", 1).parse().ok()?;
    value.is_finite().then_some(value)
}

/// A yes or a no as people write it.
pub fn yes_or_no(cell: &str) -> Option<bool> {
    match cell.trim().to_lowercase().as_str() {
        "1" | "true" | "vrai" | "yes" | "oui" | "o" | "y" => Some(true),
        "0" | "false" | "faux" | "no" | "non" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_are_kept_aside_with_their_number() {
        let table = Table::read("\u{feff}item;value\na;1,5\nb\n\"c\nd\";oui\n".as_bytes()).unwrap();
        assert_eq!(table.header(), ["item", "value"]);
        let read: Vec<(u64, &str)> = table.rows().iter().map(|row| (row.line, row.cell(1))).collect();
        assert_eq!(read, [(2, "1,5"), (4, "oui")]);
        assert_eq!(table.broken().iter().map(|broken| broken.line).collect::<Vec<_>>(), [3]);
        assert_eq!((number("1,5"), number("x"), number("inf"), yes_or_no("Oui")), (Some(1.5), None, None, Some(true)));
        let latin = Table::read(b"a,b\n\xe9,1\nx,2\n").unwrap();
        assert_eq!((latin.rows().len(), latin.broken()[0].line), (1, 2));
        assert!(Table::read(b"").is_err() && Table::read(b"a,a\n1,2\n").is_err());
        assert!(table.column("note").unwrap_err().fr.contains("item, value"));
    }
}
