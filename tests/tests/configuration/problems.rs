//! What is wrong is told at once, each with its file, its path and what to do; secrets are never among it.

use std::path::Path;

use guichet::config::load::{Origin, from_text};
use serde_json::Value;
use tempfile::TempDir;
use tests::process::{Said, command, said};

const SECRET: &str = "s3cr3t-hunter2";

/// Nine mistakes of nine kinds.
const WRONG: &str = "
server: {listen: nowhere, body_limit: lots, threads: 4}
database: {url: {env: GUICHET_TEST_NOT_SET}}
log: {level: 'not=a=filter'}
hostings:
  here: {operator: X, state_operated: true, country: France, jurisdiction: FR, qualification: none, zone: z}
models:
  - {id: a, type: chat, fallback: nobody, deployments: [{name: d, url: 'http://127.0.0.1:1/v1', engine: vllm}]}
  - {id: a, type: poetry, deployments: [{name: e, url: 'http://user:s3cr3t-hunter2@127.0.0.1/v1', engine: warp, hosting: nowhere}]}
";

const PATHS: [&str; 10] = [
    "server.listen",
    "server.body_limit",
    "server.threads",
    "database.url",
    "log.level",
    "hostings.here.country",
    "models[0].deployments[0].hosting",
    "models[1].type",
    "models[1].deployments[0].engine",
    "models[1].deployments[0].hosting",
];

fn check(folder: &Path, text: &str, words: &[&str], environment: &[(&str, &str)]) -> Said {
    std::fs::write(folder.join("guichet.yaml"), text).expect("a file");
    said(command(folder).arg("check-config").args(words).envs(environment.iter().copied()))
}

#[test]
fn every_problem_is_told_at_once_with_its_file_its_path_and_a_remedy() {
    let folder = TempDir::new().expect("a folder");
    let told = check(folder.path(), WRONG, &[], &[]);
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{told:?}");
    for path in PATHS {
        assert!(told.err.contains(&format!("guichet.yaml: {path}: ")), "{path} is not in {}", told.err);
    }
    assert!(!told.err.contains(SECRET), "{}", told.err);

    // The same for programs: each has its words, and what to do.
    let told = check(folder.path(), WRONG, &["--json"], &[]);
    assert_eq!(told.code, Some(1));
    let problems: Vec<Value> = serde_json::from_str(&told.out).expect("JSON");
    for path in PATHS {
        let problem = problems.iter().find(|problem| problem["path"] == *path);
        let problem = problem.unwrap_or_else(|| panic!("{path} is not in {problems:#?}"));
        assert_eq!(problem["origin"], "guichet.yaml");
        let message = problem["message"].as_str().expect("a message");
        let remedy = problem["remedy"].as_str().expect("a remedy");
        // Where a secret is missing, the message itself says what to do.
        assert!(!message.is_empty() && (!remedy.is_empty() || message.contains(';')), "{problem}");
    }
    assert!(!told.out.contains(SECRET), "{}", told.out);
}

/// `serve` refuses the same file with the same words.
#[test]
fn serve_refuses_what_check_config_refuses() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("guichet.yaml"), WRONG).expect("a file");
    let told = said(command(folder.path()).arg("serve"));
    assert_eq!((told.code, told.out.as_str()), (Some(1), ""), "{told:?}");
    assert!(PATHS.iter().all(|path| told.err.contains(path)), "{}", told.err);
    assert!(!folder.path().join("guichet-data").exists(), "nothing is made for a configuration that is refused");
}

#[test]
fn a_file_that_is_no_yaml_or_not_there_says_so() {
    let folder = TempDir::new().expect("a folder");
    let told = check(folder.path(), "server: [1,\nmodels: {", &[], &[]);
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("guichet.yaml") && told.err.contains("line"), "{}", told.err);
    let told = check(folder.path(), "- a list", &[], &[]);
    assert!(told.code == Some(1) && told.err.contains("not a mapping"), "{}", told.err);
    let told = check(folder.path(), "", &["other.yaml"], &[]);
    assert!(told.code == Some(1) && told.err.contains("other.yaml") && told.err.contains("--config"), "{}", told.err);
}

/// Whatever is put in place of a value, the answer is a configuration or its problems, never a crash; and never silence
/// when no setting takes such a value.
#[test]
fn any_value_anywhere_is_answered_calmly() {
    const NOWHERE: &str = "{a: {b: [1]}}";
    let file =
        std::fs::read_to_string(crate::configuration::root().join("deploy/config/embedded.yaml")).expect("the example");
    let sane: Vec<&str> = file.lines().collect();
    for (index, line) in sane.iter().enumerate() {
        let Some((key, _)) = line.split_once(": ").filter(|(key, _)| !key.trim_start().starts_with('#')) else {
            continue;
        };
        for odd in ["[]", "{}", "-1", "~", "'\u{0}'", "99999999999999999999999", "\"é'; DROP TABLE keys;--\"", NOWHERE]
        {
            let mut lines = sane.clone();
            let changed = format!("{key}: {odd}");
            lines[index] = &changed;
            match from_text(&Origin::Embedded, &lines.join("\n"), Vec::new()) {
                Ok(_) => assert_ne!(odd, NOWHERE, "{changed}"),
                Err(problems) => {
                    assert!(!problems.is_empty(), "{changed}");
                    assert!(problems.iter().all(|p| !p.message.contains('\u{0}')), "{changed}: {problems:?}");
                }
            }
        }
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let folder = TempDir::new().expect("a folder");
    let file = "server: {listen: '127.0.0.1:1'}\ndatabase: {max_connections: 3}\n";
    let bad = check(folder.path(), file, &[], &[("GUICHET__SERVER__LISTEN", "nowhere")]);
    assert!(bad.code == Some(1) && bad.err.contains("GUICHET__SERVER__LISTEN: server.listen"), "{bad:?}");
    let good = "server: {listen: nowhere}";
    let mended = check(folder.path(), good, &[], &[("GUICHET__SERVER__LISTEN", "127.0.0.1:2")]);
    assert_eq!(mended.code, Some(0), "{mended:?}");
    let unknown = check(folder.path(), file, &[], &[("GUICHET__SERVER__LISTENS", "127.0.0.1:2")]);
    assert!(unknown.code == Some(1) && unknown.err.contains("server.listens"), "{unknown:?}");
    let through = check(folder.path(), file, &[], &[("GUICHET__MODELS__0__ID", "x")]);
    assert!(through.code == Some(1) && through.err.contains("GUICHET__MODELS__0__ID: models"), "{through:?}");
    // The file's own place may come from the environment too; a word on the command line wins over it.
    let other = said(command(folder.path()).arg("check-config").env("GUICHET_CONFIG", "absent.yaml"));
    assert!(other.code == Some(1) && other.err.contains("absent.yaml"), "{other:?}");
    let named =
        said(command(folder.path()).args(["check-config", "guichet.yaml"]).env("GUICHET_CONFIG", "absent.yaml"));
    assert_eq!(named.code, Some(0), "{named:?}");
    let named = said(command(folder.path()).args(["check-config", "--config", "guichet.yaml"]));
    assert_eq!(named.code, Some(0), "{named:?}");
}

#[test]
fn secrets_come_from_the_environment_or_a_file_and_never_show() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("engine.key"), format!("{SECRET}\n")).expect("a file");
    let model = |source: &str| {
        format!(
            "hostings: {{here: {{operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: z}}}}\n\
             models: [{{id: a, type: chat, deployments: [{{name: d, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: here, api_key: {source}}}]}}]\n"
        )
    };
    let environment = [("ENGINE_KEY", SECRET)];
    for (source, code) in [
        ("{env: ENGINE_KEY}", Some(0)),
        ("{file: engine.key}", Some(0)),
        ("{env: NOT_SET}", Some(1)),
        ("{file: absent.key}", Some(1)),
        ("{env: ENGINE_KEY, file: engine.key}", Some(1)),
        ("{}", Some(1)),
        // A secret in the file itself is refused, and not repeated.
        (SECRET, Some(1)),
        ("[s3cr3t-hunter2]", Some(1)),
        ("{env: ENGINE_KEY, value: s3cr3t-hunter2}", Some(1)),
    ] {
        let told = check(folder.path(), &model(source), &["--json"], &environment);
        assert_eq!(told.code, code, "{source}: {told:?}");
        assert!(!format!("{told:?}").contains(SECRET), "{source}: {told:?}");
        assert!(code == Some(0) || told.out.contains("api_key"), "{source}: {told:?}");
    }
    // Nor is it by a file that cannot be read at that place.
    for broken in ["api_key: s3cr3t-hunter2: [", "api_key: [s3cr3t-hunter2", "a: &x s3cr3t-hunter2\nb: *y"] {
        let told = check(folder.path(), broken, &[], &[]);
        assert!(told.code == Some(1) && !told.err.contains(SECRET), "{broken}: {told:?}");
    }
    let text = "database: {url: 'postgres://guichet:s3cr3t-hunter2@127.0.0.1:1/x'}";
    let config = from_text(&Origin::Embedded, text, Vec::new()).expect("a configuration");
    assert!(!format!("{config:?}").contains(SECRET), "{config:?}");
    std::fs::write(folder.path().join("guichet.yaml"), text).expect("a file");
    let told = said(command(folder.path()).args(["organization", "list"]));
    assert!(told.code == Some(1) && told.err.contains("database"), "{told:?}");
    assert!(!format!("{told:?}").contains(SECRET), "{told:?}");
}

#[test]
fn a_tokenizer_that_cannot_be_read_is_told_with_its_path() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("broken.json"), "{\"model\": 5}").expect("a file");
    for (file, why) in [("broken.json", "is not a tokenizer.json"), ("missing.json", "cannot be read")] {
        let text = format!(
            "hostings:\n  here: {{operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: z}}\n\
             models:\n  - {{id: a, type: chat, tokenizer: {file}, deployments: [{{name: d, url: 'http://127.0.0.1:1/v1', \
             engine: vllm, hosting: here}}]}}\n"
        );
        let told = check(folder.path(), &text, &[], &[]);
        assert_eq!(told.code, Some(1), "{told:?}");
        assert!(told.err.contains("models[0].tokenizer: ") && told.err.contains(why), "{}", told.err);
    }
}

/// Retrieval: a model that is not there, of another type or of unknown size; an index that cannot be reached or trusted.
#[test]
fn retrieval_names_what_there_is() {
    let around = "
hostings: {here: {operator: X, state_operated: true, country: FR, jurisdiction: FR, qualification: none, zone: z}}
models:
  - {id: e5, type: embeddings, dimensions: 384, aliases: [vecteurs], deployments: [{name: d, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: here}]}
  - {id: sans-taille, type: embeddings, deployments: [{name: e, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: here}]}
  - {id: causeur, type: chat, deployments: [{name: f, url: 'http://127.0.0.1:1/v1', engine: vllm, hosting: here}]}
";
    let server = "kind: server, url: 'https://qdrant.interne:6334', hosting: here";
    for (section, wrong) in [
        ("{embedding_model: e5}", &[][..]),
        ("{embedding_model: e5, index: {kind: edge}, rerank_model: causeur}", &["rerank_model"]),
        ("{}", &["embedding_model"]),
        ("{embedding_model: autre, rerank_model: autre}", &["embedding_model", "rerank_model"]),
        ("{embedding_model: vecteurs}", &["embedding_model"]),
        ("{embedding_model: causeur}", &["embedding_model"]),
        ("{embedding_model: e5, index: {kind: disque}}", &["index.kind"]),
        ("{embedding_model: e5, index: {url: 'http://x:6334', hosting: here}}", &["index.url", "index.hosting"]),
        ("{embedding_model: e5, index: {kind: server}}", &["index.url", "index.hosting"]),
        (
            "{embedding_model: e5, index: {kind: server, url: 'ftp://x', hosting: nulle-part, prefix: A-b, api_key: {env: GUICHET_TEST_NOT_SET}}}",
            &["index.url", "index.hosting", "index.prefix", "index.api_key"],
        ),
        (
            "{embedding_model: e5, index: {kind: server, url: 'http://moi:s3cr3t-hunter2@x:6334', hosting: here}}",
            &["index.url"],
        ),
        ("{embedding_model: e5, ingestion: {readers: 0, time: 0s}}", &["ingestion.readers", "ingestion.time"]),
        ("{embedding_model: e5, chat: {passage_tokens: 0}}", &["chat.passage_tokens"]),
        (&format!("{{embedding_model: e5, index: {{{server}}}}}"), &[]),
    ] {
        let problems = match from_text(&Origin::Embedded, &format!("{around}retrieval: {section}\n"), Vec::new()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        };
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths.len(), wrong.len(), "{section}: {problems:?}");
        for wrong in wrong {
            assert!(paths.contains(&format!("retrieval.{wrong}").as_str()), "{wrong} is not in {paths:?}");
        }
        assert!(!format!("{problems:?}").contains(SECRET), "{problems:?}");
    }
    // The size is told at the model, where it is to be written.
    let told =
        from_text(&Origin::Embedded, &format!("{around}retrieval: {{embedding_model: sans-taille}}\n"), Vec::new());
    let problems = told.expect_err("a problem");
    assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), ["models[1].dimensions"]);
}
