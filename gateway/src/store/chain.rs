//! The chains of both logs: each batch of records leaves a block, whose hash covers the records' own hashes and the block
//! before it. Whoever alters, removes, adds or moves a record later would have to write all later blocks anew, and the last
//! hash that somebody noted elsewhere would no longer be found.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, SqlSafeStr, Transaction};

use super::StoreError;
use super::link::Writes;

/// A log of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Log {
    Usage,
    Evaluation,
}

impl Log {
    pub const ALL: [Log; 2] = [Log::Usage, Log::Evaluation];

    pub const fn as_str(self) -> &'static str {
        match self {
            Log::Usage => "usage",
            Log::Evaluation => "evaluation",
        }
    }
}

/// SHA-256 of a record's fields in order, in the encoding of the journal (postcard): as JSON, writing and hashing them was
/// nearly a third of what recording cost.
pub type RecordHash = [u8; 32];

/// The hash of what a record says.
pub fn record_hash(record: &impl serde::Serialize) -> Result<RecordHash, StoreError> {
    let bytes = postcard::to_extend(record, Vec::with_capacity(512));
    let bytes = bytes.map_err(|error| StoreError::Other(error.to_string()))?;
    Ok(encoded_hash(&bytes))
}

/// The same for a record as it was encoded.
pub fn encoded_hash(postcard: &[u8]) -> RecordHash {
    Sha256::digest(postcard).into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Characters of one mark: six bytes of a record's hash.
pub const MARK: usize = 8;

/// The beginning of a hash, to tell which record of a block is wrong.
pub fn mark(hash: &RecordHash) -> String {
    STANDARD.encode(&hash[..6])
}

/// Why a block was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Records were stored.
    Records,
    /// Records were changed by an erasure.
    Amend,
    /// Old blocks and their records were taken away by the retention.
    Purge,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Kind::Records => "records",
            Kind::Amend => "amend",
            Kind::Purge => "purge",
        }
    }

    pub fn parse(word: &str) -> Option<Kind> {
        [Kind::Records, Kind::Amend, Kind::Purge].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One link of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    pub number: i64,
    /// Unix milliseconds.
    pub at: i64,
    pub kind: Kind,
    pub first_seq: i64,
    pub records: i64,
    /// Unix milliseconds of its latest record.
    pub newest: i64,
    pub digest: String,
    pub marks: String,
    pub hash: String,
}

impl Block {
    /// The hash that follows from the fields and the block before.
    pub fn expected(&self, log: Log, previous: &str) -> String {
        let said = format!(
            "guichet-log-1\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{previous}\n",
            log.as_str(),
            self.number,
            self.at,
            self.kind.as_str(),
            self.first_seq,
            self.records,
            self.newest,
            self.digest,
            self.marks,
        );
        hex(&Sha256::digest(said))
    }

    pub(super) fn read(row: &AnyRow) -> Result<Block, sqlx::Error> {
        let kind: &str = row.try_get("kind")?;
        Ok(Block {
            number: row.try_get("number")?,
            at: row.try_get("at")?,
            kind: super::projects::column("kind", Kind::parse(kind).ok_or("not a kind of block"))?,
            first_seq: row.try_get("first_seq")?,
            records: row.try_get("records")?,
            newest: row.try_get("newest")?,
            digest: row.try_get("digest")?,
            marks: row.try_get("marks")?,
            hash: row.try_get("hash")?,
        })
    }
}

/// Digest and marks of hashes, in order.
pub fn summed<'h>(hashes: impl IntoIterator<Item = &'h RecordHash>) -> (String, String) {
    let (mut digest, mut marks) = (Sha256::new(), String::new());
    for hash in hashes {
        digest.update(hash);
        marks.push_str(&mark(hash));
    }
    (hex(&digest.finalize()), marks)
}

/// The end of a chain, held against every other writer until the transaction ends.
pub(super) struct Head {
    log: Log,
    number: i64,
    hash: String,
    pub next_seq: i64,
}

impl Head {
    /// Takes the end of the chain. The row is locked from here on, so that batches of several replicas follow one another.
    pub async fn take(tx: &mut impl Writes, log: Log) -> Result<Head, StoreError> {
        let text = "UPDATE log_chains SET number = number WHERE log = $1 RETURNING number, hash, next_seq";
        let (number, hash, next_seq) = tx.last(text.into_sql_str(), &[log.as_str().into()]).await?;
        Ok(Head { log, number, hash, next_seq })
    }

    /// Adds a block about these hashes: records stored at `next_seq` and on, or changes and removals that take no place.
    pub async fn append(
        &mut self,
        tx: &mut impl Writes,
        kind: Kind,
        hashes: &[RecordHash],
        newest: i64,
    ) -> Result<i64, StoreError> {
        let (digest, marks) = summed(hashes);
        let places = if kind == Kind::Records { i64::try_from(hashes.len()).unwrap_or(i64::MAX) } else { 0 };
        let marks = if kind == Kind::Records { marks } else { String::new() };
        let mut block = Block {
            number: self.number + 1,
            at: super::now(),
            kind,
            first_seq: self.next_seq,
            records: places,
            newest,
            digest,
            marks,
            hash: String::new(),
        };
        block.hash = block.expected(self.log, &self.hash);
        let text = "INSERT INTO log_blocks (log, number, at, kind, first_seq, records, newest, digest, marks, hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let values = [
            self.log.as_str().into(),
            block.number.into(),
            block.at.into(),
            kind.as_str().into(),
            block.first_seq.into(),
            block.records.into(),
            block.newest.into(),
            block.digest.as_str().into(),
            block.marks.as_str().into(),
            block.hash.as_str().into(),
        ];
        tx.run(text.into_sql_str(), &values).await?;
        self.number = block.number;
        self.next_seq += places;
        let text = "UPDATE log_chains SET number = $1, hash = $2, next_seq = $3, \
             created_at = CASE WHEN created_at = 0 THEN $4 ELSE created_at END WHERE log = $5";
        let values = [
            self.number.into(),
            block.hash.as_str().into(),
            self.next_seq.into(),
            block.at.into(),
            self.log.as_str().into(),
        ];
        tx.run(text.into_sql_str(), &values).await?;
        self.hash = block.hash;
        Ok(block.number)
    }

    /// Declares that records were changed: place, hash before, hash after of each.
    pub async fn amend(
        &mut self,
        tx: &mut Transaction<'static, Any>,
        changes: &[(i64, RecordHash, RecordHash)],
    ) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let hashes: Vec<RecordHash> = changes.iter().map(amendment_hash).collect();
        let block = self.append(&mut **tx, Kind::Amend, &hashes, super::now()).await?;
        for (place, (seq, before, after)) in (0_i64..).zip(changes) {
            sqlx::query(
                "INSERT INTO log_amendments (log, block, place, seq, hash_before, hash_after) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(self.log.as_str())
            .bind(block)
            .bind(place)
            .bind(*seq)
            .bind(hex(before))
            .bind(hex(after))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

/// What an amendment's line in its block's digest is.
pub fn amendment_hash((seq, before, after): &(i64, RecordHash, RecordHash)) -> RecordHash {
    Sha256::digest(format!("{seq}\n{}\n{}\n", hex(before), hex(after))).into()
}

/// The digest of a purge: the number and hash of the last block taken away.
pub fn purge_hash(number: i64, hash: &str) -> RecordHash {
    Sha256::digest(format!("{number}\n{hash}\n")).into()
}

/// Bytes of a hash written in hexadecimal.
pub fn unhex(text: &str) -> Option<RecordHash> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways() {
        let hash: RecordHash = Sha256::digest(b"guichet").into();
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        assert_eq!(unhex("00"), None);
        assert_eq!(unhex(&"g".repeat(64)), None);
        assert_eq!(mark(&hash).len(), MARK);
    }

    #[test]
    fn a_block_s_hash_covers_each_field() {
        let block = Block {
            number: 1,
            at: 2,
            kind: Kind::Records,
            first_seq: 3,
            records: 4,
            newest: 5,
            digest: "d".into(),
            marks: "m".into(),
            hash: String::new(),
        };
        let hash = block.expected(Log::Usage, "p");
        let others = [
            Block { number: 9, ..block.clone() },
            Block { at: 9, ..block.clone() },
            Block { kind: Kind::Amend, ..block.clone() },
            Block { first_seq: 9, ..block.clone() },
            Block { records: 9, ..block.clone() },
            Block { newest: 9, ..block.clone() },
            Block { digest: "e".into(), ..block.clone() },
            Block { marks: "n".into(), ..block.clone() },
        ];
        assert!(others.iter().all(|other| other.expected(Log::Usage, "p") != hash));
        assert!(block.expected(Log::Usage, "q") != hash && block.expected(Log::Evaluation, "p") != hash);
    }
}
