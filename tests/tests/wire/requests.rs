//! What clients send, and what of it reaches the engine.

use reqwest::Method;
use serde_json::{Value, json};
use tests::engine::faults::ANSWER;

use crate::wire::{Wire, events, hello, joined, with};

/// Docs, plain features: nothing is added, no small default limit above all.
#[tokio::test]
async fn docs_plain_body_reaches_the_engine_byte_for_byte() {
    let wire = Wire::of(&["fake/plain"]).await;
    let body = r#"{"messages":[{"role":"system","content":"Corrige le texte."},{"role":"user","content":"Il a manger."}],"model":"fake/plain"}"#;
    let response = wire.raw("/v1/chat/completions", body).await;
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], ANSWER);
    assert_eq!(wire.engine.posts(), 1);
    assert_eq!(wire.engine.last().text(), body);
    assert_eq!(wire.engine.last().path, "/v1/chat/completions");
}

/// Docs, editor features: streamed, with usage, a tool that may be called, the document's state as the assistant's.
#[tokio::test]
async fn docs_editor_body_reaches_the_engine_byte_for_byte() {
    let wire = Wire::of(&["fake/tools"]).await;
    let body = r#"{"model":"fake/tools","messages":[{"role":"system","content":"Tu modifies des documents."},{"role":"assistant","content":"<p id=\"1\">Il a manger.</p>"},{"role":"user","content":"Corrige."}],"tools":[{"type":"function","function":{"name":"applyDocumentOperations","parameters":{"type":"object","properties":{"operations":{"type":"array","items":{"type":"string"}}},"required":["operations"]}}}],"tool_choice":"auto","stream":true,"stream_options":{"include_usage":true}}"#;
    let text = crate::wire::streamed(wire.raw("/v1/chat/completions", body).await).await;
    assert_eq!(wire.engine.last().text(), body);
    let events = events(&text);
    let arguments: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str())
        .collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).expect("arguments"), json!({"operations": ["Paris"]}));
    let last = events.last().expect("a usage chunk");
    assert!(last["choices"] == json!([]) && last["usage"]["prompt_tokens"] == 12, "{last}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

/// Engines' own options, in whatever spelling, spaces and order: only what must change is touched.
#[tokio::test]
async fn unknown_fields_reach_the_engine_untouched() {
    let wire = Wire::set(|url| {
        format!("  - {{id: petit, aliases: [guichet-small], type: chat, deployments: [{{name: d, url: '{url}', engine: vllm, engine_model: fake/plain, hosting: state}}]}}\n")
    })
    .await;
    let rest = "\"messages\" : [ {\"content\":\"\\u00e9t\u{e9} 1.0e2\" , \"role\":\"user\", \"x\":1.50} ],\n\t\"top_k\":20,\"chat_template_kwargs\":{\"enable_thinking\":false,\"n\":1.0},\"guided_json\":{\"a\":[1,2.000]},\"vllm_xargs\":null";
    let response = wire.raw("/v1/chat/completions", &format!("{{ \"model\": \"guichet-small\",{rest} }}")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(wire.engine.last().text(), format!("{{ \"model\": \"fake/plain\",{rest} }}"));
}

/// mistralai's body, and null for every field that is read here: null is absent, and goes on as it came.
#[tokio::test]
async fn null_means_absent() {
    let wire = Wire::of(&["fake/plain"]).await;
    for body in [
        r#"{"model":"fake/plain","temperature":null,"top_p":null,"max_tokens":null,"stream":false,"stop":null,"random_seed":null,"messages":[{"role":"user","content":"Bonjour","prefix":false,"tool_calls":[]}],"response_format":null,"tools":null,"tool_choice":null,"presence_penalty":null,"n":1,"prediction":null,"parallel_tool_calls":null,"safe_prompt":false}"#,
        r#"{"model":"fake/plain","stream":null,"stream_options":null,"max_completion_tokens":null,"user":null,"prompt":null,"n":null,"messages":[{"role":"user","content":"Bonjour"}]}"#,
    ] {
        let response = wire.raw("/v1/chat/completions", body).await;
        assert_eq!(response.status(), 200, "{body}");
        assert_eq!(wire.engine.last().text(), body);
    }
    let (status, refused) = wire.chat(&json!({"model": null, "messages": [{"role": "user", "content": "a"}]})).await;
    assert_eq!((status, &refused["error"]["param"]), (400, &json!("model")), "{refused}");
    let (status, refused) = wire.chat(&json!({"model": "fake/plain", "messages": null})).await;
    assert_eq!((status, &refused["error"]["param"]), (400, &json!("messages")), "{refused}");
    assert_eq!(wire.engine.posts(), 2);
}

/// Engines that know only the old name get the old name.
#[tokio::test]
async fn both_names_of_the_token_limit_are_taken() {
    let engine = |id: &str, kind: &str, url: &str| {
        format!(
            "  - {{id: {id}, type: chat, deployments: [{{name: {id}-d, url: '{url}', engine: {kind}, engine_model: fake/plain, hosting: state}}]}}\n"
        )
    };
    let wire = Wire::set(|url| engine("new", "vllm", url) + &engine("old", "llamacpp", url)).await;
    for (model, asked, received) in [
        ("new", json!({"max_tokens": 3}), json!({"max_tokens": 3})),
        ("new", json!({"max_completion_tokens": 3}), json!({"max_completion_tokens": 3})),
        ("old", json!({"max_tokens": 3}), json!({"max_tokens": 3})),
        ("old", json!({"max_completion_tokens": 3}), json!({"max_tokens": 3})),
        ("old", json!({"max_completion_tokens": 3, "max_tokens": 3}), json!({"max_tokens": 3})),
        ("old", json!({"max_completion_tokens": 3, "max_tokens": null}), json!({"max_tokens": 3})),
    ] {
        let answer = wire.answer(&with(&hello(model), &asked)).await;
        assert_eq!(answer["choices"][0]["finish_reason"], "length", "{asked}: {answer}");
        assert_eq!(wire.engine.last().json(), with(&hello("fake/plain"), &received), "{asked}");
    }
}

/// `developer` is sent as `system`, or left, by a setting of the deployment.
#[tokio::test]
async fn the_developer_role_is_sent_as_the_template_knows_it() {
    for (settings, wanted) in [("", "system"), (", messages: {developer: keep}", "developer")] {
        let wire = Wire::deployed("fake/plain", settings).await;
        let messages = json!([{"role": "developer", "content": "Sois bref."}, {"role": "user", "content": "Bonjour"}]);
        wire.answer(&json!({"model": "fake/plain", "messages": messages})).await;
        let received = wire.engine.last().json()["messages"].clone();
        assert_eq!(received[0], json!({"role": wanted, "content": "Sois bref."}));
        assert_eq!(received[1], messages[1]);
    }
}

/// An answer that only calls tools has no content, and its tool's answer follows: as it came, folded or not.
#[tokio::test]
async fn an_assistant_without_content_keeps_its_tool_calls() {
    let body = r#"{"model":"NAME","messages":[{"role":"user","content":"Quel temps ?"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Paris\"}"}}]},{"role":"tool","tool_call_id":"call_1","content":"beau"}]}"#;
    for (name, settings) in [("fake/plain", ""), ("fake/strict", ", messages: {alternate: true}")] {
        let wire = Wire::deployed(name, settings).await;
        let body = body.replace("NAME", name);
        assert_eq!(wire.raw("/v1/chat/completions", &body).await.status(), 200);
        assert_eq!(wire.engine.last().text(), body, "nothing had to change");
    }
}

/// Content as a string or as parts, with the image in the request itself.
#[tokio::test]
async fn content_is_a_string_or_a_list_of_parts() {
    let wire = Wire::set(|url| tests::model("fake/plain", "vision", url, "")).await;
    let parts = json!([{"type": "text", "text": "Que vois-tu ?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "image_url", "image_url": "data:image/png;base64,iVBORw0KGgo="},
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0="}]);
    let body = json!({"model": "fake/plain", "messages": [{"role": "system", "content": "Sois bref."}, {"role": "user", "content": parts}]});
    let sent = body.to_string();
    assert_eq!(wire.raw("/v1/chat/completions", &sent).await.status(), 200);
    assert_eq!(wire.engine.last().text(), sent);
}

/// An engine would fetch it from inside the network: refused, unless the configuration knows the host.
#[tokio::test]
async fn a_url_that_an_engine_would_fetch_is_refused() {
    let wire = Wire::with("outgoing: {document_hosts: [images.culture.gouv.fr]}", |url| {
        tests::model("fake/plain", "vision", url, "")
    })
    .await;
    let part = |name: &str, value: Value| {
        let content = json!([{"type": "text", "text": "Que vois-tu ?"}, {"type": name, (name): value}]);
        json!({"model": "fake/plain", "messages": [{"role": "user", "content": content}]})
    };
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "https://example.org/a.png",
        "file:///etc/passwd",
        "https://images.culture.gouv.fr@example.org/a.png",
        "https://images.culture.gouv.fr.example.org/a.png",
    ] {
        for body in [
            part("image_url", json!({"url": url})),
            part("image_url", json!(url)),
            part("document_url", json!(url)),
            part("input_audio", json!({"url": url})),
        ] {
            let (status, refused) = wire.chat(&body).await;
            assert_eq!((status, &refused["error"]["code"]), (400, &json!("url_not_allowed")), "{body}: {refused}");
        }
    }
    assert_eq!(wire.engine.posts(), 0);
    for name in ["image_url", "document_url"] {
        wire.answer(&part(name, json!({"url": "https://images.culture.gouv.fr/a.png"}))).await;
    }
    assert_eq!(wire.engine.posts(), 2);
}

/// Every form of `tool_choice` reaches the engine as it came, and is obeyed.
#[tokio::test]
async fn every_form_of_tool_choice_is_obeyed() {
    let wire = Wire::of(&["fake/tools"]).await;
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    for (choice, called) in [
        (json!(null), Some("weather")),
        (json!("auto"), Some("weather")),
        (json!("required"), Some("weather")),
        (json!("none"), None),
        (json!({"type": "function", "function": {"name": "train"}}), Some("train")),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]}}),
            Some("weather"),
        ),
    ] {
        let body =
            with(&hello("fake/tools"), &json!({"tools": [tool("weather"), tool("train")], "tool_choice": choice}));
        let answer = wire.answer(&body).await;
        let name = answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"].as_str();
        assert_eq!(name, called, "{choice}: {answer}");
        assert_eq!(wire.engine.last().json(), body, "{choice}");
    }
}

/// The engine enforces the format: the schema reaches it whole, and the answer proves it.
#[tokio::test]
async fn response_formats_reach_the_engine_that_enforces_them() {
    let wire = Wire::of(&["fake/plain"]).await;
    let schema = json!({"type": "object", "properties": {"town": {"type": "string"}, "inhabitants": {"type": "integer"}},
        "required": ["town", "inhabitants"], "additionalProperties": false});
    for format in [
        json!({"type": "json_schema", "json_schema": {"name": "place", "strict": true, "schema": schema}}),
        json!({"type": "json_object"}),
    ] {
        let body = with(&hello("fake/plain"), &json!({"response_format": format}));
        let answer = wire.answer(&body).await;
        assert_eq!(wire.engine.last().json(), body);
        let content = answer["choices"][0]["message"]["content"].as_str().expect("a text");
        let content: Value = serde_json::from_str(content).expect("the answer is JSON");
        if format["type"] == "json_schema" {
            assert_eq!(content, json!({"town": "Paris", "inhabitants": 7}));
            assert_eq!(joined(&wire.stream(&body).await, "content"), content.to_string());
        }
    }
}

/// Docs' editor speaks as the assistant first, which strict templates refuse: folded, and nothing is dropped.
#[tokio::test]
async fn messages_are_folded_for_strict_templates_and_never_dropped() {
    let messages = json!([{"role": "system", "content": "Tu modifies des documents."},
        {"role": "system", "content": "Réponds en français."},
        {"role": "assistant", "content": "<p>Il a manger.</p>"},
        {"role": "user", "content": "Corrige."},
        {"role": "user", "content": [{"type": "text", "text": "Vite."}]},
        {"role": "assistant", "content": "<p>Il a mangé.</p>"},
        {"role": "developer", "content": "Sans gras."},
        {"role": "user", "content": "Merci. Et le titre ?"}]);
    let body = json!({"model": "fake/strict", "messages": messages});
    let strict = Wire::deployed("fake/strict", "").await;
    let (status, refused) = strict.chat(&body).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_request_error")), "{refused}");

    let folding = Wire::deployed("fake/strict", ", messages: {alternate: true}").await;
    for streamed in [false, true] {
        if streamed {
            assert_eq!(joined(&folding.stream(&body).await, "content"), ANSWER);
        } else {
            assert_eq!(folding.answer(&body).await["choices"][0]["message"]["content"], ANSWER);
        }
        let received = folding.engine.last().json()["messages"].clone();
        let roles: Vec<&str> =
            received.as_array().expect("messages").iter().filter_map(|m| m["role"].as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant", "user"], "{received}");
        let mut rest = received.to_string();
        for said in [
            "Tu modifies des documents.",
            "Réponds en français.",
            "<p>Il a manger.</p>",
            "Corrige.",
            "Vite.",
            "<p>Il a mangé.</p>",
            "Sans gras.",
            "Merci. Et le titre ?",
        ] {
            let at = rest.find(said).unwrap_or_else(|| panic!("{said} is dropped, or out of order: {received}"));
            rest = rest.split_off(at + said.len());
        }
    }
}

/// `user` of the body, or Open WebUI's header: one pseudonym for one person, and never the name itself.
#[tokio::test]
async fn end_users_are_recorded_as_pseudonyms() {
    let wire = Wire::of(&["fake/plain"]).await;
    wire.answer(&with(&hello("fake/plain"), &json!({"user": "alice@example.org"}))).await;
    for (name, value) in [
        ("x-openwebui-user-id", "alice@example.org"),
        ("x-openwebui-user-id", "bob@example.org"),
        ("x-session-id", "session-1"),
    ] {
        let request = wire.request(Method::POST, "/v1/chat/completions").json(&hello("fake/plain"));
        let (status, answer) = crate::wire::sent(request.header(name, value)).await;
        assert_eq!(status, 200, "{answer}");
        assert!(wire.engine.last().header(name).is_none(), "{name} stays here");
    }
    let mut records = wire.app.records(4).await;
    records.sort_by_key(|record| record["id"].as_str().map(str::to_owned));
    let users: Vec<&Value> = records.iter().map(|record| &record["end_user"]).collect();
    assert!(users[0].is_string() && users[0] == users[1] && users[2].is_string() && users[1] != users[2], "{users:?}");
    assert_eq!(users[3], &Value::Null, "a session is no person");
    let text = Value::from(records).to_string();
    assert!(!text.contains("alice") && !text.contains("bob@"), "{text}");
}

/// A client's own retry is recorded as such, and never believed for anything else.
#[tokio::test]
async fn a_clients_retry_is_recorded() {
    let wire = Wire::of(&["fake/plain"]).await;
    for count in ["0", "1", "2", "-1", "a lot"] {
        let request = wire.request(Method::POST, "/v1/chat/completions").json(&hello("fake/plain"));
        assert_eq!(crate::wire::sent(request.header("x-stainless-retry-count", count)).await.0, 200);
    }
    let mut retries: Vec<i64> =
        wire.app.records(5).await.iter().filter_map(|record| record["client_retry"].as_i64()).collect();
    retries.sort_unstable();
    assert_eq!(retries, [0, 0, 0, 1, 2]);
}

/// What two readers could read in two ways is refused before any engine is called.
#[tokio::test]
async fn a_key_written_twice_is_refused() {
    let wire = Wire::of(&["fake/plain"]).await;
    for (body, path) in [
        (r#"{"model":"fake/plain","model":"fake/other","messages":[{"role":"user","content":"a"}]}"#, "model"),
        (r#"{"model":"fake/plain","messages":[{"role":"user","content":"a","content":"b"}]}"#, "messages[0].content"),
        (r#"{"model":"fake/plain","messages":[{"role":"user","content":"a"}],"\u006dodel":"x"}"#, "model"),
        (
            r#"{"model":"fake/plain","messages":[{"role":"user","content":"a"}],"stream_options":{"include_usage":true,"include_usage":false}}"#,
            "stream_options.include_usage",
        ),
    ] {
        let (status, refused) = tests::read(wire.raw("/v1/chat/completions", body).await).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(path)), "{body}: {refused}");
    }
    assert_eq!(wire.engine.posts(), 0);
}
