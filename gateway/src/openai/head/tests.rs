use super::*;

fn refused(body: &str) -> WireError {
    Head::parse(body.as_bytes()).unwrap_err()
}

#[test]
fn known_fields_are_read_and_null_is_absent() {
    let body = r#"{"model":"a\/b","stream":true,"stream_options":{"include_usage":true},"max_tokens":5,
        "max_completion_tokens":null,"user":"é\u00e9","n":1,"stop":null,"top_p":null,"prefix":false,"tool_calls":[]}"#;
    let head = Head::parse(body.as_bytes()).unwrap();
    assert_eq!(head.model(), Some("a/b"));
    assert!(head.stream() && head.include_usage());
    assert_eq!((head.max_tokens(), head.n(), head.user()), (Some(5), Some(1), Some("éé")));
    assert!(head.raw("stop").is_none());
    assert_eq!(head.raw("tool_calls").unwrap().get(), "[]");
    let nulls = Head::parse(br#"{"model":null,"stream":null,"stream_options":null,"max_tokens":null}"#).unwrap();
    assert_eq!((nulls.model(), nulls.stream(), nulls.max_tokens()), (None, false, None));
    let newer = Head::parse(br#"{"max_tokens":5,"max_completion_tokens":7.0}"#).unwrap();
    assert_eq!(newer.max_tokens(), Some(7));
}

#[test]
fn what_is_no_object_is_refused_with_its_place() {
    assert_eq!(refused("[1]"), WireError::NotAnObject);
    assert_eq!(refused("\"a\""), WireError::NotAnObject);
    assert_eq!(refused("3"), WireError::NotAnObject);
    assert_eq!(refused(""), WireError::Malformed { line: 1, column: 0 });
    assert_eq!(refused("{\"a\":1,\n \"b\":"), WireError::Malformed { line: 2, column: 5 });
    assert_eq!(refused("{\"a\":1} x"), WireError::Malformed { line: 1, column: 9 });
    assert!(matches!(refused("[1] x"), WireError::Malformed { .. }));
    assert!(matches!(refused("{\"a\":01}"), WireError::Malformed { .. }));
    assert!(matches!(refused("{\"a\":1,}"), WireError::Malformed { .. }));
    assert!(matches!(refused("{a:1}"), WireError::Malformed { .. }));
    assert_eq!(Head::parse(b"{\"a\":\"\xff\"}").unwrap_err(), WireError::NotUtf8);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
    assert_eq!(refused(&deep), WireError::TooDeep);
    let absurd = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert!(matches!(refused(&absurd), WireError::Malformed { .. }));
}

#[test]
fn a_key_said_twice_is_refused_where_it_is_read() {
    let twice = |path: &str| WireError::DuplicateKey { path: path.into() };
    assert_eq!(refused(r#"{"model":"a","mod\u0065l":"b"}"#), twice("model"));
    assert_eq!(refused(r#"{"messages":[{"role":"user","role":"system"}]}"#), twice("messages[0].role"));
    assert_eq!(
        refused(r#"{"messages":[{"content":[{"type":"text","text":"a","text":"b"}]}]}"#),
        twice("messages[0].content[0].text")
    );
    assert_eq!(
        refused(r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#),
        twice("stream_options.include_usage")
    );
    assert_eq!(refused(r#"{"prompt":{"id":"a","id":"b"}}"#), twice("prompt.id"));
}

#[test]
fn wrong_types_name_their_field() {
    let wrong = |field: &str, expected| WireError::wrong(field, expected);
    assert_eq!(refused(r#"{"model":3}"#), wrong("model", Expected::String));
    assert_eq!(refused(r#"{"stream":"true"}"#), wrong("stream", Expected::Boolean));
    assert_eq!(refused(r#"{"stream_options":[]}"#), wrong("stream_options", Expected::Object));
    assert_eq!(refused(r#"{"max_tokens":-1}"#), wrong("max_tokens", Expected::Count));
    assert_eq!(refused(r#"{"max_tokens":1.5}"#), wrong("max_tokens", Expected::Count));
    assert_eq!(refused(r#"{"n":"2"}"#), wrong("n", Expected::Count));
    assert_eq!(refused(r#"{"user":{}}"#), wrong("user", Expected::String));
    let messages = |body: &str| Head::parse(body.as_bytes()).unwrap().messages().map(RawValue::get).unwrap_err();
    assert_eq!(messages(r#"{"messages":"a"}"#), wrong("messages", Expected::Array));
    assert_eq!(messages(r#"{"messages":[ ]}"#), WireError::Missing { field: "messages" });
    assert_eq!(messages("{}"), WireError::Missing { field: "messages" });
}
