//! From a [`Chat`] and a request to bytes.

use serde_json::{Value, json};

use super::super::calls::Call;
use super::super::faults;
use super::super::play::{Play, Step};
use super::super::reply::Reply;
use super::super::schema;
use super::super::sse::Sse;
use super::{Chat, Ending, Reasoning, Split, Usage};

/// What is said, once the request was read.
struct Said {
    id: String,
    model: Value,
    legacy: bool,
    choices: u64,
    thought: Vec<String>,
    content: Vec<String>,
    tools: Vec<(String, String)>,
    finish: String,
    usage: Value,
    usage_asked: bool,
}

impl Chat {
    pub(in super::super) fn play(&self, call: &Call) -> Play {
        let request = call.json();
        if let Some(refusal) = self.refusal(&request) {
            return refusal.play(call);
        }
        let said = self.said(call, &request);
        let mut play = if call.streamed { self.stream(&said) } else { self.plain(&said, call) };
        if !self.first_byte.is_zero() {
            play.steps.insert(0, Step::Wait(self.first_byte));
        }
        if let Some((0, gate)) = &self.gate {
            play.steps.insert(0, Step::Gate(gate.clone()));
        }
        play
    }

    fn refusal(&self, request: &Value) -> Option<Reply> {
        if !request.is_object() {
            return Some(faults::vllm(400, "BadRequestError", "Invalid JSON"));
        }
        let messages = request["messages"].as_array().filter(|_| self.alternation)?;
        let rest = messages.iter().skip(usize::from(messages.first()?["role"] == "system"));
        let mut turns = 0;
        for message in rest {
            let role = message["role"].as_str().unwrap_or_default();
            let calls = message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
            match role {
                "tool" => {}
                "assistant" if calls => {}
                "user" if turns % 2 == 0 => turns += 1,
                "assistant" if turns % 2 == 1 => turns += 1,
                "user" | "assistant" | "system" => {
                    return Some(faults::vllm(
                        400,
                        "BadRequestError",
                        "After the optional system message, conversation \
                        roles must alternate user and assistant roles except for tool calls and results.",
                    ));
                }
                _ => {
                    let message = "Only user, assistant and tool roles are supported!";
                    return Some(faults::vllm(400, "BadRequestError", message));
                }
            }
        }
        None
    }

    fn said(&self, call: &Call, request: &Value) -> Said {
        let tools = self.calls(request);
        let (mut text, mut split) = (self.text.clone(), self.split.clone());
        if self.obliging && request["fake_echo"] == true {
            (text, split) = (call.text(), Split::Whole);
        } else if self.obliging && request["response_format"]["type"] == "json_schema" {
            text = schema::fill(&request["response_format"]["json_schema"]["schema"]).to_string();
        } else if self.obliging && request["response_format"]["type"] == "json_object" {
            text = json!({"answer": text}).to_string();
        }
        if !tools.is_empty() {
            text = String::new();
        }
        let mut thought = Vec::new();
        match &self.reasoning {
            Some((words, Reasoning::ThinkTags)) => text = format!("<think>\n{words}\n</think>\n\n{text}"),
            Some((words, Reasoning::ThinkTagsUnopened)) => text = format!("{words}\n</think>\n\n{text}"),
            Some((words, _)) => thought = cut(words, &self.split),
            None => {}
        }
        let mut content = cut(&text, &split);
        let asked = request["max_completion_tokens"].as_u64().or(request["max_tokens"].as_u64());
        let limit = asked.filter(|_| self.obliging).and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let finish = if !tools.is_empty() {
            "tool_calls"
        } else if content.len() > limit {
            "length"
        } else {
            "stop"
        };
        content.truncate(limit);
        let spoken = (thought.len() + content.len() + tools.len()) as u64;
        let (prompt, completion) = self.tokens.unwrap_or((12, spoken));
        let mut usage = json!({
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        });
        if let Some(cached) = self.cached {
            usage["prompt_tokens_details"] = json!({"cached_tokens": cached});
        }
        if !thought.is_empty() {
            usage["completion_tokens_details"] = json!({"reasoning_tokens": thought.len()});
        }
        Said {
            id: format!("chatcmpl-fake-{}", call.id),
            model: request["model"].clone(),
            legacy: !call.path.ends_with("/chat/completions"),
            choices: request["n"].as_u64().unwrap_or(1).clamp(1, 8),
            thought,
            content,
            tools,
            finish: self.finish.clone().unwrap_or_else(|| finish.to_owned()),
            usage,
            usage_asked: request["stream_options"]["include_usage"] == true,
        }
    }

    fn calls(&self, request: &Value) -> Vec<(String, String)> {
        let offered = request["tools"].as_array().filter(|tools| self.uses_tools && !tools.is_empty());
        let Some(offered) = offered else { return self.tools.clone() };
        let last = request["messages"].as_array().and_then(|messages| messages.last());
        let answered = last.is_some_and(|message| message["role"] == "tool");
        let choice = &request["tool_choice"];
        if choice == "none" || (answered && choice != "required") {
            return Vec::new();
        }
        let wanted = choice["function"]["name"].as_str();
        let named = offered.iter().find(|tool| wanted.is_some_and(|name| tool["function"]["name"] == name));
        let Some(tool) = named.or(offered.first()) else { return Vec::new() };
        let name = tool["function"]["name"].as_str().unwrap_or_default();
        vec![(name.to_owned(), schema::fill(&tool["function"]["parameters"]).to_string())]
    }

    fn plain(&self, said: &Said, call: &Call) -> Play {
        match &self.ending {
            Ending::Error(error) | Ending::ErrorThenDone(error) => return Reply::json(200, error).play(call),
            Ending::Silence => return Play { steps: vec![Step::Hang], reusable: false },
            _ => {}
        }
        let choices: Vec<Value> = (0..said.choices)
            .map(|index| {
                if said.legacy {
                    let text = said.content.concat();
                    return json!({"index": index, "text": text, "finish_reason": said.finish, "logprobs": null});
                }
                let content = if said.tools.is_empty() { json!(said.content.concat()) } else { Value::Null };
                let mut message = json!({"role": "assistant", "content": content});
                if !said.thought.is_empty() {
                    message[self.thought_field()] = json!(said.thought.concat());
                }
                if !said.tools.is_empty() {
                    let calls = said.tools.iter().enumerate();
                    message["tool_calls"] = calls.map(|(at, tool)| said.tool(at, tool)).collect();
                }
                json!({"index": index, "message": message, "finish_reason": said.finish, "logprobs": null})
            })
            .collect();
        let mut answer = said.envelope(if said.legacy { "text_completion" } else { "chat.completion" }, choices);
        if self.usage != Usage::Never {
            answer["usage"] = said.usage.clone();
        }
        let mut play = Reply::json(200, &answer).play(call);
        let cut = match self.ending {
            Ending::Reset => Step::Reset,
            Ending::CleanEof | Ending::Truncated => Step::Close,
            _ => return play,
        };
        for step in &mut play.steps {
            if let Step::Send(bytes) = step {
                bytes.truncate(bytes.len() / 2);
            }
        }
        play.steps.push(cut);
        Play { reusable: false, ..play }
    }

    fn stream(&self, said: &Said) -> Play {
        let mut events = Vec::new();
        for index in 0..said.choices {
            for delta in self.deltas(said) {
                events.push(said.chunk(index, &delta, Value::Null));
            }
        }
        for index in 0..said.choices {
            let mut finish = said.chunk(index, &json!({}), json!(said.finish));
            if self.usage == Usage::InFinish {
                finish["usage"] = said.usage.clone();
            }
            events.push(finish);
        }
        if self.usage == Usage::EveryChunk {
            events.iter_mut().for_each(|event| event["usage"] = said.usage.clone());
        }
        let told = match self.usage {
            Usage::WhenAsked => said.usage_asked,
            Usage::Always | Usage::EveryChunk => true,
            Usage::InFinish | Usage::Never => false,
        };
        if told {
            let mut last = said.envelope(said.kind(), Vec::new());
            last["usage"] = said.usage.clone();
            events.push(last);
        }
        let whole = matches!(self.ending, Ending::Done | Ending::NoDone);
        let mut sse = Sse::new();
        for (at, event) in events.iter().enumerate() {
            if !whole && at == self.cut {
                break;
            }
            if at > 0 && !self.delay.is_zero() {
                sse = sse.wait(self.delay);
            }
            sse = sse.event(event);
            if let Some((after, gate)) = self.gate.as_ref().filter(|(after, _)| *after == at + 1) {
                debug_assert!(*after > 0);
                sse = sse.gate(gate);
            }
        }
        sse = match &self.ending {
            Ending::Done => sse.done(),
            Ending::NoDone | Ending::CleanEof => sse,
            Ending::Truncated => sse.truncate(),
            Ending::Reset => sse.reset(),
            Ending::Error(error) => sse.event(error),
            Ending::ErrorThenDone(error) => sse.event(error).done(),
            Ending::Silence => sse.hang(),
            Ending::Endless => sse.forever(&said.chunk(0, &json!({"content": "encore "}), Value::Null), self.delay),
        };
        if let Some(bytes) = self.torn {
            sse = sse.torn(bytes);
        }
        sse.play()
    }

    fn deltas(&self, said: &Said) -> Vec<Value> {
        if said.legacy {
            return said.content.iter().map(|piece| json!({"content": piece})).collect();
        }
        let mut deltas = vec![json!({"role": "assistant", "content": ""})];
        deltas.extend(said.thought.iter().map(|piece| json!({self.thought_field(): piece})));
        deltas.extend(said.content.iter().map(|piece| json!({"content": piece})));
        for (at, (name, arguments)) in said.tools.iter().enumerate() {
            let first = said.tool(at, &(name.clone(), String::new()));
            deltas.push(json!({"tool_calls": [first]}));
            for piece in cut(arguments, &Split::Chars(7)) {
                deltas.push(json!({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}));
            }
        }
        deltas
    }

    fn thought_field(&self) -> &'static str {
        match self.reasoning {
            Some((_, Reasoning::Reasoning)) => "reasoning",
            _ => "reasoning_content",
        }
    }
}

impl Said {
    fn kind(&self) -> &'static str {
        if self.legacy { "text_completion" } else { "chat.completion.chunk" }
    }

    fn envelope(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({"id": self.id, "object": object, "created": 1_700_000_000, "model": self.model, "choices": choices})
    }

    fn chunk(&self, index: u64, delta: &Value, finish: Value) -> Value {
        let choice = if self.legacy {
            let text = delta["content"].as_str().unwrap_or_default();
            json!({"index": index, "text": text, "finish_reason": finish, "logprobs": null})
        } else {
            json!({"index": index, "delta": delta, "finish_reason": finish, "logprobs": null})
        };
        self.envelope(self.kind(), vec![choice])
    }

    fn tool(&self, index: usize, (name, arguments): &(String, String)) -> Value {
        let id = format!("call_{}_{index}", self.id.trim_start_matches("chatcmpl-"));
        json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }
}

/// The pieces of a text; together they are the text.
fn cut(text: &str, split: &Split) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let ends: Vec<usize> = match split {
        Split::Whole => Vec::new(),
        Split::Chars(size) => (1..).map(|at| at * (*size).max(1)).take_while(|at| *at < letters.len()).collect(),
        Split::At(positions) => positions.clone(),
        Split::Words => (1..letters.len()).filter(|at| letters[*at] == ' ').collect(),
    };
    let mut pieces = Vec::new();
    let mut from = 0;
    for end in ends.into_iter().chain([letters.len()]) {
        let end = end.min(letters.len());
        if end > from {
            pieces.push(letters[from..end].iter().collect());
            from = end;
        }
    }
    pieces
}
