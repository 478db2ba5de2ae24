//! Checks a chain from its beginning to its end, a page at a time.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{Any, Row, Transaction};

use super::chain::{Block, Kind, Log, MARK, RecordHash, amendment_hash, mark, purge_hash, record_hash, summed, unhex};
use super::evaluation::content_hash;
use super::sql::Sql;
use super::{Database, StoreError, evaluation, usage};

/// Blocks read at once, and problems told at most; the rest are counted.
const PAGE: i64 = 200;
const TOLD: usize = 100;

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// `altered`, `removed`, `added`, `reordered`, `content_altered`, `content_removed`, `content_remains`, `block`,
    /// `amendment`, `start`, `end`, `head`.
    pub what: &'static str,
    /// Number of the block.
    pub block: i64,
    /// Id of the record, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Its place in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
}

/// What a chain was found to be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verified {
    pub log: &'static str,
    /// Nothing is wrong.
    pub intact: bool,
    pub blocks: i64,
    pub records: i64,
    /// Contents still there, whose hash was checked too.
    pub contents: i64,
    /// Contents gone by the retention or an erasure; their records still verify.
    pub purged: i64,
    /// Records stored before there was a chain.
    pub unchained: i64,
    /// Number and hash of the last block that the retention took away; 0 and empty when none was.
    pub start: Point,
    /// Of the last block: to be noted elsewhere, and given back as `--expect`.
    pub head: Point,
    pub faults: Vec<Fault>,
    /// Faults in all.
    pub wrong: usize,
}

/// A block by its number and hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Point {
    pub number: i64,
    pub hash: String,
}

type Tx = Transaction<'static, Any>;

/// A record as it is now.
struct Stored {
    seq: i64,
    id: String,
    hash: RecordHash,
}

impl Verified {
    fn fault(&mut self, what: &'static str, block: i64, record: Option<String>, seq: Option<i64>) {
        self.wrong += 1;
        if self.faults.len() < TOLD {
            self.faults.push(Fault { what, block, record, seq });
        }
    }
}

impl Database {
    /// Checks one log in memory that does not grow with it. `expect`: a point noted earlier, that must still be in it.
    pub async fn verify(&self, log: Log, expect: Option<&Point>) -> Result<Verified, StoreError> {
        // What is written while we read is not seen, and a purge under way tears nothing out of what is.
        let mut tx = self.snapshot().await?;
        let mut told = Verified { log: log.as_str(), ..Verified::default() };
        let query = sqlx::query(
            "SELECT number, hash, next_seq, start_number, start_hash, created_at FROM log_chains WHERE log = $1",
        );
        let end = query.bind(log.as_str()).fetch_one(&mut *tx).await?;
        told.start = Point { number: end.try_get("start_number")?, hash: end.try_get("start_hash")? };
        told.head = Point { number: end.try_get("number")?, hash: end.try_get("hash")? };
        let (next_seq, since): (i64, i64) = (end.try_get("next_seq")?, end.try_get("created_at")?);
        let mut last = told.start.clone();
        let (mut place, mut first) = (None, true);
        let mut declared = told.start.number == 0;
        let mut met = expect.is_none_or(|point| *point == told.start);
        while last.number < told.head.number {
            let blocks = blocks(&mut tx, log, last.number, told.head.number).await?;
            if blocks.is_empty() {
                break;
            }
            for block in blocks {
                if block.number != last.number + 1 || block.hash != block.expected(log, &last.hash) {
                    told.fault("block", block.number, None, None);
                }
                if place.is_some_and(|place| place != block.first_seq) {
                    told.fault("block", block.number, None, Some(block.first_seq));
                }
                if first {
                    gone_before(&mut tx, log, block.first_seq, &mut told).await?;
                }
                first = false;
                match block.kind {
                    Kind::Records => check_records(&mut tx, log, &block, &mut told).await?,
                    Kind::Amend => check_amendments(&mut tx, log, &block, &mut told).await?,
                    Kind::Purge => {
                        let line = purge_hash(told.start.number, &told.start.hash);
                        declared |= summed([&line]).0 == block.digest;
                    }
                }
                told.blocks += 1;
                met |= expect.is_some_and(|point| point.number == block.number && point.hash == block.hash);
                place = Some(block.first_seq + block.records);
                last = Point { number: block.number, hash: block.hash };
            }
        }
        if !declared {
            told.fault("start", told.start.number, None, None);
        }
        if last != told.head || place.is_some_and(|place| place != next_seq) {
            told.fault("end", last.number, None, None);
        }
        // A point that the retention has taken away can no longer be looked for.
        if !met && expect.is_some_and(|point| point.number >= told.start.number) {
            told.fault("head", expect.map_or(0, |point| point.number), None, None);
        }
        if log == Log::Usage {
            unchained(&mut tx, since, &mut told).await?;
        }
        told.intact = told.wrong == 0;
        Ok(told)
    }
}

async fn blocks(tx: &mut Tx, log: Log, after: i64, last: i64) -> Result<Vec<Block>, StoreError> {
    let mut sql = Sql::new("SELECT t.* FROM log_blocks t WHERE t.log = ");
    sql.bind(log.as_str()).push(" AND t.number > ").bind(after).push(" AND t.number <= ").bind(last);
    sql.push(" ORDER BY t.number LIMIT ").bind(PAGE);
    Ok(sql.fetch(&mut **tx).await?.iter().map(Block::read).collect::<Result<_, _>>()?)
}

/// The records at some places, as they are now, their contents checked.
async fn rows(tx: &mut Tx, log: Log, block: &Block, told: &mut Verified) -> Result<Vec<Stored>, StoreError> {
    let mut sql = Sql::new(match log {
        Log::Usage => "SELECT t.* FROM usage_records t",
        Log::Evaluation => {
            "SELECT t.*, c.salt, c.content FROM evaluation_records t LEFT JOIN evaluation_contents c ON c.id = t.id"
        }
    });
    sql.push(" WHERE t.seq >= ").bind(block.first_seq).push(" AND t.seq < ").bind(block.first_seq + block.records);
    sql.push(" ORDER BY t.seq");
    let mut rows = Vec::new();
    for row in &sql.fetch(&mut **tx).await? {
        let (id, seq): (String, i64) = (row.try_get("id")?, row.try_get("seq")?);
        // What cannot even be read was altered: its hash is that of nothing.
        let hash = match log {
            Log::Usage => usage::read(row).ok().map(|record| record_hash(&record)),
            Log::Evaluation => evaluation::read(row).ok().map(|record| record_hash(&record)),
        };
        let hash = hash.transpose()?.unwrap_or_default();
        if log == Log::Evaluation {
            let salt: Option<String> = row.try_get("salt")?;
            let content: Option<String> = row.try_get("content")?;
            let purged = row.try_get::<Option<i64>, _>("purged_at")?.is_some();
            let what = match (salt.zip(content), purged) {
                (Some(_), true) => Some("content_remains"),
                (None, false) => Some("content_removed"),
                (None, true) => {
                    told.purged += 1;
                    None
                }
                (Some((salt, content)), false) => {
                    told.contents += 1;
                    (content_hash(&salt, &content) != row.try_get::<String, _>("content_hash")?)
                        .then_some("content_altered")
                }
            };
            if let Some(what) = what {
                told.fault(what, block.number, Some(id.clone()), Some(seq));
            }
        }
        rows.push(Stored { seq, id, hash });
    }
    Ok(rows)
}

async fn check_records(tx: &mut Tx, log: Log, block: &Block, told: &mut Verified) -> Result<(), StoreError> {
    let mut rows = rows(tx, log, block, told).await?;
    told.records += block.records;
    take_back_amendments(tx, log, block, &mut rows, told).await?;
    let whole = i64::try_from(rows.len()).is_ok_and(|count| count == block.records);
    if whole && summed(rows.iter().map(|row| &row.hash)) == (block.digest.clone(), block.marks.clone()) {
        return Ok(());
    }
    // Which one: by the marks, each the beginning of the hash at its place.
    let before = told.wrong;
    let marks: Vec<&str> =
        (0..block.marks.len() / MARK).filter_map(|at| block.marks.get(at * MARK..(at + 1) * MARK)).collect();
    let by_place: HashMap<i64, &Stored> = rows.iter().map(|row| (row.seq, row)).collect();
    for (seq, known) in (block.first_seq..).zip(&marks) {
        match by_place.get(&seq) {
            None => told.fault("removed", block.number, None, Some(seq)),
            Some(row) if mark(&row.hash) == **known => {}
            Some(row) => {
                let here = mark(&row.hash);
                let what = if marks.contains(&here.as_str()) { "reordered" } else { "altered" };
                told.fault(what, block.number, Some(row.id.clone()), Some(seq));
            }
        }
    }
    if told.wrong == before {
        told.fault("block", block.number, None, Some(block.first_seq));
    }
    Ok(())
}

/// Puts the hash that each record had when it was chained in the place of the one that a declared change gave it.
async fn take_back_amendments(
    tx: &mut Tx,
    log: Log,
    block: &Block,
    rows: &mut [Stored],
    told: &mut Verified,
) -> Result<(), StoreError> {
    let mut sql = Sql::new("SELECT t.seq, t.hash_before, t.hash_after FROM log_amendments t WHERE t.log = ");
    sql.bind(log.as_str()).push(" AND t.seq >= ").bind(block.first_seq);
    sql.push(" AND t.seq < ").bind(block.first_seq + block.records).push(" ORDER BY t.block DESC, t.place DESC");
    for change in &sql.fetch(&mut **tx).await? {
        let seq: i64 = change.try_get("seq")?;
        let (before, after) = (unhex(change.try_get("hash_before")?), unhex(change.try_get("hash_after")?));
        let Some(row) = rows.iter_mut().find(|row| row.seq == seq) else { continue };
        match (before, after) {
            (Some(before), Some(after)) if after == row.hash => row.hash = before,
            _ => told.fault("amendment", block.number, Some(row.id.clone()), Some(seq)),
        }
    }
    Ok(())
}

async fn check_amendments(tx: &mut Tx, log: Log, block: &Block, told: &mut Verified) -> Result<(), StoreError> {
    let mut sql = Sql::new("SELECT t.seq, t.hash_before, t.hash_after FROM log_amendments t WHERE t.log = ");
    sql.bind(log.as_str()).push(" AND t.block = ").bind(block.number).push(" ORDER BY t.place");
    let mut hashes = Vec::new();
    for change in &sql.fetch(&mut **tx).await? {
        let before = unhex(change.try_get("hash_before")?).unwrap_or_default();
        let after = unhex(change.try_get("hash_after")?).unwrap_or_default();
        hashes.push(amendment_hash(&(change.try_get("seq")?, before, after)));
    }
    if summed(&hashes).0 != block.digest {
        told.fault("amendment", block.number, None, None);
    }
    Ok(())
}

/// Records whose place is before the first block that is left.
async fn gone_before(tx: &mut Tx, log: Log, first_seq: i64, told: &mut Verified) -> Result<(), StoreError> {
    let mut sql = Sql::new(match log {
        Log::Usage => "SELECT t.id, t.seq FROM usage_records t WHERE t.seq < ",
        Log::Evaluation => "SELECT t.id, t.seq FROM evaluation_records t WHERE t.seq < ",
    });
    sql.bind(first_seq).push(" ORDER BY t.seq LIMIT ").bind(PAGE);
    for row in &sql.fetch(&mut **tx).await? {
        told.fault("added", told.start.number, Some(row.try_get("id")?), Some(row.try_get("seq")?));
    }
    Ok(())
}

/// Records without a place: older than the chain, or put in beside it.
async fn unchained(tx: &mut Tx, since: i64, told: &mut Verified) -> Result<(), StoreError> {
    let count: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM usage_records WHERE seq IS NULL").fetch_one(&mut **tx).await?;
    told.unchained = count;
    if since == 0 {
        return Ok(());
    }
    let mut sql = Sql::new("SELECT t.id FROM usage_records t WHERE t.seq IS NULL AND t.started_at >= ");
    sql.bind(since).push(" ORDER BY t.started_at LIMIT ").bind(PAGE);
    for row in &sql.fetch(&mut **tx).await? {
        told.fault("added", 0, Some(row.try_get("id")?), None);
    }
    Ok(())
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (french, english) = match self.what {
            "altered" => ("enregistrement modifié", "record altered"),
            "removed" => ("enregistrement supprimé", "record removed"),
            "added" => ("enregistrement ajouté hors de la chaîne", "record added beside the chain"),
            "reordered" => ("enregistrement déplacé", "record moved"),
            "content_altered" => ("contenu modifié", "content altered"),
            "content_removed" => ("contenu supprimé sans purge", "content removed without a purge"),
            "content_remains" => ("contenu encore là après sa purge", "content still there after its purge"),
            "amendment" => ("changement déclaré qui ne correspond pas", "declared change that does not match"),
            "start" => ("début de chaîne qu’aucune purge ne déclare", "beginning that no purge declares"),
            "end" => ("fin de chaîne manquante", "end of the chain missing"),
            "head" => ("le point attendu n’est plus dans la chaîne", "the expected point is no longer in the chain"),
            _ => ("bloc modifié, supprimé ou déplacé", "block altered, removed or moved"),
        };
        write!(f, "{french} / {english}: bloc / block {}", self.block)?;
        if let Some(seq) = self.seq {
            write!(f, ", place {seq}")?;
        }
        if let Some(record) = &self.record {
            write!(f, ", {record}")?;
        }
        Ok(())
    }
}

/// `NUMBER:HASH`.
impl std::str::FromStr for Point {
    type Err = String;
    fn from_str(text: &str) -> Result<Point, String> {
        let read = || {
            let (number, hash) = text.split_once(':')?;
            unhex(hash)?;
            Some(Point { number: number.parse().ok()?, hash: hash.to_owned() })
        };
        read().ok_or_else(|| format!("« {text} » : écrivez NUMÉRO:EMPREINTE / {text:?}: write NUMBER:HASH"))
    }
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::hex;
    use super::*;

    #[test]
    fn a_point_is_read_as_it_is_written() {
        let point = Point { number: 7, hash: hex(&[9; 32]) };
        assert_eq!(point.to_string().parse(), Ok(point));
        for wrong in ["", "7", "7:", "x:00", &format!("x:{}", hex(&[9; 32]))] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong}");
        }
    }
}
