//! Pages without a text layer: read by `tesseract`, or by a model in Mistral's form.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::engine::Reply;
use tests::{Backend, on_each_database};

use crate::ingestion::formats::pdf;
use crate::ingestion::stand::Stand;

on_each_database!(a_scan_is_read_by_tesseract, a_scan_is_read_by_a_model);

const TESSERACT: &str = "  ocr: {kind: tesseract}\n";

/// A program that `make test` installs. Its absence is a failure, never a test that is skipped.
fn run(program: &str, words: &[&str], input: &[u8]) -> Vec<u8> {
    let child = Command::new(program).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let install = "apt-get install tesseract-ocr tesseract-ocr-fra poppler-utils, or run `make test`";
    let mut child = child.unwrap_or_else(|error| panic!("{program}: {error}: {install}"));
    child.stdin.take().expect("its input").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program}: {}", output.status);
    output.stdout
}

/// Pages whose letters are pixels: pages of text, drawn. `None` stays a page of text.
fn scan(lines: &[&str], and_a_page_of_text: Option<&str>) -> Vec<u8> {
    let (width, height) = (1_654, 2_339);
    let text: Vec<String> = lines.iter().map(|line| format!("({line}) Tj 0 -28 Td")).collect();
    let page = pdf(&[Some(&format!(") Tj {} (", text.join(" ")))]);
    let size = [width, height].map(|side| format!("{side}"));
    let jpeg = run("pdftoppm", &["-q", "-jpeg", "-scale-to-x", &size[0], "-scale-to-y", &size[1], "-"], &page);
    let more = and_a_page_of_text.map(|text| format!("BT /F1 14 Tf 72 700 Td ({text}) Tj ET"));
    let kids = if more.is_some() { "3 0 R 7 0 R" } else { "3 0 R" };
    let draw = "595 0 0 842 0 0 cm /Scan Do";
    let mut objects: Vec<Vec<u8>> = vec![
        b"<</Type/Catalog/Pages 2 0 R>>".to_vec(),
        format!("<</Type/Pages/Count {}/Kids[{kids}]>>", 1 + usize::from(more.is_some())).into(),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</XObject<</Scan 5 0 R>>>>>>"
            .to_vec(),
        format!("<</Length {}>>stream\n{draw}\nendstream", draw.len()).into(),
        [
            format!(
                "<</Type/XObject/Subtype/Image/Width {width}/Height {height}/ColorSpace/DeviceRGB/BitsPerComponent 8\
                 /Filter/DCTDecode/Length {}>>stream\n",
                jpeg.len()
            )
            .into_bytes(),
            jpeg,
            b"\nendstream".to_vec(),
        ]
        .concat(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".to_vec(),
    ];
    if let Some(more) = more {
        let page = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 8 0 R/Resources<</Font<</F1 6 0 R>>>>>>";
        objects.push(page.into());
        objects.push(format!("<</Length {}>>stream\n{more}\nendstream", more.len()).into());
    }
    let mut file = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (nth, object) in objects.iter().enumerate() {
        places.push(file.len());
        file.extend_from_slice(format!("{} 0 obj\n", nth + 1).as_bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let table = file.len();
    file.extend_from_slice(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for place in places {
        file.extend_from_slice(format!("{place:010} 00000 n \n").as_bytes());
    }
    let end = format!("trailer<</Size {}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n", objects.len() + 1);
    file.extend_from_slice(end.as_bytes());
    file
}

const LINES: [&str; 3] =
    ["ARRETE DU PREFET", "Article 1 : le pont de la commune est interdit", "aux camions de plus de trois tonnes."];

fn has_words(text: &str) {
    for word in ["PREFET", "Article", "pont", "commune", "interdit", "camions", "tonnes"] {
        assert!(text.contains(word), "{word} is not in {text:?}");
    }
}

fn request(url: String) -> Value {
    json!({"model": "tesseract", "document": {"type": "document_url", "document_url": url}})
}

async fn a_scan_is_read_by_tesseract(backend: Backend) {
    let stand = Stand::with(backend, "", TESSERACT).await;
    let file = scan(&LINES, Some("La seconde page a un texte."));
    let document = stand.ingest("arrete.pdf", file.clone()).await;
    assert_eq!((&document["status"], &document["pages"]), (&json!("done"), &json!(2)), "{document}");
    let chunks = stand.chunks(document["id"].as_i64().expect("an id")).await;
    let text: String = chunks.iter().filter_map(|chunk| chunk["content"].as_str()).collect();
    has_words(&text);
    assert!(text.contains("seconde page"), "{text}");
    assert_eq!(chunks[0]["metadata"]["page"], 1, "{}", chunks[0]);

    // The same for clients.
    let url = format!("data:application/pdf;base64,{}", STANDARD.encode(&file));
    let (status, read) = stand.app.post("/v1/ocr", &stand.key.secret, &request(url.clone())).await;
    assert_eq!(status, 200, "{read}");
    let pages = read["pages"].as_array().expect("pages");
    assert_eq!(pages.iter().map(|page| &page["index"]).collect::<Vec<_>>(), [&json!(0), &json!(1)]);
    has_words(pages[0]["markdown"].as_str().expect("a text"));
    assert!(pages[1]["markdown"].as_str().is_some_and(|text| text.contains("seconde page")), "{read}");
    assert_eq!(read["usage_info"]["pages_processed"], 2);
    let mut second = request(url);
    second["pages"] = json!([1]);
    let (status, read) = stand.app.post("/v1/ocr", &stand.key.secret, &second).await;
    assert_eq!((status, read["pages"].as_array().map(Vec::len)), (200, Some(1)), "{read}");
    let record = stand.app.records(3).await.into_iter().find(|record| record["endpoint"] == "ocr").expect("a record");
    assert_eq!(record["outcome"], "success", "{record}");

    // An image alone.
    let image = run("pdftoppm", &["-q", "-gray", "-png", "-r", "150", "-f", "1", "-l", "1", "-"], &file);
    let url = format!("data:image/png;base64,{}", STANDARD.encode(image));
    let body = json!({"document": {"type": "image_url", "image_url": url}});
    let (status, read) = stand.app.post("/v1/ocr", &stand.key.secret, &body).await;
    assert_eq!(status, 200, "{read}");
    has_words(read["pages"][0]["markdown"].as_str().expect("a text"));

    // What is no document is said to be none.
    for (bad, wanted) in [
        (json!({}), 400),
        (json!({"document": {"type": "document_url", "document_url": "http://10.0.0.1/a.pdf"}}), 400),
        (json!({"document": {"type": "document_url", "document_url": "data:application/pdf;base64,AAAA"}}), 400),
        (json!({"document": {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}}), 400),
        (
            json!({"model": "inconnu", "document": {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}}),
            404,
        ),
    ] {
        let (status, answer) = stand.app.post("/v1/ocr", &stand.key.secret, &bad).await;
        assert_eq!(status, wanted, "{bad}: {answer}");
    }
}

async fn a_scan_is_read_by_a_model(backend: Backend) {
    let engine = tests::FakeEngine::start().await;
    let pages = json!({"pages": [{"index": 0, "markdown": "# Arrêté\n\nLe pont est interdit.", "images": []}],
        "model": "mistral-ocr", "usage_info": {"pages_processed": 1}});
    engine.script_path("/v1/ocr", Reply::json(200, &pages));
    let stand = Stand::with_ocr_model(backend, &engine).await;
    let file = pdf(&[None, Some("La seconde page a un texte.")]);
    let document = stand.ingest("arrete.pdf", file.clone()).await;
    assert_eq!(document["status"], "done", "{document}");
    let sent = engine.last().json();
    assert_eq!((&sent["model"], &sent["pages"]), (&json!("mistral-ocr-latest"), &json!([0])), "{}", sent["model"]);
    assert!(
        sent["document"]["document_url"].as_str().is_some_and(|url| url.starts_with("data:application/pdf;base64,"))
    );
    let chunks = stand.chunks(document["id"].as_i64().expect("an id")).await;
    let text: String = chunks.iter().filter_map(|chunk| chunk["content"].as_str()).collect();
    assert!(text.contains("Le pont est interdit.") && text.contains("seconde page"), "{text}");

    let url = format!("data:application/pdf;base64,{}", STANDARD.encode(&file));
    let body = json!({"model": "lecture", "document": {"type": "document_url", "document_url": url}});
    let response = stand.app.send("/v1/ocr", &stand.key.secret, &body).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("x-guichet-hosting"));
    let (_, read) = tests::read(response).await;
    assert_eq!((&read["model"], &read["pages"][0]["index"]), (&json!("lecture"), &json!(0)), "{read}");
    // Data that may not go there does not go there.
    let other = stand.app.project_key(stand.key.organization_id, "sensible", "sensitive").await;
    let before = engine.posts();
    let (status, refused) = stand.app.post("/v1/ocr", &other.secret, &body).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &json!("sovereignty_policy")), "{refused}");
    assert_eq!(engine.posts(), before);
}
