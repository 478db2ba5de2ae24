//! `POST /v1/ocr`, in Mistral's form.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, header};
use rag::Document;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::embeddings::finish;
use super::visit::{self, Caller, Visit};
use crate::app::AppState;
use crate::config::model::ModelType;
use crate::error::{ApiError, ApiResult};
use crate::fleet::{Call, Deployment, NotAnAnswer};
use crate::ingest::ocr::{LOCAL, Ocr};
use crate::ingest::reader::Reader;
use crate::ingest::setback::Setback;
use crate::openai::{Edits, Head};
use crate::policy::limits::Output;
use crate::recorder::{End, Endpoint};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// An OCR request: Mistral's.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "a schema for the reference: the body is read field by field")]
pub struct OcrRequest {
    /// Id or alias of a model of type `ocr`. Absent, or `tesseract`: the engine that ingestion uses.
    model: Option<String>,
    /// `{"type": "document_url", "document_url": "data:application/pdf;base64,…"}`, or
    /// `{"type": "image_url", "image_url": "data:image/png;base64,…"}`.
    document: Value,
    /// Pages that are wanted, counted from 0. Default: all.
    pages: Option<Vec<u32>>,
}

/// Read the text of a scanned document, page by page. Pages with a text layer need no OCR and keep their own text.
#[utoipa::path(post, path = "/v1/ocr", tag = "OCR", security(("key" = [])), request_body = OcrRequest,
    responses((status = 200, description = "`pages[].{index, markdown}`, in Mistral’s form"),
              (status = 400, description = "No document, an address instead of `data:`, or a file that cannot be read"),
              (status = 404, description = "Unknown model, or no OCR engine is configured")))]
async fn read(State(app): State<AppState>, caller: Caller, body: Body) -> Response {
    visit::tell(app, caller, Endpoint::Ocr, body, |visit, head| Box::pin(story(visit, head))).await
}

async fn story(visit: &mut Visit, head: &Head<'_>) -> ApiResult<Response> {
    visit.check_urls(head)?;
    let reader = visit.app.retrieval.as_ref().map(|retrieval| retrieval.reader.clone());
    let asked = head.model().filter(|name| !name.is_empty());
    let name = match (reader.as_deref().map(|reader| (reader, &reader.ocr)), asked) {
        (Some((reader, Some(Ocr::Tesseract(_)))), None | Some(LOCAL)) => {
            visit.project_only()?;
            return local(visit, head, reader).await;
        }
        (Some((_, Some(Ocr::Model { model, .. }))), None) => model.clone(),
        (_, Some(asked)) => asked.to_owned(),
        (_, None) => return Err(crate::openai::WireError::Missing { field: "model" }.into()),
    };
    let model = visit.model_named(&name, &[ModelType::Ocr])?;
    let body = visit.body.clone();
    let build = |deployment: &Deployment| -> ApiResult<Bytes> {
        let mut edits = Edits::new(head);
        if head.model() != Some(deployment.engine_model.as_str()) {
            edits.set("model", deployment.engine_model_json.as_bytes());
        }
        Ok(edits.finish(body.clone()))
    };
    let tenant = visit.tenant(head)?;
    let estimate = visit.reserve(&model, Output::Nothing).await?;
    let Visit { app, caller, turn, .. } = visit;
    let job = caller.job(&model, (tenant, estimate.input), Call::Ocr, false, &build);
    let read = |served: &crate::fleet::Model, _: &Deployment, bytes: Bytes| rewrite(&bytes, &served.id);
    let reply = app.fleet.send(&job, &mut turn.trail, read).await?;
    finish(turn, reply, &estimate)
}

/// An engine's answer under the public name.
fn rewrite(bytes: &Bytes, model: &str) -> Result<(Bytes, Option<crate::openai::Usage>), NotAnAnswer> {
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(bytes) else { return Err(NotAnAnswer) };
    if !answer.get("pages").is_some_and(Value::is_array) {
        return Err(NotAnAnswer);
    }
    answer.insert("model".to_owned(), model.into());
    Ok((Bytes::from(Value::Object(answer).to_string()), None))
}

/// What is to be read.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    DocumentUrl { document_url: String },
    ImageUrl { image_url: Image },
}

/// Mistral takes both forms.
#[derive(Deserialize)]
#[serde(untagged)]
enum Image {
    Url(String),
    Object { url: String },
}

fn wrong() -> ApiError {
    ApiError::bad_request(
        "« document » doit être {\"type\": \"document_url\", \"document_url\": \"data:…;base64,…\"} ou \
         {\"type\": \"image_url\", \"image_url\": \"data:…;base64,…\"}.",
        "“document” must be {\"type\": \"document_url\", \"document_url\": \"data:…;base64,…\"} or \
         {\"type\": \"image_url\", \"image_url\": \"data:…;base64,…\"}.",
    )
    .param("document")
}

/// The bytes of a `data:` address.
fn data(url: &str) -> Option<Bytes> {
    let (_, coded) = url.strip_prefix("data:")?.split_once(";base64,")?;
    STANDARD.decode(coded.trim()).ok().map(Bytes::from)
}

/// Reads on this machine.
async fn local(visit: &mut Visit, head: &Head<'_>, reader: &Reader) -> ApiResult<Response> {
    let document = head.raw("document").ok_or_else(wrong)?;
    let source: Source = serde_json::from_str(document.get()).map_err(|_| wrong())?;
    let wanted: Option<Vec<u32>> = match head.raw("pages") {
        Some(raw) if raw.get() != "null" => Some(serde_json::from_str(raw.get()).map_err(|_| wrong_pages())?),
        _ => None,
    };
    let (pages, bytes) = match source {
        Source::ImageUrl { image_url: Image::Url(url) | Image::Object { url } } => {
            let image = data(&url).ok_or_else(wrong)?;
            let Some(Ocr::Tesseract(tesseract)) = &reader.ocr else { return Err(wrong()) };
            (vec![(0, tesseract.image(&image).await.map_err(told)?)], image.len())
        }
        Source::DocumentUrl { document_url } => {
            let file = data(&document_url).ok_or_else(wrong)?;
            let bytes = file.len();
            let who = (&visit.caller.who, visit.caller.who.data_class());
            let only: Option<Vec<u32>> =
                wanted.as_ref().map(|pages| pages.iter().map(|page| page.saturating_add(1)).collect());
            let read = reader.document("document", file, who, only.as_deref()).await.map_err(told)?;
            (markdown(&read), bytes)
        }
    };
    let pages: Vec<Value> = pages
        .into_iter()
        .filter(|(index, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(index)))
        .map(|(index, markdown)| json!({"index": index, "markdown": markdown, "images": [], "dimensions": null}))
        .collect();
    let usage = json!({"pages_processed": pages.len(), "doc_size_bytes": bytes});
    let answer = json!({"pages": pages, "model": LOCAL, "document_annotation": null, "usage_info": usage});
    visit.turn.hand_over().succeed(End { status: 200, ..End::default() });
    let mut response = Response::new(Body::from(answer.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn wrong_pages() -> ApiError {
    ApiError::bad_request(
        "« pages » doit être une liste de numéros de pages, comptés à partir de 0.",
        "“pages” must be a list of page numbers, counted from 0.",
    )
    .param("pages")
}

fn told(setback: Setback) -> ApiError {
    match setback {
        Setback::Failed(words) => ApiError::bad_request(words.french, words.english).param("document"),
        Setback::Later { .. } | Setback::Gone => ApiError::service_unavailable(),
    }
}

/// The text of each page; a document without pages is one.
fn markdown(document: &Document) -> Vec<(u32, String)> {
    let mut pages = vec![String::new(); document.pages.len().max(1)];
    for block in &document.blocks {
        let index = block.page.unwrap_or(1).saturating_sub(1) as usize;
        let Some(page) = pages.get_mut(index) else { continue };
        if !page.is_empty() {
            page.push_str("\n\n");
        }
        if let Some(level) = block.level() {
            page.extend(std::iter::repeat_n('#', usize::from(level)));
            page.push(' ');
        }
        page.push_str(&block.text);
    }
    (0..).zip(pages).collect()
}
