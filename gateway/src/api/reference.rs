//! `/openapi.json` and a page that a person reads, with nothing loaded from outside and no script.

use std::sync::Arc;

use axum::Router;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderValue, header};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use crate::app::AppState;
use crate::config::server::Language;
use crate::layers::Tongue;

const PAGE: &str = include_str!("reference.html.j2");

/// One call of the page.
#[derive(serde::Serialize)]
struct Call {
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Value>,
    request: Option<String>,
    responses: Vec<(String, String)>,
    key: bool,
}

/// The routes that serve the description of all others.
pub fn routes(openapi: &OpenApi) -> Result<Router<AppState>, minijinja::Error> {
    let json: Arc<str> = Arc::from(openapi.to_json().unwrap_or_default());
    let document: Value = serde_json::from_str(&json).unwrap_or_default();
    let french: Arc<str> = Arc::from(render(&document, Language::Fr)?);
    let english: Arc<str> = Arc::from(render(&document, Language::En)?);
    let description = move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json.to_string()) }
    };
    let page = move |Tongue(language): Tongue| {
        let text = if language == Language::Fr { french.clone() } else { english.clone() };
        async move { html(text.to_string()) }
    };
    Ok(Router::new()
        .route("/openapi.json", get(description))
        .route("/reference", get(page))
        .route("/", get(|| async { Redirect::temporary("/reference") })))
}

/// A page that can load nothing: no script, no font, no image from anywhere.
fn html(text: String) -> Response {
    let mut response = Html(text).into_response();
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn render(document: &Value, language: Language) -> Result<String, minijinja::Error> {
    let mut groups: Vec<(String, Vec<Call>)> = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, call) in methods.as_object().into_iter().flatten() {
            let tag = call["tags"].get(0).map(text).unwrap_or_default();
            let request = call["requestBody"]["content"].as_object().and_then(|content| content.values().next());
            let responses = call["responses"].as_object().into_iter().flatten();
            let call = Call {
                method: method.to_uppercase(),
                path: path.clone(),
                summary: text(&call["summary"]),
                description: text(&call["description"]),
                parameters: call["parameters"].as_array().cloned().unwrap_or_default(),
                request: request.map(|content| schema_name(&content["schema"])),
                responses: responses
                    .map(|(status, response)| (status.clone(), text(&response["description"])))
                    .collect(),
                key: call["security"].is_array(),
            };
            match groups.iter_mut().find(|(name, _)| *name == tag) {
                Some((_, calls)) => calls.push(call),
                None => groups.push((tag, vec![call])),
            }
        }
    }
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let schemas: Vec<(String, Vec<Value>)> = document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.clone(), properties(schema)))
        .collect();
    let mut environment = minijinja::Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
    environment.add_template("reference", PAGE)?;
    environment.get_template("reference")?.render(minijinja::Value::from(minijinja::value::Serde(serde_json::json!({
        "french": language == Language::Fr,
        "title": document["info"]["title"],
        "version": document["info"]["version"],
        "groups": groups,
        "schemas": schemas,
    }))))
}

/// The name of a schema, or its type.
fn schema_name(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    for many in ["oneOf", "anyOf", "allOf"] {
        if let Some(list) = schema[many].as_array() {
            return list.iter().map(schema_name).filter(|name| name != "null").collect::<Vec<_>>().join(" | ");
        }
    }
    if schema["type"] == "array" {
        return format!("[{}]", schema_name(&schema["items"]));
    }
    match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|n| *n != "null").collect::<Vec<_>>().join(" | ")
        }
        _ => "any".to_owned(),
    }
}

fn properties(schema: &Value) -> Vec<Value> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            serde_json::json!({
                "name": name,
                "type": schema_name(property),
                "required": required.contains(&name.as_str()),
                "description": property["description"],
            })
        })
        .collect()
}
