//! The examples of docs/ingestion.md, run one after the other.

use std::process::Command;

use tests::Backend;
use tests::process::binary;

use crate::ingestion::stand::Stand;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_docs_is_true() {
    let page = include_str!("../../../docs/ingestion.md");
    let stand = Stand::start(Backend::Sqlite).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let mut examples = 0;
    let mut parts = page.split("```sh\n").skip(1);
    while let Some((script, rest)) = parts.next().and_then(|part| part.split_once("```\n")) {
        let (_, answer) = rest.split_once("```text\n").expect("an answer after the command");
        let (answer, _) = answer.split_once("```").expect("the end of the answer");
        let programs = binary();
        let programs = programs.parent().expect("its folder").display();
        let mut shell = Command::new("sh");
        shell
            .args(["-euc", script])
            .current_dir(folder.path())
            .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()))
            .env("GUICHET_URL", &stand.app.url)
            .env("GUICHET_KEY", &stand.key.secret);
        let output = tokio::task::spawn_blocking(move || shell.output()).await.expect("it runs").expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, answer, "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        examples += 1;
    }
    assert_eq!(examples, 3);
}
