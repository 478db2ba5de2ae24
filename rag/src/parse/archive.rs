//! The zip around DOCX and ODT: named parts, unpacked within the budget. Nothing is written to disk.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::budget::Budget;
use super::{Refusal, encoding};

pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    kind: &'static str,
}

impl<'a> Archive<'a> {
    pub fn open(bytes: &'a [u8], kind: &'static str) -> Result<Archive<'a>, Refusal> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|_| Refusal::broken(kind))?;
        Ok(Archive { zip, kind })
    }

    /// The first part, in order of name, that begins and ends so.
    pub fn named(&self, begins: &str, ends: &str) -> Option<String> {
        let names = self.zip.file_names_raw().filter_map(|name| std::str::from_utf8(name).ok());
        names.filter(|name| name.starts_with(begins) && name.ends_with(ends)).min().map(str::to_owned)
    }

    /// The first bytes of a part.
    pub fn head(&mut self, name: &str, length: u64) -> Vec<u8> {
        let mut head = Vec::new();
        if let Ok(file) = self.zip.by_name(name) {
            // What cannot be read is as if it were not there.
            drop(file.take(length).read_to_end(&mut head));
        }
        head
    }

    /// A part as text; `None` when there is no such part.
    pub fn text(&mut self, name: &str, budget: &Budget) -> Result<Option<String>, Refusal> {
        let bytes = self.read(name, budget)?;
        Ok(bytes.map(|bytes| encoding::decode(&bytes, None).0.into_owned()))
    }

    /// What a part's header says of its size is not believed: reading stops at the budget.
    fn read(&mut self, name: &str, budget: &Budget) -> Result<Option<Vec<u8>>, Refusal> {
        let file = match self.zip.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::UnsupportedArchive(_) | ZipError::InvalidPassword) => {
                return Err(Refusal::encrypted(self.kind));
            }
            Err(_) => return Err(Refusal::broken(self.kind)),
        };
        let mut bytes = Vec::new();
        let read = file.take(budget.left_to_expand().saturating_add(1)).read_to_end(&mut bytes);
        budget.expand(bytes.len() as u64)?;
        read.map_err(|_| Refusal::broken(self.kind))?;
        budget.time()?;
        Ok(Some(bytes))
    }
}
