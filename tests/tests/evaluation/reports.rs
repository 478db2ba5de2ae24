//! The report and the gate, from files to what a person or a pipeline reads.

use serde_json::{Value, json};

use crate::{folder, guichet};

const GRID: &str = "grid: g\nversion: 2\ntitle: {fr: Grille, en: Grid}\nminimum: 20\nfacets:\n\
    - {id: a, label: {fr: Exactitude, en: A}, criteria: [{id: x, question: {fr: Juste ?, en: Right?}, scale: boolean, evidence: [human, 'judge:judge-criterion@1']}]}\n\
    - {id: b, label: {fr: Clarté, en: B}, criteria: [{id: 'y', question: {fr: Clair ?, en: Clear?}, scale: {interval: {low: 0, high: 1}}, evidence: human, veto: 0.2}]}\n";

/// 120 items; x right two times in three, y around `y`.
fn evidence(y: f64) -> String {
    let lines = (0..120).map(|i| {
        let noise = f64::from((i * 13) % 7) * 0.02 - 0.06;
        let judge = u8::from(i % 4 != 0);
        format!(
            "x,{},human,i{i}\nx,{judge},judge:judge-criterion@1,i{i}\ny,{:.3},human,i{i}\n",
            u8::from(i % 3 != 0),
            y + noise
        )
    });
    format!("criterion,value,source,item\n{}", lines.collect::<String>())
}

#[test]
fn the_report_is_written_in_all_forms_and_says_what_the_score_says() {
    let duels: String = (0..90)
        .map(|i| {
            let (first, second) = [("a", "b"), ("b", "c"), ("c", "a")][i % 3];
            format!("{first},{second},{}\n", ["first", "second", "tie", "first"][(i / 3) % 4])
        })
        .collect();
    let folder = folder(&[
        ("g.yaml", GRID),
        ("e.csv", &evidence(0.7)),
        ("d.csv", &format!("first,second,winner\n{duels}")),
        (
            "u.csv",
            "indicator,month,value\nmonthly-active-users,2026-05,140\nmonthly-active-users,2026-04,4\nmonthly-active-users,2026-03,\n",
        ),
    ]);
    let words = "report g.yaml --evidence e.csv --duels d.csv --usage u.csv --product Assistant --threshold 0.6 \
                 --target monthly-active-users=100 --seed sample=42 --date 2026-06-01 --output r.html --output r.md \
                 --output r.json --output r.csv --output r.parquet";
    let words: Vec<&str> = words.split_whitespace().collect();
    let said = guichet(folder.path(), &words);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert_eq!(said.out, "r.html\nr.md\nr.json\nr.csv\nr.parquet\n");

    let scored = guichet(folder.path(), &["grid", "score", "g.yaml", "--evidence", "e.csv"]).json();
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("a file");
    let report: Value = serde_json::from_slice(&read("r.json")).expect("JSON");
    for part in ["grid", "profile", "total", "level", "rows"] {
        assert_eq!(report[part], scored[part], "{part}");
    }
    let french = |value: &Value| format!("{:.2}", value.as_f64().expect("a number")).replace('.', ",");
    let total = &scored["total"]["score"];
    let html = String::from_utf8(read("r.html")).expect("UTF-8");
    let markdown = String::from_utf8(read("r.md")).expect("UTF-8");
    for text in [&html, &markdown] {
        assert!(text.contains(&french(&total["estimate"])) && text.contains(&french(&total["low"])), "{text}");
        assert!(text.contains(scored["grid"]["hash"].as_str().expect("a hash")) && text.contains("42"));
        assert!(
            text.contains("non mesurable")
                && text.contains("moins de 10 usagers")
                && text.contains("judge-criterion@1")
        );
    }
    let (prompt, hash) = (&report["provenance"]["prompts"][0][0], &report["provenance"]["prompts"][0][1]);
    assert_eq!((prompt, hash.as_str().map(str::len)), (&json!("judge-criterion@1"), Some(64)));
    let csv = String::from_utf8(read("r.csv")).expect("UTF-8");
    let rows = eval::parquet::rows(read("r.parquet")).expect("Parquet");
    assert_eq!((csv.lines().count(), rows.len()), (6, 5));
    assert_eq!((&rows[4]["id"], &rows[4]["score"]), (&json!("total"), &total["estimate"]));
    assert_eq!(report["product"]["verdict"], "go");
}

#[test]
fn a_report_that_cannot_be_made_says_why_and_writes_nothing() {
    let folder = folder(&[
        ("g.yaml", GRID),
        ("e.csv", &evidence(0.7)),
        ("bad.csv", "criterion,value,item\nx,oui,a\n"),
        ("agents.csv", "indicator,month,value,agent\nrequests,2026-05,140,camille\n"),
    ]);
    for (words, why) in [
        ("--evidence e.csv --output r.pdf", ".html"),
        ("--evidence bad.csv --output r.html", "ligne 2"),
        ("--evidence e.csv --usage agents.csv --output r.html", "rapport par agent"),
        ("--evidence e.csv --threshold 70 --output r.html", "seuil"),
        ("--evidence nowhere.csv --output r.html", "nowhere.csv"),
    ] {
        let words: Vec<&str> = ["report", "g.yaml"].into_iter().chain(words.split_whitespace()).collect();
        let said = guichet(folder.path(), &words);
        assert_eq!((said.code, said.err.contains(why)), (Some(1), true), "{words:?}: {}", said.err);
        assert!(!folder.path().join("r.html").exists());
    }
}

#[test]
fn the_gate_has_four_exit_codes() {
    let folder = folder(&[
        ("g.yaml", GRID),
        ("base.csv", &evidence(0.7)),
        ("worse.csv", &evidence(0.5)),
        ("bad.csv", "criterion,value\n"),
    ]);
    let gate = |words: &str| {
        let words: Vec<&str> =
            ["gate", "g.yaml", "--baseline", "base.csv"].into_iter().chain(words.split_whitespace()).collect();
        guichet(folder.path(), &words)
    };
    let passed = gate("--candidate base.csv");
    assert_eq!((passed.code, &passed.json()["gate"]["verdict"]), (Some(0), &json!("pass")), "{}", passed.out);
    let worse = gate("--candidate worse.csv");
    assert_eq!((worse.code, &worse.json()["gate"]["verdict"]), (Some(1), &json!("regression")), "{}", worse.out);
    // The same loss, accepted by name.
    assert_eq!(gate("--candidate worse.csv --margin y=0.25").code, Some(0));
    let near = gate("--candidate base.csv --margin 0.01 --text");
    assert_eq!(near.code, Some(2), "{}", near.out);
    assert!(near.out.starts_with("Non concluant") && near.out.contains("120 paires"), "{}", near.out);
    for wrong in [
        "--candidate nowhere.csv",
        "--candidate base.csv --margin beaucoup",
        "--candidate base.csv --criterion z",
        "--candidate base.csv --unknown",
        "",
    ] {
        let said = gate(wrong);
        assert_eq!((said.code, said.out.as_str()), (Some(3), ""), "{wrong}: {}", said.err);
        assert!(!said.err.is_empty());
    }
    assert_eq!(guichet(folder.path(), &["gate", "--help"]).code, Some(0));
}
