//! Datasets: imported by evaluators, or made of a sample's records; read, exported, taken away.

use std::collections::BTreeMap;

use ::eval::dataset::{Columns, Dataset, Format, Item};
use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Part, evaluates, organization_of, reach};
use crate::api::admin::visible;
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::config::DataClass;
use crate::error::{ApiError, ApiResult};
use crate::evaluation::dataset as stored;
use crate::evaluation::runs::refused;
use crate::policy::identity::Principal;
use crate::store::datasets::{NewDataset, StoredDataset};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(retrieve, remove))
        .routes(routes!(items))
        .routes(routes!(export))
}

/// How a file says its items.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum FileForm {
    #[default]
    Jsonl,
    Csv,
    Parquet,
}

impl FileForm {
    fn format(self) -> Format {
        match self {
            FileForm::Jsonl => Format::Jsonl,
            FileForm::Csv => Format::Csv,
            FileForm::Parquet => Format::Parquet,
        }
    }
}

/// A dataset to make: of a file’s content, or of a sample.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct DatasetForm {
    /// 1 to 200 characters.
    #[schema(example = "accueil-2026")]
    name: String,
    /// Absent: the organization that the caller evaluates.
    #[serde(default)]
    organization_id: Option<i64>,
    /// Records of this sample whose content is still there.
    #[serde(default)]
    sample_id: Option<i64>,
    /// `jsonl`, `csv` or `parquet`: evalap’s and compar:IA’s columns are known too.
    #[serde(default)]
    format: FileForm,
    /// The file: its text, or base64 of a Parquet.
    #[serde(default)]
    #[schema(example = "{\"id\": \"a\", \"question\": \"Quels papiers pour un passeport ?\", \"reference\": \"…\"}")]
    content: Option<String>,
    /// Which column plays a role: `{\"question\": \"texte\"}`.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// Class of items that say none in `data_class`.
    #[serde(default = "sensitive")]
    data_class: DataClass,
}

fn sensitive() -> DataClass {
    DataClass::Sensitive
}

/// Datasets, newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct DatasetList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<StoredDataset>,
}

/// Datasets of what the caller may read, newest first.
#[utoipa::path(get, path = "/v1/eval/datasets", tag = "Evaluation", security(("key" = [])), params(Part),
    responses((status = 200, body = DatasetList)))]
async fn list(State(app): State<AppState>, who: Principal, Query(part): Query<Part>) -> ApiResult<Answer<DatasetList>> {
    let (limit, offset) = part.bounds()?;
    Ok(Answer(DatasetList { object: "list", data: app.store.datasets(&reach(&who)?, limit, offset).await? }))
}

/// Make a dataset. Lines that are no items are kept aside with their numbers, and the rest is taken.
#[utoipa::path(post, path = "/v1/eval/datasets", tag = "Evaluation", security(("key" = [])), request_body = DatasetForm,
    responses((status = 201, body = StoredDataset), (status = 403, description = "The caller evaluates nothing here")))]
async fn make(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<DatasetForm>,
) -> ApiResult<(StatusCode, Answer<StoredDataset>)> {
    let name = form.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 200 || name.chars().any(char::is_control) {
        return Err(
            ApiError::bad_request("Le nom a de 1 à 200 caractères.", "The name has 1 to 200 characters.").param("name")
        );
    }
    let new = match (form.sample_id, form.content) {
        (Some(id), None) => {
            let sample = app.store.sample(&reach(&who)?, id).await?.ok_or_else(ApiError::not_found)?;
            evaluates(&who, sample.organization_id)?;
            stored::of_sample(&app.store, &sample, name, who.member_id()).await?
        }
        (None, Some(content)) => {
            let organization_id = organization_of(&who, form.organization_id)?.ok_or_else(|| {
                ApiError::bad_request("Dites de quelle administration.", "Say of which organization.")
                    .param("organization_id")
            })?;
            if app.store.organization(organization_id).await?.is_none() {
                return Err(ApiError::not_found().param("organization_id"));
            }
            imported((organization_id, name), (form.format, content, form.columns), form.data_class, &who).await?
        }
        _ => {
            return Err(ApiError::bad_request(
                "Dites « content » ou « sample_id », l’un des deux.",
                "Say “content” or “sample_id”, one of them.",
            )
            .param("content"));
        }
    };
    let id = app.store.insert_dataset(&new).await?;
    Ok((StatusCode::CREATED, Answer(found(&app, &who, id).await?)))
}

/// Reads a file, off the threads that carry requests.
async fn imported(
    (organization_id, name): (i64, String),
    (form, content, columns): (FileForm, String, BTreeMap<String, String>),
    class: DataClass,
    who: &Principal,
) -> ApiResult<NewDataset> {
    let bytes = match form {
        FileForm::Parquet => base64::engine::general_purpose::STANDARD.decode(content.trim()).map_err(|_| {
            ApiError::bad_request("Un Parquet s’envoie en base64.", "A Parquet is sent as base64.").param("content")
        })?,
        _ => content.into_bytes(),
    };
    let work = tokio::task::spawn_blocking(move || Dataset::import(&bytes, form.format(), &Columns(columns)));
    let read = work.await.map_err(ApiError::internal)?.map_err(|refusal| refused(refusal).param("content"))?;
    if read.dataset.items.is_empty() {
        let told: Vec<String> = read.broken.iter().take(3).map(ToString::to_string).collect();
        let told = told.join("\n");
        return Err(ApiError::bad_request(
            format!("Aucune ligne n’est un élément.\n{told}"),
            format!("No line is an item.\n{told}"),
        )
        .param("content"));
    }
    let (rows, data_class) = stored::imported(&read.dataset, class)?;
    Ok(NewDataset {
        organization_id,
        name,
        hash: read.dataset.hash(),
        data_class,
        sample_id: None,
        set_aside: serde_json::to_string(&read.broken).map_err(ApiError::internal)?,
        made_by: who.member_id(),
        rows,
    })
}

/// A dataset in the caller's reach.
pub(super) async fn found(app: &App, who: &Principal, id: i64) -> ApiResult<StoredDataset> {
    visible(app.store.dataset(&reach(who)?, id).await?, |dataset| who.can_read_content(dataset.organization_id))
}

/// One dataset, without its items.
#[utoipa::path(get, path = "/v1/eval/datasets/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = StoredDataset), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
) -> ApiResult<Answer<StoredDataset>> {
    found(&app, &who, id).await.map(Answer)
}

/// Take a dataset away, with the experiments and judgings over it.
#[utoipa::path(delete, path = "/v1/eval/datasets/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn remove(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    let dataset = found(&app, &who, id).await?;
    evaluates(&who, Some(dataset.organization_id))?;
    app.store.delete_dataset(dataset.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One item of a dataset.
#[derive(Serialize, utoipa::ToSchema)]
struct DatasetItem {
    id: String,
    question: String,
    reference: Option<String>,
    passages: Vec<String>,
    /// The independent unit it belongs to.
    cluster: Option<String>,
    /// All else, by name; of a record: `answer`, `model`, `data_class`, `probability`, …
    fields: BTreeMap<String, String>,
}

impl From<Item> for DatasetItem {
    fn from(item: Item) -> DatasetItem {
        let Item { id, question, reference, passages, cluster, fields } = item;
        DatasetItem { id, question, reference, passages, cluster, fields }
    }
}

/// Items, in order.
#[derive(Serialize, utoipa::ToSchema)]
struct ItemsSeen {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<DatasetItem>,
    /// `offset` of what follows; null at the end.
    next: Option<i64>,
}

/// Items of a dataset. Those of a sample are read from its records: what was purged is no longer there.
#[utoipa::path(get, path = "/v1/eval/datasets/{id}/items", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), Part), responses((status = 200, body = ItemsSeen), (status = 404, description = "Unknown, or not visible")))]
async fn items(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(part): Query<Part>,
) -> ApiResult<Answer<ItemsSeen>> {
    let dataset = found(&app, &who, id).await?;
    let (limit, offset) = part.bounds()?;
    let (page, next) = app.store.dataset_items(dataset.id, offset, limit).await?;
    let data = page.into_iter().filter_map(stored::item).map(DatasetItem::from).collect();
    Ok(Answer(ItemsSeen { object: "list", data, next }))
}

/// In which form.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `jsonl`, `csv` or `parquet`.
    #[param(value_type = String)]
    format: FileForm,
}

/// A dataset as a file, which an import reads as the same items.
#[utoipa::path(get, path = "/v1/eval/datasets/{id}/export", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), Wanted), responses((status = 200, description = "The file"), (status = 404, description = "Unknown, or not visible")))]
async fn export(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(wanted): Query<Wanted>,
) -> ApiResult<Response> {
    let dataset = found(&app, &who, id).await?;
    let held = stored::items(&app.store, &dataset).await?;
    let work = tokio::task::spawn_blocking(move || held.export(wanted.format.format()));
    let file = work.await.map_err(ApiError::internal)?.map_err(refused)?;
    let kind = match wanted.format {
        FileForm::Jsonl => "application/jsonl; charset=utf-8",
        FileForm::Csv => "text/csv; charset=utf-8",
        FileForm::Parquet => "application/vnd.apache.parquet",
    };
    Ok(([(header::CONTENT_TYPE, kind)], file).into_response())
}
