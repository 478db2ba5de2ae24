//! Figures, refusals, bad lines.

use serde_json::json;

use crate::evaluation::{folder, guichet};

#[test]
fn a_figure_says_what_it_stands_on() {
    let rows: String = (0..60).map(|i| format!("u{};{},5;{}\n", i / 3, i % 7, u8::from(i % 4 != 0))).collect();
    let folder = folder(&[("a.csv", &format!("user;score;right\n{rows}"))]);
    let said = guichet(
        folder.path(),
        &[
            "stat",
            "clustered-mean",
            "--input",
            "a.csv",
            "--column",
            "value=score",
            "--column",
            "cluster=user",
            "--set",
            "level=0.9",
        ],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let told = said.json();
    let result = &told["result"];
    assert_eq!((&result["n"], &result["units"], &result["level"]), (&json!(60), &json!(20), &json!(0.9)));
    assert_eq!(
        (&told["statistic"], &told["rows"], &told["set_aside"]),
        (&json!("clustered-mean"), &json!(60), &json!([]))
    );
    let (low, mean, high) = (&result["low"], &result["estimate"], &result["high"]);
    assert!(low.as_f64() < mean.as_f64() && mean.as_f64() < high.as_f64() && told["source"].is_string(), "{told}");
}

#[test]
fn what_cannot_be_said_is_refused_in_both_languages() {
    let ratings: String = (0..20).map(|i| format!("i{i},bon\ni{i},bon\n")).collect();
    let files = [
        ("same.csv", format!("item,label\n{ratings}")),
        ("apart.csv", "first,second,winner\na,b,first\nb,a,first\nc,a,first\n".to_owned()),
        ("few.csv", "value\n1\n2\n3\n".to_owned()),
    ];
    let folder = folder(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    for (words, code, french) in [
        (
            &["krippendorff-alpha", "--input", "same.csv", "--set", "metric=nominal"][..],
            "undefined",
            "α n’est pas défini",
        ),
        (&["bradley-terry", "--input", "apart.csv"], "disconnected", "aucun classement"),
        (&["clustered-mean", "--input", "few.csv"], "too_few", "il en faut au moins 8"),
        (&["bootstrap-mean", "--input", "few.csv"], "too_few", "rééchantillonner"),
        (&["clustered-mean", "--input", "few.csv", "--set", "level=95"], "input", "niveau de confiance"),
    ] {
        let said = guichet(folder.path(), &[&["stat"], words].concat());
        assert_eq!(said.code, Some(1), "{words:?}: {}", said.out);
        let refused = &said.json()["refused"];
        assert_eq!(refused["code"], code, "{refused}");
        assert!(refused["fr"].as_str().is_some_and(|fr| fr.contains(french)), "{refused}");
        assert!(
            said.err.contains(french) && said.err.contains(refused["en"].as_str().expect("English")),
            "{}",
            said.err
        );
    }
}

#[test]
fn bad_lines_are_told_by_number_or_set_aside() {
    let folder = folder(&[("a.csv", "success\n1\nbof\n0\n1,2\n1\n")]);
    let said = guichet(folder.path(), &["stat", "wilson", "--input", "a.csv"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("ligne 3") && said.err.contains("line 5") && said.err.contains("bof"), "{}", said.err);
    assert_eq!(said.json()["refused"][0]["line"], 3);
    let said = guichet(folder.path(), &["stat", "wilson", "--input", "a.csv", "--skip-broken"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let told = said.json();
    assert_eq!((&told["rows"], told["set_aside"].as_array().map(Vec::len)), (&json!(3), Some(2)));
    for words in
        [&["stat", "wilson", "--input", "nowhere.csv"][..], &["stat", "wilsom"], &["stat", "wilson", "--set", "level"]]
    {
        let said = guichet(folder.path(), words);
        assert_eq!((said.code, said.err.contains(" / ")), (Some(1), true), "{words:?}: {}", said.err);
    }
}

#[test]
fn the_list_is_for_people_and_for_programs() {
    let folder = folder(&[]);
    let said = guichet(folder.path(), &["stat", "--list", "--json"]);
    let list = said.json();
    let names: Vec<&str> = list.as_array().expect("a list").iter().filter_map(|entry| entry["name"].as_str()).collect();
    for name in ["wilson", "judge-corrected-mean", "krippendorff-alpha", "bradley-terry", "retrieval", "chrf", "wer"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let text = guichet(folder.path(), &["stat", "mcnemar", "--list"]).out;
    assert!(text.contains("--column first=") && !text.contains("wilson"), "{text}");
}
