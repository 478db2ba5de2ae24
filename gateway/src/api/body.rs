//! The body of a request, read within the configuration's bounds.

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;

use crate::config::server::Server;
use crate::error::{ApiError, ApiResult};
use crate::gather::{Lacking, gather};

/// Reads a whole body.
///
/// # Errors
/// 413 past the limit (told by its length, or found while reading), 408 when the client stalls, 400 when it is cut, 415
/// when it is compressed.
pub async fn read(headers: &HeaderMap, body: Body, settings: &Server) -> ApiResult<Bytes> {
    if headers.get(http::header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(ApiError::new(
            http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Le corps de la requête est compressé ; envoyez-le tel quel.",
            "The request body is compressed; send it as it is.",
        ));
    }
    gather(body, settings.body_limit.bytes(), settings.body_timeout.0).await.map_err(|lacking| match lacking {
        Lacking::TooLarge => ApiError::too_large(settings.body_limit),
        Lacking::Slow => ApiError::slow_body(),
        Lacking::Broken => {
            ApiError::bad_request("Le corps de la requête est incomplet.", "The request body is incomplete.")
        }
    })
}
