//! Chat that cites: what goes to the engine, what comes back, streamed and not.

use serde_json::{Value, json};
use tests::Backend;
use tests::engine::{Call, Chat};

use crate::records;
use crate::search::stand::{CHAT, Stand, chunk, on_both};

const PREAVIS: &str = "Le préavis de démission dure un mois pour un employé. Il court de la remise de la lettre.";
const ANSWER: &str = "Le préavis dure un mois pour un employé [1].";

async fn stand(backend: Backend) -> (Stand, i64) {
    stand_with(backend, "").await
}

async fn stand_with(backend: Backend, more: &str) -> (Stand, i64) {
    let stand = Stand::with(backend, more).await;
    let collection = stand.collection("travail").await;
    let titled = json!({"content": PREAVIS, "metadata": {"title": "Démission", "headings": ["Démission", "Préavis"], "page": 2}});
    stand.document(collection, "demission.pdf", &json!({"source": "DILA"}), &[titled]).await;
    stand.document(collection, "conges.pdf", &json!({}), &[chunk("Les congés payés sont de cinq semaines.")]).await;
    stand.engine.script_model(CHAT, Chat::text(ANSWER));
    stand.engine.forget();
    (stand, collection)
}

/// As evalap and older clients of Albert send it.
fn evalap(collection: i64) -> Value {
    json!({"model": CHAT, "messages": [{"role": "user", "content": "Quelle est la durée du préavis de démission ?"}],
        "temperature": 0.2, "search": true,
        "search_args": {"method": "lexical", "collections": [collection], "k": 5, "rff_k": 20}})
}

fn said(call: &Call) -> (String, String) {
    let body = call.json();
    let messages = body["messages"].as_array().unwrap();
    let text = |message: &Value| message["content"].as_str().unwrap().to_owned();
    (text(&messages[0]), text(messages.last().unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_what_it_stands_on() {
    on_both(|backend| async move {
        let (stand, collection) = stand(backend).await;
        let (status, answer) = stand.post("/v1/chat/completions", &evalap(collection)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["choices"][0]["message"]["content"], ANSWER);
        assert!(answer["usage"]["total_tokens"].as_u64() > Some(0));
        // evalap reads the contents, others the whole.
        let found = answer["search_results"].as_array().unwrap();
        assert_eq!((&found[0]["chunk"]["content"], &found[0]["method"]), (&json!(PREAVIS), &json!("lexical")));
        assert_eq!(
            (&found[0]["in_prompt"], &found[0]["cited"], &found[0]["number"]),
            (&json!(true), &json!(true), &json!(1))
        );
        let citation = &answer["citations"][0];
        assert_eq!((&citation["document_name"], &citation["page"]), (&json!("demission.pdf"), &json!(2)));
        assert_eq!(citation["headings"], json!(["Démission", "Préavis"]));
        assert_eq!(citation["quote"], "Le préavis de démission dure un mois pour un employé.");
        assert!(citation["cited"] == true && citation["score"].as_f64() > Some(0.0));
        let call = stand.engine.last();
        let (system, user) = said(&call);
        assert!(system.contains("[1]") && user.contains("<passage n=\"1\">\nDémission > Préavis (page 2)"), "{user}");
        assert!(user.contains(PREAVIS) && user.contains("\nQuelle est la durée du préavis de démission ?\n"));
        let body = call.json();
        assert!(body.get("search").is_none() && body.get("search_args").is_none());
        assert_eq!(body["temperature"], 0.2, "what it does not know passes");
        let record = &stand.app.records(3).await[0];
        assert_eq!((&record["endpoint"], &record["prompt_id"]), (&json!("chat.completions"), &json!("rag-answer.fr")));
    })
    .await;
}

fn events(text: &str) -> Vec<Value> {
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_carries_its_sources_in_the_chunk_that_ends_the_choice() {
    let (stand, collection) = stand(Backend::Sqlite).await;
    for include in [false, true] {
        let mut body = evalap(collection);
        body["stream"] = true.into();
        if include {
            body["stream_options"] = json!({"include_usage": true});
        }
        let response = stand.app.send("/v1/chat/completions", &stand.key.secret, &body).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        let text = response.text().await.unwrap();
        let events = events(&text);
        let content: String = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(content, ANSWER);
        let carrying: Vec<&Value> = events.iter().filter(|event| event.get("citations").is_some()).collect();
        assert_eq!(carrying.len(), 1, "{text}");
        assert_eq!(carrying[0]["choices"][0]["finish_reason"], "stop");
        assert_eq!(carrying[0]["citations"][0]["cited"], true);
        assert_eq!(carrying[0]["search_results"][0]["chunk"]["content"], PREAVIS);
        let without: Vec<&Value> = events.iter().filter(|event| event["choices"] == json!([])).collect();
        assert_eq!(without.len(), usize::from(include), "no chunk without choices but the usage that was asked");
        assert!(text.ends_with("data: [DONE]\n\n"));
    }
}

/// What was found is kept with the content of a project that agreed: redacted, in its order, and which of it was cited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_found_is_kept_for_evaluation() {
    on_both(|backend| async move {
        let (stand, collection) = stand_with(backend, records::ON).await;
        let contact = chunk("Le préavis se discute avec Mme Keroual, camille.martin@exemple.fr.");
        stand.document(collection, "contacts.pdf", &json!({}), &[contact]).await;
        let evaluator = records::evaluator(&stand.app).await;
        // Not agreed yet: nothing of it is kept.
        records::ask(&stand.app, &stand.key, &evalap(collection)).await;
        records::consent(&stand.app, &stand.key).await;
        for streamed in [false, true] {
            let mut body = evalap(collection);
            body["stream"] = streamed.into();
            let id = records::ask(&stand.app, &stand.key, &body).await;
            records::kept(&stand.app, &evaluator, 1 + usize::from(streamed)).await;
            let record = records::content(&stand.app, &evaluator, &id).await;
            let passages = record["content"]["passages"].as_array().expect("passages");
            assert!(passages.len() >= 2, "{record:#}");
            for (place, passage) in passages.iter().enumerate() {
                assert_eq!((&passage["rank"], &passage["in_prompt"]), (&json!(place + 1), &json!(true)), "{record:#}");
                let cited = passage["number"] == 1;
                assert_eq!((&passage["cited"], cited), (&json!(cited), place == 0), "{record:#}");
            }
            assert_eq!((&passages[0]["text"], &passages[0]["document"]), (&json!(PREAVIS), &json!("demission.pdf")));
            let masked = passages.iter().find(|passage| passage["document"] == "contacts.pdf").expect("the contact");
            assert_eq!(masked["text"], "Le préavis se discute avec Mme [nom], [email].");
            assert!(!record.to_string().contains("Keroual"), "neither in the messages: {record:#}");
        }
    })
    .await;
}

/// The first words are there before the last are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_stream_waits_for_its_sources() {
    use futures_util::StreamExt;
    let (stand, collection) = stand(Backend::Sqlite).await;
    let gate = tests::engine::Gate::closed();
    stand.engine.script_model(CHAT, Chat::text(ANSWER).gate(3, &gate));
    let mut body = evalap(collection);
    body["stream"] = true.into();
    let response = stand.app.send("/v1/chat/completions", &stand.key.secret, &body).await;
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("Le") {
        let piece = tokio::time::timeout(tests::app::PATIENCE, stream.next()).await.expect("in time");
        text.push_str(&String::from_utf8_lossy(&piece.expect("more").expect("bytes")));
    }
    assert!(!text.contains("citations"));
    gate.open();
    while let Some(piece) = stream.next().await {
        text.push_str(&String::from_utf8_lossy(&piece.expect("bytes")));
    }
    assert!(text.contains("\"citations\":"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_of_type_search_asks_too() {
    let (stand, collection) = stand(Backend::Sqlite).await;
    let function = json!({"type": "function", "function": {"name": "meteo", "parameters": {}}});
    let search = json!({"type": "search", "collection_ids": [collection], "limit": 2, "method": "hybrid"});
    for tools in [json!([search]), json!([function, search])] {
        let mut body = evalap(collection);
        (body["search"], body["search_args"], body["tools"]) = (Value::Null, Value::Null, tools.clone());
        body["tool_choice"] = "auto".into();
        let (status, answer) = stand.post("/v1/chat/completions", &body).await;
        assert_eq!((status, answer["search_results"].as_array().map(Vec::len)), (200, Some(2)), "{answer}");
        let sent = stand.engine.last().json();
        match tools.as_array().map(Vec::len) {
            Some(1) => assert!(sent.get("tools").is_none() && sent.get("tool_choice").is_none(), "{sent}"),
            _ => assert_eq!((&sent["tools"], &sent["tool_choice"]), (&json!([function]), &json!("auto"))),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_follows_others_is_rewritten() {
    let (stand, collection) = stand(Backend::Sqlite).await;
    let mut body = evalap(collection);
    body["messages"] = json!([
        {"role": "system", "content": "Sois bref."},
        {"role": "user", "content": "Je veux quitter mon emploi."},
        {"role": "assistant", "content": "Vous pouvez démissionner."},
        {"role": "user", "content": "Et ça dure combien ?"},
    ]);
    stand.engine.next(Chat::text("« Combien dure le préavis de démission ? »"));
    let (status, answer) = stand.post("/v1/chat/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["search_results"][0]["chunk"]["content"], PREAVIS, "found by the rewritten words");
    let calls = stand.engine.calls();
    let (instructions, asked) = said(&calls[0]);
    assert!(instructions.contains("recherche documentaire") && asked.contains("user: Je veux quitter mon emploi."));
    assert!(!asked.contains("Sois bref."), "what the system says is no part of it");
    let (system, user) = said(&calls[1]);
    assert!(system.ends_with("Sois bref.") && user.contains("\nEt ça dure combien ?\n"), "asked in its own words");
    assert_eq!(calls[1].json()["messages"].as_array().map(Vec::len), Some(4));
    // A model that cannot rewrite keeps nobody from an answer.
    stand.engine.next(tests::engine::Reply::json(400, &json!({"error": {"message": "non"}})));
    let (status, answer) = stand.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!(ANSWER)), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_nothing_is_found_the_model_is_told_so() {
    let (stand, collection) = stand(Backend::Sqlite).await;
    let nothing = "Les documents consultés ne permettent pas de répondre à cette question.";
    stand.engine.script_model(CHAT, Chat::text(nothing));
    let mut body = evalap(collection);
    body["messages"][0]["content"] = "Zygomorphe ?".into();
    let (status, answer) = stand.post("/v1/chat/completions", &body).await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!(nothing)));
    assert_eq!((&answer["search_results"], &answer["citations"]), (&json!([]), &json!([])));
    let (system, user) = said(&stand.engine.last());
    assert!(user.contains("Aucun passage n'a été trouvé.") && system.contains(nothing), "{user}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passages_are_packed_into_a_budget_without_repeats() {
    let stand = Stand::with(Backend::Sqlite, "  chat: {passage_tokens: 300}\n").await;
    let collection = stand.collection("long").await;
    let long = |n: usize| chunk(&format!("Démission {n} {}", "mot ".repeat(60)));
    let many: Vec<Value> =
        (0..6).map(long).chain([chunk("La démission se donne."), chunk("La démission se donne.")]).collect();
    stand.document(collection, "d", &json!({}), &many).await;
    stand.engine.script_model(CHAT, Chat::text("Oui [1]."));
    let mut body = evalap(collection);
    body["search_args"]["k"] = 10.into();
    let (_, answer) = stand.post("/v1/chat/completions", &body).await;
    let found = answer["search_results"].as_array().unwrap();
    let inside = found.iter().filter(|result| result["in_prompt"] == true).count();
    assert!(found.len() == 8 && (1..8).contains(&inside), "{inside} of {}", found.len());
    let (_, user) = said(&stand.engine.last());
    assert!(user.len() < 300 * 4 && user.matches("La démission se donne.").count() <= 1, "{user}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_named() {
    let (stand, collection) = stand(Backend::Sqlite).await;
    let ask = async |edit: fn(&mut Value)| {
        let mut body = evalap(collection);
        edit(&mut body);
        let (status, answer) = stand.post("/v1/chat/completions", &body).await;
        (status, answer["error"]["param"].as_str().unwrap_or_default().to_owned())
    };
    let wrong = |param: &str| (400, param.to_owned());
    assert_eq!(ask(|body| body["search_args"]["method"] = "x".into()).await, wrong("search_args.method"));
    assert_eq!(ask(|body| body["search_args"] = json!({})).await, wrong("search_args.collection_ids"));
    assert_eq!(ask(|body| body["messages"] = json!([{"role": "system", "content": "x"}])).await, wrong("messages"));
    assert_eq!(ask(|body| body["prompt"] = json!({"id": "docs-correct"})).await, wrong("prompt"));
    let unknown = ask(|body| body["search_args"]["collections"] = json!([424_242])).await;
    assert_eq!(unknown, (404, "collection_ids".to_owned()));
    assert_eq!(stand.engine.posts(), 0, "no engine was asked");
}

/// A chat without search: its bytes reach the engine as they came, `search: false` and all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_chat_passes_untouched() {
    let (stand, _) = stand(Backend::Sqlite).await;
    let body =
        format!("{{\"model\":\"{CHAT}\",  \"search\": false,\"messages\":[{{\"role\":\"user\",\"content\":\"?\"}}] }}");
    let request = stand.app.request(reqwest::Method::POST, "/v1/chat/completions", &stand.key.secret);
    let (status, answer) =
        tests::read(request.header("content-type", "application/json").body(body.clone()).send().await.unwrap()).await;
    assert!(status == 200 && answer.get("citations").is_none(), "{answer}");
    assert_eq!(stand.engine.last().text(), body);
}

/// Numbers the model makes up are told apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn citations_of_nothing_are_told_apart() {
    let (stand, collection) = stand(Backend::Sqlite).await;
    stand.engine.script_model(CHAT, Chat::text("Cela dure un mois [1], et même deux [7]."));
    let (_, answer) = stand.post("/v1/chat/completions", &evalap(collection)).await;
    assert_eq!(answer["unknown_citations"], json!([7]));
    assert_eq!(answer["citations"].as_array().map(Vec::len), Some(1));
}
