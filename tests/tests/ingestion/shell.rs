//! `guichet ingest` as a shell sees it.

use std::path::Path;

use serde_json::{Value, json};
use tests::process::{Said, command, said};
use tests::{Backend, on_each_database};

use crate::ingestion::formats::zipped;
use crate::ingestion::stand::Stand;

on_each_database!(folders_archives_and_lines_are_ingested, what_fails_is_told_and_the_exit_code_says_so);

async fn ingest(stand: &Stand, folder: &Path, paths: &[&str], collection: &str) -> Said {
    let mut command = command(folder);
    command.arg("ingest").args(paths).args(["--collection", collection, "--url", &stand.app.url]);
    command.env("GUICHET_KEY", &stand.key.secret);
    tokio::task::spawn_blocking(move || said(&mut command)).await.expect("it runs")
}

async fn documents(stand: &Stand, collection: &str) -> Vec<Value> {
    let (_, page) = stand.app.get("/v1/collections?limit=100", &stand.key.secret).await;
    let all = page["data"].as_array().expect("a list");
    let found = all.iter().find(|one| one["name"] == collection).unwrap_or_else(|| panic!("{collection} in {page}"));
    let (status, page) =
        stand.app.get(&format!("/v1/documents?collection_id={}&limit=100", found["id"]), &stand.key.secret).await;
    assert_eq!(status, 200, "{page}");
    page["data"].as_array().expect("a list").clone()
}

async fn folders_archives_and_lines_are_ingested(backend: Backend) {
    let stand = Stand::start(backend).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("fonds/sous")).expect("a folder");
    std::fs::write(at("fonds/a.txt"), "Un premier texte.").expect("a file");
    std::fs::write(at("fonds/sous/b.md"), "# Titre\n\nUn second texte.").expect("a file");
    let lines = [
        json!({"_id": "art-1", "title": "Congés", "text": "Le salarié a droit à des congés.", "source": "code"}),
        json!({"_id": "art-2", "title": "Préavis", "text": "Le préavis est d’un mois.", "source": "fiche"}),
    ];
    std::fs::write(at("corpus.jsonl"), format!("{}\n{}\n", lines[0], lines[1])).expect("a file");
    std::fs::write(at("lot.zip"), zipped(&[("x/c.txt", "Un texte d’archive.")])).expect("a file");
    let paths = ["fonds", "corpus.jsonl", "lot.zip"];
    let told = ingest(&stand, folder.path(), &paths, "Fonds ouvert").await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.out, "5 documents searchable in “Fonds ouvert”, 0 failed.\n");
    let all = documents(&stand, "Fonds ouvert").await;
    let mut names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a.txt", "art-1.md", "art-2.md", "lot.zip/x/c.txt", "sous/b.md"]);
    let article = all.iter().find(|one| one["name"] == "art-1.md").expect("the article");
    assert_eq!(article["metadata"]["source"], "code", "{article}");
    // Run again, it finds everything there: nothing is embedded twice.
    let posts = stand.engine.posts();
    let told = ingest(&stand, folder.path(), &paths, "Fonds ouvert").await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(stand.engine.posts(), posts);
    assert_eq!(documents(&stand, "Fonds ouvert").await.len(), 5);
    assert_eq!(stand.points().await.len(), 5);
}

async fn what_fails_is_told_and_the_exit_code_says_so(backend: Backend) {
    let stand = Stand::start(backend).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("fonds")).expect("a folder");
    std::fs::write(at("fonds/bon.txt"), "Un texte.").expect("a file");
    std::fs::write(at("fonds/mauvais.pdf"), "%PDF-1.7 rien").expect("a file");
    std::fs::write(at("fonds/lignes.jsonl"), "{\"text\": \"Une ligne.\"}\n{pas du json\n").expect("a file");
    let told = ingest(&stand, folder.path(), &["fonds"], "fonds").await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains("fonds/mauvais.pdf: Le fichier (PDF) est endommagé"), "{}", told.out);
    assert!(told.out.contains("lignes.jsonl, line 2: "), "{}", told.out);
    assert!(told.out.ends_with("2 documents searchable in “fonds”, 2 failed.\n"), "{}", told.out);
    assert!(told.err.ends_with("2 of 4 documents were not ingested\n"), "{}", told.err);
    // Nothing is sent where a path is not there, or the key is wrong.
    let told = ingest(&stand, folder.path(), &["fonds", "absent"], "fonds").await;
    assert_eq!(told.code, Some(1));
    assert!(told.err.starts_with("absent: "), "{}", told.err);
    let mut wrong = command(folder.path());
    wrong.args(["ingest", "fonds", "--collection", "fonds", "--url", &stand.app.url, "--key", "gct_non"]);
    let told = tokio::task::spawn_blocking(move || said(&mut wrong)).await.expect("it runs");
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("Clé d’accès"), "{}", told.err);
}
