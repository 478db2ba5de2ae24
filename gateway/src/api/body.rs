//! The body of a request, read within the configuration's bounds.

use std::num::NonZeroU32;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Body;

use crate::config::server::Server;
use crate::error::{ApiError, ApiResult};
use crate::gather::{Lacking, gather_at_pace};
use crate::server;

/// Bytes a second that a client sends at least, on average, past the first `body_timeout`.
const SLOWEST: NonZeroU32 = NonZeroU32::MIN.saturating_add((4 << 10) - 1);

/// The answer to a request whose body was not read whole. The rest comes behind it: this connection carries no other
/// request, and its client is told so.
pub fn unread(refusal: impl IntoResponse) -> Response {
    let mut response = refusal.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether a body comes in a coding, which nobody here undoes.
pub fn is_coded(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
}

/// Reads a whole body.
///
/// # Errors
/// 413 past the limit (told by its length, or found while reading), 408 when the client stalls, 400 when it is cut, 415
/// when it is compressed.
pub async fn read<B: Body<Data = Bytes> + Unpin>(coded: bool, body: B, settings: &Server) -> ApiResult<Bytes> {
    if coded {
        return Err(ApiError::new(
            http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Le corps de la requête est compressé ; envoyez-le tel quel.",
            "The request body is compressed; send it as it is.",
        ));
    }
    let read = gather_at_pace(body, settings.body_limit.bytes(), settings.body_timeout.0, Some(SLOWEST)).await;
    let read = read.map_err(|lacking| match lacking {
        Lacking::TooLarge => ApiError::too_large(settings.body_limit),
        Lacking::Slow => ApiError::slow_body(),
        Lacking::Broken => {
            ApiError::bad_request("Le corps de la requête est incomplet.", "The request body is incomplete.")
        }
    })?;
    // One that came in one piece stands in the buffer that its connection reads into: as long as it is held there, the
    // connection, which listens for its client's leave, holds a second one.
    Ok(if read.len() <= server::HEAD { Bytes::copy_from_slice(&read) } else { read })
}
