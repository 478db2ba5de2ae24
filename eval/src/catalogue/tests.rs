use super::*;

fn table(text: &str) -> Table {
    Table::read(text.as_bytes()).unwrap()
}

fn ask(columns: &[(&str, &str)], settings: &[(&str, &str)]) -> Ask {
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Ask { columns: own(columns), settings: own(settings), skip_broken: false }
}

#[test]
fn names_are_unique_and_all_is_said_in_both_languages() {
    let entries = list();
    for (place, entry) in entries.iter().enumerate() {
        assert!(entries[..place].iter().all(|other| other.name != entry.name), "{}", entry.name);
        assert!(!entry.source.is_empty() && !entry.fr.is_empty() && entry.fr != entry.en, "{}", entry.name);
    }
    assert!(entries.len() >= 20, "{}", entries.len());
}

#[test]
fn a_figure_from_a_table() {
    let rows: String = (0..40).map(|i| format!("{},{}\n", i, u8::from(i % 4 != 0))).collect();
    let told =
        run("wilson", &table(&format!("n,juste\n{rows}")), &ask(&[("success", "juste")], &[("level", "0.9")])).unwrap();
    assert_eq!(
        (&told["result"]["estimate"], &told["result"]["level"], &told["rows"]),
        (&json!(0.75), &json!(0.9), &json!(40))
    );
}

#[test]
fn bad_lines_are_all_told_or_set_aside_and_counted() {
    let broken = table("success\n1\npeut-être\n0\n\"\"\n1\n");
    let Err(Failure::Lines(lines)) = run("wilson", &broken, &Ask::default()) else { panic!("it is refused") };
    assert_eq!(lines.iter().map(|line| line.line).collect::<Vec<_>>(), [3, 5]);
    let told = run("wilson", &broken, &Ask { skip_broken: true, ..Ask::default() }).unwrap();
    assert_eq!((&told["rows"], told["set_aside"].as_array().unwrap().len()), (&json!(3), 2));
}

#[test]
fn what_is_not_understood_is_refused() {
    let some = table("success\n1\n0\n");
    for (name, ask) in [
        ("wilson", ask(&[], &[("level", "95")])),
        ("wilson", ask(&[], &[("niveau", "0.9")])),
        ("wilson", ask(&[("success", "juste")], &[])),
        ("wilson", ask(&[("note", "success")], &[])),
        ("wilsom", Ask::default()),
        ("krippendorff-alpha", Ask::default()),
        ("sample-size", Ask::default()),
    ] {
        assert!(matches!(run(name, &some, &ask), Err(Failure::Refused(_))), "{name}");
    }
    let size = run("sample-size", &Table::default(), &ask(&[], &[("difference", "0.5")])).unwrap();
    assert_eq!(size["result"]["n"], 34);
}
