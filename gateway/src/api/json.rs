//! JSON bodies and query strings of the administration, with our errors: the field at fault is named.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::body;
use crate::app::AppState;
use crate::error::{ApiError, short};

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Json<T>, ApiError> {
        let (parts, body) = request.into_parts();
        let settings = app.config.load_full();
        let bytes = body::read(body::is_coded(&parts.headers), body, &settings.server).await?;
        // Our own reader first: it refuses what two JSON readers could understand in two ways.
        crate::openai::Head::parse(&bytes)?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(&mut reader)
            .map(Json)
            .map_err(|error| fault(&error.path().to_string(), &error.inner().to_string()))
    }
}

/// A query string.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Query<T>, ApiError> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|query| Query(query.0))
            .map_err(|error| fault("", &error.body_text()))
    }
}

/// The words of serde, short, with the field they are about.
fn fault(path: &str, message: &str) -> ApiError {
    let message = short(message.split(" at line ").next().unwrap_or_default());
    let field = message.split('`').nth(1).filter(|_| message.contains("field `"));
    let param = match (path, field) {
        ("" | ".", Some(field)) => field.to_owned(),
        ("" | ".", None) => String::new(),
        (path, _) => path.to_owned(),
    };
    let error = ApiError::bad_request(
        format!("La requête n’a pas la forme attendue{} : {message}", at(" à", &param)),
        format!("The request does not have the expected form{}: {message}", at(" at", &param)),
    );
    if param.is_empty() { error } else { error.param(param) }
}

fn at(word: &str, param: &str) -> String {
    if param.is_empty() { String::new() } else { format!("{word} « {param} »") }
}
