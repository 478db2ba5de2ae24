//! `docs/configuration.md`, made from the types of the configuration and their comments, so that it cannot lag behind.

use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::Config;

const HEAD: &str = "# Configuration reference

One YAML file, laid over the embedded defaults ([default.yaml](../gateway/default.yaml)), under the environment:
`GUICHET__SERVER__LISTEN=0.0.0.0:8080` sets `server.listen` (two underscores are a dot; lists belong to the file).
The file is `--config FILE`, else `$GUICHET_CONFIG`, else `./guichet.yaml`, else none.

`guichet check-config` tells every problem at once, each with its path and what to do. A running gateway takes a changed
file within a second, or on SIGHUP; a file with a problem changes nothing. Secrets are never written in the file: they are
`{env: NAME}` or `{file: PATH}`. Sizes are written `20MiB`, lengths of time `500ms`, `30s`, `2m`, `90d`.

This page is made from the source: `make docs` writes it, and a test fails when it lags behind. A star marks what must be
written.
";

/// The whole page.
pub fn markdown() -> String {
    let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
    Config::schemas(&mut schemas);
    let mut known = std::collections::BTreeMap::new();
    for (name, schema) in schemas {
        known.insert(name, serde_json::to_value(schema).unwrap_or_default());
    }
    let root = serde_json::to_value(Config::schema()).unwrap_or_default();
    let mut page = HEAD.to_owned();
    section(&mut page, "The file", &root, &known);
    let mut order = Vec::new();
    follow(&root, &known, &mut order);
    for name in order {
        if let Some(schema) = known.get(&name) {
            section(&mut page, &name, schema, &known);
        }
    }
    page
}

/// Names of the schemas reached, in the order they are met.
fn follow(schema: &Value, known: &std::collections::BTreeMap<String, Value>, order: &mut Vec<String>) {
    let mut names = Vec::new();
    references(schema, &mut names);
    let fresh: Vec<String> = names.into_iter().filter(|name| !order.contains(name)).collect();
    order.extend(fresh.iter().cloned());
    for name in fresh {
        if let Some(schema) = known.get(&name) {
            follow(schema, known, order);
        }
    }
}

fn references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next())
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
            map.values().for_each(|value| references(value, names));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, names)),
        _ => {}
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn section(page: &mut String, name: &str, schema: &Value, known: &std::collections::BTreeMap<String, Value>) {
    page.push_str(&format!("\n## {name}\n\n"));
    if let Some(description) = schema["description"].as_str() {
        page.push_str(&format!("{}\n\n", description.trim()));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        page.push_str(&format!("One of {}.\n", values.join(", ")));
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str("| setting | takes | default | what it does |\n|---|---|---|---|\n");
    for (key, property) in properties {
        let star = if required.contains(&key.as_str()) { " *" } else { "" };
        let default = match &property["default"] {
            Value::Null => String::new(),
            Value::Object(_) | Value::Array(_) => String::new(),
            value => format!("`{value}`").replace('"', ""),
        };
        // A setting that may be absent has its words inside its alternatives.
        let alternatives = property["oneOf"].as_array().into_iter().flatten();
        let mut words = std::iter::once(property).chain(alternatives);
        let own = words.find_map(|place| place["description"].as_str()).map(one_line);
        let of_type = || known.get(&takes(property)).and_then(|schema| schema["description"].as_str()).map(one_line);
        let told = own.or_else(of_type).unwrap_or_default();
        page.push_str(&format!("| `{key}`{star} | {} | {default} | {told} |\n", link(property)));
    }
}

/// What a setting takes, with a link to each type that the page describes.
fn link(schema: &Value) -> String {
    let words = takes(schema);
    let linked = words.split(' ').map(|word| match word.starts_with(char::is_uppercase) {
        true => format!("[{word}](#{})", word.to_lowercase()),
        false => word.to_owned(),
    });
    linked.collect::<Vec<_>>().join(" ")
}

fn takes(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    for many in ["oneOf", "anyOf", "allOf"] {
        if let Some(list) = schema[many].as_array() {
            let names: Vec<String> = list.iter().map(takes).filter(|name| name != "null").collect();
            return names.join(" or ");
        }
    }
    let kind = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => "any".to_owned(),
    };
    match kind.as_str() {
        "array" => format!("list of {}", takes(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("name → {}", takes(&schema["additionalProperties"]))
        }
        _ => kind,
    }
}
