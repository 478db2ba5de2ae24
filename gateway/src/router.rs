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

/// The table.
fn table() -> OpenApiRouter<AppState> {
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
    // documents
    #[cfg(feature = "retrieval")]
    let table = table.merge(api::ocr::routes());
    table
}

/// The description of every route, without starting anything.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut openapi = table().into_openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of a project or of a member"))
        .build();
    openapi.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    openapi
}

/// The whole service, behind the layers that [`crate::layers::enter`] takes requests through.
pub fn router(app: AppState) -> Result<Router, minijinja::Error> {
    let (router, _) = table().split_for_parts();
    let router = router
        .merge(api::reference::routes(&openapi())?)
        .fallback(|| async { ApiError::no_such_route() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() });
    Ok(router.with_state(app))
}
