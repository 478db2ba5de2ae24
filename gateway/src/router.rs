//! Every route, one table. The description at `/openapi.json` is made from the same lines, so they cannot diverge.

use axum::Router;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::api;
use crate::app::AppState;
use crate::error::ApiError;

#[derive(OpenApi)]
#[openapi(info(title = "Guichet", description = "One OpenAI-compatible counter in front of self-hosted open models."))]
struct Description;

/// What a gateway may be served without.
#[derive(Clone, Copy)]
struct Tapas {
    retrieval: bool,
    evaluation: bool,
}

/// The table. The routes of what is off do not exist.
fn table(tapas: Tapas) -> OpenApiRouter<AppState> {
    let mut table = OpenApiRouter::with_openapi(Description::openapi())
        // what clients call
        .merge(api::chat::routes())
        .merge(api::completions::routes())
        .merge(api::embeddings::routes())
        .merge(api::rerank::routes())
        .merge(api::models::routes())
        .merge(api::prompts::routes())
        // who they are and what they used
        .merge(api::me::routes())
        .merge(api::usage::routes())
        .merge(api::admin::routes())
        // how the counter is
        .merge(api::health::routes())
        .merge(api::metrics::routes());
    if tapas.retrieval {
        table = table.merge(documents());
    }
    if tapas.evaluation {
        table = table.merge(worth());
    }
    table
}

/// Documents, from their way in to their search.
#[cfg(feature = "retrieval")]
fn documents() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(api::collections::routes())
        .merge(api::documents::routes())
        .merge(api::progress::routes())
        .merge(api::chunks::routes())
        .merge(api::search::routes())
        .merge(api::ocr::routes())
}

#[cfg(not(feature = "retrieval"))]
fn documents() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}

/// What answers are worth.
#[cfg(feature = "eval")]
fn worth() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(api::admin::consent::routes()).merge(api::eval::routes())
}

#[cfg(not(feature = "eval"))]
fn worth() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}

/// Whether a gateway serves documents.
fn serves_documents(app: &AppState) -> bool {
    #[cfg(feature = "retrieval")]
    let serves = app.retrieval.is_some();
    #[cfg(not(feature = "retrieval"))]
    let serves = {
        let _ = app;
        false
    };
    serves
}

/// The description of every route, without starting anything.
pub fn openapi() -> utoipa::openapi::OpenApi {
    described(table(Tapas { retrieval: true, evaluation: true }))
}

fn described(table: OpenApiRouter<AppState>) -> utoipa::openapi::OpenApi {
    let mut openapi = table.into_openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of a project or of a member"))
        .build();
    openapi.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    openapi
}

/// The whole service, behind the layers that [`crate::layers::enter`] takes requests through.
pub fn router(app: AppState) -> Result<Router, minijinja::Error> {
    // A reload cannot turn either on or off.
    let tapas = Tapas { retrieval: serves_documents(&app), evaluation: app.recorder.capture.is_some() };
    let (router, _) = table(tapas).split_for_parts();
    let router = router
        .merge(api::reference::routes(&described(table(tapas)))?)
        .fallback(|| async { ApiError::no_such_route() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() });
    Ok(router.with_state(app))
}
