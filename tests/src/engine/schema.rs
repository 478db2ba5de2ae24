//! Values that satisfy a JSON schema, so that an answer proves that the schema arrived.

use serde_json::{Map, Value, json};

/// A small value of that schema. References to `$defs` are followed; what is not understood becomes null.
pub(super) fn fill(schema: &Value) -> Value {
    value(schema, schema, 0)
}

fn value(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > 16 {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str() {
        return root.pointer(path.trim_start_matches('#')).map_or(Value::Null, |found| value(found, root, depth + 1));
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for either in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[either].get(0) {
            return value(first, root, depth + 1);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!("Paris"),
        Some("integer") => json!(schema["minimum"].as_i64().unwrap_or(7)),
        Some("number") => json!(schema["minimum"].as_f64().unwrap_or(7.5)),
        Some("boolean") => json!(true),
        Some("array") => json!([value(&schema["items"], root, depth + 1)]),
        Some("null") => Value::Null,
        _ => object(schema, root, depth),
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let Some(properties) = schema["properties"].as_object() else { return json!({}) };
    let filled: Map<String, Value> =
        properties.iter().map(|(name, property)| (name.clone(), value(property, root, depth + 1))).collect();
    Value::Object(filled)
}
