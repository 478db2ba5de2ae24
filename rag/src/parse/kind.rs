//! What a file is, from its content. Its name only decides between kinds of text that look alike.

use super::archive::Archive;
use super::{Refusal, delimited, encoding};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pdf,
    Docx,
    Odt,
    Html,
    Markdown,
    Text,
    Csv,
    Json,
    JsonLines,
}

/// First bytes of what people send and we do not read, with the name to tell them.
const NOT_READ: [(&[u8], &str); 22] = [
    (b"\x89PNG\r\n\x1a\n", "image PNG"),
    (b"\xff\xd8\xff", "image JPEG"),
    (b"GIF8", "image GIF"),
    (b"II*\0", "image TIFF"),
    (b"MM\0*", "image TIFF"),
    (b"BM", "image BMP"),
    (b"{\\rtf", "RTF"),
    (b"\x1f\x8b", "GZIP"),
    (b"7z\xbc\xaf\x27\x1c", "7Z"),
    (b"Rar!", "RAR"),
    (b"BZh", "BZIP2"),
    (b"\xfd7zXZ\0", "XZ"),
    (b"\x28\xb5\x2f\xfd", "ZSTD"),
    (b"\x7fELF", "ELF"),
    (b"MZ", "EXE"),
    (b"ID3", "audio MP3"),
    (b"OggS", "OGG"),
    (b"fLaC", "audio FLAC"),
    (b"\x1aE\xdf\xa3", "MKV"),
    (b"SQLite format 3", "SQLite"),
    (b"%!PS", "PostScript"),
    (b"PAR1", "Parquet"),
];

/// OLE: the older Office files, and the newer ones when they are encrypted.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

impl Kind {
    /// The kind of these bytes; `name` is the file's, with its extension.
    ///
    /// # Errors
    /// [`Refusal::UnknownKind`], [`Refusal::NotRead`], [`Refusal::Encrypted`], [`Refusal::Broken`], [`Refusal::Empty`].
    pub fn of(bytes: &[u8], name: &str) -> Result<Kind, Refusal> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::Empty);
        }
        let start = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
        if start.windows(5).any(|window| window == b"%PDF-") {
            return Ok(Kind::Pdf);
        }
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
            return Kind::of_zip(bytes);
        }
        if bytes.starts_with(OLE) {
            let package: Vec<u8> = "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect();
            let head = bytes.get(..bytes.len().min(1 << 20)).unwrap_or_default();
            let encrypted = head.windows(package.len()).any(|window| window == package);
            return Err(if encrypted { Refusal::encrypted("Office") } else { Refusal::not_read("Office 97-2003") });
        }
        // The two-letter marks also begin words.
        let binary = start.iter().any(|b| matches!(b, 0..=8 | 14..=26 | 28..=31));
        if let Some((_, kind)) = NOT_READ.iter().find(|(mark, _)| bytes.starts_with(mark) && (mark.len() > 2 || binary))
        {
            return Err(Refusal::not_read(kind));
        }
        if bytes.get(4..8) == Some(b"ftyp") {
            return Err(Refusal::not_read("MP4"));
        }
        Kind::of_text(bytes, name)
    }

    fn of_zip(bytes: &[u8]) -> Result<Kind, Refusal> {
        let mut archive = Archive::open(bytes, "ZIP")?;
        let mimetype = archive.head("mimetype", 100);
        let says = |kind: &[u8]| mimetype.windows(kind.len()).any(|window| window == kind);
        let kind = match () {
            () if archive.named("word/document", ".xml").is_some() => return Ok(Kind::Docx),
            () if says(b"opendocument.text") => return Ok(Kind::Odt),
            () if says(b"opendocument.spreadsheet") => "ODS",
            () if says(b"opendocument.presentation") => "ODP",
            () if says(b"epub") => "EPUB",
            () if archive.named("xl/", ".xml").is_some() => "XLSX",
            () if archive.named("ppt/", ".xml").is_some() => "PPTX",
            () => "ZIP",
        };
        Err(Refusal::not_read(kind))
    }

    fn of_text(bytes: &[u8], name: &str) -> Result<Kind, Refusal> {
        let sample = bytes.get(..bytes.len().min(64 << 10)).unwrap_or_default();
        let utf16 = sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff");
        let odd = sample.iter().filter(|b| matches!(b, 0..=8 | 14..=26 | 28..=31 | 127)).count();
        if !utf16 && odd * 100 > sample.len() {
            return Err(Refusal::UnknownKind);
        }
        let text = match std::str::from_utf8(sample) {
            Ok(text) => text.into(),
            // The sample may end inside a character.
            Err(error) if error.error_len().is_none() => {
                String::from_utf8_lossy(sample.get(..error.valid_up_to()).unwrap_or_default())
            }
            Err(_) => encoding::decode(sample, None).0,
        };
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let extension = name.rsplit_once('.').map(|(_, end)| end.to_lowercase()).unwrap_or_default();
        let lower = text.get(..text.floor_char_boundary(1024)).unwrap_or_default().to_lowercase();
        let whole = sample.len() == bytes.len();
        let first_line = text.lines().next().unwrap_or_default();
        Ok(match extension.as_str() {
            _ if lower.starts_with("<!doctype html") || lower.starts_with("<html") => Kind::Html,
            _ if lower.starts_with("<?xml") && lower.contains("<html") => Kind::Html,
            _ if lower.starts_with("<?xml") => return Err(Refusal::not_read("XML")),
            "html" | "htm" | "xhtml" if text.contains('<') => Kind::Html,
            _ if text.starts_with(['{', '[']) && is_json_lines(text) => Kind::JsonLines,
            _ if text.starts_with('{') && (extension == "json" || is_json(text, whole)) => Kind::Json,
            _ if text.starts_with('[') && (extension == "json" || is_json(text, whole)) => Kind::Json,
            "jsonl" | "ndjson" | "json" => return Err(Refusal::broken(&extension.to_uppercase())),
            "csv" | "tsv" => Kind::Csv,
            "md" | "markdown" => Kind::Markdown,
            "txt" | "text" => Kind::Text,
            _ if lower.starts_with("<!--") || (lower.starts_with('<') && lower.contains("</")) => Kind::Html,
            _ if is_markdown(text) => Kind::Markdown,
            _ if first_line.contains([';', '\t'])
                && text.lines().count() > 2
                && delimited::delimiter(text).is_some() =>
            {
                Kind::Csv
            }
            _ => Kind::Text,
        })
    }
}

/// Whether it begins as JSON: all of it, or a sample that is fine until it ends.
fn is_json(text: &str, whole: bool) -> bool {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => (error.is_eof() && !whole) || error.to_string().starts_with("recursion limit"),
    }
}

/// Whether the first two lines are each a value of their own.
fn is_json_lines(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let is_value = |line: &str| serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
    matches!((lines.next(), lines.next()), (Some(first), Some(second)) if is_value(first) && is_value(second))
}

/// A heading, and one more thing that is Markdown's.
fn is_markdown(text: &str) -> bool {
    let is_heading = |line: &str| line.trim_start_matches('#').starts_with(' ') && line.starts_with('#');
    let is_other = |line: &str| {
        let line = line.trim_start();
        is_heading(line)
            || line.starts_with("- ")
            || line.starts_with("* ")
            || line.starts_with("| ")
            || line.contains("](")
            || line.contains("**")
            || line.starts_with("```")
    };
    let lines: Vec<&str> = text.lines().take(400).collect();
    lines.iter().any(|line| is_heading(line)) && lines.iter().filter(|line| is_other(line)).count() > 1
}
