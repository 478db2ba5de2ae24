//! What there is to ingest under some paths: files, entries of archives, lines of JSONL.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value};

/// Largest entry of an archive, and line of JSONL: the gateway would refuse more.
const LARGEST: u64 = 64 << 20;

/// One document to be.
#[derive(Debug)]
pub struct Item {
    /// As messages name it.
    pub label: String,
    /// As the collection names it. The same at each run, so that what is there already is found.
    pub name: String,
    pub metadata: Option<Value>,
    pub content: Content,
}

/// Where the bytes are.
#[derive(Debug)]
pub enum Content {
    File(PathBuf),
    Held(Bytes),
}

impl Content {
    pub fn read(&self) -> Result<Bytes, String> {
        match self {
            Content::Held(bytes) => Ok(bytes.clone()),
            Content::File(path) => std::fs::read(path).map(Bytes::from).map_err(|error| error.to_string()),
        }
    }
}

/// A file as it was found, with the name it is to have.
struct Found {
    path: PathBuf,
    name: String,
}

/// A file that holds many documents, being read.
enum Open {
    Archive { archive: zip::ZipArchive<File>, next: usize, name: String },
    Lines { lines: BufReader<File>, line: u64, name: String },
}

/// Everything under some paths, read one after the other.
pub struct Sources {
    /// How many documents there are.
    pub total: usize,
    found: VecDeque<Found>,
    open: Option<Open>,
}

/// What could not be read, and why.
pub type Unread = (String, String);

fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("zip"))
}

fn is_lines(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("jsonl") || end.eq_ignore_ascii_case("ndjson"))
}

impl Sources {
    /// Finds and counts. A path that is not there is an error at once: nothing was sent yet.
    pub fn find(paths: &[PathBuf]) -> Result<Sources, String> {
        let mut found = VecDeque::new();
        for path in paths {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let meta = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if meta.is_dir() {
                walk(path, "", &mut found)?;
            } else {
                found.push_back(Found { path: path.clone(), name });
            }
        }
        let total = found.iter().map(|found| count(&found.path)).sum();
        Ok(Sources { total, found, open: None })
    }

    fn open(found: &Found) -> Result<Option<Open>, String> {
        let file = || File::open(&found.path).map_err(|error| error.to_string());
        let name = found.name.clone();
        if is_archive(&found.path) {
            let archive = zip::ZipArchive::new(file()?).map_err(|error| error.to_string())?;
            return Ok(Some(Open::Archive { archive, next: 0, name }));
        }
        if is_lines(&found.path) {
            return Ok(Some(Open::Lines { lines: BufReader::new(file()?), line: 0, name }));
        }
        Ok(None)
    }
}

impl Iterator for Sources {
    type Item = Result<Item, Unread>;

    fn next(&mut self) -> Option<Result<Item, Unread>> {
        loop {
            if let Some(open) = &mut self.open {
                let next = match open {
                    Open::Archive { archive, next, name } => entry(archive, next, name),
                    Open::Lines { lines, line, name } => record(lines, line, name),
                };
                if next.is_some() {
                    return next;
                }
                self.open = None;
            }
            let found = self.found.pop_front()?;
            match Sources::open(&found) {
                Err(reason) => return Some(Err((found.path.display().to_string(), reason))),
                Ok(Some(open)) => self.open = Some(open),
                Ok(None) => {
                    let label = found.path.display().to_string();
                    let content = Content::File(found.path);
                    return Some(Ok(Item { label, name: found.name, metadata: None, content }));
                }
            }
        }
    }
}

/// Files of a folder, hidden ones left out, in the order of their names.
fn walk(folder: &Path, prefix: &str, found: &mut VecDeque<Found>) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut entries: Vec<_> = std::fs::read_dir(folder).map_err(told)?.collect::<Result<_, _>>().map_err(told)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let own = entry.file_name().to_string_lossy().into_owned();
        if own.starts_with('.') {
            continue;
        }
        let (path, name) = (entry.path(), format!("{prefix}{own}"));
        // Links are not followed: a loop of them has no end.
        let kind = entry.file_type().map_err(told)?;
        if kind.is_dir() {
            walk(&path, &format!("{name}/"), found)?;
        } else if kind.is_file() {
            found.push_back(Found { path, name });
        }
    }
    Ok(())
}

fn count(path: &Path) -> usize {
    let Ok(file) = File::open(path) else { return 1 };
    if is_archive(path) {
        let Ok(mut archive) = zip::ZipArchive::new(file) else { return 1 };
        return (0..archive.len()).filter(|nth| archive.by_index(*nth).is_ok_and(|entry| entry.is_file())).count();
    }
    if is_lines(path) {
        let lines = BufReader::new(file).split(b'\n');
        return lines.map_while(Result::ok).filter(|line| !line.trim_ascii().is_empty()).count();
    }
    1
}

/// The next file of an archive.
fn entry(archive: &mut zip::ZipArchive<File>, next: &mut usize, of: &str) -> Option<Result<Item, Unread>> {
    while *next < archive.len() {
        let nth = *next;
        *next += 1;
        let entry = match archive.by_index(nth) {
            Ok(entry) => entry,
            Err(error) => return Some(Err((format!("{of}, entry {}", nth + 1), error.to_string()))),
        };
        if !entry.is_file() {
            continue;
        }
        let own = entry.name().map_or_else(|_| format!("#{}", nth + 1), std::borrow::Cow::into_owned);
        let name = format!("{of}/{}", own.trim_start_matches('/'));
        let mut bytes = Vec::new();
        return Some(match entry.take(LARGEST + 1).read_to_end(&mut bytes) {
            Err(error) => Err((name, error.to_string())),
            Ok(_) if bytes.len() as u64 > LARGEST => Err((name, "larger than 64 MiB".to_owned())),
            Ok(_) => Ok(Item { label: name.clone(), name, metadata: None, content: Content::Held(bytes.into()) }),
        });
    }
    None
}

/// The next line of a JSONL file.
fn record(lines: &mut BufReader<File>, line: &mut u64, of: &str) -> Option<Result<Item, Unread>> {
    loop {
        *line += 1;
        let label = format!("{of}, line {line}");
        let mut bytes = Vec::new();
        match lines.by_ref().take(LARGEST + 1).read_until(b'\n', &mut bytes) {
            Err(error) => return Some(Err((label, error.to_string()))),
            Ok(0) => return None,
            Ok(read) if read as u64 > LARGEST => {
                // The rest of the line is no line.
                let skipped = skip_line(lines);
                let reason = skipped.map_or_else(|error| error.to_string(), |()| "larger than 64 MiB".to_owned());
                return Some(Err((label, reason)));
            }
            Ok(_) if bytes.trim_ascii().is_empty() => {}
            Ok(_) => {
                let value: Result<Value, _> = serde_json::from_slice(&bytes);
                return Some(match value {
                    Ok(value) => Ok(of_record(value, label, &format!("{of}#{line}"))),
                    Err(error) => Err((label, error.to_string())),
                });
            }
        }
    }
}

fn skip_line(lines: &mut BufReader<File>) -> std::io::Result<()> {
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match memchr::memchr(b'\n', buffer) {
            Some(at) => {
                lines.consume(at + 1);
                return Ok(());
            }
            None => {
                let length = buffer.len();
                lines.consume(length);
            }
        }
    }
}

/// A record with a text is that text under its title, its other fields its metadata; any other is read as JSON.
fn of_record(value: Value, label: String, place: &str) -> Item {
    let text = ["text", "content", "contents", "body"].into_iter().find(|key| value[*key].is_string());
    let (Value::Object(mut fields), Some(text)) = (value.clone(), text) else {
        let content = Content::Held(Bytes::from(value.to_string()));
        return Item { label, name: format!("{place}.json"), metadata: None, content };
    };
    let text = fields.remove(text).and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
    let id = ["_id", "id"].into_iter().find_map(|key| match fields.get(key) {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    });
    let title = match fields.remove("title") {
        Some(Value::String(title)) => title.split_whitespace().collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    let content = if title.is_empty() { text } else { format!("# {title}\n\n{text}") };
    let mut metadata = match fields.remove("metadata") {
        Some(Value::Object(own)) => own,
        _ => Map::new(),
    };
    let plain = |value: &Value| match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => true,
        Value::Array(list) => list.iter().all(|one| one.is_string() || one.is_number() || one.is_boolean()),
        _ => false,
    };
    metadata.extend(fields.into_iter().filter(|(_, value)| plain(value)));
    Item {
        label,
        name: format!("{}.md", id.as_deref().unwrap_or(place)),
        metadata: (!metadata.is_empty()).then_some(Value::Object(metadata)),
        content: Content::Held(Bytes::from(content)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn name_and_text(item: &Item) -> (String, String) {
        (item.name.clone(), String::from_utf8_lossy(&item.content.read().unwrap()).into_owned())
    }

    #[test]
    fn folders_archives_and_lines_are_documents() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("b")).unwrap();
        std::fs::write(at("b/deux.txt"), "deux").unwrap();
        std::fs::write(at("a.txt"), "un").unwrap();
        std::fs::write(at(".caché"), "non").unwrap();
        std::fs::write(
            at("c.jsonl"),
            "{\"id\": 7, \"title\": \"T\", \"text\": \"trois\", \"theme\": \"x\"}\n\n{nul}\n[1]",
        )
        .unwrap();
        let mut archive = zip::ZipWriter::new(File::create(at("d.zip")).unwrap());
        let plain = zip::write::SimpleFileOptions::default();
        archive.add_directory("dossier/", plain).unwrap();
        archive.start_file("dossier/quatre.txt", plain).unwrap();
        archive.write_all(b"quatre").unwrap();
        archive.finish().unwrap();
        let sources = Sources::find(&[folder.path().to_owned()]).unwrap();
        assert_eq!(sources.total, 6);
        let (read, unread): (Vec<_>, Vec<_>) = sources.partition(Result::is_ok);
        let read: Vec<Item> = read.into_iter().filter_map(Result::ok).collect();
        let wanted = [
            ("a.txt", "un"),
            ("b/deux.txt", "deux"),
            ("7.md", "# T\n\ntrois"),
            ("c.jsonl#4.json", "[1]"),
            ("d.zip/dossier/quatre.txt", "quatre"),
        ];
        let wanted = wanted.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(read.iter().map(name_and_text).collect::<Vec<_>>(), wanted);
        assert_eq!(read[2].metadata, Some(json!({"id": 7, "theme": "x"})));
        assert_eq!(unread.len(), 1);
        assert!(matches!(&unread[0], Err((label, _)) if label == "c.jsonl, line 3"), "{unread:?}");
    }

    #[test]
    fn what_is_not_there_is_told_before_anything_is_sent() {
        assert!(Sources::find(&[PathBuf::from("/nowhere/at/all")]).is_err());
    }
}
