//! What was held is given back: for engines that fail, clients that leave, answers that are shorter than feared.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tests::engine::{Ending, Gate};
use tests::{Chat, chat};
use tokio::task::JoinSet;

use crate::quotas::stand::in_each_place;
use crate::quotas::stand::{Place, Stand, chat_of};

in_each_place!(
    an_answer_is_charged_what_its_engine_counted,
    an_engine_that_fails_costs_nothing,
    an_engine_that_refuses_costs_a_request_and_no_token,
    a_client_that_leaves_before_an_engine_is_called_costs_nothing,
    a_client_that_leaves_in_a_stream_is_charged_what_was_relayed,
    a_stream_that_its_engine_cuts_is_charged_what_was_relayed,
    an_engine_that_counts_nothing_is_charged_an_estimate,
    near_the_context_a_text_is_counted_rather_than_estimated,
    a_models_own_tokenizer_counts_where_it_is_named,
);

const PLAN: &str = "{organization: [{requests: 1000/day, tokens: 100k/day, concurrent: 100}]}";

async fn an_answer_is_charged_what_its_engine_counted(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    stand.engine.script(Chat::text("Bonjour").tokens(123, 45));
    let mut total = 0;
    for streamed in [false, true] {
        let mut body = chat_of("fake/plain", 5_000);
        body["stream"] = json!(streamed);
        let response = stand.ask(&key, &body).await;
        assert_eq!(response.status(), 200);
        drop(response.text().await);
        total += 168;
        stand.until_used(&key, "organization", "tokens/day", total).await;
    }
    stand.until_used(&key, "organization", "concurrent", 0).await;
    stand.until_used(&key, "organization", "requests/day", 2).await;
}

async fn an_engine_that_fails_costs_nothing(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    assert_eq!(stand.ask(&key, &chat_of("fake/500", 1_000)).await.status(), 502);
    for limit in ["tokens/day", "requests/day", "concurrent"] {
        stand.until_used(&key, "organization", limit, 0).await;
    }
}

async fn an_engine_that_refuses_costs_a_request_and_no_token(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    assert_eq!(stand.ask(&key, &chat_of("fake/400", 1_000)).await.status(), 400);
    for (limit, used) in [("tokens/day", 0), ("requests/day", 1), ("concurrent", 0)] {
        stand.until_used(&key, "organization", limit, used).await;
    }
}

async fn a_client_that_leaves_before_an_engine_is_called_costs_nothing(place: Place) {
    let stand = Stand::with(place, PLAN, "", "").await;
    // The engine of this model has one slot, and it is taken; of two replicas, each has one at least.
    let key = stand.key("Culture", "internal").await;
    let line = tests::model("seul", "chat", &stand.engine.url(), ", capacity: 1");
    stand.rewrite("models:\n", &format!("models:\n{line}")).await;
    let gate = Gate::closed();
    stand.engine.script_model("seul", Chat::text("un deux").tokens(10, 2).gate(0, &gate));
    let body = chat_of("seul", 1_000);
    let slots = stand.replicas().count() as u64;
    let mut holders = JoinSet::new();
    for _ in 0..slots {
        let request = stand.request(Method::POST, "/v1/chat/completions", &key.secret).json(&body);
        holders.spawn(async move { request.send().await.expect("an answer").status() });
    }
    assert!(stand.engine.until(|counts| counts.posts == slots).await);
    tokio::select! {
        response = stand.ask(&key, &body) => panic!("an answer: {response:?}"),
        () = stand.until_used(&key, "organization", "concurrent", slots + 1) => {}
    }
    stand.until_used(&key, "organization", "concurrent", slots).await;
    gate.open();
    assert!(holders.join_all().await.iter().all(|status| *status == 200));
    for (limit, used) in [("tokens/day", 12 * slots), ("requests/day", slots), ("concurrent", 0)] {
        stand.until_used(&key, "organization", limit, used).await;
    }
}

async fn a_client_that_leaves_in_a_stream_is_charged_what_was_relayed(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    let mut body = chat_of("fake/endless", 50_000);
    body["stream"] = json!(true);
    let mut response = stand.ask(&key, &body).await;
    let mut heard = 0;
    while heard < 2_000 {
        heard += response.chunk().await.expect("a stream").expect("a stream without end").len();
    }
    assert!(
        stand.state(&key, "organization", "tokens/day").await["used"].as_u64() > Some(50_000),
        "held while it runs"
    );
    drop(response);
    stand.until_used(&key, "organization", "concurrent", 0).await;
    let record = stand.records(1).await.remove(0);
    let counted = |name: &str| record[name].as_u64().unwrap_or_default();
    let used = counted("tokens_in") + counted("tokens_out");
    assert!(used > 3 && used < 50_000, "{record}");
    stand.until_used(&key, "organization", "tokens/day", used).await;
}

async fn a_stream_that_its_engine_cuts_is_charged_what_was_relayed(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    stand.engine.script(Chat::text("un deux trois quatre cinq").cut(3, Ending::Truncated));
    let mut body = chat_of("fake/plain", 5_000);
    body["stream"] = json!(true);
    let text = stand.ask(&key, &body).await.text().await.expect("a stream");
    assert!(text.contains("upstream_error"), "{text}");
    let record = stand.records(1).await.remove(0);
    assert_eq!(record["outcome"], "cut", "{record}");
    let counted = |name: &str| record[name].as_u64().unwrap_or_default();
    stand.until_used(&key, "organization", "tokens/day", counted("tokens_in") + counted("tokens_out")).await;
    stand.until_used(&key, "organization", "concurrent", 0).await;
}

async fn an_engine_that_counts_nothing_is_charged_an_estimate(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    for _ in 0..5 {
        let (status, answer) = stand.chat(&key, "fake/no-usage").await;
        assert_eq!(status, 200, "{answer}");
    }
    let records = stand.records(5).await;
    let sum: u64 = records
        .iter()
        .flat_map(|record| [record["tokens_in"].as_u64(), record["tokens_out"].as_u64()])
        .map(Option::unwrap_or_default)
        .sum();
    assert!(records.iter().all(|record| record["tokens_estimated"] == true && record["tokens_in"].as_u64() > Some(0)));
    stand.until_used(&key, "organization", "tokens/day", sum).await;
    tokio::time::timeout(Duration::from_secs(5), stand.ask(&key, &chat("fake/plain"))).await.expect("no wait");
}

async fn near_the_context_a_text_is_counted_rather_than_estimated(place: Place) {
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    let gate = Gate::closed();
    stand.engine.script_model("fake/slow", Chat::text("un").tokens(500, 1).gate(0, &gate));
    // Digits weigh more than words: a token is three of them.
    let mut body = chat_of("court", 1);
    body["messages"][0]["content"] = json!("0123456789".repeat(150));
    let estimate = (body.to_string().len() as u64).div_ceil(4);
    let asker = stand.ask(&key, &body);
    let watcher = async {
        assert!(stand.engine.until(|counts| counts.posts == 1).await);
        let held = stand.state(&key, "organization", "tokens/day").await["used"].as_u64().expect("a number");
        gate.open();
        held
    };
    let (response, held) = tokio::join!(asker, watcher);
    assert_eq!(response.status(), 200);
    assert!(held > estimate * 6 / 5, "{held} held, {estimate} by the ratio");
    drop(response.text().await);
    stand.until_used(&key, "organization", "tokens/day", 501).await;
}

/// A tokenizer for which each character is a token.
fn characters() -> String {
    let vocabulary: serde_json::Map<_, _> =
        (32_u8..127).map(|byte| (char::from(byte).to_string(), json!(byte - 32))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "?", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": []
        }
    })
    .to_string()
}

async fn a_models_own_tokenizer_counts_where_it_is_named(place: Place) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("tokenizer.json");
    std::fs::write(&file, characters()).expect("a tokenizer");
    let stand = Stand::new(place, PLAN).await;
    let key = stand.key("Culture", "internal").await;
    stand.rewrite("type: chat, ", &format!("type: chat, tokenizer: '{}', ", file.display())).await;

    // Near the context.
    let gate = Gate::closed();
    stand.engine.script_model("fake/slow", Chat::text("un").tokens(500, 1).gate(0, &gate));
    let mut body = chat_of("court", 1);
    body["messages"][0]["content"] = json!("mot ".repeat(400));
    let asker = stand.ask(&key, &body);
    let watcher = async {
        assert!(stand.engine.until(|counts| counts.posts == 1).await);
        let held = stand.state(&key, "organization", "tokens/day").await["used"].as_u64();
        gate.open();
        held
    };
    let (response, held) = tokio::join!(asker, watcher);
    assert_eq!(response.status(), 200);
    assert_eq!(held, Some(body.to_string().len() as u64 + 1));
    drop(response.text().await);

    // For an engine that never counts, once it is known not to: after three answers of each replica.
    let silent = chat("fake/no-usage");
    for _ in 0..12 {
        assert_eq!(stand.ask(&key, &silent).await.status(), 200);
    }
    let records = stand.records(13).await;
    let (last, first) = (&records[0], &records[11]);
    assert_eq!((&last["tokens_in"], &last["tokens_estimated"]), (&json!(silent.to_string().len()), &json!(true)));
    assert!(last["tokens_in"].as_u64() > first["tokens_in"].as_u64(), "{last} {first}");
    assert!(last["tokens_out"].as_u64() > first["tokens_out"].as_u64(), "{last} {first}");
}
