//! Embeddings: what is asked, and vectors between floats and base64 (little-endian `float32`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::head::Head;
use super::usage::{Estimate, Usage};
use super::wire_error::{Expected, Remedy, WireError};

/// What the client wants vectors to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Float,
    Base64,
}

/// What `input` holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Text, one or several: goes to the engine as it is.
    Texts { count: usize },
    /// Token ids of cl100k, as LangChain sends them; one list for each text. `single`: the input was one bare list.
    Tokens { lists: Vec<Vec<u32>>, single: bool },
}

/// The format asked.
///
/// # Errors
/// For any other than `float` and `base64`.
pub fn format(head: &Head<'_>) -> Result<Format, WireError> {
    match head.string("encoding_format")?.as_deref() {
        None | Some("float") => Ok(Format::Float),
        Some("base64") => Ok(Format::Base64),
        Some(_) => Err(WireError::Unsupported { field: "encoding_format".to_owned(), remedy: Remedy::FloatOrBase64 }),
    }
}

/// Reads `input`.
///
/// # Errors
/// When it is absent, empty or of another kind.
pub fn input(head: &Head<'_>) -> Result<Input, WireError> {
    let raw = head.raw("input").ok_or(WireError::Missing { field: "input" })?;
    let wrong = || WireError::wrong("input", Expected::EmbeddingInput);
    let empty = || WireError::Unsupported { field: "input".to_owned(), remedy: Remedy::SendSomething };
    match raw.get().as_bytes().first() {
        Some(b'"') if raw.get() == "\"\"" => Err(empty()),
        Some(b'"') => Ok(Input::Texts { count: 1 }),
        Some(b'[') => {
            let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
            match list.first().map(|first| first.get().as_bytes().first().copied()) {
                None => Err(empty()),
                Some(Some(b'"')) if list.iter().all(|one| one.get().starts_with('"')) => {
                    Ok(Input::Texts { count: list.len() })
                }
                Some(Some(b'[')) => {
                    let lists: Vec<Vec<u32>> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
                    if lists.iter().any(Vec::is_empty) {
                        Err(empty())
                    } else {
                        Ok(Input::Tokens { lists, single: false })
                    }
                }
                Some(_) => {
                    let one: Vec<u32> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
                    Ok(Input::Tokens { lists: vec![one], single: true })
                }
            }
        }
        _ => Err(wrong()),
    }
}

/// Refuses another number of dimensions than the model's.
///
/// # Errors
/// When `dimensions` is asked and differs.
pub fn check_dimensions(head: &Head<'_>, model: Option<u32>) -> Result<(), WireError> {
    match (head.count("dimensions")?, model) {
        (Some(asked), Some(has)) if asked != u64::from(has) => {
            Err(WireError::Unsupported { field: "dimensions".to_owned(), remedy: Remedy::ModelDimensions })
        }
        _ => Ok(()),
    }
}

/// The engine answered something that is no list of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotVectors;

/// An answer put into the form the client asked, under the public name, with `usage` always there and the `id` that
/// Mistral's SDK needs. Returns the engine's own usage, if it gave one.
///
/// # Errors
/// When the body holds no vectors, or not as many as texts were sent.
pub fn rewrite(
    body: &Bytes,
    format: Format,
    model: &str,
    id: &str,
    count: usize,
    estimate: &Estimate,
) -> Result<(Bytes, Option<Usage>), NotVectors> {
    let Ok(Value::Object(mut answer)) = serde_json::from_slice::<Value>(body) else { return Err(NotVectors) };
    let data = answer.get_mut("data").and_then(Value::as_array_mut).ok_or(NotVectors)?;
    if data.len() != count {
        return Err(NotVectors);
    }
    for one in data.iter_mut() {
        let vector = one.get_mut("embedding").ok_or(NotVectors)?;
        *vector = convert(vector.take(), format)?;
    }
    let usage = answer
        .get("usage")
        .and_then(|usage| serde_json::value::to_raw_value(usage).ok())
        .and_then(|raw| Usage::parse(&raw));
    if usage.is_none() {
        let count = estimate.input;
        answer.insert(
            "usage".to_owned(),
            Map::from_iter([("prompt_tokens".to_owned(), count.into()), ("total_tokens".to_owned(), count.into())])
                .into(),
        );
    }
    answer.insert("object".to_owned(), "list".into());
    answer.insert("model".to_owned(), model.into());
    answer.entry("id").or_insert_with(|| id.into());
    Ok((Bytes::from(Value::Object(answer).to_string()), usage))
}

/// One vector in the form asked.
fn convert(vector: Value, format: Format) -> Result<Value, NotVectors> {
    match (&vector, format) {
        (Value::Array(_), Format::Float) | (Value::String(_), Format::Base64) => Ok(vector),
        (Value::Array(list), Format::Base64) => {
            let mut bytes = Vec::with_capacity(list.len() * 4);
            for number in list {
                #[expect(clippy::cast_possible_truncation, reason = "vectors are single precision on the wire")]
                let number = number.as_f64().ok_or(NotVectors)? as f32;
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Ok(Value::String(STANDARD.encode(bytes)))
        }
        (Value::String(text), Format::Float) => {
            let bytes = STANDARD.decode(text).map_err(|_| NotVectors)?;
            if bytes.len() % 4 != 0 {
                return Err(NotVectors);
            }
            let numbers = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
            // Written with the digits that name the same single-precision number, and no more.
            numbers.map(|number| number.to_string().parse::<f64>().map(Value::from).map_err(|_| NotVectors)).collect()
        }
        _ => Err(NotVectors),
    }
}

/// An engine's answer as vectors, in the order of the texts, with its own usage.
///
/// # Errors
/// When the body holds no vectors, not as many as texts were sent, or a number that is none.
pub fn vectors(body: &[u8], count: usize) -> Result<(Vec<Vec<f32>>, Option<Usage>), NotVectors> {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        data: Vec<One>,
        #[serde(borrow)]
        usage: Option<&'a serde_json::value::RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        index: Option<usize>,
        embedding: Either,
    }
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Either {
        Floats(Vec<f32>),
        Base64(String),
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| NotVectors)?;
    let mut vectors = vec![Vec::new(); count];
    for (nth, one) in answer.data.into_iter().enumerate() {
        let vector = match one.embedding {
            Either::Floats(floats) => floats,
            Either::Base64(text) => {
                let bytes = STANDARD.decode(text).map_err(|_| NotVectors)?;
                let (numbers, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(NotVectors);
                }
                numbers.iter().map(|four| f32::from_le_bytes(*four)).collect()
            }
        };
        let place = vectors.get_mut(one.index.unwrap_or(nth)).filter(|place| place.is_empty()).ok_or(NotVectors)?;
        *place = vector;
    }
    if vectors.iter().any(|vector| vector.is_empty() || vector.iter().any(|number| !number.is_finite())) {
        return Err(NotVectors);
    }
    Ok((vectors, answer.usage.and_then(Usage::parse)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Input, WireError> {
        let text = body.to_string();
        input(&Head::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn every_kind_of_input_is_told_apart() {
        assert_eq!(read(&json!({"input": "a"})), Ok(Input::Texts { count: 1 }));
        assert_eq!(read(&json!({"input": ["a", "b"]})), Ok(Input::Texts { count: 2 }));
        assert_eq!(read(&json!({"input": [1, 2]})), Ok(Input::Tokens { lists: vec![vec![1, 2]], single: true }));
        assert_eq!(
            read(&json!({"input": [[1], [2, 3]]})),
            Ok(Input::Tokens { lists: vec![vec![1], vec![2, 3]], single: false })
        );
        for bad in [
            json!({"input": []}),
            json!({"input": ""}),
            json!({"input": [[]]}),
            json!({"input": {}}),
            json!({"input": [1, "a"]}),
            json!({"input": null}),
            json!({"input": [-1]}),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn vectors_go_between_floats_and_base64() {
        let floats = json!({"data": [{"index": 0, "embedding": [0.25, -1.5, 0.1]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}});
        let body = Bytes::from(floats.to_string());
        let (coded, usage) = rewrite(&body, Format::Base64, "m", "id", 1, &Estimate::default()).unwrap();
        assert_eq!(usage.unwrap().input, 3);
        let value: Value = serde_json::from_slice(&coded).unwrap();
        assert_eq!(STANDARD.decode(value["data"][0]["embedding"].as_str().unwrap()).unwrap().len(), 12);
        assert_eq!(
            (value["model"].as_str(), value["id"].as_str(), value["object"].as_str()),
            (Some("m"), Some("id"), Some("list"))
        );
        let (back, _) = rewrite(&coded, Format::Float, "m", "id", 1, &Estimate::default()).unwrap();
        let value: Value = serde_json::from_slice(&back).unwrap();
        assert_eq!(value["data"][0]["embedding"], json!([0.25, -1.5, 0.1]));
    }

    #[test]
    fn what_holds_no_vectors_is_refused() {
        for body in
            ["{}", "[]", "<html>", r#"{"data":[]}"#, r#"{"data":[{"embedding":"*"}]}"#, r#"{"error":{"message":"x"}}"#]
        {
            assert!(rewrite(&Bytes::from(body), Format::Float, "m", "id", 1, &Estimate::default()).is_err(), "{body}");
        }
    }

    #[test]
    fn vectors_are_read_in_the_order_of_their_texts() {
        let body = json!({"data": [
            {"index": 1, "embedding": STANDARD.encode([0, 0, 128, 63])}, {"index": 0, "embedding": [0.5]},
        ], "usage": {"prompt_tokens": 3, "total_tokens": 3}});
        let (read, usage) = vectors(body.to_string().as_bytes(), 2).unwrap();
        assert_eq!((read, usage.unwrap().input), (vec![vec![0.5], vec![1.0]], 3));
        for bad in [
            json!({"data": [{"embedding": [0.5]}]}),
            json!({"data": [{"index": 0, "embedding": [0.5]}, {"index": 0, "embedding": [0.5]}]}),
            json!({"data": [{"index": 0, "embedding": [0.5]}, {"index": 7, "embedding": [0.5]}]}),
            json!({"data": [{"embedding": []}, {"embedding": [1.0]}]}),
            json!({"data": [{"embedding": "AAA="}, {"embedding": [1.0]}]}),
            json!({"data": [{"embedding": STANDARD.encode([0, 0, 192, 127])}, {"embedding": [1.0]}]}),
            json!({"error": {"message": "x"}}),
        ] {
            assert_eq!(vectors(bad.to_string().as_bytes(), 2), Err(NotVectors), "{bad}");
        }
    }
}
