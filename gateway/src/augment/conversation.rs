//! The messages of a chat: its question, what came before it, and the same with other words in the question's place.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult};
use crate::prompts::{Message, Rendered};

/// Messages before the question that the rewriting sees, and bytes of each.
const REMEMBERED: usize = 6;
const LONGEST: usize = 2_000;

/// A conversation that ends, tools apart, with a question of the user.
pub struct Conversation {
    messages: Vec<Value>,
    /// Which message is the question.
    place: usize,
    pub question: String,
}

impl Conversation {
    /// Reads messages.
    ///
    /// # Errors
    /// 400 when none of them is a question of the user with text in it.
    pub fn read(messages: &RawValue) -> ApiResult<Conversation> {
        let messages: Vec<Value> = serde_json::from_str(messages.get()).map_err(|_| no_question())?;
        let place = messages.iter().rposition(|message| message["role"] == "user").ok_or_else(no_question)?;
        let question = messages.get(place).map(text).unwrap_or_default();
        if question.trim().is_empty() {
            return Err(no_question());
        }
        Ok(Conversation { messages, place, question })
    }

    /// What was said before, oldest first: `{role, content}`. Empty for a first question.
    pub fn history(&self) -> Vec<Value> {
        let before = self.messages.get(..self.place).unwrap_or_default();
        let said = before.iter().filter_map(|message| {
            let role = message["role"].as_str().filter(|role| ["user", "assistant"].contains(role))?;
            let said = text(message);
            let end = said.floor_char_boundary(LONGEST);
            let content = said.get(..end).filter(|said| !said.trim().is_empty())?;
            Some(json!({"role": role, "content": content}))
        });
        let said: Vec<Value> = said.collect();
        said.get(said.len().saturating_sub(REMEMBERED)..).unwrap_or_default().to_vec()
    }

    /// The messages with the prompt's instructions first, and its last message in place of the question.
    pub fn with(mut self, rendered: &Rendered) -> Vec<Value> {
        if let (Some(said), Some(message)) = (rendered.closing(), self.messages.get_mut(self.place)) {
            match message.get_mut("content") {
                // Images stay beside the new words.
                Some(Value::Array(parts)) => {
                    parts.retain(|part| part["type"] != "text");
                    parts.insert(0, json!({"type": "text", "text": said.content}));
                }
                _ => message["content"] = said.content.as_str().into(),
            }
        }
        let ours: Vec<&str> = rendered.opening().iter().map(|message: &Message| message.content.as_str()).collect();
        let ours = ours.join("\n\n");
        let system = |message: &Value| message["role"] == "system" || message["role"] == "developer";
        match self.messages.first_mut() {
            // One message of the system: many chat templates take no second.
            Some(first) if system(first) => {
                let theirs = text(first);
                first["content"] = format!("{ours}\n\n{theirs}").into();
            }
            _ => self.messages.insert(0, json!({"role": "system", "content": ours})),
        }
        self.messages
    }
}

/// The text of a message, whether it is one text or parts.
fn text(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn no_question() -> ApiError {
    ApiError::bad_request(
        "« messages » : aucune question de l’utilisateur à chercher.",
        "“messages”: no question of the user to search for.",
    )
    .param("messages")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::{Call, Library};

    fn read(messages: &Value) -> ApiResult<Conversation> {
        Conversation::read(&RawValue::from_string(messages.to_string()).unwrap())
    }

    fn rendered() -> Rendered {
        let variables = json!({"question": "Combien ?", "passages": []}).as_object().cloned().unwrap();
        let call = Call { id: "rag-answer.fr".to_owned(), variables, ..Call::default() };
        Library::embedded().unwrap().apply(&call).unwrap()
    }

    #[test]
    fn instructions_go_first_and_the_question_is_in_its_place() {
        let conversation = read(&json!([
            {"role": "system", "content": "Réponds en vers."},
            {"role": "user", "content": "Bonjour"},
            {"role": "assistant", "content": null, "tool_calls": []},
            {"role": "assistant", "content": "Bonjour !"},
            {"role": "user", "content": [{"type": "text", "text": "Combien ?"}, {"type": "image_url", "image_url": {}}]},
            {"role": "tool", "content": "42"},
        ]))
        .unwrap();
        assert_eq!(conversation.question, "Combien ?");
        let said: Vec<Value> = conversation.history().iter().map(|message| message["content"].clone()).collect();
        assert_eq!(said, ["Bonjour", "Bonjour !"]);
        let messages = conversation.with(&rendered());
        assert_eq!(messages.len(), 6);
        let system = messages[0]["content"].as_str().unwrap();
        assert!(system.starts_with("Tu réponds") && system.ends_with("Réponds en vers."), "{system}");
        let parts = messages[4]["content"].as_array().unwrap();
        assert!(parts[0]["text"].as_str().unwrap().contains("Aucun passage n'a été trouvé."));
        assert_eq!((parts.len(), &parts[1]["type"]), (2, &json!("image_url")));
        assert_eq!(messages[5]["role"], "tool");
    }

    #[test]
    fn a_conversation_without_a_question_is_refused() {
        for messages in [
            json!([]),
            json!([{"role": "system", "content": "x"}]),
            json!([{"role": "user", "content": "  "}]),
            json!([{"role": "user", "content": [{"type": "image_url"}]}]),
            json!(["x"]),
        ] {
            assert!(read(&messages).is_err(), "{messages}");
        }
    }
}
