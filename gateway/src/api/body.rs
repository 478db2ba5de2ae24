//! The body of a model call, read within a size and a silence.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Body as _;

use crate::config::server::Server;
use crate::error::{ApiError, ApiResult};

/// Room made at once for a body that says its size: a client that lies costs no more than this.
const TRUSTED: usize = 1 << 20;

/// Reads a whole JSON body.
///
/// # Errors
/// 413 past the limit (told by its length, or found while reading), 408 when the client stalls, 400 when it is cut or
/// compressed.
pub async fn read(headers: &HeaderMap, mut body: Body, settings: &Server) -> ApiResult<Bytes> {
    if headers.get(http::header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(ApiError::new(
            http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Le corps de la requête est compressé ; envoyez-le tel quel.",
            "The request body is compressed; send it as it is.",
        ));
    }
    let limit = settings.body_limit.bytes();
    let announced = body.size_hint().exact().map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
    if announced > limit {
        return Err(ApiError::too_large(settings.body_limit));
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame =
            tokio::time::timeout(settings.body_timeout.0, body.frame()).await.map_err(|_| ApiError::slow_body())?;
        let data = match frame {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => {
                return Err(ApiError::bad_request(
                    "Le corps de la requête est incomplet.",
                    "The request body is incomplete.",
                ));
            }
        };
        if first.len() + rest.len() + data.len() > limit {
            return Err(ApiError::too_large(settings.body_limit));
        }
        if first.is_empty() && rest.is_empty() {
            // The common case: the body came in one piece, and no byte is copied.
            first = data;
        } else {
            if rest.is_empty() {
                rest.reserve(announced.min(TRUSTED).max(first.len() + data.len()));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
