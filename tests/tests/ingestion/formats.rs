//! Each format, from its upload to the index.

use std::io::{Cursor, Write};

use rag::index::{Filter, Lane, Query, Scope};
use serde_json::{Value, json};
use tests::engine::vector;
use tests::{Backend, on_each_database};

use crate::ingestion::stand::{DIMENSIONS, Stand, post, space};

on_each_database!(every_format_ends_in_the_index, a_document_is_what_its_upload_says, the_same_again_is_the_same);

/// A DOCX of paragraphs, as small as Word reads it.
pub fn docx(paragraphs: &[&str]) -> Vec<u8> {
    let text: String = paragraphs.iter().map(|text| format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")).collect();
    let document = format!(
        "<?xml version=\"1.0\"?><w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\">\
         <w:body>{text}</w:body></w:document>"
    );
    zipped(&[("[Content_Types].xml", "<Types/>"), ("word/document.xml", &document)])
}

fn odt(text: &str) -> Vec<u8> {
    let content = format!(
        "<?xml version=\"1.0\"?><office:document-content \
         xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" \
         xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\"><office:body><office:text>\
         <text:p>{text}</text:p></office:text></office:body></office:document-content>"
    );
    zipped(&[("mimetype", "application/vnd.oasis.opendocument.text"), ("content.xml", &content)])
}

pub fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file begins");
        archive.write_all(content.as_bytes()).expect("it is written");
    }
    archive.finish().expect("an archive").into_inner()
}

/// A PDF with one line of text on each page; a page of `None` shows a grey image and no text.
pub fn pdf(pages: &[Option<&str>]) -> Vec<u8> {
    let count = pages.len();
    let kids: Vec<String> = (0..count).map(|nth| format!("{} 0 R", 4 + 2 * nth)).collect();
    let mut objects = vec![
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        format!("<</Type/Pages/Count {count}/Kids[{}]>>", kids.join(" ")),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".to_owned(),
    ];
    for (nth, text) in pages.iter().enumerate() {
        let drawn = match text {
            Some(text) => format!("BT /F1 14 Tf 72 700 Td ({text}) Tj ET"),
            None => "500 0 0 700 40 40 cm /Im Do".to_owned(),
        };
        objects.push(format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents {} 0 R/Resources<</Font<</F1 3 0 R>>\
             /XObject<</Im {} 0 R>>>>>>",
            5 + 2 * nth,
            4 + 2 * count
        ));
        objects.push(format!("<</Length {}>>stream\n{drawn}\nendstream", drawn.len()));
    }
    // One pixel: 7, in ASCII.
    objects.push(
        "<</Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceGray/BitsPerComponent 8/Length 1>>stream\n7\nendstream"
            .to_owned(),
    );
    let mut file = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (nth, object) in objects.iter().enumerate() {
        places.push(file.len());
        file.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", nth + 1).as_bytes());
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

async fn every_format_ends_in_the_index(backend: Backend) {
    let stand = Stand::start(backend).await;
    let files: [(&str, Vec<u8>); 9] = [
        ("a.txt", "Le salarié a droit à des congés payés.".into()),
        ("b.md", "# Congés\n\nLe salarié a droit à des congés payés.".into()),
        (
            "c.html",
            "<html><body><main><h1>Congés</h1><p>Le salarié a droit à des congés.</p></main></body></html>".into(),
        ),
        ("d.csv", "nom;droit\nsalarié;congés\nagent;congés\n".into()),
        ("e.json", json!([{"titre": "Congés", "texte": "Le salarié a droit à des congés."}]).to_string().into()),
        ("f.jsonl", "{\"texte\": \"un congé\"}\n{\"texte\": \"deux congés\"}\n".into()),
        ("g.docx", docx(&["Le salarié a droit à des congés payés."])),
        ("h.odt", odt("Le salarié a droit à des congés payés.")),
        ("i.pdf", pdf(&[Some("Le salarie a droit a des conges."), Some("Deuxieme page des conges.")])),
    ];
    // Latin-1, as older tools write it.
    let latin: Vec<u8> = "Le salarié a droit à des congés payés.".chars().map(|c| c as u8).collect();
    let files = files.into_iter().chain([("j.txt", latin)]);
    for (name, content) in files {
        let document = stand.ingest(name, content).await;
        assert_eq!(document["status"], "done", "{name}: {document}");
        let id = document["id"].as_i64().expect("an id");
        let chunks = stand.chunks(id).await;
        assert!(!chunks.is_empty(), "{name}");
        assert_eq!(document["chunks"].as_u64(), Some(chunks.len() as u64), "{name}: {document}");
        let points: Vec<_> = stand.points().await.into_iter().filter(|point| point.document == id as u64).collect();
        assert_eq!(points.len(), chunks.len(), "{name}");
        for chunk in &chunks {
            let content = chunk["content"].as_str().expect("a text");
            assert!(content.contains("cong"), "{name}: {content}");
            let point = points.iter().find(|point| Some(point.chunk) == chunk["id"].as_u64()).expect("its point");
            assert_eq!(point.metadata["document_name"], name);
            assert!(!point.sparse.ids.is_empty(), "{name}");
        }
    }
    // The text of a passage went to the engine under the model's prefix.
    let sent = stand.engine.last().json();
    assert!(sent["input"][0].as_str().is_some_and(|text| text.starts_with("passage: ")), "{sent}");

    // What was written is what is found: by meaning, by words, through filters.
    let (_, page) =
        stand.app.get(&format!("/v1/documents?collection_id={}", stand.collection), &stand.key.secret).await;
    let pdf = page["data"].as_array().expect("a list").iter().find(|one| one["name"] == "i.pdf").expect("the PDF");
    assert_eq!(pdf["pages"], 2, "{pdf}");
    let running = stand.app.running.as_ref().expect("it runs");
    let index = &running.app.retrieval.as_ref().expect("retrieval is on").index;
    let scope = Scope::new([stand.collection as u64]).expect("a scope");
    let named = Filter::Eq { key: "document_name".into(), value: json!("a.txt") };
    let query = Query { filter: Some(&named), exact: true, ..Query::new(&scope, 5) };
    let near = Lane::Dense(vector("passage: Le salarié a droit à des congés payés.", DIMENSIONS));
    let found = index.search(&space(), query, &near).await.expect("a search");
    assert_eq!(found.len(), 1);
    assert!(found[0].score > 0.999, "{found:?}");
}

async fn a_document_is_what_its_upload_says(backend: Backend) {
    let stand = Stand::start(backend).await;
    let collection = stand.collection.to_string();
    let text = "alpha beta gamma delta ".repeat(40);
    let fields = [
        ("collection_id", collection.as_str()),
        ("name", "mon nom.txt"),
        ("metadata", r#"{"theme": "travail", "annee": 2024}"#),
        ("chunk_size", "100"),
    ];
    let (status, made) = post(&stand.app, &stand.key, &fields, Some(("x.txt", text.as_bytes()))).await;
    assert!((200..300).contains(&status), "{status} {made}");
    let id = made["id"].as_i64().expect("an id");
    let document = crate::ingestion::stand::ended(&stand.app, &stand.key, id).await;
    assert_eq!((&document["status"], &document["name"]), (&json!("done"), &json!("mon nom.txt")), "{document}");
    let chunks = stand.chunks(id).await;
    assert!(chunks.len() > 5, "{}", chunks.len());
    assert!(chunks.iter().all(|chunk| chunk["content"].as_str().expect("a text").chars().count() <= 100));
    for point in stand.points().await {
        let told: Vec<&Value> = ["theme", "annee", "document_name"].iter().map(|key| &point.metadata[*key]).collect();
        assert_eq!(told, [&json!("travail"), &json!(2024), &json!("mon nom.txt")]);
    }
}

async fn the_same_again_is_the_same(backend: Backend) {
    let stand = Stand::start(backend).await;
    let first = stand.ingest("a.txt", "Le texte de la fiche.").await;
    let calls = stand.engine.counts().posts;
    let again = stand.ingest("a.txt", "Le texte de la fiche.").await;
    assert_eq!(first["id"], again["id"]);
    assert_eq!(stand.engine.counts().posts, calls, "it is not embedded again");
    assert_eq!(stand.points().await.len(), 1);
    let other = stand.ingest("b.txt", "Le texte de la fiche.").await;
    assert_ne!(first["id"], other["id"]);
}
