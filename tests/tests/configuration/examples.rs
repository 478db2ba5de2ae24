//! Every example file loads; the reference is what the types say.

use std::path::PathBuf;

use tests::process::{command, said};

use crate::configuration::root;

/// The files a person may start from.
fn examples() -> Vec<PathBuf> {
    let listed = std::fs::read_dir(root().join("deploy/config")).expect("the examples");
    let mut files: Vec<PathBuf> = listed
        .map(|entry| entry.expect("an example").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    files.push(root().join("deploy/demo/guichet.yaml"));
    files.push(root().join("gateway/default.yaml"));
    files
}

/// Names of the variables that a file takes its secrets from.
fn variables(text: &str) -> Vec<&str> {
    text.split("env: ").skip(1).filter_map(|rest| rest.split(['}', ',', ' ']).next()).collect()
}

#[test]
fn every_example_checks_clean() {
    for file in examples() {
        let text = std::fs::read_to_string(&file).expect("an example");
        let mut check = command(&root());
        for name in variables(&text) {
            check.env(name, "postgres://guichet:secret@127.0.0.1/guichet");
        }
        let said = said(check.arg("check-config").arg(&file));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}: {said:?}", file.display());
        assert!(said.out.contains("no problem"), "{said:?}");
        assert!(!said.out.contains("secret@"), "{said:?}");
    }
}

/// A file whose secrets are not there says which, and nothing else.
#[test]
fn an_example_without_its_secrets_says_which_are_missing() {
    let file = root().join("deploy/config/several-engines.yaml");
    let said = said(command(&root()).arg("check-config").arg(&file));
    assert_eq!(said.code, Some(1));
    for name in ["CLOUD_API_KEY", "MISTRAL_API_KEY", "models[0].deployments[1].api_key", "2 problems"] {
        assert!(said.err.contains(name), "{name} in {}", said.err);
    }
}

#[test]
fn the_reference_is_what_the_types_say() {
    let path = root().join("docs/configuration.md");
    let page = guichet::config::reference::markdown();
    if std::env::var_os("GUICHET_UPDATE").is_some() {
        std::fs::write(&path, &page).expect("the page is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/configuration.md lags behind the configuration's types: run `make docs`");
}

/// Each setting of the page is told in words, and each link of the page leads somewhere.
#[test]
fn the_reference_tells_every_setting() {
    let page = guichet::config::reference::markdown();
    let mut settings = 0;
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        settings += 1;
        let told = line.trim_end_matches(" |").rsplit("| ").next().unwrap_or_default();
        assert!(!told.trim().is_empty(), "nothing is told: {line}");
    }
    assert!(settings > 60, "{settings} settings");
    let headings: Vec<String> =
        page.lines().filter_map(|line| line.strip_prefix("## ")).map(|name| name.to_lowercase()).collect();
    for link in page.split("(#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(headings.iter().any(|heading| heading == link), "#{link} is nowhere: {headings:?}");
    }
}
