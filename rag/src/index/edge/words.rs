//! Points and conditions in the engine's types, and back.

use std::collections::HashMap;
use std::str::FromStr;

use qdrant_edge::{
    AnyVariants, Condition, DateTimeWrapper, FieldCondition, Filter, JsonPath, Match, Payload, PointId,
    PointStructPersisted, Range, RangeInterface, Record, VectorInternal, VectorPersisted, VectorStructInternal,
    VectorStructPersisted,
};
use serde_json::Value;

use super::room::{DENSE, SPARSE};
use crate::index::payload::{self, Check};
use crate::index::{IndexError, Point};
use crate::sparse::SparseVector;

pub(super) fn path(field: &str) -> Result<JsonPath, IndexError> {
    field.parse().map_err(|()| IndexError::Engine(format!("{field:?} is no field")))
}

pub(super) fn sparse(sparse: &SparseVector) -> qdrant_edge::SparseVector {
    qdrant_edge::SparseVector { indices: sparse.ids.clone(), values: sparse.weights.clone() }
}

pub(super) fn point(point: &Point) -> Result<PointStructPersisted, IndexError> {
    let Value::Object(fields) = payload::payload(point) else {
        return Err(IndexError::Engine("a payload is no object".to_owned()));
    };
    // The sparse vector even when it is empty: a point that is replaced would keep the one it had.
    let vectors = HashMap::from([
        (DENSE.to_owned(), VectorPersisted::Dense(point.dense.clone())),
        (SPARSE.to_owned(), VectorPersisted::Sparse(sparse(&point.sparse))),
    ]);
    Ok(PointStructPersisted {
        id: PointId::NumId(point.chunk),
        vector: VectorStructPersisted::Named(vectors),
        payload: Some(Payload(fields)),
    })
}

pub(super) fn read(record: Record) -> Result<Point, IndexError> {
    let PointId::NumId(chunk) = record.id else {
        return Err(IndexError::Engine(format!("{} is not the id of a chunk", record.id)));
    };
    let (collection, document, metadata) = payload::read(&record.payload.unwrap_or_default().0)?;
    let Some(VectorStructInternal::Named(mut vectors)) = record.vector else {
        return Err(IndexError::Engine(format!("chunk {chunk} has no vectors")));
    };
    let Some(VectorInternal::Dense(dense)) = vectors.remove(DENSE) else {
        return Err(IndexError::Engine(format!("chunk {chunk} has no dense vector")));
    };
    let sparse = match vectors.remove(SPARSE) {
        Some(VectorInternal::Sparse(sparse)) => SparseVector { ids: sparse.indices, weights: sparse.values },
        _ => SparseVector::default(),
    };
    Ok(Point { chunk, collection, document, dense, sparse, metadata })
}

pub(super) fn filter(check: &Check) -> Result<Filter, IndexError> {
    let all = |checks: &[Check]| checks.iter().map(condition).collect::<Result<Vec<_>, _>>();
    Ok(match check {
        Check::All(checks) => Filter { must: Some(all(checks)?), ..Filter::new() },
        Check::Any(checks) => Filter { should: Some(all(checks)?), ..Filter::new() },
        one => Filter { must: Some(vec![condition(one)?]), ..Filter::new() },
    })
}

fn condition(check: &Check) -> Result<Condition, IndexError> {
    Ok(Condition::Field(match check {
        Check::All(_) | Check::Any(_) => return Ok(Condition::Filter(filter(check)?)),
        Check::Keyword(field, any) => {
            FieldCondition::new_match(path(field)?, Match::new_any(AnyVariants::Strings(any.iter().cloned().collect())))
        }
        Check::Text(field, text) => FieldCondition::new_match(path(field)?, Match::new_text(text)),
        Check::Numbers(field, from, to) => {
            let range = Range { lt: None, gt: None, gte: from.map(Into::into), lte: to.map(Into::into) };
            FieldCondition::new_range(path(field)?, range)
        }
        Check::Dates(field, from, to) => {
            let range = Range { lt: None, gt: None, gte: date(*from)?, lte: date(*to)? };
            let mut condition = FieldCondition::new_match(path(field)?, Match::new_text(""));
            condition.r#match = None;
            condition.range = Some(RangeInterface::DateTime(range));
            condition
        }
    }))
}

fn date(milliseconds: Option<i64>) -> Result<Option<DateTimeWrapper>, IndexError> {
    let outside = || IndexError::Engine(format!("{milliseconds:?} is outside of what dates can say"));
    let Some(moment) = milliseconds else { return Ok(None) };
    let moment = jiff::Timestamp::from_millisecond(moment).map_err(|_| outside())?;
    DateTimeWrapper::from_str(&moment.to_string()).map(Some).map_err(|_| outside())
}
