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

/// The table. `retrieval`: whether there are documents to search; without them their routes do not exist.
fn table(retrieval: bool) -> OpenApiRouter<AppState> {
    let table = OpenApiRouter::with_openapi(Description::openapi())
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
    if retrieval { table.merge(documents()) } else { table }
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
    described(table(true))
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
    let retrieval = serves_documents(&app);
    let (router, _) = table(retrieval).split_for_parts();
    let router = router
        .merge(api::reference::routes(&described(table(retrieval)))?)
        .fallback(|| async { ApiError::no_such_route() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() });
    Ok(router.with_state(app))
}
