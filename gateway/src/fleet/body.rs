//! The body of a generation in the words of one engine: byte ranges of the client's, one copy.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Deployment;
use crate::config::model::DeveloperRole;
use crate::error::{ApiError, ApiResult};
use crate::openai::fold::{Folding, fold_messages};
use crate::openai::{Edits, Head};

/// The body of the request in the words of one engine. Nothing to change: the very bytes that came.
pub fn chat_body(body: &Bytes, head: &Head<'_>, messages: Option<&str>, deployment: &Deployment) -> ApiResult<Bytes> {
    let mut edits = Edits::new(head);
    shared_edits(&mut edits, head, deployment);
    let folding = Folding {
        alternate: deployment.layout.alternate,
        developer_to_system: deployment.layout.developer == DeveloperRole::System,
    };
    let raw;
    let present = match messages {
        Some(text) => {
            edits.remove("prompt");
            raw = RawValue::from_string(text.to_owned()).map_err(ApiError::internal)?;
            &*raw
        }
        None => head.messages()?,
    };
    match fold_messages(present, folding)? {
        Some(folded) => edits.set("messages", folded.into_bytes()),
        None if messages.is_some() => edits.set("messages", present.get().to_owned().into_bytes()),
        None => {}
    }
    Ok(edits.finish(body.clone()))
}

/// What every generation may need changed for an engine.
pub fn shared_edits<'e>(edits: &mut Edits<'_, '_, 'e>, head: &Head<'_>, deployment: &'e Deployment) {
    if head.model() != Some(deployment.engine_model.as_str()) {
        edits.set("model", deployment.engine_model_json.as_bytes());
    }
    if head.stream() && deployment.quirks.stream_options && !head.include_usage() {
        let options = match head.raw("stream_options").and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()) {
            Some(Value::Object(mut options)) => {
                options.insert("include_usage".to_owned(), Value::Bool(true));
                Value::Object(options).to_string().into_bytes().into()
            }
            _ => std::borrow::Cow::Borrowed(br#"{"include_usage":true}"#.as_slice()),
        };
        edits.set("stream_options", options);
    }
    if !deployment.quirks.service_tier {
        edits.remove("service_tier");
    }
    if !deployment.quirks.stream_options {
        edits.remove("stream_options");
    }
    if !deployment.quirks.max_completion_tokens && head.raw("max_completion_tokens").is_some() {
        if head.raw("max_tokens").is_none() {
            edits.remove("max_tokens");
            edits.rename("max_completion_tokens", "max_tokens");
        } else {
            edits.remove("max_completion_tokens");
        }
    }
}
