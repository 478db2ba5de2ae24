//! A question that follows others, rewritten to be understood alone.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::conversation::Conversation;
use crate::app::App;
use crate::errand::Errand;
use crate::error::{ApiError, ApiResult};
use crate::fleet::body::chat_body;
use crate::fleet::{Call as EngineCall, Deployment, Model, NotAnAnswer, Tier};
use crate::openai::Head;
use crate::openai::usage::Usage;
use crate::policy::identity::Principal;
use crate::policy::limits::Output;
use crate::prompts::Call;
use crate::recorder::Endpoint;
use crate::retriever::Plan;

/// Tokens a model may write for it, thoughts included; bytes of a question.
const MOST_TOKENS: u64 = 400;
const LONGEST: usize = 1_000;

/// The question as it is to be searched. A first question is searched as it is, and so is one that no model rewrites:
/// searching it plainly is better than not answering.
pub async fn alone(
    app: &Arc<App>,
    who: &Principal,
    plan: &Plan,
    model: &Arc<Model>,
    conversation: &Conversation,
) -> String {
    let history = conversation.history();
    if history.is_empty() {
        return conversation.question.clone();
    }
    match rewritten(app, who, plan, model, conversation, history).await {
        Ok(Some(question)) => question,
        Ok(None) => conversation.question.clone(),
        Err(error) => {
            tracing::info!(reason = error.reason(), "a question was searched without being rewritten");
            conversation.question.clone()
        }
    }
}

async fn rewritten(
    app: &Arc<App>,
    who: &Principal,
    plan: &Plan,
    model: &Arc<Model>,
    conversation: &Conversation,
    history: Vec<Value>,
) -> ApiResult<Option<String>> {
    let mut variables = Map::new();
    variables.insert("question".to_owned(), conversation.question.as_str().into());
    variables.insert("history".to_owned(), history.into());
    let call = Call { id: "rag-rewrite".to_owned(), variables, ..Call::default() };
    let rendered = app.prompts.load().apply(&call)?;
    let request = json!({
        "model": &*model.id,
        "messages": rendered.messages,
        "max_tokens": MOST_TOKENS,
        "temperature": 0,
    });
    let body = Bytes::from(request.to_string());
    let text = body.clone();
    let head = Head::parse(&text)?;
    let build = |deployment: &Deployment| -> ApiResult<Bytes> { chat_body(&body, &head, None, deployment) };
    let errand = Errand {
        who,
        class: plan.class,
        model,
        call: EngineCall::Chat,
        endpoint: Endpoint::ChatCompletions,
        tier: Tier::Interactive,
        output: Output::of(&head).map_err(ApiError::from)?,
        body: &body,
        build: &build,
    };
    let read = |answer: Bytes| -> Result<(Option<String>, Option<Usage>), NotAnAnswer> {
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| NotAnAnswer)?;
        let content = answer["choices"][0]["message"]["content"].as_str().ok_or(NotAnAnswer)?;
        let usage = serde_json::value::to_raw_value(&answer["usage"]).ok().and_then(|raw| Usage::parse(&raw));
        Ok((question(content), usage))
    };
    Ok(app.retrieval.as_ref().ok_or_else(ApiError::no_such_route)?.errands.run(&errand, read).await?.value)
}

/// The question in what a model wrote; none when it wrote something else.
fn question(written: &str) -> Option<String> {
    let said = written.rsplit("</think>").next().unwrap_or_default();
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines.next()?.trim_matches(['«', '»', '"', '“', '”', ' ', '\u{a0}']).trim();
    let unfinished = written.contains("<think>") && !written.contains("</think>");
    (lines.next().is_none() && !unfinished && !line.is_empty() && line.len() <= LONGEST).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_line_is_a_question() {
        assert_eq!(question("« Combien coûte le permis B ? »").as_deref(), Some("Combien coûte le permis B ?"));
        assert_eq!(question("<think>\nhum\n</think>\n\nCombien ?\n").as_deref(), Some("Combien ?"));
        for other in ["", "  \n", "Voici :\nCombien ?", "<think>hum", &"x".repeat(2_000)] {
            assert_eq!(question(other), None, "{other}");
        }
    }
}
