//! Writing datasets, so that they are read again as they were.

use std::collections::BTreeSet;

use super::{Dataset, Format, Item};
use crate::columns::{Column, Columns, unwritten};
use crate::refusal::{Refusal, Result};

impl Dataset {
    /// A file that [`Dataset::import`] reads as the same items, with the same hash.
    ///
    /// # Errors
    /// A field named as a role, in a format of columns: it would be read as another thing.
    pub fn export(&self, format: Format) -> Result<Vec<u8>> {
        match format {
            Format::Jsonl => {
                let mut lines = Vec::new();
                for item in &self.items {
                    serde_json::to_writer(&mut lines, item).map_err(|error| unwritten("JSON", &error))?;
                    lines.push(b'\n');
                }
                Ok(lines)
            }
            Format::Csv => self.columns()?.csv(),
            #[cfg(feature = "parquet")]
            Format::Parquet => crate::parquet::write(&self.columns()?),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => {
                Err(Refusal::input("ce programme n’écrit pas le Parquet", "this program does not write Parquet"))
            }
        }
    }

    fn columns(&self) -> Result<Columns> {
        let text = |of: &dyn Fn(&Item) -> Option<String>| Column::Text(self.items.iter().map(of).collect());
        let passages = |item: &Item| {
            (!item.passages.is_empty()).then(|| serde_json::to_string(&item.passages).unwrap_or_default())
        };
        let mut columns = vec![
            ("id".to_owned(), text(&|item| Some(item.id.clone()))),
            ("question".to_owned(), text(&|item| Some(item.question.clone()))),
            ("reference".to_owned(), text(&|item| item.reference.clone())),
            ("passages".to_owned(), text(&passages)),
            ("cluster".to_owned(), text(&|item| item.cluster.clone())),
        ];
        let names: BTreeSet<&String> = self.items.iter().flat_map(|item| item.fields.keys()).collect();
        for name in names {
            if columns.iter().any(|(taken, _)| taken == name) || name == "fields" {
                return Err(Refusal::input(
                    format!("le champ « {name} » porte le nom d’une colonne : exportez en JSONL"),
                    format!("the field “{name}” has the name of a column: export as JSONL"),
                ));
            }
            columns.push((name.clone(), text(&|item| item.fields.get(name).cloned())));
        }
        Ok(Columns(columns))
    }
}
