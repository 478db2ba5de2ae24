use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::rules::{Bounds, Cleaning, Reasoning, Rename};
use super::super::usage::Estimate;
use super::*;

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn delta(delta: Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn usage() -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})
}

/// A stream of text deltas, whole.
fn stream(pieces: &[&str]) -> String {
    let mut text = event(&delta(json!({"role": "assistant", "content": ""})));
    for piece in pieces {
        text += &event(&delta(json!({"content": piece})));
    }
    text + &event(&finish("stop")) + &event(&usage()) + "data: [DONE]\n\n"
}

/// Sends bytes through, cut at these places.
fn through(text: &str, cuts: &[usize], rules: Rules, end: End) -> (String, Outcome, Observed) {
    let mut transcript = Transcript::new(rules);
    let mut out = VecDeque::new();
    let bytes = Bytes::from(text.to_owned());
    let mut at = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let cut = cut.clamp(at, bytes.len());
        if cut > at {
            transcript.push(bytes.slice(at..cut), &mut out);
        }
        at = cut;
    }
    let outcome = transcript.finish(end, &mut out);
    let all: Vec<u8> = out.into_iter().flatten().collect();
    (String::from_utf8(all).unwrap(), outcome, transcript.observed().clone())
}

fn chunks(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn said(text: &str, field: &str) -> String {
    chunks(text).iter().filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str().map(str::to_owned)).collect()
}

#[test]
fn an_untouched_stream_is_slices_of_what_came_and_loses_only_the_usage_nobody_asked() {
    let text = stream(&["Bon", "jour"]);
    let bytes = Bytes::from(text.clone());
    let mut transcript = Transcript::new(Rules { rename: Some(Rename::to("m")), ..Rules::default() });
    let mut out = VecDeque::new();
    assert_eq!(transcript.push(bytes.clone(), &mut out), Flow::Done);
    assert_eq!(out.len(), 2, "one run of untouched events, then [DONE]");
    assert_eq!(out[0].as_ptr(), bytes.as_ptr(), "not a copy");
    assert_eq!(out.iter().flatten().copied().collect::<Vec<u8>>(), text.replace(&event(&usage()), "").into_bytes());
    assert_eq!(transcript.observed().usage.unwrap().output, 2);
    assert_eq!(transcript.observed().content_events, 2);
    assert_eq!(transcript.observed().finish_reason.as_deref(), Some("stop"));
}

#[test]
fn usage_comes_once_when_asked_wherever_the_engine_put_it() {
    let asked =
        || Rules { usage_asked: true, estimate: Estimate { input: 9, bytes_per_token: 4.0 }, ..Rules::default() };
    let last_usage = |text: &str| {
        let with: Vec<Value> = chunks(text).into_iter().filter(|chunk| chunk["choices"] == json!([])).collect();
        assert_eq!(with.len(), 1, "{text}");
        with[0]["usage"].clone()
    };
    let (text, _, _) = through(&stream(&["Bonjour"]), &[], asked(), End::Eof);
    assert_eq!(last_usage(&text)["prompt_tokens"], 5);

    let mut last = finish("stop");
    last["usage"] = json!({"prompt_tokens": 6, "completion_tokens": 1, "total_tokens": 7});
    let in_finish =
        event(&delta(json!({"role": "assistant", "content": "Bonjour"}))) + &event(&last) + "data: [DONE]\n\n";
    let (text, _, _) = through(&in_finish, &[], asked(), End::Eof);
    assert_eq!(last_usage(&text)["prompt_tokens"], 6);

    let never = stream(&["Bonjour à vous"]).replace(&event(&usage()), "");
    let (text, _, observed) = through(&never, &[], asked(), End::Eof);
    assert_eq!(last_usage(&text)["prompt_tokens"], 9);
    assert_eq!(last_usage(&text)["completion_tokens"], 4);
    assert_eq!(observed.usage, None, "an estimate is not the engine's word");
    assert!(text.ends_with("data: [DONE]\n\n"));
}

#[test]
fn the_public_name_replaces_the_engines() {
    let rules = Rules { rename: Some(Rename::to("public/name")), ..Rules::default() };
    let (text, _, _) = through(&stream(&["Bonjour \"model\":\"m\""]), &[], rules, End::Eof);
    assert!(chunks(&text).iter().all(|chunk| chunk["model"] == "public/name"));
    assert_eq!(said(&text, "content"), "Bonjour \"model\":\"m\"", "text that looks like it is left alone");
}

#[test]
fn the_first_delta_has_a_role() {
    let text = event(&delta(json!({"content": "Bonjour"}))) + &event(&finish("stop")) + "data: [DONE]\n\n";
    let (text, _, _) = through(&text, &[], Rules::default(), End::Eof);
    let chunks = chunks(&text);
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": "Bonjour"}));
    assert_eq!(chunks[1]["choices"][0]["delta"], json!({}));
}

#[test]
fn the_other_name_of_reasoning_is_translated() {
    let rules = Rules { reasoning: Reasoning::Field, ..Rules::default() };
    let text = event(&delta(json!({"role": "assistant", "reasoning": "hum"})))
        + &event(&delta(json!({"content": "oui"})))
        + &event(&finish("stop"))
        + "data: [DONE]\n\n";
    let (text, _, _) = through(&text, &[], rules, End::Eof);
    assert_eq!((said(&text, "reasoning_content").as_str(), said(&text, "content").as_str()), ("hum", "oui"));
    assert_eq!(said(&text, "reasoning"), "");
}

#[test]
fn tool_calls_are_gathered_for_the_one_client_that_needs_it() {
    let call = |arguments: &str, first: bool| {
        let mut call = json!({"index": 0, "function": {"arguments": arguments}});
        if first {
            call["id"] = json!("call_1");
            call["type"] = json!("function");
            call["function"]["name"] = json!("meteo");
        }
        event(&delta(json!({"tool_calls": [call]})))
    };
    let text = event(&delta(json!({"role": "assistant", "content": null})))
        + &call("{\"ville\"", true)
        + &call(": \"Brest\"}", false)
        + &event(&finish("tool_calls"))
        + "data: [DONE]\n\n";
    let (same, _, _) = through(&text, &[], Rules::default(), End::Eof);
    assert_eq!(same, text);
    let (gathered, _, _) = through(&text, &[], Rules { coalesce_tool_calls: true, ..Rules::default() }, End::Eof);
    let with: Vec<Value> =
        chunks(&gathered).into_iter().filter(|chunk| chunk["choices"][0]["delta"]["tool_calls"].is_array()).collect();
    assert_eq!(with.len(), 1, "{gathered}");
    let call = &with[0]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(
        (call["id"].as_str(), call["function"]["name"].as_str(), call["function"]["arguments"].as_str()),
        (Some("call_1"), Some("meteo"), Some("{\"ville\": \"Brest\"}"))
    );
}

#[test]
fn an_end_in_the_middle_is_a_cut_and_an_end_after_the_reason_is_not() {
    let begun = event(&delta(json!({"role": "assistant", "content": "Bon"})));
    for end in [End::Eof, End::Failed] {
        let (text, outcome, _) = through(&begun, &[], Rules::default(), end);
        assert_eq!(outcome, Outcome::Cut(Why::Ended));
        assert!(!text.contains("[DONE]"));
        let (text, outcome, observed) = through(&(begun.clone() + &event(&finish("stop"))), &[], Rules::default(), end);
        assert_eq!((outcome, observed.done), (Outcome::Complete, true));
        assert!(text.ends_with("data: [DONE]\n\n"));
    }
    let (_, outcome, _) = through("", &[], Rules::default(), End::Eof);
    assert_eq!(outcome, Outcome::Cut(Why::Ended));
}

#[test]
fn an_engines_error_in_the_stream_is_a_cut_and_its_words_stay_here() {
    for bad in [
        "data: {\"error\":{\"message\":\"CUDA at 10.0.0.3\"}}\n\n",
        "event: error\ndata: boom\n\n",
        "data: garbage\n\n",
        "data: \u{0}\n\n",
    ] {
        let text = event(&delta(json!({"role": "assistant", "content": "Bon"}))) + bad + "data: [DONE]\n\n";
        let (text, outcome, _) = through(&text, &[], Rules::default(), End::Eof);
        assert!(matches!(outcome, Outcome::Cut(Why::Error | Why::Garbage)), "{bad}");
        assert!(!text.contains("CUDA") && !text.contains("boom") && !text.contains("[DONE]"), "{text}");
    }
}

#[test]
fn what_an_engine_sends_is_bounded() {
    let bounds = Bounds { event: 2_000, total: 5_000, ..Bounds::default() };
    let rules = || Rules { bounds, ..Rules::default() };
    let long = event(&delta(json!({"role": "assistant", "content": "x".repeat(3_000)})));
    assert_eq!(through(&long, &[], rules(), End::Eof).1, Outcome::Cut(Why::TooLarge));
    let many: String =
        (0..100).map(|_| event(&delta(json!({"role": "assistant", "content": "x".repeat(100)})))).collect();
    assert_eq!(through(&many, &[], rules(), End::Eof).1, Outcome::Cut(Why::TooLarge));
}

#[test]
fn an_event_of_megabytes_goes_through() {
    let text = stream(&[&"x".repeat(3 << 20)]);
    let (out, outcome, _) =
        through(&text, &[1_000_000, 2_000_000], Rules { usage_asked: true, ..Rules::default() }, End::Eof);
    assert_eq!((out == text, outcome), (true, Outcome::Complete));
}

proptest! {
    /// However the bytes are cut, the client gets the same bytes.
    #[test]
    fn any_cut_gives_the_same_stream(mut cuts in proptest::collection::vec(0usize..1_500, 0..12), think in any::<bool>(), clean in any::<bool>(), asked in any::<bool>()) {
        cuts.sort_unstable();
        let text = stream(&["<thi", "nk>hum", " hum</", "think>\n\nVoici le texte ", "corrigé :\n\n", "```markdown\nBon", "jour <b>à", "</b> vous\n``", "`"]);
        let rules = || Rules {
            usage_asked: asked,
            rename: Some(Rename::to("autre")),
            reasoning: if think { Reasoning::ThinkTags { opened: false } } else { Reasoning::Untouched },
            cleaning: Cleaning { fence: clean, preamble: clean },
            ..Rules::default()
        };
        let (whole, outcome, _) = through(&text, &[], rules(), End::Eof);
        let (cut, _, _) = through(&text, &cuts, rules(), End::Eof);
        prop_assert_eq!(&cut, &whole);
        prop_assert_eq!(outcome, Outcome::Complete);
        if think && clean {
            prop_assert_eq!(said(&whole, "content"), "Bonjour <b>à</b> vous");
            prop_assert_eq!(said(&whole, "reasoning_content"), "hum hum");
        }
        if !think && !clean {
            prop_assert!(said(&whole, "content").contains("</think>\n\nVoici"));
        }
    }

    /// Without a rule that edits text, the text is what the engine wrote.
    #[test]
    fn text_is_never_changed_without_a_rule(pieces in proptest::collection::vec("[a-zé\"\\\\<`\n ]{0,12}", 1..10)) {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let (out, _, _) = through(&stream(&pieces), &[7, 300], Rules { rename: Some(Rename::to("autre")), ..Rules::default() }, End::Eof);
        prop_assert_eq!(said(&out, "content"), pieces.concat());
    }
}
