//! Vectors of an embedding engine, each asked once: what was embedded is kept in a file by the hash of its text.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::Failure;

/// Texts in one request.
const BATCH: usize = 16;
/// A record: the hash of a text, then how many numbers follow, then these, all little-endian.
const KEY: usize = 32;

type Key = [u8; KEY];

/// Vectors by text, of one model.
pub struct Vectors {
    client: Client<OpenAIConfig>,
    model: String,
    file: Option<File>,
    known: HashMap<Key, Vec<f32>>,
}

impl Vectors {
    /// Opens what is kept of a model in a folder; without a folder nothing is kept.
    pub fn open(url: &str, key: Option<&str>, model: &str, folder: Option<&Path>) -> Result<Vectors, Failure> {
        let client = Client::with_config(OpenAIConfig::new().with_api_base(url).with_api_key(key.unwrap_or("none")));
        let mut known = HashMap::new();
        let file = match folder {
            None => None,
            Some(folder) => {
                std::fs::create_dir_all(folder)?;
                let path = place(folder, model);
                let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                let whole = read(&bytes, &mut known);
                // What a kill left of a record is cut off, or those after it could not be read.
                file.set_len(whole as u64)?;
                Some(file)
            }
        };
        Ok(Vectors { client, model: model.to_owned(), file, known })
    }

    /// Embeds what is not known yet. `tell` hears how many are done, of how many.
    pub async fn embed(&mut self, texts: &[String], tell: &mut dyn FnMut(usize, usize)) -> Result<(), Failure> {
        let mut asked = HashSet::new();
        let missing: Vec<&String> =
            texts.iter().filter(|text| !self.known.contains_key(&hash(text)) && asked.insert(text.as_str())).collect();
        for (nth, batch) in missing.chunks(BATCH).enumerate() {
            tell(nth * BATCH, missing.len());
            let request = json!({"model": self.model, "input": batch, "encoding_format": "float"});
            let answer: Value = self
                .client
                .embeddings()
                .create_byot(request)
                .await
                .map_err(|error| Failure(format!("le moteur de vecteurs / the embedding engine: {error}")))?;
            let vectors = crate::openai::embeddings::vectors(answer.to_string().as_bytes(), batch.len())
                .map_err(|_| Failure("réponse sans vecteurs valables / an answer without valid vectors".to_owned()))?;
            for (text, vector) in batch.iter().zip(vectors.0) {
                self.keep(hash(text), unit(vector))?;
            }
        }
        Ok(())
    }

    /// The vector of a text that was embedded, of length 1.
    pub fn get(&self, text: &str) -> Result<&Vec<f32>, Failure> {
        let unknown = || Failure("un texte sans vecteur / a text without vector".to_owned());
        self.known.get(&hash(text)).ok_or_else(unknown)
    }

    fn keep(&mut self, key: Key, vector: Vec<f32>) -> Result<(), Failure> {
        if let Some(other) = self.known.values().next()
            && other.len() != vector.len()
        {
            let (known, new) = (other.len(), vector.len());
            return Err(Failure(format!(
                "le modèle donne {new} nombres, le cache en a {known} / the model gives {new} numbers, the cache has {known}"
            )));
        }
        if let Some(file) = &mut self.file {
            let mut record = key.to_vec();
            record.extend(u32::try_from(vector.len())?.to_le_bytes());
            record.extend(vector.iter().flat_map(|number| number.to_le_bytes()));
            file.write_all(&record)?;
        }
        self.known.insert(key, vector);
        Ok(())
    }
}

fn hash(text: &str) -> Key {
    Sha256::digest(text.as_bytes()).into()
}

/// A name that is safe in any folder, and distinct for each model.
fn place(folder: &Path, model: &str) -> PathBuf {
    folder.join(format!("{}.vectors", rag::index::Space::new(model, 1).name().trim_end_matches("-1")))
}

/// Reads whole records; says how many bytes they are.
fn read(bytes: &[u8], known: &mut HashMap<Key, Vec<f32>>) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some((key, rest)) = rest.split_first_chunk::<KEY>() else { return at };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return at };
        let length = u32::from_le_bytes(*length) as usize * 4;
        let Some(numbers) = rest.get(..length) else { return at };
        let number = |bytes: &[u8]| bytes.first_chunk::<4>().map(|bytes| f32::from_le_bytes(*bytes));
        known.insert(*key, numbers.chunks_exact(4).filter_map(number).collect());
        at += KEY + 4 + length;
    }
}

fn unit(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.into_iter().map(|number| number / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_back_and_half_a_record_is_cut() {
        let folder = tempfile();
        let mut vectors = Vectors::open("http://127.0.0.1:1/v1", None, "m/1", Some(&folder)).unwrap();
        vectors.keep(hash("un"), unit(vec![3.0, 4.0])).unwrap();
        vectors.keep(hash("deux"), unit(vec![0.0, 2.0])).unwrap();
        assert!(vectors.keep(hash("trois"), vec![1.0]).is_err(), "another model under the same name");
        drop(vectors);
        let path = place(&folder, "m/1");
        let size = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(size - 3).unwrap();
        let vectors = Vectors::open("http://127.0.0.1:1/v1", None, "m/1", Some(&folder)).unwrap();
        assert_eq!(vectors.get("un").unwrap(), &[0.6, 0.8]);
        assert!(vectors.get("deux").is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), size / 2);
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn tempfile() -> PathBuf {
        std::env::temp_dir().join(format!("guichet-vectors-{}-{}", std::process::id(), fastrand::u64(..)))
    }
}
