//! What a search reads: chunks with their documents, and how often terms occur in the collections searched.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use sqlx::Row;

use super::sql::Sql;
use super::{Database, StoreError};
use crate::config::DataClass;
use crate::passage;
use crate::policy::corpora::Reading;

/// A collection that somebody may search.
#[derive(Clone, Debug)]
pub struct Searched {
    pub id: i64,
    pub language: String,
    pub embedding_model: String,
    pub dimensions: i64,
    pub chunks: i64,
    /// Of the collection, and of the project whose it is.
    classes: [Option<String>; 2],
}

impl Searched {
    /// The higher of the two: a project's class may have been raised since.
    pub fn class(&self) -> DataClass {
        // A word nobody knows is not taken for a low one.
        let read = |word: &String| word.parse().unwrap_or(DataClass::Sensitive);
        self.classes.iter().flatten().map(read).max().unwrap_or(DataClass::Sensitive)
    }
}

/// A chunk, with what its document says.
#[derive(Clone, Debug)]
pub struct Passage {
    pub id: i64,
    pub collection: i64,
    pub document: i64,
    /// Its place among the chunks of its document, from 0.
    pub position: i64,
    pub content: String,
    /// The chunk's own: title, headings, page.
    pub own: Map<String, Value>,
    pub document_name: String,
    /// The document's.
    pub shared: Map<String, Value>,
}

impl Passage {
    /// What clients see as its metadata.
    pub fn metadata(&self) -> Map<String, Value> {
        let mut metadata = passage::fields(&self.document_name, &self.shared, &self.own);
        metadata.insert("document_id".to_owned(), self.document.into());
        metadata.insert("collection_id".to_owned(), self.collection.into());
        metadata
    }

    /// The title of its document.
    pub fn title(&self) -> &str {
        self.own.get(passage::TITLE).and_then(Value::as_str).unwrap_or(&self.document_name)
    }
}

impl Database {
    /// Those of these collections that may be read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn searched(&self, reading: &Reading, collections: &[i64]) -> Result<Vec<Searched>, StoreError> {
        let mut sql = Sql::new(
            "SELECT c.id, c.language, c.embedding_model, c.dimensions, c.chunks, c.data_class, p.data_class \
             FROM collections c LEFT JOIN projects p ON p.id = c.project_id \
             WHERE c.deleted_at IS NULL AND c.id IN ",
        );
        sql.bind_list(collections.iter().copied());
        reading.narrow(&mut sql, "c");
        sql.push(" ORDER BY c.id");
        let searched = |row: sqlx::any::AnyRow| -> Result<Searched, StoreError> {
            Ok(Searched {
                id: row.try_get(0)?,
                language: row.try_get(1)?,
                embedding_model: row.try_get(2)?,
                dimensions: row.try_get(3)?,
                chunks: row.try_get(4)?,
                classes: [row.try_get(5)?, row.try_get(6)?],
            })
        };
        sql.fetch(&self.pool).await?.into_iter().map(searched).collect()
    }

    /// In how many chunks of these collections each term occurs; absent for none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn term_counts(&self, collections: &[i64], terms: &[u32]) -> Result<HashMap<u32, u64>, StoreError> {
        let mut sql =
            Sql::new("SELECT term, CAST(SUM(documents) AS BIGINT) FROM collection_terms WHERE collection_id IN ");
        sql.bind_list(collections.iter().copied()).push(" AND term IN ");
        sql.bind_list(terms.iter().map(|term| i64::from(*term))).push(" GROUP BY term");
        let count = |row: sqlx::any::AnyRow| -> Result<(u32, u64), StoreError> {
            let (term, count): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            Ok((u32::try_from(term).unwrap_or(0), u64::try_from(count).unwrap_or(0)))
        };
        sql.fetch(&self.pool).await?.into_iter().map(count).collect()
    }

    /// Those of these chunks that are in these collections, by id; in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn passages(&self, collections: &[i64], chunks: &[i64]) -> Result<HashMap<i64, Passage>, StoreError> {
        let mut sql = Sql::new(
            "SELECT c.id, c.collection_id, c.document_id, c.position, c.content, c.metadata, d.name, d.metadata \
             FROM chunks c JOIN documents d ON d.id = c.document_id WHERE c.id IN ",
        );
        sql.bind_list(chunks.iter().copied()).push(" AND c.collection_id IN ");
        sql.bind_list(collections.iter().copied());
        let passage = |row: sqlx::any::AnyRow| -> Result<(i64, Passage), StoreError> {
            let (own, shared): (String, String) = (row.try_get(5)?, row.try_get(7)?);
            let passage = Passage {
                id: row.try_get(0)?,
                collection: row.try_get(1)?,
                document: row.try_get(2)?,
                position: row.try_get(3)?,
                content: row.try_get(4)?,
                own: passage::object(&own),
                document_name: row.try_get(6)?,
                shared: passage::object(&shared),
            };
            Ok((passage.id, passage))
        };
        sql.fetch(&self.pool).await?.into_iter().map(passage).collect()
    }

    /// The document of each of these chunks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn documents_of(&self, chunks: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
        let mut sql = Sql::new("SELECT id, document_id FROM chunks WHERE id IN ");
        sql.bind_list(chunks.iter().copied());
        let pair = |row: sqlx::any::AnyRow| Ok((row.try_get(0)?, row.try_get(1)?));
        sql.fetch(&self.pool).await?.into_iter().map(pair).collect()
    }

    /// The collection of each of these documents; a document that is not there has none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn collections_of(&self, documents: &[i64]) -> Result<BTreeMap<i64, i64>, StoreError> {
        let mut sql = Sql::new("SELECT id, collection_id FROM documents WHERE id IN ");
        sql.bind_list(documents.iter().copied());
        let pair = |row: sqlx::any::AnyRow| Ok((row.try_get(0)?, row.try_get(1)?));
        sql.fetch(&self.pool).await?.into_iter().map(pair).collect()
    }
}
