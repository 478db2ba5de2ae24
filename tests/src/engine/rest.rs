//! The calls around inference: models, health, and who may ask.

use serde_json::{Value, json};

use super::calls::Call;
use super::reply::Reply;
use super::serve::Settings;

/// The refusal of a call without the key, if one is required.
pub(super) fn unauthorized(call: &Call, settings: &Settings) -> Option<Reply> {
    let key = settings.key.as_deref()?;
    let open = call.method == "GET" && call.path == "/health";
    let given = call.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    (!open && given != Some(key)).then(|| Reply::json(401, &json!({"error": "Unauthorized"})))
}

/// Answers a GET.
pub(super) fn get(call: &Call, settings: &Settings) -> Reply {
    let probe = matches!(call.path.as_str(), "/health" | "/v1/health" | "/v1/models" | "/models" | "/api/version");
    if probe && !settings.healthy {
        let error = json!({"code": 503, "message": "Loading model", "type": "unavailable_error"});
        return Reply::json(503, &json!({"error": error}));
    }
    match call.path.as_str() {
        "/health" | "/v1/health" => Reply::json(200, &json!({"status": "ok"})),
        "/api/version" => Reply::json(200, &json!({"version": "0.0.0-fake"})),
        "/v1/models" | "/models" => {
            let data: Vec<Value> = settings.models.iter().map(|id| model(id)).collect();
            Reply::json(200, &json!({"object": "list", "data": data}))
        }
        path => match path.strip_prefix("/v1/models/").map(unescape) {
            Some(id) if settings.models.contains(&id) => Reply::json(200, &model(&id)),
            Some(id) => no_model(&id),
            None => Reply::json(404, &json!({"detail": "Not Found"})),
        },
    }
}

/// vLLM's 404 for a model it does not serve.
pub(super) fn no_model(id: &str) -> Reply {
    let message = format!("The model `{id}` does not exist.");
    let error = json!({"message": message, "type": "NotFoundError", "param": "model", "code": 404});
    Reply::json(404, &json!({"error": error}))
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "fake", "max_model_len": 32_768})
}

fn unescape(text: &str) -> String {
    text.replace("%2F", "/").replace("%2f", "/")
}
