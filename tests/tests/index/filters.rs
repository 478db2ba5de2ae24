//! Filters of every type, alone and together.

use rag::index::{Bound, Filter, Query};
use serde_json::{Value, json};

use crate::index::stand::on_each_index;
use crate::index::stand::{Stand, anything, point, scope, with};

on_each_index!(filters_of_every_type, filters_hold_in_both_lanes_and_hybrid, filters_read_words_as_they_are);

fn eq(key: &str, value: impl Into<Value>) -> Filter {
    Filter::Eq { key: key.into(), value: value.into() }
}

fn starts(key: &str, text: &str) -> Filter {
    Filter::StartsWith { key: key.into(), text: text.into() }
}

fn ends(key: &str, text: &str) -> Filter {
    Filter::EndsWith { key: key.into(), text: text.into() }
}

fn contains(key: &str, text: &str) -> Filter {
    Filter::Contains { key: key.into(), text: text.into() }
}

fn numbers(key: &str, from: Option<f64>, to: Option<f64>) -> Filter {
    Filter::Range { key: key.into(), from: from.map(Bound::Number), to: to.map(Bound::Number) }
}

fn dates(key: &str, from: Option<i64>, to: Option<i64>) -> Filter {
    Filter::Range { key: key.into(), from: from.map(Bound::Date), to: to.map(Bound::Date) }
}

/// Chunks 1, 2, … in collection 1, with this metadata.
async fn filled(stand: &Stand, metadata: impl IntoIterator<Item = Value>) {
    let random = &mut fastrand::Rng::with_seed(1);
    let points: Vec<_> =
        (1..).zip(metadata).map(|(chunk, metadata)| with(point(chunk, 1, chunk, random), metadata)).collect();
    stand.put(&points).await;
}

async fn through(stand: &Stand, filter: &Filter) -> Vec<u64> {
    let scope = scope([1]);
    let mut found = stand.found(Query { filter: Some(filter), ..Query::new(&scope, 100) }, &anything()).await;
    found.sort_unstable();
    found
}

const DAY: i64 = 86_400_000;

async fn filters_of_every_type(stand: Stand) -> Stand {
    filled(
        &stand,
        [
            json!({"titre": "Congés payés", "année": 2024, "public": true, "date": "2024-05-31", "thèmes": ["rh", "paie"]}),
            json!({"titre": "Congé de maternité", "année": 2023, "public": false, "date": "2023-01-01", "thèmes": ["rh"]}),
            json!({"titre": "Télétravail", "année": 2024.5, "public": true, "date": "2024-05-31T12:00:00+02:00"}),
            json!({"titre": "congés payés", "année": "2024", "public": "true", "notes": [3, 12]}),
            json!({"titre": ["Grève", "Congés sans solde"], "année": 9007199254740993_u64, "notes": [40]}),
            json!({}),
        ],
    )
    .await;
    // 2024-05-31 00:00 UTC is day 19874.
    let may = 19_874 * DAY;
    let none: [u64; 0] = [];
    for (filter, expected) in [
        (eq("titre", "Congés payés"), &[1][..]),
        (eq("titre", "Congés"), &none),
        (eq("année", 2024), &[1]),
        (eq("année", 2024.0), &[1]),
        (eq("année", 2024.5), &[3]),
        (eq("année", "2024"), &[4]),
        (eq("année", 9007199254740993_u64), &[5]),
        (eq("année", 9007199254740992_u64), &none),
        (eq("public", true), &[1, 3]),
        (eq("public", "true"), &[4]),
        (eq("thèmes", "paie"), &[1]),
        (eq("thèmes", "rh"), &[1, 2]),
        (eq("inconnue", "x"), &none),
        (eq("titre", json!(null)), &none),
        (eq("titre", json!(["Grève"])), &none),
        (starts("titre", "Congé"), &[1, 2, 5]),
        (starts("titre", "ongé"), &none),
        (starts("titre", ""), &[1, 2, 3, 4, 5]),
        (ends("titre", "payés"), &[1, 4]),
        (ends("titre", "paye"), &none),
        (contains("titre", "é"), &[1, 2, 3, 4, 5]),
        (contains("titre", "onge"), &none),
        (contains("titre", " de "), &[2]),
        (contains("titre", "Grève Congés"), &none),
        (contains("année", "202"), &[4]),
        (numbers("année", Some(2023.5), Some(2024.0)), &[1]),
        (numbers("année", Some(2024.0), None), &[1, 3, 5]),
        (numbers("année", None, Some(2023.0)), &[2]),
        (numbers("notes", Some(10.0), Some(20.0)), &[4]),
        (dates("date", Some(may), Some(may)), &[1]),
        (dates("date", Some(may), Some(may + DAY)), &[1, 3]),
        (dates("date", None, Some(may - 1)), &[2]),
        (dates("date", Some(may + 10 * 3_600_000), Some(may + 10 * 3_600_000)), &[3]),
        (Filter::Range { key: "date".into(), from: None, to: None }, &[1, 2, 3]),
        (Filter::And(vec![eq("public", true), starts("titre", "Télé")]), &[3]),
        (Filter::And(vec![]), &[1, 2, 3, 4, 5, 6]),
        (Filter::Or(vec![eq("public", false), ends("titre", "solde")]), &[2, 5]),
        (Filter::Or(vec![]), &none),
        (
            Filter::And(vec![
                Filter::Or(vec![eq("année", 2023), eq("année", 2024)]),
                Filter::Or(vec![contains("titre", "maternité"), eq("thèmes", "paie")]),
            ]),
            &[1, 2],
        ),
        (Filter::Or(vec![Filter::And(vec![eq("public", true), Filter::Or(vec![])]), eq("année", 2023)]), &[2]),
    ] {
        assert_eq!(through(&stand, &filter).await, expected, "{filter:?}");
    }
    stand
}

async fn filters_hold_in_both_lanes_and_hybrid(stand: Stand) -> Stand {
    let random = &mut fastrand::Rng::with_seed(9);
    let points: Vec<_> = (1..=200)
        .map(|chunk| {
            with(point(chunk, chunk % 2, chunk, random), json!({"parité": chunk % 5, "nom": format!("n{chunk}")}))
        })
        .collect();
    stand.put(&points).await;
    let scope = scope([1]);
    let filter = Filter::And(vec![eq("parité", 3), contains("nom", "3")]);
    let query = Query { filter: Some(&filter), ..Query::new(&scope, 50) };
    let expected: Vec<u64> =
        (1..=200).filter(|chunk| chunk % 2 == 1 && chunk % 5 == 3 && chunk.to_string().contains('3')).collect();
    let words = rag::index::SparseVector { ids: (1..40).collect(), weights: vec![1.0; 39] };
    for lane in [anything(), rag::index::Lane::Sparse(words.clone())] {
        let mut found = stand.found(query, &lane).await;
        found.sort_unstable();
        assert_eq!(found, expected);
    }
    let hybrid = rag::index::Hybrid { dense: vec![1.0; 8], sparse: words, depth: 100, k: 60 };
    let mut found: Vec<u64> = stand
        .index
        .hybrid(&stand.space, query, &hybrid)
        .await
        .expect("an answer")
        .iter()
        .map(|hit| hit.chunk)
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    stand
}

/// Keys and values that mean something to an engine mean nothing here.
async fn filters_read_words_as_they_are(stand: Stand) -> Stand {
    let long = "é".repeat(400);
    let (one, two) = (format!("{long}1"), format!("{long}2"));
    filled(
        &stand,
        [
            json!({"a.b": "x", "a": {"b": "y"}, "long": one}),
            json!({"a[]": "x", "a[0]": "z", "long": two}),
            json!({"\"": "x", "": "vide", "c": "x", "f": "y"}),
            json!({"%_*?": "100 % \\ * ? \u{2}marque\u{3}", "nom\u{1}\"x": "y"}),
        ],
    )
    .await;
    let none: [u64; 0] = [];
    for (filter, expected) in [
        (eq("a.b", "x"), &[1][..]),
        (eq("a.b", "y"), &none),
        (eq("a[]", "x"), &[2]),
        (starts("a[0]", "z"), &[2]),
        (eq("\"", "x"), &[3]),
        (ends("", "ide"), &[3]),
        (eq("c", "x"), &[3]),
        (eq("c", "1"), &none),
        (eq("long", one.as_str()), &[1]),
        (eq("long", two.as_str()), &[2]),
        (eq("long", long.as_str()), &none),
        (starts("long", long.as_str()), &[1, 2]),
        (contains("%_*?", "% \\ *"), &[4]),
        (contains("%_*?", "%marque"), &none),
        (ends("%_*?", "marque"), &[4]),
        (ends("%_*?", "\u{2}marque\u{3}"), &[4]),
        (contains("%_*?", "\u{3}"), &[4]),
        (eq("nom", "x\u{1}\"y"), &none),
    ] {
        assert_eq!(through(&stand, &filter).await, expected, "{filter:?}");
    }
    stand
}
