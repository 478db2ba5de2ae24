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

/// The table. `evaluation`: its routes are there.
fn table(evaluation: bool) -> OpenApiRouter<AppState> {
    let always = OpenApiRouter::with_openapi(Description::openapi())
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
    #[cfg(feature = "eval")]
    if evaluation {
        // what answers are worth
        return always.merge(api::admin::consent::routes()).merge(api::eval::routes());
    }
    #[cfg(not(feature = "eval"))]
    let _ = evaluation;
    always
}

/// The description of every route, without starting anything.
pub fn openapi(evaluation: bool) -> utoipa::openapi::OpenApi {
    let mut openapi = table(evaluation).into_openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key of a project or of a member"))
        .build();
    openapi.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(scheme));
    openapi
}

/// The whole service, behind the layers that [`crate::layers::enter`] takes requests through.
pub fn router(app: AppState) -> Result<Router, minijinja::Error> {
    // A reload cannot turn evaluation on or off.
    let evaluation = app.recorder.capture.is_some();
    let (router, _) = table(evaluation).split_for_parts();
    let router = router
        .merge(api::reference::routes(&openapi(evaluation))?)
        .fallback(|| async { ApiError::no_such_route() })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() });
    Ok(router.with_state(app))
}
