//! Masks personal data in free text, French formats first.
//!
//! Each datum becomes its kind in brackets, `[email]`, and is counted. Time is linear in the text; masking twice changes
//! nothing more. What has a key (NIR, IBAN, bank cards) is masked only when the key is right; addresses need a number and
//! a kind of way, or a postal code; names need a civility before them. Names without a civility, and whatever a person
//! says about themselves in other words, are not found: redaction lowers a risk, it does not remove it.

mod checks;
mod names;
mod patterns;

use std::collections::BTreeMap;

use serde::Serialize;

/// What was masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Email,
    Phone,
    Nir,
    Iban,
    Card,
    Address,
    Name,
}

impl Kind {
    pub const ALL: [Kind; 7] = [Kind::Email, Kind::Phone, Kind::Nir, Kind::Iban, Kind::Card, Kind::Address, Kind::Name];

    /// What stands in its place.
    pub fn mask(self) -> &'static str {
        match self {
            Kind::Email => "[email]",
            Kind::Phone => "[téléphone]",
            Kind::Nir => "[NIR]",
            Kind::Iban => "[IBAN]",
            Kind::Card => "[carte]",
            Kind::Address => "[adresse]",
            Kind::Name => "[nom]",
        }
    }
}

/// A text without the personal data that was found in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Redacted {
    pub text: String,
    /// How many of each kind were masked now.
    pub masked: BTreeMap<Kind, usize>,
}

/// Masks a text.
pub fn redact(text: &str) -> Redacted {
    let mut redacted = Redacted { text: text.to_owned(), masked: BTreeMap::new() };
    // What holds digits with a key comes before phones, whose digits have none.
    for kind in [Kind::Email, Kind::Iban, Kind::Nir, Kind::Card, Kind::Phone, Kind::Address, Kind::Name] {
        let found = match kind {
            Kind::Email => patterns::emails(&redacted.text),
            Kind::Iban => patterns::ibans(&redacted.text),
            Kind::Nir => patterns::nirs(&redacted.text),
            Kind::Card => patterns::cards(&redacted.text),
            Kind::Phone => patterns::phones(&redacted.text),
            Kind::Address => patterns::addresses(&redacted.text),
            Kind::Name => names::names(&redacted.text),
        };
        if found.is_empty() {
            continue;
        }
        redacted.masked.insert(kind, found.len());
        let mut masked = String::with_capacity(redacted.text.len());
        let mut from = 0;
        for span in found {
            masked.push_str(&redacted.text[from..span.start]);
            masked.push_str(kind.mask());
            from = span.end;
        }
        masked.push_str(&redacted.text[from..]);
        redacted.text = masked;
    }
    redacted
}

#[cfg(test)]
mod tests;
