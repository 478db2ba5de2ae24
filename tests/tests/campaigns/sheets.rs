//! The same campaign on blind CSV: out, filled, back; what is wrong is told by its line.

use std::path::Path;

use eval::table::Table;
use serde_json::{Value, json};
use tests::{Backend, on_each_database};

use super::{numbers, rows, stand};

on_each_database!(a_round_trip_equals_the_api, what_is_wrong_is_told_by_its_line);

/// Fills a sheet as a person with a spreadsheet would: `say` gets the question and the first answer of each line.
fn fill(file: &Path, say: impl Fn(&str, &str) -> Vec<(&'static str, String)>) {
    let table = Table::read(&std::fs::read(file).expect("a sheet")).expect("a table");
    let mut lines = vec![table.header().to_vec()];
    let place = |name: &str| table.place(name).expect("a column");
    let answer = table.place("answer").or_else(|| table.place("answer_A")).expect("an answer");
    for row in table.rows() {
        let mut cells: Vec<String> = (0..table.header().len()).map(|at| row.text(at).to_owned()).collect();
        for (column, said) in say(row.text(place("question")), row.text(answer)) {
            cells[place(column)] = said;
        }
        lines.push(cells);
    }
    std::fs::write(file, eval::table::write(b';', lines).expect("a table")).expect("a file");
}

/// What each says of an answer, by the number in it.
fn level(annotator: usize, text: &str) -> i64 {
    let number: i64 =
        text.trim_end_matches('.').rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    match annotator {
        0 => 1 + number % 4,
        1 => (2 + number % 4).min(4),
        _ => 1 + (number / 2) % 4,
    }
}

/// Numbers that sums in another order leave as they are.
fn rounded(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let rounded = number.as_f64().map(|n| (n * 1e9).round() / 1e9);
            *value = json!(rounded);
        }
        Value::Array(list) => list.iter_mut().for_each(rounded),
        Value::Object(map) => map.values_mut().for_each(rounded),
        _ => {}
    }
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

async fn a_round_trip_equals_the_api(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(3).await;
    let mut given = rows(20);
    for (n, row) in given.iter_mut().enumerate() {
        row["id"] = json!(format!("q{n}"));
    }
    // A formula, a list and an accent, as models write them.
    given[0]["answers"][0]["text"] = json!("=1+1; « voilà »\n- un\n- Réponse 0.");
    for n in 0..10 {
        given.push(json!({"prompt": "Étalon ?", "answers": [{"text": format!("Réponse {n}.")}],
            "expected": {"reponse-juste": 1 + n % 4}}));
    }
    let form = json!({"name": "deux voies", "grid": "guichet@1", "criteria": ["reponse-juste", "fautes"], "rows": given,
        "per_item": 3, "annotators": numbers(&annotators), "organization_id": stand.key.organization_id, "seed": 5});
    let (by_api, by_sheet) = (stand.campaign(&form).await, stand.campaign(&form).await);
    for (at, (_, _, key)) in annotators.iter().enumerate() {
        let seen = stand
            .annotate(&by_api, key, |item| {
                let text = item["answers"][0]["text"].as_str().expect("a text");
                json!({"answers": {"reponse-juste": level(at, text), "fautes": if at == 2 { json!("na") } else { json!(0.5) }}})
            })
            .await;
        assert_eq!(seen.len(), 30);
    }
    let id = by_sheet["id"].to_string();
    let mut words = vec!["eval", "campaign", "export", &id, "--folder", "sheets"];
    for (_, email, _) in &annotators {
        words.extend(["--annotator", email]);
    }
    let said = stand.guichet(&words);
    assert!(said.code == Some(0) && said.out.matches(": 30 ").count() == 3, "{said:?}");
    let folder = stand.app.folder.path().join("sheets");
    let guide = std::fs::read_to_string(folder.join(format!("campaign-{id}.txt"))).expect("a guide");
    assert!(guide.contains("reponse-juste") && guide.contains("4 (juste et complète)"), "{guide}");
    let mut files = Vec::new();
    for (at, (number, _, _)) in annotators.iter().enumerate() {
        let file = folder.join(format!("campaign-{id}-{number}.csv"));
        let text = std::fs::read_to_string(&file).expect("a sheet");
        assert!(text.contains("'=1+1") && !text.contains("expected"), "no formula, nothing of gold: {text}");
        fill(&file, |_, answer| {
            let faults = if at == 2 { "sans objet" } else { "0,5" };
            vec![
                ("reponse-juste", level(at, answer).to_string()),
                ("fautes", faults.to_owned()),
                ("seconds", "4".to_owned()),
            ]
        });
        files.push(format!("sheets/campaign-{id}-{number}.csv"));
    }
    let mut words = vec!["eval", "campaign", "import", &id];
    words.extend(files.iter().map(String::as_str));
    let said = stand.guichet(&words);
    assert!(said.code == Some(0) && said.out.matches(": 30 prise(s)").count() == 3, "{said:?}");
    let said = stand.guichet(&words);
    assert!(said.code == Some(0) && said.out.matches("30 déjà là").count() == 3, "again, nothing changes: {said:?}");

    let both = [&by_api, &by_sheet];
    let mut found = Vec::new();
    let mut tables = Vec::new();
    for campaign in both {
        let mut agreement = stand.get(campaign, "/agreement").await;
        agreement["campaign_id"].take();
        agreement["annotators"].take();
        // Bounds are of resamples of items, whose ids differ; the figures are not.
        for criterion in agreement["criteria"].as_array_mut().expect("criteria") {
            criterion["alpha"]["interval"].take();
            for bound in ["low", "high", "standard_error"] {
                criterion["fleiss"][bound].take();
            }
        }
        rounded(&mut agreement);
        found.push(agreement);
        let id = campaign["id"].to_string();
        let evidence = stand.guichet(&["eval", "campaign", "export", &id, "--evidence"]);
        assert_eq!(evidence.code, Some(0), "{evidence:?}");
        // A row's unit is itself where it says none.
        let cut = |line: String| -> String {
            line.split(',').enumerate().filter(|(at, _)| *at != 5).map(|(_, cell)| format!("{cell},")).collect()
        };
        tables.push(sorted(&evidence.out).into_iter().map(cut).collect::<Vec<String>>());
        let told = stand.guichet(&["eval", "campaign", "agreement", &id]);
        let told: Value = serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {told:?}"));
        assert_eq!(told, stand.get(campaign, "/agreement").await, "the command says what the route says");
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(tables[0], tables[1]);
    assert_eq!(tables[0].len(), 1 + 20 * 3 * 2);
    let listed = stand.guichet(&["eval", "campaign", "list"]);
    assert!(listed.out.matches("20 / 20").count() == 2, "{listed:?}");
}

async fn what_is_wrong_is_told_by_its_line(backend: Backend) {
    let stand = stand(backend).await;
    let annotators = stand.annotators(2).await;
    let form = json!({"name": "fautes", "grid": "guichet@1", "criteria": ["reponse-juste", "sans-danger"], "rows": rows(12),
        "per_item": 1, "annotators": numbers(&annotators), "organization_id": stand.key.organization_id});
    let campaign = stand.campaign(&form).await;
    let other = stand.campaign(&form).await;
    let id = campaign["id"].to_string();
    let (number, email, key) = &annotators[0];
    // Given out by turns: none gets all.
    let both = ["--annotator", email, "--annotator", &annotators[1].1];
    let said = stand
        .guichet(&[&["eval", "campaign", "export", &id, "--folder", "sheets", "--items", "6"][..], &both].concat());
    assert!(said.code == Some(0) && said.out.matches(": 6 ").count() == 2, "{said:?}");
    let said = stand.guichet(&["eval", "campaign", "export", &id, "--annotator", email, "--annotator", email]);
    assert!(said.code == Some(1) && said.err.contains("--folder"), "{said:?}");
    let said = stand.guichet(&["eval", "campaign", "export", &id, "--annotator", "personne@exemple.org"]);
    assert_eq!(said.code, Some(1), "{said:?}");

    let file = stand.app.folder.path().join(format!("sheets/campaign-{id}-{number}.csv"));
    let table = Table::read(&std::fs::read(&file).expect("a sheet")).expect("a table");
    let place = |name: &str| table.place(name).expect("a column");
    let mut lines = vec![table.header().join(";")];
    let changes: [&[(&str, &str)]; 6] = [
        &[("reponse-juste", "7"), ("sans-danger", "oui")],
        &[("reponse-juste", "3")],
        &[("reponse-juste", "3"), ("sans-danger", "oui"), ("item", "it_ailleurs")],
        &[("reponse-juste", "3"), ("sans-danger", "oui"), ("campaign", &other["id"].to_string())],
        &[("reponse-juste", "passer"), ("sans-danger", "Oui"), ("comment", "appeler le 06 12 34 56 78")],
        &[],
    ];
    for (row, changes) in table.rows().iter().zip(changes) {
        let mut cells: Vec<String> =
            (0..table.header().len()).map(|at| row.cell(at).replace(['\n', ';'], " ")).collect();
        for (column, said) in changes {
            cells[place(column)] = (*said).to_owned();
        }
        lines.push(cells.join(";"));
    }
    lines.push("à;peine;une;ligne".to_owned());
    std::fs::write(&file, lines.join("\n")).expect("a file");
    let import = ["eval", "campaign", "import", &id, &format!("sheets/campaign-{id}-{number}.csv"), "--json"];
    let said = stand.guichet(&import);
    assert_eq!(said.code, Some(1), "somebody must look: {said:?}");
    let told: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let imported = &told["imported"];
    assert_eq!((&imported["taken"], &imported["untouched"]), (&json!(1), &json!(1)), "{told:#}");
    let aside: Vec<(u64, &str)> = imported["set_aside"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| (line["line"].as_u64().unwrap_or(0), line["fr"].as_str().unwrap_or("")))
        .collect();
    let wanted = [(2, "niveaux"), (3, "sans-danger"), (4, "confié"), (5, "autre campagne"), (8, "cellules")];
    assert_eq!(aside.len(), wanted.len(), "{aside:#?}");
    for ((line, words), (wanted, word)) in aside.iter().zip(wanted) {
        assert!(*line == wanted && words.contains(word), "line {wanted}, {word}: {line}, {words}");
    }
    let done = stand.get(&campaign, "/annotations").await;
    let one = &done["data"][0];
    assert_eq!((&done["total"], &one["comment"]), (&json!(1), &json!("appeler le [téléphone]")), "{done}");
    assert_eq!(one["answers"], json!({"reponse-juste": null, "sans-danger": "yes"}));
    // Changed since, it does not count; through the API either.
    let text = std::fs::read_to_string(&file).expect("a sheet").replace(";Oui;", ";non;");
    std::fs::write(&file, text).expect("a file");
    let told: Value = serde_json::from_str(&stand.guichet(&import).out).expect("JSON");
    let aside = told["imported"]["set_aside"].to_string();
    assert!(aside.contains("déjà répondu"), "{told:#}");
    // What a sheet holds is what `next` shows.
    let held = stand.next(&campaign, key).await.expect("an item of the sheet");
    assert!(table.rows().iter().any(|row| row.cell(place("item")) == held["item"]), "{held}");

    // A file that is no sheet, and one of another grid.
    for text in ["", "a;b\n1;2\n", "campaign;annotator;item;skip\n"] {
        std::fs::write(stand.app.folder.path().join("autre.csv"), text).expect("a file");
        let said = stand.guichet(&["eval", "campaign", "import", &id, "autre.csv"]);
        assert_eq!(said.code, Some(1), "{text:?}: {said:?}");
    }
}
