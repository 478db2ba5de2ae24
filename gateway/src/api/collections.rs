//! `/v1/collections`: what is searched together. Who may see and change one is decided in
//! [`policy::corpora`](crate::policy::corpora).

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::admin::{List, Slice, allowed, visible};
use super::json::{Json, Query};
use crate::app::{App, AppState};
use crate::config::DataClass;
use crate::config::model::ModelType;
use crate::error::{ApiError, ApiResult};
use crate::policy::corpora::{Reading, Writing};
use crate::policy::identity::Principal;
use crate::store::Page;
use crate::store::collections::{Collection, CollectionPatch, NewCollection, Tongue, Visibility};
use crate::store::projects::Project;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(retrieve, update, delete))
}

/// What is searched together.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CollectionForm {
    /// 1 to 200 characters.
    #[schema(example = "Fiches du service public")]
    name: String,
    #[serde(default)]
    description: Option<String>,
    /// `private` (default) to its project, `shared` in its organization, `public` on the instance: the last is for managers.
    #[serde(default)]
    visibility: Option<Visibility>,
    /// At least its project's, which is the default.
    #[serde(default)]
    data_class: Option<DataClass>,
    /// How words are analysed. Default: `fr`.
    #[serde(default)]
    language: Option<Tongue>,
    /// Id of an embeddings model. Default: the configuration's. `model` is accepted for it.
    #[serde(default, alias = "model")]
    embedding_model: Option<String>,
    /// With the key of a member: the project it is for.
    #[serde(default)]
    project_id: Option<i64>,
}

/// What to change; what is absent stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CollectionChange {
    #[serde(default)]
    name: Option<String>,
    /// An empty one takes it away.
    #[serde(default)]
    description: Option<String>,
    /// `public` is for managers.
    #[serde(default)]
    visibility: Option<Visibility>,
    /// A lower one is for managers.
    #[serde(default)]
    data_class: Option<DataClass>,
    /// Another project of the same organization; for managers.
    #[serde(default)]
    project_id: Option<i64>,
}

/// Which collections are wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct CollectionSlice {
    /// Collections at most, 1 to 1000.
    limit: i64,
    /// Collections to skip.
    offset: i64,
    /// Only collections of exactly this name.
    name: Option<String>,
    /// Only `private`, `shared` or `public` ones.
    visibility: Option<Visibility>,
    /// `id`, `name` or `created`.
    order_by: Option<String>,
    /// `asc` or `desc`.
    order_direction: Option<String>,
}

impl Default for CollectionSlice {
    fn default() -> Self {
        CollectionSlice { limit: 10, offset: 0, name: None, visibility: None, order_by: None, order_direction: None }
    }
}

/// The slice of a list, in the words that Albert API has for it.
pub(super) fn page(
    (limit, offset): (i64, i64),
    name: Option<String>,
    order_by: Option<String>,
    order_direction: Option<String>,
) -> ApiResult<Page> {
    if offset < 0 {
        return Err(ApiError::bad_request("« offset » commence à 0.", "“offset” starts at 0.").param("offset"));
    }
    let order_by = order_by.map(|by| by.strip_suffix("_at").map_or(by.clone(), str::to_owned));
    Slice { limit, offset, name, order_by, order_direction, ..Slice::default() }.page()
}

/// A collection that the caller may read; like what does not exist otherwise.
pub(super) async fn readable(app: &App, who: &Principal, id: i64) -> ApiResult<Collection> {
    visible(app.store.collection(&Reading::of(who), id).await?, |_| true)
}

/// Refused to one who may read but not change it, hidden from others.
pub(super) async fn not_writable(app: &App, who: &Principal, id: i64) -> ApiError {
    match readable(app, who, id).await {
        Ok(_) => ApiError::role_denied(),
        Err(error) => error,
    }
}

/// Vectors go where the index is: its hosting must be one that the class may reach.
fn check_hosting(app: &App, class: DataClass) -> ApiResult<()> {
    let remote = app.retrieval.as_ref().and_then(|retrieval| retrieval.hosting.as_ref());
    if remote.is_none_or(|hosting| app.config.load().rule(class).allows(hosting)) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "sovereignty_policy",
        "L’hébergement de l’index vectoriel n’est pas autorisé pour cette classe de données.",
        "The hosting of the vector index is not allowed for this data class.",
    ))
}

/// The embeddings model of a new collection: its id, and the size of its vectors.
fn embedding_model(app: &App, project: &Project, named: Option<&str>) -> ApiResult<(String, i64)> {
    let config = app.config.load();
    let default = config.retrieval.as_ref().map(|retrieval| retrieval.embedding_model.as_str());
    let name = named.or(default).ok_or_else(ApiError::no_such_route)?;
    let model = app.fleet.resolve(name, Some(&project.organization)).map_err(|error| error.param("embedding_model"))?;
    if model.kind != ModelType::Embeddings {
        return Err(ApiError::model_wrong_type(name, ModelType::Embeddings.public()).param("embedding_model"));
    }
    let dimensions = model.dimensions.ok_or_else(|| {
        ApiError::bad_request(
            "La configuration ne dit pas la taille des vecteurs de ce modèle (« dimensions »).",
            "The configuration does not say the size of this model’s vectors (“dimensions”).",
        )
        .param("embedding_model")
    })?;
    Ok((model.id.to_string(), i64::from(dimensions)))
}

/// Collections that the caller may read: their project's, those shared in their organization, those open to all.
#[utoipa::path(get, path = "/v1/collections", tag = "Collections", security(("key" = [])), params(CollectionSlice),
    responses((status = 200, body = List<Collection>)))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Query(slice): Query<CollectionSlice>,
) -> ApiResult<Answer<List<Collection>>> {
    let page = page((slice.limit, slice.offset), slice.name, slice.order_by, slice.order_direction)?;
    Ok(Answer(app.store.collections(&Reading::of(&who), slice.visibility, &page).await?.into()))
}

/// Make a collection.
#[utoipa::path(post, path = "/v1/collections", tag = "Collections", security(("key" = [])), request_body = CollectionForm,
    responses((status = 201, body = Collection), (status = 403, description = "The role, or where the index is hosted")))]
async fn create(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<CollectionForm>,
) -> ApiResult<(StatusCode, Answer<Collection>)> {
    let project = form.project_id.or_else(|| who.project_id()).ok_or_else(|| {
        ApiError::bad_request(
            "Avec la clé d’un membre, « project_id » dit pour quel projet.",
            "With a member’s key, “project_id” says for which project.",
        )
        .param("project_id")
    })?;
    let writing = Writing::of(&who);
    let project =
        visible(app.store.project(project).await?, |project| writing.covers(project.organization_id, project.id))?;
    let visibility = form.visibility.unwrap_or(Visibility::Private);
    allowed(visibility != Visibility::Public || who.can_publish(project.organization_id))?;
    check_hosting(&app, form.data_class.unwrap_or(project.data_class))?;
    let (embedding_model, dimensions) = embedding_model(&app, &project, form.embedding_model.as_deref())?;
    let new = NewCollection {
        project: project.id,
        name: form.name,
        description: form.description,
        visibility,
        data_class: form.data_class,
        language: form.language.unwrap_or_default(),
        embedding_model,
        dimensions,
    };
    let mut change = app.store.edit(who.actor()).await?;
    let made = change.create_collection(new).await?;
    change.commit().await?;
    Ok((StatusCode::CREATED, Answer(made)))
}

/// One collection.
#[utoipa::path(get, path = "/v1/collections/{id}", tag = "Collections", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Collection), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Collection>> {
    readable(&app, &who, id).await.map(Answer)
}

/// Change a collection: its name, its description, who may see it, its class, its project.
#[utoipa::path(patch, path = "/v1/collections/{id}", tag = "Collections", security(("key" = [])), params(("id" = i64, Path)),
    request_body = CollectionChange,
    responses((status = 200, body = Collection), (status = 403, description = "The role, or where the index is hosted")))]
async fn update(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<CollectionChange>,
) -> ApiResult<Answer<Collection>> {
    let mut change = app.store.edit(who.actor()).await?;
    let Some(before) = change.hold_collection(&Writing::of(&who), id).await? else {
        drop(change);
        return Err(not_writable(&app, &who, id).await);
    };
    let manages = who.can_publish(before.organization_id);
    allowed(manages || form.project_id.is_none_or(|project| project == before.project_id))?;
    let patch = CollectionPatch {
        name: form.name,
        description: form.description,
        visibility: form.visibility,
        data_class: form.data_class,
        project: form.project_id,
    };
    let after = change.revise_collection(&before, patch).await?;
    let opens = after.visibility == Visibility::Public && before.visibility != Visibility::Public;
    allowed(manages || (!opens && after.data_class >= before.data_class))?;
    if after.data_class != before.data_class {
        check_hosting(&app, after.data_class)?;
    }
    change.save_collection(&before, &after).await?;
    change.commit().await?;
    Ok(Answer(after))
}

/// Delete a collection and all that it holds: documents, files, chunks, vectors.
#[utoipa::path(delete, path = "/v1/collections/{id}", tag = "Collections", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 204, description = "Done"), (status = 404, description = "Unknown, or not visible")))]
async fn delete(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<StatusCode> {
    let mut change = app.store.edit(who.actor()).await?;
    match change.delete_collection(&Writing::of(&who), id).await {
        Ok(_) => {}
        Err(crate::store::StoreError::NotFound) => {
            drop(change);
            return Err(not_writable(&app, &who, id).await);
        }
        Err(error) => return Err(error.into()),
    }
    change.commit().await?;
    if let Some(retrieval) = &app.retrieval {
        retrieval.removals.wake();
    }
    Ok(StatusCode::NO_CONTENT)
}
