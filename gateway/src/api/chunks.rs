//! `/v1/documents/{id}/chunks`: what documents are cut into, and chunks given without a file. `/v1/chunks/{document}` is
//! how it was called.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admin::{List, limit, visible};
use super::documents::{answer, failed, full_up, stage_reached};
use super::json::Query;
use super::{body, metadata};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::ingest::reading::tokens;
use crate::passage;
use crate::policy::corpora::{Reading, Writing};
use crate::policy::identity::Principal;
use crate::store::StoreError;
use crate::store::chunks::{Chunk, Given};
use crate::store::documents::Document;
use crate::store::jobs::Stage;
use crate::store::page::Listed;
use crate::store::time::Time;
use crate::store::work::NewChunk;

/// Chunks of one request.
const MOST: usize = 64;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, give))
        .routes(routes!(retrieve, delete))
        .routes(routes!(list_as_before))
        .routes(routes!(retrieve_as_before))
}

/// One chunk, as a client sees it.
#[derive(Serialize, utoipa::ToSchema)]
struct ShownChunk {
    #[schema(example = "chunk")]
    object: &'static str,
    #[schema(example = 6_789)]
    id: i64,
    #[schema(example = 12)]
    collection_id: i64,
    #[schema(example = 345)]
    document_id: i64,
    /// Its place in the document, from 0.
    position: i64,
    content: String,
    /// Its own fields and its document's: `document_name`, `title`, `headings`, `page`…
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Estimated.
    tokens: i64,
    /// Whether it can be found.
    indexed: bool,
    /// Unix seconds.
    #[schema(value_type = i64, example = 1_790_000_000)]
    created: Time,
}

impl From<Chunk> for ShownChunk {
    fn from(chunk: Chunk) -> ShownChunk {
        ShownChunk {
            object: "chunk",
            id: chunk.id,
            collection_id: chunk.collection_id,
            document_id: chunk.document_id,
            position: chunk.position,
            content: chunk.content,
            metadata: chunk.metadata,
            tokens: chunk.tokens,
            indexed: chunk.indexed,
            created: chunk.created,
        }
    }
}

/// Chunks to add, 1 to 64; or the bare list of them.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: two forms are read by hand")]
struct ChunksForm {
    chunks: Vec<ChunkForm>,
}

#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: two forms are read by hand")]
struct ChunkForm {
    /// No longer than the embedding model reads.
    #[schema(example = "Tout salarié a droit à des congés payés.")]
    content: String,
    #[schema(value_type = Option<Object>, example = json!({"page": 3}))]
    metadata: Option<Map<String, Value>>,
}

/// Chunks that were added.
#[derive(Serialize, utoipa::ToSchema)]
struct Added {
    document_id: i64,
    ids: Vec<i64>,
    status: Stage,
}

/// Which chunks are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct ChunkSlice {
    /// Chunks at most, 1 to 1000.
    limit: i64,
    /// Chunks to skip.
    offset: i64,
}

impl Default for ChunkSlice {
    fn default() -> Self {
        ChunkSlice { limit: 10, offset: 0 }
    }
}

async fn listed(app: &App, who: &Principal, document: i64, slice: &ChunkSlice) -> ApiResult<List<ShownChunk>> {
    let reading = Reading::of(who);
    visible(app.store.document(&reading, document).await?, |_| true)?;
    if slice.offset < 0 {
        return Err(ApiError::bad_request("« offset » commence à 0.", "“offset” starts at 0.").param("offset"));
    }
    let Listed { items, total } =
        app.store.chunks(&reading, document, limit(slice.limit, 1_000)?, slice.offset).await?;
    Ok(Listed { items: items.into_iter().map(ShownChunk::from).collect(), total }.into())
}

async fn one(app: &App, who: &Principal, document: i64, id: i64) -> ApiResult<ShownChunk> {
    visible(app.store.chunk(&Reading::of(who), document, id).await?, |_| true).map(ShownChunk::from)
}

/// Chunks of a document, in their order.
#[utoipa::path(get, path = "/v1/documents/{id}/chunks", tag = "Documents", security(("key" = [])),
    params(("id" = i64, Path, description = "Id of the document"), ChunkSlice),
    responses((status = 200, body = List<ShownChunk>), (status = 404, description = "Unknown, or not visible")))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(slice): Query<ChunkSlice>,
) -> ApiResult<Answer<List<ShownChunk>>> {
    listed(&app, &who, id, &slice).await.map(Answer)
}

/// Chunks of a document, by their older address.
#[utoipa::path(get, path = "/v1/chunks/{document}", tag = "Documents", security(("key" = [])),
    params(("document" = i64, Path, description = "Id of the document"), ChunkSlice),
    responses((status = 200, body = List<ShownChunk>), (status = 404, description = "Unknown, or not visible")))]
async fn list_as_before(
    State(app): State<AppState>,
    who: Principal,
    Path(document): Path<i64>,
    Query(slice): Query<ChunkSlice>,
) -> ApiResult<Answer<List<ShownChunk>>> {
    listed(&app, &who, document, &slice).await.map(Answer)
}

/// One chunk.
#[utoipa::path(get, path = "/v1/documents/{id}/chunks/{chunk}", tag = "Documents", security(("key" = [])),
    params(("id" = i64, Path, description = "Id of the document"), ("chunk" = i64, Path)),
    responses((status = 200, body = ShownChunk), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(
    State(app): State<AppState>,
    who: Principal,
    Path((document, chunk)): Path<(i64, i64)>,
) -> ApiResult<Answer<ShownChunk>> {
    one(&app, &who, document, chunk).await.map(Answer)
}

/// One chunk, by its older address.
#[utoipa::path(get, path = "/v1/chunks/{document}/{chunk}", tag = "Documents", security(("key" = [])),
    params(("document" = i64, Path, description = "Id of the document"), ("chunk" = i64, Path)),
    responses((status = 200, body = ShownChunk), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve_as_before(
    State(app): State<AppState>,
    who: Principal,
    Path((document, chunk)): Path<(i64, i64)>,
) -> ApiResult<Answer<ShownChunk>> {
    one(&app, &who, document, chunk).await.map(Answer)
}

/// Add chunks to a document, after those it has. Answered as a document is.
#[utoipa::path(post, path = "/v1/documents/{id}/chunks", tag = "Documents", security(("key" = [])),
    params(("id" = i64, Path, description = "Id of the document")), request_body = ChunksForm,
    responses((status = 201, description = "Searchable", body = Added), (status = 202, description = "Under way", body = Added),
        (status = 400, description = "A chunk is empty, or longer than the embedding model reads"),
        (status = 409, description = "The document’s file is still being read, or could not be")))]
async fn give(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Body,
) -> ApiResult<Response> {
    let retrieval = app.retrieval.as_ref().ok_or_else(ApiError::no_such_route)?;
    let config = app.config.load_full();
    let quota = config.retrieval.as_ref().map(|retrieval| retrieval.quota).unwrap_or_default();
    let bytes = body::read(body::is_coded(&headers), body, &config.server).await?;
    let chunks = read(&bytes)?;
    let reading = Reading::of(&who);
    let document = visible(app.store.document(&reading, id).await?, |_| true)?;
    let collection = visible(app.store.collection(&reading, document.collection_id).await?, |_| true)?;
    let model = retrieval.embedder.model(&collection.embedding_model, &who)?;
    let most = model.context_length.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let language = collection.language.as_str();
    let weigh =
        move || chunks.into_iter().enumerate().map(|(nth, chunk)| weighed(nth, chunk, most, language)).collect();
    let weighed: ApiResult<Vec<NewChunk>> = tokio::task::spawn_blocking(weigh).await.map_err(ApiError::internal)?;
    let ids = add(&app, &who, &document, &weighed?, &quota).await?;
    retrieval.ingestion.wake();
    let (status, reason) = stage_reached(retrieval, &headers, id).await?.ok_or_else(ApiError::not_found)?;
    if status == Stage::Failed {
        return Err(failed(reason));
    }
    Ok(answer(&headers, id, status, Added { document_id: id, ids, status }))
}

async fn add(
    app: &App,
    who: &Principal,
    document: &Document,
    chunks: &[NewChunk],
    quota: &crate::config::retrieval::Quota,
) -> ApiResult<Vec<i64>> {
    let mut change = app.store.edit(who.actor()).await?;
    match change.give_chunks(&Writing::of(who), document, chunks, quota).await {
        Ok(Given::In(ids)) => {
            change.commit().await?;
            Ok(ids)
        }
        Ok(Given::Full(full)) => Err(full_up(full)),
        Ok(Given::Busy(Stage::Failed)) => Err(ApiError::conflict(
            "Le fichier de ce document n’a pu être lu ; supprimez-le.",
            "The file of this document could not be read; delete it.",
        )),
        Ok(Given::Busy(_)) => Err(ApiError::conflict(
            "Le fichier de ce document est en cours de lecture ; réessayez quand « status » vaut « done ».",
            "The file of this document is being read; try again once “status” is “done”.",
        )),
        // It was seen a moment ago: it may be read and not changed.
        Err(StoreError::NotFound) => Err(ApiError::role_denied()),
        Err(error) => Err(error.into()),
    }
}

/// A chunk as it was given: its text and its fields.
type Raw = (String, Map<String, Value>);

/// The chunks of a request: `{"chunks": […]}`, or the bare list.
fn read(bytes: &[u8]) -> ApiResult<Vec<Raw>> {
    let malformed = || ApiError::bad_request("La requête n’est pas du JSON valable.", "The request is not valid JSON.");
    let given: Value = serde_json::from_slice(bytes).map_err(|_| malformed())?;
    let list = match given {
        Value::Array(list) => list,
        Value::Object(mut fields) => match fields.remove("chunks") {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    if !(1..=MOST).contains(&list.len()) {
        return Err(ApiError::bad_request(
            "« chunks » est une liste de 1 à 64 passages.",
            "“chunks” is a list of 1 to 64 chunks.",
        )
        .param("chunks"));
    }
    list.into_iter().enumerate().map(|(nth, chunk)| raw(nth, chunk)).collect()
}

fn raw(nth: usize, chunk: Value) -> ApiResult<Raw> {
    let at = format!("chunks[{nth}]");
    let Value::Object(mut fields) = chunk else {
        return Err(ApiError::bad_request(
            format!("« {at} » est un objet {{content, metadata}}."),
            format!("“{at}” is an object {{content, metadata}}."),
        )
        .param(at));
    };
    let metadata = metadata::check(fields.remove("metadata").unwrap_or(json!(null)), &format!("{at}.metadata"))?;
    match fields.remove("content") {
        Some(Value::String(content)) if !content.trim().is_empty() && !content.contains('\0') => {
            Ok((content, metadata))
        }
        _ => Err(ApiError::bad_request(
            format!("« {at}.content » est un texte non vide."),
            format!("“{at}.content” is a text that is not empty."),
        )
        .param(format!("{at}.content"))),
    }
}

/// Counts what a chunk weighs. `most`: tokens that the embedding model reads.
fn weighed(nth: usize, (content, metadata): Raw, most: usize, language: &str) -> ApiResult<NewChunk> {
    let tokens = tokens(&content, most);
    if tokens > most {
        return Err(ApiError::bad_request(
            format!("« chunks[{nth}] » : environ {tokens} jetons, pour un modèle de vecteurs qui en lit {most}."),
            format!("“chunks[{nth}]”: about {tokens} tokens, for an embedding model that reads {most}."),
        )
        .param(format!("chunks[{nth}].content")));
    }
    let frequencies = passage::frequencies(&passage::analyser(language), &metadata, &content);
    Ok(NewChunk {
        tokens: i64::try_from(tokens).unwrap_or(i64::MAX),
        terms: frequencies.ids().collect(),
        length: passage::length(&frequencies),
        content,
        metadata: Value::Object(metadata).to_string(),
    })
}

/// Delete one chunk.
#[utoipa::path(delete, path = "/v1/documents/{id}/chunks/{chunk}", tag = "Documents", security(("key" = [])),
    params(("id" = i64, Path, description = "Id of the document"), ("chunk" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn delete(
    State(app): State<AppState>,
    who: Principal,
    Path((document, chunk)): Path<(i64, i64)>,
) -> ApiResult<StatusCode> {
    let mut change = app.store.edit(who.actor()).await?;
    match change.delete_chunk(&Writing::of(&who), document, chunk).await {
        Ok(()) => {}
        Err(StoreError::NotFound) => {
            drop(change);
            one(&app, &who, document, chunk).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let bare = br#"[{"content": "a", "metadata": {"page": 1}}, {"content": "b"}]"#;
        let wrapped = br#"{"chunks": [{"content": "a", "metadata": {"page": 1}}, {"content": "b", "metadata": null}]}"#;
        assert_eq!(read(bare).unwrap(), read(wrapped).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let many = json!(vec![json!({"content": "a"}); 65]).to_string();
        for (body, param) in [
            ("{}", "chunks"),
            ("[]", "chunks"),
            ("3", "chunks"),
            (many.as_str(), "chunks"),
            ("[1]", "chunks[0]"),
            (r#"[{"content": "a"}, {"content": " "}]"#, "chunks[1].content"),
            (r#"[{"content": 3}]"#, "chunks[0].content"),
            (r#"[{"content": "a", "metadata": {"b": {}}}]"#, "chunks[0].metadata.b"),
        ] {
            let body = read(body.as_bytes()).unwrap_err().body(crate::config::server::Language::Fr);
            assert_eq!(body["error"]["param"], param, "{body}");
        }
    }
}
