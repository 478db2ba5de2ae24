//! What goes wrong for a caller: one type, one table of words, one `IntoResponse`.
//!
//! The body serves two families of clients at once: `{"error":{message,type,param,code},"detail":message}`.
//! Messages are French unless the client or the configuration asks for English; they hold no host name, no key and
//! no internals, which go to the log. The language is chosen where the response leaves (`layers`), so an error
//! carries both.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::config::server::Language;

pub type ApiResult<T> = Result<T, ApiError>;

/// A refusal or a failure, as the caller sees it.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    param: Option<String>,
    french: Cow<'static, str>,
    english: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// Requests that the limit which refused allows at once.
    limit: Option<u32>,
    never_retry: bool,
    /// Where the request was processed before it failed.
    hosting: Option<HeaderValue>,
}

fn words(code: &str, status: StatusCode) -> &'static str {
    match (code, status.as_u16()) {
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 404) => "not_found_error",
        (_, 409) => "conflict_error",
        (_, 429) => "rate_limit_error",
        ("upstream_timeout", _) => "timeout_error",
        (_, 400..=499) => "invalid_request_error",
        _ => "server_error",
    }
}

impl ApiError {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        french: impl Into<Cow<'static, str>>,
        english: impl Into<Cow<'static, str>>,
    ) -> ApiError {
        ApiError(Box::new(Inner {
            status,
            code,
            param: None,
            french: french.into(),
            english: english.into(),
            retry_after: None,
            limit: None,
            never_retry: false,
            hosting: None,
        }))
    }

    pub fn bad_request(french: impl Into<Cow<'static, str>>, english: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", french, english)
    }

    /// The same words for a key that is absent, unknown, expired or revoked.
    pub fn invalid_api_key() -> ApiError {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_api_key",
            "Clé d’accès absente ou non valable. Envoyez l’en-tête « Authorization: Bearer <clé> ».",
            "Missing or invalid API key. Send the header “Authorization: Bearer <key>”.",
        )
    }

    pub fn permission_denied(french: impl Into<Cow<'static, str>>, english: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "permission_denied", french, english)
    }

    /// A role that does not allow what is asked.
    pub fn role_denied() -> ApiError {
        ApiError::permission_denied(
            "Votre rôle ne permet pas cette opération.",
            "Your role does not allow this operation.",
        )
    }

    pub fn sovereignty() -> ApiError {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "sovereignty_policy",
            "Aucun hébergement autorisé pour la classe de données de ce projet ne sert ce modèle.",
            "No hosting allowed for this project’s data class serves this model.",
        )
    }

    pub fn not_found() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "Objet introuvable.", "Not found.")
    }

    pub fn no_such_route() -> ApiError {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Cette adresse n’existe pas ; la liste est à /reference.",
            "No such endpoint; the list is at /reference.",
        )
    }

    pub fn method_not_allowed() -> ApiError {
        ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Cette adresse ne répond pas à cette méthode HTTP.",
            "This endpoint does not answer this HTTP method.",
        )
    }

    /// Unknown, or not visible to this organization: indistinguishable.
    pub fn model_not_found(model: &str) -> ApiError {
        let model = short(model);
        ApiError::new(
            StatusCode::NOT_FOUND,
            "model_not_found",
            format!("Le modèle « {model} » n’existe pas ou ne vous est pas ouvert."),
            format!("The model “{model}” does not exist or is not open to you."),
        )
        .param("model")
    }

    pub fn model_wrong_type(model: &str, wanted: &str) -> ApiError {
        let model = short(model);
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "model_wrong_type",
            format!("Le modèle « {model} » n’est pas du type attendu ici : {wanted}."),
            format!("The model “{model}” is not of the type expected here: {wanted}."),
        )
        .param("model")
    }

    pub fn conflict(french: impl Into<Cow<'static, str>>, english: impl Into<Cow<'static, str>>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, "conflict", french, english)
    }

    pub fn too_large(limit: crate::config::Size) -> ApiError {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            format!("La requête dépasse {limit}."),
            format!("The request is larger than {limit}."),
        )
    }

    pub fn slow_body() -> ApiError {
        ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "Le corps de la requête n’est pas arrivé à temps.",
            "The request body did not arrive in time.",
        )
    }

    pub fn rate_limited(
        french: impl Into<Cow<'static, str>>,
        english: impl Into<Cow<'static, str>>,
        after: Duration,
    ) -> ApiError {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", french, english).retry_after(after)
    }

    pub fn upstream() -> ApiError {
        ApiError::new(
            StatusCode::BAD_GATEWAY,
            "upstream_error",
            "Le moteur du modèle n’a pas donné de réponse valable.",
            "The model’s engine gave no valid answer.",
        )
    }

    pub fn upstream_timeout() -> ApiError {
        ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "Le moteur du modèle n’a pas répondu à temps.",
            "The model’s engine did not answer in time.",
        )
    }

    pub fn model_busy(after: Duration) -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "model_busy",
            "Le modèle est occupé ; réessayez dans un instant.",
            "The model is busy; try again in a moment.",
        )
        .retry_after(after)
    }

    pub fn service_unavailable() -> ApiError {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "Le service est momentanément indisponible ; réessayez dans un instant.",
            "The service is temporarily unavailable; try again in a moment.",
        )
        .retry_after(Duration::from_secs(2))
    }

    /// Something of ours failed. The cause goes to the log, never to the client.
    pub fn internal(cause: impl std::fmt::Display) -> ApiError {
        tracing::error!(%cause, "internal error");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Une erreur interne s’est produite ; elle a été notée.",
            "An internal error occurred; it was logged.",
        )
    }

    /// The database did not answer. The cause goes to the log.
    pub fn database(cause: impl std::fmt::Display) -> ApiError {
        tracing::error!(%cause, "database unavailable");
        ApiError::service_unavailable()
    }

    pub fn param(mut self, name: impl Into<String>) -> ApiError {
        self.0.param = Some(name.into());
        self
    }

    pub fn code(mut self, code: &'static str) -> ApiError {
        self.0.code = code;
        self
    }

    pub fn retry_after(mut self, after: Duration) -> ApiError {
        self.0.retry_after = Some(after);
        self
    }

    /// Says which limit refused: so many requests.
    pub fn limit(mut self, requests: u32) -> ApiError {
        self.0.limit = Some(requests);
        self
    }

    /// Asks clients not to send the same request again.
    pub fn never_retry(mut self) -> ApiError {
        self.0.never_retry = true;
        self
    }

    /// Says where the request was processed before it failed.
    pub fn hosting(mut self, hosting: HeaderValue) -> ApiError {
        self.0.hosting = Some(hosting);
        self
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// When asking again makes sense, where that is known.
    pub fn after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The `code` of the body: a small, stable set, fit for a metric's label.
    pub fn reason(&self) -> &'static str {
        self.0.code
    }

    pub fn message(&self, language: Language) -> &str {
        match language {
            Language::Fr => &self.0.french,
            Language::En => &self.0.english,
        }
    }

    /// The JSON body, in one language.
    pub fn body(&self, language: Language) -> serde_json::Value {
        let message = self.message(language);
        json!({
            "error": {
                "message": message,
                "type": words(self.0.code, self.0.status),
                "param": self.0.param,
                "code": self.0.code,
            },
            "detail": message,
        })
    }

    /// The response, in one language.
    pub fn respond(&self, language: Language) -> Response {
        let mut response = Response::new(axum::body::Body::from(self.body(language).to_string()));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(hosting) = &self.0.hosting {
            headers.insert(crate::layers::HOSTING, hosting.clone());
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.0.never_retry {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if let Some(after) = self.0.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            headers.insert("retry-after-ms", HeaderValue::from(millis.max(1)));
            // openai-python obeys `retry-after` only up to 60 s, and past that retries at once.
            if seconds > 60 {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
            if let Some(limit) = self.0.limit {
                headers.insert("x-ratelimit-limit-requests", HeaderValue::from(limit));
                headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("0"));
                // OpenAI writes the unit.
                if let Ok(reset) = HeaderValue::try_from(format!("{}ms", millis.max(1))) {
                    headers.insert("x-ratelimit-reset-requests", reset);
                }
            }
        }
        response
    }
}

/// What a caller wrote, short enough to be shown back.
pub fn short(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
    if clean.len() < text.len() { format!("{clean}…") } else { clean }
}

impl IntoResponse for ApiError {
    /// French, with the error kept aside so that `layers` can write it in the language the client asked for.
    fn into_response(self) -> Response {
        let mut response = self.respond(Language::Fr);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_body_serves_both_families_of_clients() {
        let error = ApiError::model_not_found("gpt-9\n\u{7}");
        let body = error.body(Language::Fr);
        assert_eq!(body["error"]["code"], "model_not_found");
        assert_eq!(body["error"]["type"], "not_found_error");
        assert_eq!(body["error"]["param"], "model");
        assert_eq!(body["detail"], body["error"]["message"]);
        assert!(body["detail"].as_str().unwrap().contains("gpt-9"));
        assert!(!body["detail"].as_str().unwrap().contains('\n'));
    }

    #[test]
    fn a_long_wait_asks_clients_not_to_retry() {
        let soon = ApiError::model_busy(Duration::from_millis(1500)).respond(Language::Fr);
        assert_eq!(soon.headers()["retry-after"], "2");
        assert_eq!(soon.headers()["retry-after-ms"], "1500");
        assert!(!soon.headers().contains_key("x-should-retry"));
        let late = ApiError::rate_limited("", "", Duration::from_secs(90)).respond(Language::Fr);
        assert_eq!(late.headers()["x-should-retry"], "false");
    }
}
