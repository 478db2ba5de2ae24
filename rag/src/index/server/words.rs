//! Points and conditions in the client's types, and back.

use std::collections::HashMap;

use qdrant_client::Payload;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::vector_output;
use qdrant_client::qdrant::{
    Condition, DatetimeRange, Filter, NamedVectors, PointId, PointStruct, Range, RetrievedPoint, Vector,
};
use serde_json::{Map, Value};

use super::{DENSE, SPARSE};
use crate::index::payload::{self, Check};
use crate::index::{IndexError, Point};
use crate::sparse::SparseVector;

pub(super) fn point(point: &Point) -> Result<PointStruct, IndexError> {
    let failed = |error: qdrant_client::QdrantError| IndexError::Engine(error.to_string());
    let payload = Payload::try_from(payload::payload(point)).map_err(failed)?;
    let sparse = Vector::new_sparse(point.sparse.ids.clone(), point.sparse.weights.clone());
    let vectors =
        HashMap::from([(DENSE.to_owned(), Vector::new_dense(point.dense.clone())), (SPARSE.to_owned(), sparse)]);
    Ok(PointStruct::new(point.chunk, NamedVectors { vectors }, payload))
}

pub(super) fn chunk(id: Option<PointId>) -> Result<u64, IndexError> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Num(chunk)) => Ok(chunk),
        _ => Err(IndexError::Engine("a point's id is not the id of a chunk".to_owned())),
    }
}

pub(super) fn read(point: RetrievedPoint) -> Result<Point, IndexError> {
    let chunk = chunk(point.id)?;
    let fields: Map<String, Value> = Payload::from(point.payload).into();
    let (collection, document, metadata) = payload::read(&fields)?;
    let vector = |name: &str| point.vectors.as_ref().and_then(|vectors| vectors.get_vector_by_name(name));
    let Some(vector_output::Vector::Dense(dense)) = vector(DENSE) else {
        return Err(IndexError::Engine(format!("chunk {chunk} has no dense vector")));
    };
    let sparse = match vector(SPARSE) {
        Some(vector_output::Vector::Sparse(sparse)) => SparseVector { ids: sparse.indices, weights: sparse.values },
        _ => SparseVector::default(),
    };
    Ok(Point { chunk, collection, document, dense: dense.data, sparse, metadata })
}

pub(super) fn filter(check: &Check) -> Filter {
    match check {
        Check::All(checks) => Filter::must(checks.iter().map(condition)),
        Check::Any(checks) => Filter::should(checks.iter().map(condition)),
        one => Filter::must([condition(one)]),
    }
}

fn condition(check: &Check) -> Condition {
    match check {
        Check::All(_) | Check::Any(_) => filter(check).into(),
        Check::Keyword(field, any) => Condition::matches(field, any.clone()),
        Check::Text(field, text) => Condition::matches_text(field, text),
        Check::Numbers(field, from, to) => Condition::range(field, Range { lt: None, gt: None, gte: *from, lte: *to }),
        Check::Dates(field, from, to) => {
            let mut range = DatetimeRange::default();
            for (bound, date) in [(&mut range.gte, from), (&mut range.lte, to)] {
                if let Some(date) = date {
                    let moment = bound.get_or_insert_default();
                    moment.seconds = date.div_euclid(1_000);
                    // Below a thousand millions.
                    moment.nanos = (date.rem_euclid(1_000) * 1_000_000) as i32;
                }
            }
            Condition::datetime_range(field, range)
        }
    }
}
