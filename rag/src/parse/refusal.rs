//! Why a file was not read, in words for the person who sent it.

use serde::{Deserialize, Serialize};

/// Nothing was read, for this reason. Crosses from the parsing process to its parent as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// The content is of no kind we recognise.
    UnknownKind,
    /// We know what it is, and do not read it.
    NotRead {
        kind: String,
    },
    /// It says what it is, and cannot be read as that.
    Broken {
        kind: String,
    },
    Encrypted {
        kind: String,
    },
    /// The file itself.
    TooLarge {
        limit: u64,
    },
    /// What it unpacks to: a zip bomb, or very large.
    TooMuchExpanded {
        limit: u64,
    },
    /// The text in it.
    TooMuchText {
        limit: u64,
    },
    TooManyPages {
        pages: u64,
        limit: u32,
    },
    TooDeep {
        limit: u32,
    },
    TooSlow {
        seconds: u64,
    },
    TooMuchMemory {
        limit: u64,
    },
    /// Every page that shows something is a scan.
    NeedsOcr {
        pages: Vec<u32>,
    },
    /// It can be read, and nothing is in it.
    Empty,
}

impl Refusal {
    pub(crate) fn broken(kind: &str) -> Refusal {
        Refusal::Broken { kind: kind.to_owned() }
    }

    pub(crate) fn encrypted(kind: &str) -> Refusal {
        Refusal::Encrypted { kind: kind.to_owned() }
    }

    pub(crate) fn not_read(kind: &str) -> Refusal {
        Refusal::NotRead { kind: kind.to_owned() }
    }

    /// A small, stable set, fit for a status field or a metric's label.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownKind => "unknown_kind",
            Refusal::NotRead { .. } => "not_read",
            Refusal::Broken { .. } => "broken",
            Refusal::Encrypted { .. } => "encrypted",
            Refusal::TooLarge { .. } => "too_large",
            Refusal::TooMuchExpanded { .. } => "too_much_expanded",
            Refusal::TooMuchText { .. } => "too_much_text",
            Refusal::TooManyPages { .. } => "too_many_pages",
            Refusal::TooDeep { .. } => "too_deep",
            Refusal::TooSlow { .. } => "too_slow",
            Refusal::TooMuchMemory { .. } => "too_much_memory",
            Refusal::NeedsOcr { .. } => "needs_ocr",
            Refusal::Empty => "empty",
        }
    }

    pub fn french(&self) -> String {
        match self {
            Refusal::UnknownKind => "Le contenu du fichier n’est d’aucun format connu.".to_owned(),
            Refusal::NotRead { kind } => {
                format!(
                    "Les fichiers de ce format ({kind}) ne sont pas lus ; convertissez celui-ci en PDF, DOCX ou ODT."
                )
            }
            Refusal::Broken { kind } => format!("Le fichier ({kind}) est endommagé ou incomplet."),
            Refusal::Encrypted { kind } => {
                format!("Le fichier ({kind}) est protégé par un mot de passe ; déposez-le sans protection.")
            }
            Refusal::TooLarge { limit } => format!("Le fichier dépasse {}.", size(*limit, "o")),
            Refusal::TooMuchExpanded { limit } => {
                format!("Une fois décompressé, le fichier dépasse {}.", size(*limit, "o"))
            }
            Refusal::TooMuchText { limit } => format!("Le texte du fichier dépasse {}.", size(*limit, "o")),
            Refusal::TooManyPages { pages, limit } => {
                format!("Le fichier a {pages} pages, plus que les {limit} admises ; découpez-le.")
            }
            Refusal::TooDeep { limit } => format!("Le contenu du fichier est imbriqué sur plus de {limit} niveaux."),
            Refusal::TooSlow { seconds } => format!("La lecture du fichier a dépassé {seconds} s."),
            Refusal::TooMuchMemory { limit } => {
                format!("La lecture du fichier a dépassé {} de mémoire.", size(*limit, "o"))
            }
            Refusal::NeedsOcr { pages } => {
                format!(
                    "Le fichier est numérisé, sans texte lisible ({}) : il faut une reconnaissance de caractères (OCR).",
                    these(pages)
                )
            }
            Refusal::Empty => "Le fichier ne contient aucun texte.".to_owned(),
        }
    }

    pub fn english(&self) -> String {
        match self {
            Refusal::UnknownKind => "The file’s content is of no known format.".to_owned(),
            Refusal::NotRead { kind } => {
                format!("Files of this format ({kind}) are not read; convert this one to PDF, DOCX or ODT.")
            }
            Refusal::Broken { kind } => format!("The file ({kind}) is damaged or incomplete."),
            Refusal::Encrypted { kind } => {
                format!("The file ({kind}) is protected by a password; upload it without protection.")
            }
            Refusal::TooLarge { limit } => format!("The file is larger than {}.", size(*limit, "B")),
            Refusal::TooMuchExpanded { limit } => {
                format!("Once unpacked, the file is larger than {}.", size(*limit, "B"))
            }
            Refusal::TooMuchText { limit } => format!("The file’s text is larger than {}.", size(*limit, "B")),
            Refusal::TooManyPages { pages, limit } => {
                format!("The file has {pages} pages, more than the {limit} allowed; split it.")
            }
            Refusal::TooDeep { limit } => format!("The file’s content is nested more than {limit} levels deep."),
            Refusal::TooSlow { seconds } => format!("Reading the file took more than {seconds} s."),
            Refusal::TooMuchMemory { limit } => {
                format!("Reading the file took more than {} of memory.", size(*limit, "B"))
            }
            Refusal::NeedsOcr { pages } => {
                format!(
                    "The file is scanned, without readable text ({}): it needs optical character recognition (OCR).",
                    these(pages)
                )
            }
            Refusal::Empty => "The file holds no text.".to_owned(),
        }
    }
}

/// French first, then English.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {}", self.french(), self.english())
    }
}

impl std::error::Error for Refusal {}

fn size(bytes: u64, unit: &str) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0..1024 => format!("{bytes} {unit}"),
        1024..MIB => format!("{} Ki{unit}", bytes / 1024),
        _ => format!("{} Mi{unit}", bytes / MIB),
    }
}

/// `page 3`, `pages 1-4, 7`: short however many there are.
fn these(pages: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &page in pages {
        match runs.last_mut() {
            Some((_, last)) if page == *last + 1 => *last = page,
            _ => runs.push((page, page)),
        }
    }
    let more = runs.len() > 8;
    let list: Vec<String> = runs
        .iter()
        .take(8)
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    let word = if pages.len() == 1 { "page" } else { "pages" };
    format!("{word} {}{}", list.join(", "), if more { ", …" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_briefly() {
        assert_eq!(these(&[3]), "page 3");
        assert_eq!(these(&[1, 2, 3, 7]), "pages 1-3, 7");
        let every_other: Vec<u32> = (0..50).map(|n| 2 * n + 1).collect();
        assert_eq!(these(&every_other), "pages 1, 3, 5, 7, 9, 11, 13, 15, …");
    }

    #[test]
    fn a_refusal_survives_its_crossing() {
        let refusal = Refusal::NeedsOcr { pages: vec![1, 2] };
        let json = serde_json::to_string(&refusal).unwrap();
        assert_eq!(json, r#"{"reason":"needs_ocr","pages":[1,2]}"#);
        assert_eq!(serde_json::from_str::<Refusal>(&json).unwrap(), refusal);
        assert!(refusal.to_string().starts_with("Le fichier est numérisé"), "{refusal}");
    }
}
