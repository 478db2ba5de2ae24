use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn edited(json: &str, edit: impl for<'e> FnOnce(&mut Edits<'_, '_, 'e>)) -> String {
    let head = Head::parse(json.as_bytes()).unwrap();
    let mut edits = Edits::new(&head);
    edit(&mut edits);
    String::from_utf8(edits.finish(Bytes::copy_from_slice(json.as_bytes())).to_vec()).unwrap()
}

#[test]
fn no_edit_is_no_copy() {
    let body = Bytes::from_static(br#"{"a": 1}"#);
    let head = Head::parse(&body).unwrap();
    let mut edits = Edits::new(&head);
    edits.remove("absent");
    let out = edits.finish(body.clone());
    assert_eq!(out.as_ptr(), body.as_ptr());
}

#[test]
fn fields_are_set_inserted_and_removed_with_their_commas() {
    let body = r#"{ "a" : 1 , "b":[2, 3], "c":"x" }"#;
    assert_eq!(edited(body, |e| e.set("b", &b"null"[..])), r#"{ "a" : 1 , "b":null, "c":"x" }"#);
    assert_eq!(edited(body, |e| e.set("z", &b"0"[..])), r#"{"z":0, "a" : 1 , "b":[2, 3], "c":"x" }"#);
    assert_eq!(edited(body, |e| e.remove("a")), r#"{ "b":[2, 3], "c":"x" }"#);
    assert_eq!(edited(body, |e| e.remove("c")), r#"{ "a" : 1 , "b":[2, 3] }"#);
    let all = |e: &mut Edits<'_, '_, '_>| ["a", "b", "c"].iter().for_each(|name| e.remove(name));
    assert_eq!(edited(body, all), "{  }");
    assert_eq!(
        edited(body, |e| {
            all(e);
            e.set("z", &b"0"[..]);
            e.set("y", &b"1"[..]);
        }),
        r#"{"z":0,"y":1  }"#
    );
    assert_eq!(edited("{}", |e| e.set("z", &b"0"[..])), r#"{"z":0}"#);
    assert_eq!(edited(body, |e| e.rename("a", "aa")), r#"{ "aa" : 1 , "b":[2, 3], "c":"x" }"#);
}

const NAMES: [&str; 6] = ["a", "model", "é", "x y", "stop", "n_"];

#[derive(Debug, Clone)]
enum Op {
    Set(usize, u8),
    Remove(usize),
}

/// JSON text of an object with odd spacing, one of several spellings for each key.
fn spelled(fields: &[(usize, Value, u8)]) -> String {
    let mut out = String::from("{");
    for (position, (name, value, style)) in fields.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        let pad = [" ", "", "\n\t", "  "][usize::from(style % 4)];
        let mut key = serde_json::to_string(NAMES[*name]).unwrap();
        if style % 3 == 0 {
            key = key.replacen('a', "\\u0061", 1).replacen('m', "\\u006d", 1);
        }
        out.push_str(&format!("{pad}{key}{pad}:{pad}{value}{pad}"));
    }
    out.push('}');
    out
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::collection::vec(".{0,4}", 0..3).prop_map(|list| serde_json::json!({"k\"}": list})),
    ]
}

/// The slow reference: edit the parsed value.
fn reference(json: &str, ops: &[Op]) -> Value {
    let mut map: Map<String, Value> = serde_json::from_str(json).unwrap();
    for op in ops {
        match op {
            Op::Set(name, to) => drop(map.insert(NAMES[*name].to_owned(), Value::from(*to))),
            Op::Remove(name) => drop(map.remove(NAMES[*name])),
        }
    }
    Value::Object(map)
}

proptest! {
    #[test]
    fn splicing_equals_editing_the_value(
        values in prop::collection::vec((value(), any::<u8>()), 6),
        order in Just(vec![0usize, 1, 4, 3, 5]).prop_shuffle(),
        len in 0usize..=5,
        ops in prop::collection::vec(prop_oneof![(0usize..6, any::<u8>()).prop_map(|(n, v)| Op::Set(n, v)), (0usize..6).prop_map(Op::Remove)], 0..6),
    ) {
        let mut fields: Vec<(usize, Value, u8)> = order.iter().take(len).zip(values).map(|(n, (v, s))| (*n, v, s)).collect();
        for (name, value, _) in &mut fields {
            // Fields that every endpoint knows have a type to respect.
            if NAMES[*name] == "model" { *value = Value::from("m"); }
        }
        let json = spelled(&fields);
        let head = Head::parse(json.as_bytes()).unwrap();
        let values: Vec<String> = ops.iter().map(|op| match op { Op::Set(_, v) => v.to_string(), Op::Remove(_) => String::new() }).collect();
        let mut edits = Edits::new(&head);
        for (op, text) in ops.iter().zip(&values) {
            match op {
                Op::Set(name, _) => edits.set(NAMES[*name], text.as_bytes()),
                Op::Remove(name) => edits.remove(NAMES[*name]),
            }
        }
        let out = edits.finish(Bytes::copy_from_slice(json.as_bytes()));
        let text = std::str::from_utf8(&out).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(text).unwrap(), reference(&json, &ops));
        // Entries nobody named keep their bytes, in their order.
        let mut at = 0;
        for field in head.fields() {
            let touched = ops.iter().any(|op| matches!(op, Op::Set(n, _) | Op::Remove(n) if NAMES[*n] == field.name));
            if !touched {
                let entry = &json[field.entry.clone()];
                let found = text[at..].find(entry);
                prop_assert!(found.is_some(), "{} lost from {}", entry, text);
                at += found.unwrap() + entry.len();
            }
        }
    }
}
