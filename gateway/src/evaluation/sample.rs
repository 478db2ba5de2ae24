//! Stratified samples: drawn with a seed, each item with the chance it had, and estimates that use it.
//!
//! A stratum is made of the fields asked for and of the chance on the live path, so that within one every request had the
//! same chance. In it, the records with the smallest SHA-256 of `SEED:ID` are drawn: a simple random sample that anybody
//! can draw again, whatever the order of the records.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use ::eval::Refusal;
use ::eval::stats::strata::{Stratum, stratified_mean};
use ::eval::stats::units::Clusters;
use ::eval::stats::{Estimate, Level};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::store::evaluation::EvaluationFilter;
use crate::store::page::Reach;
use crate::store::samples::{Candidate, Cell, FIELDS, FIELDS_MOST, NewSample, Sample, SampleItem};
use crate::store::{Database, StoreError};

/// Items of one sample, and strata, at most.
const ITEMS_MOST: u64 = 100_000;
const STRATA_MOST: usize = 10_000;
/// Items read at once.
const PAGE: i64 = 5_000;

/// What is wanted of a sample.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// 1 to 200 characters.
    #[schema(example = "novembre")]
    pub name: String,
    /// Only records of this organization; absent for an evaluator of the instance: of all.
    #[serde(default)]
    pub organization_id: Option<i64>,
    #[serde(default)]
    pub project_id: Option<i64>,
    /// Id of the model that answered.
    #[serde(default)]
    pub model: Option<String>,
    /// First day, `2026-11-01`; absent: from the first record.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub start: Option<jiff::civil::Date>,
    /// Day after the last.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub end: Option<jiff::civil::Date>,
    /// Fields that make the strata, at most six: `organization`, `project`, `model`, `use`, `language`, `endpoint`,
    /// `streamed`, `deployment`, `data_class`, `prompt`, `prompt_version`, `notice`, `outcome`, `day`.
    #[serde(default = "by")]
    #[schema(example = json!(["organization", "model", "use", "language"]))]
    pub by: Vec<String>,
    /// Items in all, shared out by the requests each stratum stands for, two a stratum at least.
    #[serde(default)]
    pub size: Option<u64>,
    /// Items of each stratum, instead of `size`.
    #[serde(default)]
    pub per_stratum: Option<u64>,
    /// The same seed over the same records draws the same sample.
    #[serde(default = "seed")]
    pub seed: i64,
}

fn by() -> Vec<String> {
    ["organization", "model", "use", "language"].map(str::to_owned).to_vec()
}

const fn seed() -> i64 {
    1
}

/// Why no sample can be drawn, in both languages.
fn wrong(param: &'static str, french: &'static str, english: &'static str) -> StoreError {
    StoreError::invalid(param, french, english)
}

fn midnight(day: jiff::civil::Date) -> Result<i64, StoreError> {
    day.to_zoned_datetime(jiff::tz::TimeZone::UTC)
        .map(|time| time.timestamp().as_millisecond())
        .map_err(|_| wrong("start", "Cette date est hors du calendrier.", "This date is out of the calendar."))
}

/// Draws a sample and stores it; its number.
///
/// # Errors
/// [`StoreError::Invalid`] names what is asked for and makes no sense.
pub async fn draw(database: &Database, ask: &Ask, made_by: Option<i64>) -> Result<i64, StoreError> {
    let drawn = drawn(database, ask, made_by).await?;
    database.insert_sample(&drawn).await
}

async fn drawn(database: &Database, ask: &Ask, made_by: Option<i64>) -> Result<NewSample, StoreError> {
    let name = ask.name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(wrong("name", "Le nom a de 1 à 200 caractères.", "The name has 1 to 200 characters."));
    }
    let expressions = fields(&ask.by)?;
    let filter = EvaluationFilter {
        reach: ask.organization_id.map_or(Reach::Everything, Reach::organization),
        organization: ask.organization_id,
        project: ask.project_id,
        model: ask.model.clone(),
        start: ask.start.map(midnight).transpose()?.unwrap_or(0),
        end: ask.end.map(midnight).transpose()?.unwrap_or(i64::MAX),
        held: true,
    };
    let mut population = database.population(filter, expressions).await?;
    let mut cells = population.cells().await?;
    cells.sort_by(|a, b| a.key.cmp(&b.key).then(a.live.total_cmp(&b.live)));
    let wanted = allocation(&cells, ask)?;
    let places: HashMap<(Vec<String>, u64), usize> =
        cells.iter().enumerate().map(|(at, cell)| ((cell.key.clone(), cell.live.to_bits()), at)).collect();
    // Each stratum holds the smallest of its hashes seen so far, the largest of them on top.
    let mut held: Vec<BinaryHeap<([u8; 32], String)>> = cells.iter().map(|_| BinaryHeap::new()).collect();
    let each = |one: Candidate| {
        let Some(at) = places.get(&(one.key, one.live.to_bits())).copied() else { return };
        let rank: [u8; 32] = Sha256::digest(format!("{}:{}", ask.seed, one.id)).into();
        let heap = &mut held[at];
        if (heap.len() as u64) < wanted[at] {
            heap.push((rank, one.id));
        } else if heap.peek().is_some_and(|(largest, _)| rank < *largest) {
            heap.pop();
            heap.push((rank, one.id));
        }
    };
    population.each(each).await?;
    let (mut strata, mut items) = (Vec::with_capacity(cells.len()), Vec::new());
    for (number, (cell, heap)) in (0_i64..).zip(cells.iter().zip(held)) {
        let drawn = heap.len();
        let probability = cell.live * drawn as f64 / cell.captured as f64;
        for (_, record_id) in heap.into_sorted_vec() {
            items.push(SampleItem { place: 0, record_id, stratum: number, probability });
        }
        let captured = i64::try_from(cell.captured).unwrap_or(i64::MAX);
        let population = cell.captured as f64 / cell.live;
        strata.push((named(&ask.by, cell), captured, population, i64::try_from(drawn).unwrap_or(i64::MAX)));
    }
    // Strata must not follow one another under the eyes of who annotates.
    items.sort_by_cached_key(|item| Sha256::digest(format!("{}:place:{}", ask.seed, item.record_id)));
    for (place, item) in (1_i64..).zip(&mut items) {
        item.place = place;
    }
    let asked = serde_json::to_string(ask).map_err(|error| StoreError::Other(error.to_string()))?;
    Ok(NewSample {
        name: name.to_owned(),
        organization_id: ask.organization_id,
        made_by,
        seed: ask.seed,
        asked,
        strata,
        items,
    })
}

/// The expressions of fields by their names.
fn fields(names: &[String]) -> Result<Vec<&'static str>, StoreError> {
    let mut seen = std::collections::HashSet::new();
    if names.len() > FIELDS_MOST || !names.iter().all(|name| seen.insert(name)) {
        return Err(wrong("by", "Six champs au plus, chacun une fois.", "Six fields at most, each once."));
    }
    names
        .iter()
        .map(|name| {
            FIELDS.iter().find(|(known, _)| known == name).map(|(_, expression)| *expression).ok_or_else(|| {
                wrong(
                    "by",
                    "Ce champ ne fait pas de strates ; voyez /reference.",
                    "This field makes no strata; see /reference.",
                )
            })
        })
        .collect()
}

/// A stratum's values as JSON.
fn named(by: &[String], cell: &Cell) -> String {
    let mut name: Map<String, Value> = by
        .iter()
        .zip(&cell.key)
        .map(|(field, value)| (field.clone(), if value.is_empty() { Value::Null } else { value.as_str().into() }))
        .collect();
    name.insert("live_probability".to_owned(), cell.live.into());
    Value::Object(name).to_string()
}

/// How many items each stratum gives.
fn allocation(cells: &[Cell], ask: &Ask) -> Result<Vec<u64>, StoreError> {
    if cells.len() > STRATA_MOST {
        return Err(wrong("by", "Ces champs font trop de strates.", "These fields make too many strata."));
    }
    let told = |n: &u64| (1..=ITEMS_MOST).contains(n);
    match (ask.size, ask.per_stratum) {
        (None, Some(each)) if told(&each) && each.saturating_mul(cells.len() as u64) <= ITEMS_MOST => {
            Ok(cells.iter().map(|cell| each.min(cell.captured)).collect())
        }
        (Some(size), None) if told(&size) => Ok(shared_out(cells, size)),
        _ => Err(wrong(
            "size",
            "Dites « size » ou « per_stratum », pour 1 à 100 000 éléments en tout.",
            "Say “size” or “per_stratum”, for 1 to 100,000 items in all.",
        )),
    }
}

/// Shares `size` out by what each stratum stands for: two items each first, so that each has a variance, then the rest to
/// whoever is furthest under its share.
fn shared_out(cells: &[Cell], size: u64) -> Vec<u64> {
    let stands_for = |cell: &Cell| cell.captured as f64 / cell.live;
    let mut wanted: Vec<u64> = cells.iter().map(|cell| cell.captured.min(2)).collect();
    let total: f64 = cells.iter().map(stands_for).sum();
    let mut left = size.saturating_sub(wanted.iter().sum());
    // Whole shares first; what rounding and full strata leave goes one by one, at most once around for each.
    for (cell, wanted) in cells.iter().zip(&mut wanted) {
        let share = (size as f64 * stands_for(cell) / total).floor() as u64;
        let more = share.saturating_sub(*wanted).min(cell.captured - *wanted).min(left);
        *wanted += more;
        left -= more;
    }
    while left > 0 {
        let mut behind: Vec<(f64, usize)> = cells
            .iter()
            .zip(&wanted)
            .enumerate()
            .filter(|(_, (cell, wanted))| **wanted < cell.captured)
            .map(|(at, (cell, wanted))| (size as f64 * stands_for(cell) / total - *wanted as f64, at))
            .collect();
        if behind.is_empty() {
            break;
        }
        behind.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for (_, at) in behind {
            if left == 0 {
                break;
            }
            wanted[at] += 1;
            left -= 1;
        }
    }
    wanted
}

/// What a sample says of the whole.
#[derive(Debug, Serialize)]
pub struct Estimated {
    pub sample_id: i64,
    /// Requests that the sample stands for.
    pub population: f64,
    /// Items drawn, and of them those without a value.
    pub drawn: usize,
    pub missing: usize,
    /// Values for records that are not in the sample.
    pub strangers: usize,
    /// Mean of the population, each stratum at its weight; null where one has no value.
    pub mean: Option<f64>,
    /// With its interval, by Student over strata; null where it is refused.
    pub estimate: Option<Estimate>,
    pub refused: Option<Refusal>,
}

/// Estimates the mean of a population from values of a sample's records. Answers to one end user count as one unit.
pub async fn estimate(
    database: &Database,
    sample: &Sample,
    values: &BTreeMap<String, f64>,
    level: Level,
) -> Result<Estimated, StoreError> {
    struct Seen {
        values: Vec<f64>,
        units: Vec<String>,
    }
    let mut seen: Vec<Seen> = sample.strata.iter().map(|_| Seen { values: Vec::new(), units: Vec::new() }).collect();
    let (mut drawn, mut met, mut last) = (0, 0, 0);
    loop {
        let page = database.sample_items(sample.id, PAGE, last).await?;
        let Some((item, _)) = page.last() else { break };
        last = item.place;
        drawn += page.len();
        for (item, end_user) in page {
            let Some(value) = values.get(&item.record_id) else { continue };
            met += 1;
            let at = usize::try_from(item.stratum).ok().and_then(|at| seen.get_mut(at));
            let Some(stratum) = at else { continue };
            stratum.values.push(*value);
            stratum.units.push(end_user.unwrap_or(item.record_id));
        }
    }
    let strata: Vec<Stratum> = sample
        .strata
        .iter()
        .zip(seen)
        .map(|(stratum, seen)| Stratum {
            name: stratum.name.get().to_owned(),
            population: stratum.population,
            clusters: Clusters::named(&seen.units),
            values: seen.values,
        })
        .collect();
    let population: f64 = strata.iter().map(|stratum| stratum.population).sum();
    let mean = strata.iter().all(|stratum| !stratum.values.is_empty()).then(|| {
        let of = |stratum: &Stratum| stratum.values.iter().sum::<f64>() / stratum.values.len() as f64;
        strata.iter().map(|stratum| stratum.population / population * of(stratum)).sum::<f64>()
    });
    let (estimate, refused) = match stratified_mean(&strata, level) {
        Ok(estimate) => (Some(estimate), None),
        Err(refusal) => (None, Some(refusal)),
    };
    Ok(Estimated {
        sample_id: sample.id,
        population,
        drawn,
        missing: drawn - met,
        strangers: values.len() - met,
        mean: mean.filter(|mean| mean.is_finite()),
        estimate,
        refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(captured: u64, live: f64) -> Cell {
        Cell { key: Vec::new(), live, captured }
    }

    #[test]
    fn a_size_is_shared_out_by_what_strata_stand_for() {
        // 100 captured at one in ten stand for 1000; 1000 captured at one for as many.
        assert_eq!(shared_out(&[cell(100, 0.1), cell(1_000, 1.0)], 100), [50, 50]);
        assert_eq!(shared_out(&[cell(3, 1.0), cell(997, 1.0)], 100), [2, 98]);
        // A full stratum gives what it has, the others the rest.
        assert_eq!(shared_out(&[cell(10, 0.01), cell(100, 1.0)], 60), [10, 50]);
        assert_eq!(shared_out(&[cell(1, 1.0), cell(2, 1.0)], 50), [1, 2]);
        assert_eq!(shared_out(&[], 50), Vec::<u64>::new());
        let wanted = shared_out(&[cell(333, 1.0), cell(333, 1.0), cell(334, 1.0)], 100);
        assert_eq!(wanted.iter().sum::<u64>(), 100);
    }
}
