//! `/v1/documents`: files into collections, how they come along, and out again.

pub mod form;
pub mod upload;

use std::time::Duration;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admin::{List, visible};
use super::body::unread;
use super::collections::{not_writable, page, readable};
use super::json::Query;
use crate::app::{App, AppState};
use crate::config::server::Language;
use crate::error::{ApiError, ApiResult};
use crate::layers::{self, Tongue};
use crate::policy::corpora::{Reading, Writing};
use crate::policy::identity::Principal;
use crate::retrieval::Retrieval;
use crate::store::StoreError;
use crate::store::documents::{Admitted, Document, DocumentFilter, Full};
use crate::store::jobs::Stage;
use crate::store::page::Listed;
use crate::store::time::Time;

/// Longest wait for a document to become searchable before the client is told to come back.
const WAIT: Duration = Duration::from_secs(20);

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(retrieve, delete))
}

/// One document, as a client sees it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Shown {
    #[schema(example = "document")]
    object: &'static str,
    #[schema(example = 345)]
    id: i64,
    #[schema(example = 12)]
    collection_id: i64,
    #[schema(example = "arrete-2024-17.pdf")]
    name: String,
    status: Stage,
    /// Why it failed, or what it waits for.
    reason: Option<String>,
    /// Chunks there are; null until it is split.
    chunks: Option<i64>,
    /// Of them, those that can be found.
    indexed: i64,
    pages: Option<i64>,
    bytes: i64,
    /// Media type that its sender gave.
    r#type: Option<String>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Unix seconds.
    #[schema(value_type = i64, example = 1_790_000_000)]
    created: Time,
    /// Unix seconds.
    #[schema(value_type = i64, example = 1_790_000_000)]
    updated: Time,
}

impl Shown {
    pub(super) fn of(document: Document, language: Language) -> Shown {
        let split = !matches!(document.status, Stage::Queued | Stage::Parsing | Stage::Splitting);
        Shown {
            object: "document",
            id: document.id,
            collection_id: document.collection_id,
            name: document.name,
            status: document.status,
            reason: document.reason.map(|(french, english)| if language == Language::Fr { french } else { english }),
            chunks: split.then_some(document.chunks),
            indexed: document.indexed,
            pages: document.pages,
            bytes: document.bytes,
            r#type: document.kind,
            metadata: document.metadata,
            created: document.created,
            updated: document.updated,
        }
    }
}

/// A document, in a form: `multipart/form-data`, or URL-encoded without a file.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: forms are read field by field")]
struct DocumentForm {
    /// PDF, DOCX, ODT, HTML, Markdown, text, CSV, JSON, JSONL. Absent: chunks are given later.
    #[schema(value_type = Option<String>, format = Binary)]
    file: Option<Vec<u8>>,
    /// Number of a collection; `collection` is accepted for it.
    collection_id: i64,
    /// Default: the name of the file.
    name: Option<String>,
    /// A JSON object, as text: fields that searches filter on.
    #[schema(example = r#"{"theme": "travail", "date": "2024-05-31"}"#)]
    metadata: Option<String>,
    /// Characters of a chunk. Without sizes, chunks follow the structure and fit the embedding model.
    #[schema(example = 2048)]
    chunk_size: Option<usize>,
    #[schema(example = 0)]
    chunk_overlap: Option<usize>,
    #[schema(example = 0)]
    chunk_min_size: Option<usize>,
    /// Where to cut instead of at the structure; may be repeated.
    separators: Option<Vec<String>>,
    #[schema(example = "markdown")]
    preset_separators: Option<String>,
    is_separator_regex: Option<bool>,
    /// The whole document is one chunk.
    disable_chunking: Option<bool>,
}

/// Which documents are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct DocumentSlice {
    /// Documents at most, 1 to 1000.
    limit: i64,
    /// Documents to skip.
    offset: i64,
    /// Only documents of exactly this name.
    name: Option<String>,
    /// Only documents of this collection; `collection` is accepted for it.
    #[serde(alias = "collection")]
    collection_id: Option<i64>,
    /// Only documents that are `queued`, `parsing`, `splitting`, `embedding`, `indexing`, `done` or `failed`.
    status: Option<Stage>,
    /// `id`, `name` or `created`.
    order_by: Option<String>,
    /// `asc` or `desc`.
    order_direction: Option<String>,
}

impl Default for DocumentSlice {
    fn default() -> Self {
        DocumentSlice {
            limit: 10,
            offset: 0,
            name: None,
            collection_id: None,
            status: None,
            order_by: None,
            order_direction: None,
        }
    }
}

/// Documents of the collections that the caller may read.
#[utoipa::path(get, path = "/v1/documents", tag = "Documents", security(("key" = [])), params(DocumentSlice),
    responses((status = 200, body = List<Shown>), (status = 404, description = "No such collection, or not visible")))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Tongue(language): Tongue,
    Query(slice): Query<DocumentSlice>,
) -> ApiResult<Answer<List<Shown>>> {
    if let Some(collection) = slice.collection_id {
        readable(&app, &who, collection).await?;
    }
    let page = page((slice.limit, slice.offset), slice.name, slice.order_by, slice.order_direction)?;
    let filter = DocumentFilter { collection: slice.collection_id, status: slice.status };
    let Listed { items, total } = app.store.documents(&Reading::of(&who), &filter, &page).await?;
    let items = items.into_iter().map(|document| Shown::of(document, language)).collect();
    Ok(Answer(Listed { items, total }.into()))
}

/// Put a document into a collection.
///
/// The answer comes once it is searchable (201) or has failed (422, with the reason), after 20 seconds at the latest (202,
/// with its `id` and `status`), or at once with `Prefer: respond-async`. The same file under the same name is the same
/// document.
#[utoipa::path(post, path = "/v1/documents", tag = "Documents", security(("key" = [])),
    request_body(content = DocumentForm, content_type = "multipart/form-data"),
    responses((status = 201, description = "Searchable", body = Shown), (status = 202, description = "Under way", body = Shown),
        (status = 403, description = "A quota of the organization (`storage_quota_exceeded`), or a collection that is only to be read"),
        (status = 413, description = "Larger than `retrieval.ingestion.file_limit`"),
        (status = 422, description = "It cannot be read: the reason is the message")))]
async fn create(State(app): State<AppState>, who: Principal, headers: HeaderMap, body: Body) -> ApiResult<Response> {
    let retrieval = app.retrieval.as_ref().ok_or_else(ApiError::no_such_route)?;
    let config = app.config.load_full();
    let settings = config.retrieval.as_ref().ok_or_else(ApiError::no_such_route)?;
    let upload::Upload { fields, file } =
        match upload::read(&headers, body, &config, settings.ingestion.file_limit).await {
            Ok(upload) => upload,
            Err(error) => return Ok(unread(error)),
        };
    let collection = fields.collection()?;
    let new = fields.document(file.as_ref())?;
    let mut change = app.store.edit(who.actor()).await?;
    let admitted = match change.add_document(&Writing::of(&who), collection, &new, &settings.quota).await {
        Ok(admitted) => admitted,
        Err(StoreError::NotFound) => {
            drop(change);
            return Err(not_writable(&app, &who, collection).await);
        }
        Err(error) => return Err(error.into()),
    };
    let document = match admitted {
        Admitted::New(document) => {
            if let (Some(file), Some(path)) = (file, &document.file) {
                let place = config.data.join("documents").join(path);
                file.place(&place).await.map_err(ApiError::internal)?;
            }
            change.commit().await?;
            retrieval.ingestion.wake();
            retrieval.removals.wake();
            document
        }
        Admitted::Known(document) => document,
        Admitted::Full(full) => return Err(full_up(full)),
    };
    let language = layers::language(&headers, &config);
    let document = await_end(&app, retrieval, &headers, &who, document.id).await?;
    if document.status == Stage::Failed {
        return Err(unreadable(document));
    }
    Ok(answer(&headers, document.id, document.status, Shown::of(document, language)))
}

/// The document once nothing more will happen to it, or the client need not wait any longer.
async fn await_end(
    app: &App,
    retrieval: &Retrieval,
    headers: &HeaderMap,
    who: &Principal,
    id: i64,
) -> ApiResult<Document> {
    if !is_async(headers) {
        retrieval.ingestion.wait(id, WAIT).await?;
    }
    visible(app.store.document(&Reading::of(who), id).await?, |_| true)
}

/// Waits as a client wants it; the stage reached, or `None` when the document is gone.
pub(super) async fn stage_reached(
    retrieval: &Retrieval,
    headers: &HeaderMap,
    id: i64,
) -> ApiResult<Option<(Stage, Option<(String, String)>)>> {
    let patience = if is_async(headers) { Duration::ZERO } else { WAIT };
    let reached = retrieval.ingestion.wait(id, patience).await?;
    Ok(reached.map(|progress| (progress.stage, progress.reason)))
}

fn is_async(headers: &HeaderMap) -> bool {
    let said = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("respond-async"))
}

/// 201 for what can be found, 202 and where to look for what is under way.
pub(super) fn answer(headers: &HeaderMap, id: i64, status: Stage, body: impl Serialize) -> Response {
    let done = status == Stage::Done;
    let mut response = (if done { StatusCode::CREATED } else { StatusCode::ACCEPTED }, Answer(body)).into_response();
    if let Ok(place) = HeaderValue::try_from(format!("/v1/documents/{id}")) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    if !done && is_async(headers) {
        response.headers_mut().insert("preference-applied", HeaderValue::from_static("respond-async"));
    }
    response
}

/// Why a document cannot be searched.
fn unreadable(document: Document) -> ApiError {
    failed(document.reason)
}

pub(super) fn failed(reason: Option<(String, String)>) -> ApiError {
    let (french, english) = reason
        .unwrap_or_else(|| ("Ce document ne peut être lu.".to_owned(), "This document cannot be read.".to_owned()));
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "document_failed", french, english).param("file")
}

/// The quota that is reached, named.
pub(super) fn full_up(full: Full) -> ApiError {
    let (french, english) = match full {
        Full::Documents(most) => (
            format!("Votre administration a atteint son quota de {most} documents (retrieval.quota.documents)."),
            format!("Your organization has reached its quota of {most} documents (retrieval.quota.documents)."),
        ),
        Full::Bytes(most) => (
            format!("Ce fichier dépasserait le quota de {most} de votre administration (retrieval.quota.bytes)."),
            format!("This file would pass your organization’s quota of {most} (retrieval.quota.bytes)."),
        ),
    };
    ApiError::new(StatusCode::FORBIDDEN, "storage_quota_exceeded", french, english)
}

/// One document: how it comes along, or that it is there.
#[utoipa::path(get, path = "/v1/documents/{id}", tag = "Documents", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Shown), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(
    State(app): State<AppState>,
    who: Principal,
    Tongue(language): Tongue,
    Path(id): Path<i64>,
) -> ApiResult<Answer<Shown>> {
    let document = visible(app.store.document(&Reading::of(&who), id).await?, |_| true)?;
    Ok(Answer(Shown::of(document, language)))
}

/// Delete a document: its file, its chunks, its vectors, its place in the queue.
#[utoipa::path(delete, path = "/v1/documents/{id}", tag = "Documents", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn delete(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    let mut change = app.store.edit(who.actor()).await?;
    match change.delete_document(&Writing::of(&who), id).await {
        Ok(_) => {}
        Err(StoreError::NotFound) => {
            drop(change);
            visible(app.store.document(&Reading::of(&who), id).await?, |_| true)?;
            return Err(ApiError::role_denied());
        }
        Err(error) => return Err(error.into()),
    }
    change.commit().await?;
    if let Some(retrieval) = &app.retrieval {
        retrieval.removals.wake();
    }
    Ok(StatusCode::NO_CONTENT)
}
