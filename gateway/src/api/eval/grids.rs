//! Evaluation grids: stored by evaluators, read by whoever evaluates or audits there.

use ::eval::grid::Grid;
use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Part, organization_of, reach};
use crate::api::json::{Json, Query};
use crate::app::AppState;
use crate::error::{ApiError, ApiResult};
use crate::evaluation::campaign::grid;
use crate::policy::identity::Principal;
use crate::store::grids::{GridName, StoredGrid};
use crate::store::now;
use crate::store::page::Reach;
use crate::store::time::Time;

/// Largest document, in bytes.
const DOCUMENT_MAX: usize = 256 << 10;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, store)).routes(routes!(retrieve))
}

/// Grids, newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct GridList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<StoredGrid>,
}

/// Grids of the caller's organizations and those that are everybody's, newest first. The shipped one is among them once it
/// was used, and can always be asked for by its name.
#[utoipa::path(get, path = "/v1/eval/grids", tag = "Evaluation", security(("key" = [])), params(Part),
    responses((status = 200, body = GridList)))]
async fn list(State(app): State<AppState>, who: Principal, Query(part): Query<Part>) -> ApiResult<Answer<GridList>> {
    let (limit, offset) = part.bounds()?;
    let mut data = app.store.grids(&reach(&who)?, limit, offset).await?;
    for grid in &mut data {
        grid.document.clear();
    }
    Ok(Answer(GridList { object: "list", data }))
}

/// A grid to store.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct GridForm {
    /// The grid: a file's text (YAML), or the same as JSON.
    #[schema(value_type = Object)]
    document: Value,
    /// Whose it is; absent: the only one that the caller evaluates, or everybody's.
    #[serde(default)]
    organization_id: Option<i64>,
}

/// Store a grid under the id and version it says. All its problems are told at once. The same again is the same; another of
/// that version replaces it until it is used, and is a conflict from then on.
#[utoipa::path(post, path = "/v1/eval/grids", tag = "Evaluation", security(("key" = [])), request_body = GridForm,
    responses((status = 201, body = StoredGrid), (status = 200, description = "It was there", body = StoredGrid), (status = 409, description = "That version was used, and says something else")))]
async fn store(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<GridForm>,
) -> ApiResult<(StatusCode, Answer<StoredGrid>)> {
    let organization = organization_of(&who, form.organization_id)?;
    let wrong = |french: &'static str, english: &'static str| ApiError::bad_request(french, english).param("document");
    let document = match form.document {
        Value::String(text) => text,
        other => format!("{other:#}"),
    };
    if document.len() > DOCUMENT_MAX || document.contains('\0') {
        return Err(wrong("Une grille est un texte de 256 Kio au plus.", "A grid is a text of 256 KiB at most."));
    }
    let grid = grid::read(&document)?;
    let name = grid::name(&grid);
    if !name.is_plain() {
        return Err(wrong(
            "L’identifiant et la version d’une grille sont faits de lettres sans accent, de chiffres, de « . », « _ », « - ».",
            "A grid’s id and version are made of letters without accents, digits, “.”, “_”, “-”.",
        ));
    }
    if grid::shipped(&name).is_some_and(|(shipped, _)| shipped.hash != grid.hash) {
        return Err(ApiError::conflict(
            "C’est le nom de la grille livrée : donnez à la vôtre un autre identifiant ou une autre version.",
            "This is the name of the shipped grid: give yours another id or version.",
        ));
    }
    let mut change = app.store.edit(who.actor()).await?;
    let (stored, new) = change.store_grid(organization, &name, &grid.hash, &document).await?;
    change.commit().await?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Answer(stored)))
}

/// Which of several grids of that name.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// Its organization, for who reads several.
    organization_id: Option<i64>,
}

/// A grid with its file and what was read of it.
#[derive(Serialize)]
struct GridSeen {
    #[serde(flatten)]
    stored: StoredGrid,
    content: Grid,
}

/// One grid by its name, `id@version`: of the organization said, else of the caller's, else everybody's, else the shipped one.
#[utoipa::path(get, path = "/v1/eval/grids/{id}", tag = "Evaluation", security(("key" = [])),
    params(("id" = String, Path, example = "guichet@1"), Whose),
    responses((status = 200, description = "The grid with its `document`, its `hash` and its `content`"), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<String>,
    Query(whose): Query<Whose>,
) -> ApiResult<Answer<GridSeen>> {
    let reach = reach(&who)?;
    let wanted = GridName::parse(&id).ok_or_else(ApiError::not_found)?;
    let mut found = match whose.organization_id {
        Some(id) if who.can_read_content(id) => {
            let mut own = app.store.grids_named(&Reach::organization(id), &wanted).await?;
            own.retain(|grid| grid.organization_id == Some(id));
            own
        }
        Some(_) => return Err(ApiError::not_found()),
        None => app.store.grids_named(&reach, &wanted).await?,
    };
    let own = found.iter().filter(|grid| grid.organization_id.is_some()).count();
    // Who reads several organizations gets everybody's, or must say whose.
    if own > 1 {
        found.truncate(found.len() - own);
        if found.is_empty() {
            return Err(ApiError::bad_request(
                "Plusieurs administrations ont une grille de ce nom : dites laquelle.",
                "Several organizations have a grid of this name: say which.",
            )
            .param("organization_id"));
        }
    }
    if let Some(stored) = found.pop() {
        let content = grid::read(&stored.document)?;
        return Ok(Answer(GridSeen { stored, content }));
    }
    let shipped = grid::shipped(&wanted).filter(|_| whose.organization_id.is_none());
    let (content, document) = shipped.ok_or_else(ApiError::not_found)?;
    let stored = StoredGrid {
        number: 0,
        id: wanted.to_string(),
        organization_id: None,
        hash: content.hash.clone(),
        made: Time(now()),
        made_by: None,
        used: None,
        document: document.to_owned(),
    };
    Ok(Answer(GridSeen { stored, content }))
}
