//! What the command line says of itself, and to what it does not understand.

use tempfile::TempDir;
use tests::process::guichet;

/// Every command, with what comes after it.
const COMMANDS: [&[&str]; 18] = [
    &["serve"],
    &["init"],
    &["check-config"],
    &["migrate"],
    &["models"],
    &["openapi"],
    &["organization"],
    &["organization", "create"],
    &["organization", "list"],
    &["project"],
    &["project", "create"],
    &["project", "list"],
    &["member"],
    &["member", "create"],
    &["member", "list"],
    &["key"],
    &["key", "create"],
    &["key", "revoke"],
];

#[test]
fn help_tells_every_command_and_every_word_of_it() {
    let folder = TempDir::new().expect("a folder");
    let all = guichet(folder.path(), &["--help"]);
    assert_eq!((all.code, all.err.as_str()), (Some(0), ""), "{all:?}");
    for words in COMMANDS {
        assert!(all.out.contains(&format!("  {} ", words[0])), "{}: {}", words[0], all.out);
        let help = guichet(folder.path(), &[words, &["--help"]].concat());
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{words:?}: {help:?}");
        assert!(help.out.contains(&format!("Usage: guichet {}", words.join(" "))), "{}", help.out);
        // Each argument and option has a line that says what it is.
        for line in help.out.lines().filter(|line| line.starts_with("  ") && !line.trim().is_empty()) {
            let told = line.trim_start().split_once("  ").map(|(_, told)| told.trim()).unwrap_or_default();
            let alone = line.trim_start().starts_with(['-', '<', '[']) || !line.starts_with("   ");
            assert!(!alone || !told.is_empty() || help.out.contains(&format!("{line}\n        ")), "{words:?}: {line}");
        }
    }
    assert!(std::fs::read_dir(folder.path()).expect("the folder").next().is_none(), "help makes nothing");
}

#[test]
fn what_is_not_understood_gets_a_clear_message_and_a_code() {
    let folder = TempDir::new().expect("a folder");
    for (words, said) in [
        (&[][..], "Usage: guichet"),
        (&["srve"], "serve"),
        (&["serve", "--lissten", "x"], "--listen"),
        (&["serve", "--listen", "nowhere"], "nowhere"),
        (&["serve", "extra"], "extra"),
        (&["init", "--port", "99999"], "99999"),
        (&["key"], "create"),
        (&["key", "make"], "make"),
        (&["check-config", "a.yaml", "--config", "b.yaml"], "cannot be used with"),
        (&["openapi", "--json"], "--json"),
    ] {
        let told = guichet(folder.path(), words);
        assert_eq!(told.code, Some(2), "{words:?}: {told:?}");
        assert!(told.out.is_empty() && told.err.contains(said), "{words:?}: {told:?}");
    }
    let version = guichet(folder.path(), &["--version"]);
    assert_eq!(version.out, format!("guichet {}\n", env!("CARGO_PKG_VERSION")));
}
