//! Chat that cites: the question is searched, what is found goes before the model as data, and the answer says what it
//! stands on.
//!
//! 1. [`asked`] looks whether a chat wants it at all: two fields looked up by name, nothing parsed for one that does not.
//! 2. The [`Plan`] decides the collections and the class, which governs the embedding, the rewriting and the answer alike.
//! 3. A question that follows others is [rewritten](question) to be understood alone, then searched.
//! 4. [`passages`] packs what was found into a budget of tokens, without repeats, numbered and fenced.
//! 5. The body goes on with the prompt `rag-answer` around the question, and [`notes`] wait for the answer's text, to put
//!    `search_results` and `citations` beside it.

mod conversation;
mod notes;
mod passages;
mod question;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::config::DataClass;
use crate::error::{ApiError, ApiResult};
use crate::fleet::Model;
use crate::openai::annex::Annex;
use crate::openai::{Edits, Head};
use crate::policy::identity::Principal;
use crate::prompts::{Call, Rendered};
use crate::recorder::capture::{Capture, Passage as Noted};
use crate::retriever::{self, Plan, SearchRequest};
use conversation::Conversation;

/// A search that a chat asks for.
#[derive(Debug)]
pub struct Asked {
    request: SearchRequest,
    /// The place of the search among the tools, where it was asked so.
    tool: Option<usize>,
}

/// A chat with what was found in it.
pub struct Augmented {
    /// The request, as if the caller had written it all.
    pub body: Bytes,
    /// Of the caller's project and the collections searched, the higher.
    pub class: DataClass,
    pub rendered: Rendered,
    pub annex: Annex,
    /// What was found, where the caller's project lets content be kept.
    pub noted: Vec<Noted>,
}

/// Whether a chat asks for a search, and which: `search: true` with `search_args`, or a tool of type `search`.
///
/// # Errors
/// 400 with the path of what is wrong.
pub fn asked(head: &Head<'_>) -> ApiResult<Option<Asked>> {
    if head.raw("search").is_some_and(|raw| raw.get() == "true") {
        let fields = match head.raw("search_args") {
            None => Map::new(),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| no_object("search_args"))?,
        };
        return Ok(Some(Asked { request: SearchRequest::arguments(&fields, "search_args.")?, tool: None }));
    }
    let Some(tools) = head.raw("tools") else { return Ok(None) };
    if memchr::memmem::find(tools.get().as_bytes(), b"\"search\"").is_none() {
        return Ok(None);
    }
    let Ok(tools) = serde_json::from_str::<Vec<Value>>(tools.get()) else { return Ok(None) };
    let Some(place) = tools.iter().position(|tool| tool["type"] == "search") else { return Ok(None) };
    let tool = tools.get(place).and_then(Value::as_object);
    let (fields, path) = match tool.and_then(|tool| tool.get("search")) {
        Some(Value::Object(inside)) => (Some(inside), format!("tools[{place}].search.")),
        _ => (tool, format!("tools[{place}].")),
    };
    let request = SearchRequest::arguments(fields.unwrap_or(&Map::new()), &path)?;
    Ok(Some(Asked { request, tool: Some(place) }))
}

/// Searches, and writes what was found into the request.
///
/// # Errors
/// 400 for a conversation without a question, those of the search, and 403 where the class may not go to the model.
pub async fn augment(
    app: &Arc<App>,
    who: &Principal,
    head: &Head<'_>,
    model: &Arc<Model>,
    mut asked: Asked,
) -> ApiResult<Augmented> {
    if app.retrieval.is_none() {
        return Err(ApiError::bad_request(
            "La recherche dans des documents n’est pas offerte ici.",
            "Searching documents is not offered here.",
        )
        .param(if asked.tool.is_some() { "tools" } else { "search" }));
    }
    if head.raw("prompt").is_some() {
        return Err(ApiError::bad_request(
            "« prompt » et la recherche ne vont pas ensemble : la recherche a son propre prompt.",
            "“prompt” and search do not go together: search has its own prompt.",
        )
        .param("prompt"));
    }
    let conversation = Conversation::read(head.messages()?)?;
    let plan = Plan::make(app, who, &asked.request).await?;
    if !model.allows(plan.class) {
        return Err(ApiError::sovereignty());
    }
    asked.request.query = question::alone(app, who, &plan, model, &conversation).await;
    let answer = retriever::search(app, who, &plan, &asked.request).await?;
    let budget = app.config.load().retrieval.as_ref().map_or(0, |settings| settings.chat.passage_tokens);
    let half = model.context_length.map_or(usize::MAX, |tokens| usize::try_from(tokens / 2).unwrap_or(usize::MAX));
    let packed = passages::pack(&answer.results, budget.min(half));
    let mut variables = Map::new();
    variables.insert("question".to_owned(), conversation.question.as_str().into());
    variables.insert("passages".to_owned(), packed.variables());
    let call = Call { id: "rag-answer".to_owned(), variables, ..Call::default() };
    let rendered = app.prompts.load().apply(&call)?;
    let messages = conversation.with(&rendered);
    let (body, class) = (rewritten(head, &asked, &messages), plan.class);
    let noted = match app.recorder.capture.is_some() && Capture::concerns(who) {
        true => packed.noted(&answer.results),
        false => Vec::new(),
    };
    let annex = notes::annex(answer.results, packed, asked.request, plan);
    Ok(Augmented { body, class, rendered, annex, noted })
}

/// The body without what asked for the search, and with other messages.
fn rewritten(head: &Head<'_>, asked: &Asked, messages: &[Value]) -> Bytes {
    let mut edits = Edits::new(head);
    edits.remove("search");
    edits.remove("search_args");
    if let (Some(place), Some(raw)) = (asked.tool, head.raw("tools")) {
        let mut tools: Vec<Value> = serde_json::from_str(raw.get()).unwrap_or_default();
        if place < tools.len() {
            tools.remove(place);
        }
        if tools.is_empty() {
            // Engines refuse a choice among no tools.
            for field in ["tools", "tool_choice", "parallel_tool_calls"] {
                edits.remove(field);
            }
        } else {
            edits.set("tools", json!(tools).to_string().into_bytes());
        }
    }
    edits.set("messages", json!(messages).to_string().into_bytes());
    edits.finish(Bytes::copy_from_slice(head.body().as_bytes()))
}

fn no_object(path: &str) -> ApiError {
    let (french, english) = (format!("« {path} » : il faut un objet."), format!("“{path}”: an object is expected."));
    ApiError::bad_request(french, english).param(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &Value) -> ApiResult<Option<Asked>> {
        asked(&Head::parse(body.to_string().as_bytes()).unwrap())
    }

    #[test]
    fn a_chat_asks_in_one_of_two_ways_or_not_at_all() {
        for plain in [
            json!({"messages": []}),
            json!({"search": false, "search_args": {"collections": []}}),
            json!({"search": null}),
            json!({"tools": [{"type": "function", "function": {"name": "search"}}]}),
            json!({"tools": null}),
        ] {
            assert!(of(&plain).unwrap().is_none(), "{plain}");
        }
        let args = json!({"collections": [3], "method": "hybrid", "k": 4, "rff_k": 20});
        let mut tool = args.clone();
        tool["type"] = "search".into();
        let nested = json!({"type": "search", "search": args});
        let function = json!({"type": "function", "function": {"name": "f"}});
        for body in [
            json!({"search": true, "search_args": args}),
            json!({"tools": [function, tool]}),
            json!({"tools": [nested]}),
        ] {
            let asked = of(&body).unwrap().unwrap();
            let request = &asked.request;
            assert_eq!((&request.collections[..], request.limit, request.rff_k), (&[3][..], 4, 20), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_where_it_stands() {
        for (body, param) in [
            (json!({"search": true}), "search_args.collection_ids"),
            (json!({"search": true, "search_args": [1]}), "search_args"),
            (json!({"search": true, "search_args": {"collections": [1], "method": "x"}}), "search_args.method"),
            (json!({"tools": [{"type": "search", "collections": [1], "k": 0}]}), "tools[0].limit"),
        ] {
            let error = of(&body).unwrap_err().body(crate::config::server::Language::Fr);
            assert_eq!(error["error"]["param"], param, "{body}");
        }
    }

    #[test]
    fn what_asked_for_the_search_does_not_reach_the_engine() {
        let tools = json!([{"type": "search", "collections": [1]}]);
        let body =
            json!({"model": "m", "tools": tools, "tool_choice": "auto", "top_k": 5, "messages": [1]}).to_string();
        let head = Head::parse(body.as_bytes()).unwrap();
        let asked = asked(&head).unwrap().unwrap();
        let out: Value = serde_json::from_slice(&rewritten(&head, &asked, &[json!(2)])).unwrap();
        assert_eq!(out, json!({"model": "m", "top_k": 5, "messages": [2]}));
    }
}
