//! Grids from the shell.

use serde_json::json;

use crate::evaluation::{folder, guichet};

#[test]
fn the_shipped_grid_is_copied_checked_and_filled() {
    let folder = folder(&[]);
    let shown = guichet(folder.path(), &["grid", "show"]);
    assert!(shown.out.contains("remplaçable"), "{}", shown.out);
    std::fs::write(folder.path().join("mine.yaml"), &shown.out).expect("a copy");
    let checked = guichet(folder.path(), &["grid", "check", "mine.yaml"]);
    assert_eq!(checked.code, Some(0), "{}", checked.err);
    assert_eq!(checked.out, guichet(folder.path(), &["grid", "check", "guichet-1"]).out);
    assert!(checked.out.contains("11 pans") && checked.out.contains("sha256 "), "{}", checked.out);

    let mut csv = "criterion,value,source,item,document,date,signatory\n".to_owned();
    csv.push_str("analyse-impact,oui,,,AIPD v2,2026-03-01,DPO\n");
    (0..200).for_each(|i| csv.push_str(&format!("sans-danger,{},,i{i},,,\n", u8::from(i % 3 != 0))));
    (0..12).for_each(|i| csv.push_str(&format!("clair,{},,i{i},,,\n", 1 + i % 4)));
    std::fs::write(folder.path().join("e.csv"), csv).expect("evidence");
    let report = guichet(folder.path(), &["grid", "score", "mine.yaml", "--evidence", "e.csv"]).json();
    let hash = checked.out.split("sha256 ").nth(1).expect("a hash").trim();
    assert_eq!(report["grid"]["hash"], json!(hash));
    let facet = |id: &str| {
        let profile = report["profile"].as_array().expect("a profile");
        profile.iter().find(|facet| facet["id"] == id).unwrap_or_else(|| panic!("{id}")).clone()
    };
    let danger = &facet("equite")["criteria"][1];
    assert_eq!((&danger["state"], &danger["veto"], &danger["n"]), (&json!("conclusive"), &json!("fired"), &json!(200)));
    let clear = &facet("clarte")["criteria"][0];
    assert_eq!((&clear["state"], &clear["score"]), (&json!("inconclusive"), &json!(null)));
    assert!(clear["reason"]["fr"].as_str().is_some_and(|fr| fr.contains("non concluant")), "{clear}");
    assert_eq!(facet("donnees")["criteria"][0]["score"]["low"], json!(1.0));
    assert_eq!((&facet("impact")["state"], &report["total"]["state"]), (&json!("missing"), &json!("blocked")));
}

#[test]
fn a_bad_grid_and_bad_evidence_tell_all_their_problems() {
    let grid = "grid: g\nversion: 1\ntitle: {fr: G, en: G}\nfacets:\n\
                - {id: a, label: {fr: A, en: A}, weight: 0, references: [b]}\n\
                - {id: b, label: {fr: B, en: B}, references: [a]}\n\
                - {id: a, label: {fr: C, en: C}, criteria: [{id: x, question: {fr: Q, en: Q}, scale: boolean, evidence: ['auto:magie']}]}\n";
    let good = "grid: g\nversion: 1\ntitle: {fr: G, en: G}\nfacets:\n\
                - {id: c, label: {fr: C, en: C}, criteria: [{id: x, question: {fr: Q, en: Q}, scale: boolean, evidence: human}]}\n";
    let folder =
        folder(&[("bad.yaml", grid), ("good.yaml", good), ("e.csv", "criterion,value\nx,oui\ny,oui\nx,peut-être\n")]);
    let said = guichet(folder.path(), &["grid", "check", "bad.yaml", "--json"]);
    assert_eq!(said.code, Some(1));
    let problems = said.json();
    let paths: Vec<&str> = problems.as_array().expect("a list").iter().filter_map(|one| one["path"].as_str()).collect();
    for path in ["facets[0].weight", "facets[2].id", "facets[2].criteria[0].evidence[0]", "facets[1].references[0]"] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    assert!(said.err.contains("→") && said.err.contains("tournent en rond"), "{}", said.err);

    std::fs::write(folder.path().join("y.yaml"), good.replace("{id: x,", "{id: y,")).expect("a grid");
    let said = guichet(folder.path(), &["grid", "check", "y.yaml"]);
    assert!(said.code == Some(1) && said.err.contains("criteria[0].id") && said.err.contains("'y'"), "{}", said.err);

    let said = guichet(folder.path(), &["grid", "score", "good.yaml", "--evidence", "e.csv"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("ligne 3") && said.err.contains("ligne 4"), "{}", said.err);
    let said = guichet(folder.path(), &["grid", "score", "good.yaml", "--evidence", "e.csv", "--skip-broken"]);
    let report = said.json();
    assert_eq!((&report["rows"], report["set_aside"].as_array().map(Vec::len)), (&json!(1), Some(2)));
    assert_eq!(report["total"]["state"], "inconclusive");
}
