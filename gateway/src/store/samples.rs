//! Samples: what was drawn for evaluation, and the chance that each record had.

use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::evaluation::EvaluationFilter;
use super::page::Reach;
use super::projects::column;
use super::sql::Sql;
use super::time::Time;
use super::{Database, StoreError};

/// Fields that strata may be made of, by their name and the expression of their text.
pub const FIELDS: [(&str, &str); 14] = [
    ("organization", "CAST(t.organization_id AS TEXT)"),
    ("project", "CAST(t.project_id AS TEXT)"),
    ("model", "t.model"),
    ("use", "COALESCE(t.use_case, '')"),
    ("language", "COALESCE(t.language, '')"),
    ("endpoint", "t.endpoint"),
    ("streamed", "CAST(t.streamed AS TEXT)"),
    ("deployment", "COALESCE(t.deployment, '')"),
    ("data_class", "t.data_class"),
    ("prompt", "COALESCE(t.prompt_id, '')"),
    ("prompt_version", "COALESCE(t.prompt_version, '')"),
    ("notice", "t.notice"),
    ("outcome", "t.outcome"),
    ("day", "CAST(t.at / 86400000 AS TEXT)"),
];

/// Fields of one sample at most, and their names in a query.
pub const FIELDS_MOST: usize = 6;
const KEYS: [(&str, &str); FIELDS_MOST] = [
    (" AS k0, ", "k0"),
    (" AS k1, ", "k1"),
    (" AS k2, ", "k2"),
    (" AS k3, ", "k3"),
    (" AS k4, ", "k4"),
    (" AS k5, ", "k5"),
];

/// Rows of one insert.
const ROWS: usize = 100;

/// Records that share their fields and their chance on the live path.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Values of the fields asked for, in their order.
    pub key: Vec<String>,
    /// Chance on the live path.
    pub live: f64,
    pub captured: u64,
}

/// One record that may be drawn.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub id: String,
    pub key: Vec<String>,
    pub live: f64,
}

fn key(row: &AnyRow, fields: usize) -> Result<Vec<String>, sqlx::Error> {
    KEYS.iter().take(fields).map(|(_, name)| row.try_get(*name)).collect()
}

/// Everything that may be drawn, as it is at one moment.
pub struct Population {
    tx: sqlx::Transaction<'static, sqlx::Any>,
    filter: EvaluationFilter,
    fields: Vec<&'static str>,
}

impl Population {
    fn select(&self, sql: &mut Sql) {
        for (expression, (alias, _)) in self.fields.iter().zip(KEYS) {
            sql.push(expression).push(alias);
        }
    }

    /// Cells and how many records each holds.
    pub async fn cells(&mut self) -> Result<Vec<Cell>, StoreError> {
        let mut sql = Sql::new("SELECT ");
        self.select(&mut sql);
        sql.push("t.probability, COUNT(*) AS n FROM evaluation_records t");
        self.filter.narrow(&mut sql);
        sql.push(" GROUP BY ");
        for place in [" 1, ", " 2, ", " 3, ", " 4, ", " 5, ", " 6, "].iter().take(self.fields.len()) {
            sql.push(place);
        }
        sql.push("t.probability");
        let rows = sql.fetch(&mut *self.tx).await?;
        let cells = rows.iter().map(|row| {
            Ok(Cell {
                key: key(row, self.fields.len())?,
                live: row.try_get("probability")?,
                captured: column("n", u64::try_from(row.try_get::<i64, _>("n")?))?,
            })
        });
        Ok(cells.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Each record, in no order: nothing is sorted and none is held.
    pub async fn each(&mut self, mut take: impl FnMut(Candidate)) -> Result<(), StoreError> {
        let mut sql = Sql::new("SELECT ");
        self.select(&mut sql);
        sql.push("t.probability, t.id FROM evaluation_records t");
        self.filter.narrow(&mut sql);
        let fields = self.fields.len();
        let mut rows = sql.stream(&mut *self.tx)?;
        while let Some(row) = rows.try_next().await? {
            take(Candidate { id: row.try_get("id")?, key: key(&row, fields)?, live: row.try_get("probability")? });
        }
        Ok(())
    }
}

/// A sample, without its items.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Sample {
    #[schema(example = 1)]
    pub id: i64,
    #[schema(example = "novembre")]
    pub name: String,
    /// Null: drawn over all organizations.
    pub organization_id: Option<i64>,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub made: Time,
    /// Member who drew it; null from the command line.
    pub made_by: Option<i64>,
    pub seed: i64,
    /// What was asked for: drawing again over the same records gives the same sample.
    #[schema(value_type = Object)]
    pub asked: Box<RawValue>,
    /// Records that could have been drawn.
    pub captured: i64,
    pub drawn: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strata: Vec<SampleStratum>,
}

/// One stratum of a sample.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SampleStratum {
    pub number: i64,
    /// Its values, its chance on the live path among them.
    #[schema(value_type = Object)]
    pub name: Box<RawValue>,
    /// Records that could have been drawn.
    pub captured: i64,
    /// Requests that they stand for.
    pub population: f64,
    pub drawn: i64,
}

/// One record of a sample.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SampleItem {
    /// From 1, in the order drawn.
    pub place: i64,
    pub record_id: String,
    /// Number of its stratum.
    pub stratum: i64,
    /// Chance that such a request had of being here: live sampling's times the draw's.
    pub probability: f64,
}

/// A sample about to be stored.
pub struct NewSample {
    pub name: String,
    pub organization_id: Option<i64>,
    pub made_by: Option<i64>,
    pub seed: i64,
    pub asked: String,
    /// JSON of the values, captured, population, drawn.
    pub strata: Vec<(String, i64, f64, i64)>,
    pub items: Vec<SampleItem>,
}

const SAMPLES: &str = "SELECT t.id, t.name, t.organization_id, t.made_at, t.made_by, t.seed, t.asked, t.captured, t.drawn \
     FROM samples t WHERE 1 = 1";

fn raw(name: &str, text: String) -> Result<Box<RawValue>, sqlx::Error> {
    column(name, RawValue::from_string(text))
}

fn read(row: &AnyRow) -> Result<Sample, sqlx::Error> {
    Ok(Sample {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        organization_id: row.try_get("organization_id")?,
        made: Time(row.try_get("made_at")?),
        made_by: row.try_get("made_by")?,
        seed: row.try_get("seed")?,
        asked: raw("asked", row.try_get("asked")?)?,
        captured: row.try_get("captured")?,
        drawn: row.try_get("drawn")?,
        strata: Vec::new(),
    })
}

impl Database {
    /// What a sample may be drawn from. `fields`: expressions of [`FIELDS`], at most [`FIELDS_MOST`].
    pub async fn population(
        &self,
        filter: EvaluationFilter,
        fields: Vec<&'static str>,
    ) -> Result<Population, StoreError> {
        Ok(Population { tx: self.snapshot().await?, filter, fields })
    }

    /// Stores a sample whole.
    pub async fn insert_sample(&self, sample: &NewSample) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        let id: i64 =
            sqlx::query_scalar("UPDATE sequences SET value = value + 1 WHERE name = 'sample' RETURNING value")
                .fetch_one(&mut *tx)
                .await?;
        sqlx::query(
            "INSERT INTO samples (id, name, organization_id, made_at, made_by, seed, asked, captured, drawn) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(sample.name.as_str())
        .bind(sample.organization_id)
        .bind(super::now())
        .bind(sample.made_by)
        .bind(sample.seed)
        .bind(sample.asked.as_str())
        .bind(sample.strata.iter().map(|stratum| stratum.1).sum::<i64>())
        .bind(i64::try_from(sample.items.len()).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await?;
        for (number, (name, captured, population, drawn)) in (0_i64..).zip(&sample.strata) {
            sqlx::query(
                "INSERT INTO sample_strata (sample_id, number, name, captured, population, drawn) \
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(id)
            .bind(number)
            .bind(name.as_str())
            .bind(*captured)
            .bind(*population)
            .bind(*drawn)
            .execute(&mut *tx)
            .await?;
        }
        for chunk in sample.items.chunks(ROWS) {
            let mut sql =
                Sql::new("INSERT INTO sample_items (sample_id, place, record_id, stratum, probability) VALUES ");
            for (index, item) in chunk.iter().enumerate() {
                sql.push(if index == 0 { "(" } else { ", (" }).bind(id).push(", ").bind(item.place).push(", ");
                sql.bind(item.record_id.as_str()).push(", ").bind(item.stratum).push(", ").bind(item.probability);
                sql.push(")");
            }
            sql.fetch(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(id)
    }

    /// Samples of what may be read, newest first.
    pub async fn samples(&self, reach: &Reach, limit: i64, offset: i64) -> Result<Vec<Sample>, StoreError> {
        let mut sql = Sql::new(SAMPLES);
        reach.narrow(&mut sql, "t.organization_id", None);
        sql.push(" ORDER BY t.id DESC LIMIT ").bind(limit).push(" OFFSET ").bind(offset);
        Ok(sql.fetch(self.pool()).await?.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// One sample with its strata.
    pub async fn sample(&self, reach: &Reach, id: i64) -> Result<Option<Sample>, StoreError> {
        let mut sql = Sql::new(SAMPLES);
        sql.push(" AND t.id = ").bind(id);
        reach.narrow(&mut sql, "t.organization_id", None);
        let Some(mut sample) = sql.fetch(self.pool()).await?.first().map(read).transpose()? else { return Ok(None) };
        let mut sql = Sql::new(
            "SELECT t.number, t.name, t.captured, t.population, t.drawn FROM sample_strata t WHERE t.sample_id = ",
        );
        sql.bind(id).push(" ORDER BY t.number");
        for row in &sql.fetch(self.pool()).await? {
            sample.strata.push(SampleStratum {
                number: row.try_get("number")?,
                name: raw("name", row.try_get("name")?)?,
                captured: row.try_get("captured")?,
                population: row.try_get("population")?,
                drawn: row.try_get("drawn")?,
            });
        }
        Ok(Some(sample))
    }

    /// Items of a sample, in the order drawn, with the pseudonym of each one's end user.
    pub async fn sample_items(
        &self,
        id: i64,
        limit: i64,
        offset: i64,
    ) -> Result<Vec<(SampleItem, Option<String>)>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.place, t.record_id, t.stratum, t.probability, r.end_user FROM sample_items t \
             LEFT JOIN evaluation_records r ON r.id = t.record_id WHERE t.sample_id = ",
        );
        sql.bind(id).push(" AND t.place > ").bind(offset).push(" ORDER BY t.place LIMIT ").bind(limit);
        let rows = sql.fetch(self.pool()).await?;
        let items = rows.iter().map(|row| {
            let item = SampleItem {
                place: row.try_get("place")?,
                record_id: row.try_get("record_id")?,
                stratum: row.try_get("stratum")?,
                probability: row.try_get("probability")?,
            };
            Ok((item, row.try_get("end_user")?))
        });
        Ok(items.collect::<Result<_, sqlx::Error>>()?)
    }
}
