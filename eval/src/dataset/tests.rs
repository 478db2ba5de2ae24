use super::*;
use proptest::prelude::*;

fn import(text: &str, format: Format) -> Imported {
    Dataset::import(text.as_bytes(), format, &Columns::default()).unwrap()
}

#[test]
fn lines_that_are_no_items_are_kept_aside_with_their_number() {
    let read = import(
        "{\"id\":\"a\",\"question\":\"Q\",\"n\":3}\n\npas du JSON\n[1]\n{\"id\":\"b\"}\n{\"id\":\"a\",\"question\":\"R\"}\n",
        Format::Jsonl,
    );
    assert_eq!(read.broken.iter().map(|one| one.line).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert!(read.broken[2].fr.contains("question") && read.broken[3].fr.contains("« a »"));
    assert_eq!((read.dataset.items.len(), read.dataset.items[0].fields["n"].as_str()), (1, "3"));
    let read = import("id;question\na;Q\nb\n", Format::Csv);
    assert_eq!((read.dataset.items.len(), read.broken[0].line), (1, 3));
}

#[test]
fn a_file_that_gives_nothing_is_refused_with_its_first_reason() {
    let why = |text: &str| Dataset::import(text.as_bytes(), Format::Jsonl, &Columns::default()).unwrap_err().fr;
    let said = why("{\"demande\":\"Q\"}\n[1]\n");
    assert!(said.contains("ligne 1") && said.contains("(question, query, opening_msg, prompt)"), "{said}");
    assert_eq!(why("\n"), "il n’y a aucune ligne");
    let said = Votes::import(b"model_a_name,model_b_name\nm1,m1\n", Format::Csv).unwrap_err().fr;
    assert!(said.contains("un vote") && said.contains("contre lui-même"), "{said}");
}

#[test]
fn evalap_s_columns_and_one_s_own_are_read() {
    let read = import("query,output_true,theme\nQui ?,Moi,état civil\n", Format::Csv);
    let item = &read.dataset.items[0];
    assert_eq!((item.question.as_str(), item.reference.as_deref(), item.id.as_str()), ("Qui ?", Some("Moi"), "l2"));
    assert_eq!(item.fields["theme"], "état civil");
    let own = Columns([("question".to_owned(), "demande".to_owned())].into());
    let read = Dataset::import(b"demande\nQ\n", Format::Csv, &own).unwrap();
    assert_eq!(read.dataset.items[0].question, "Q");
    let wrong = Columns([("quoi".to_owned(), "demande".to_owned())].into());
    assert!(Dataset::import(b"demande\nQ\n", Format::Csv, &wrong).unwrap_err().fr.contains("« quoi »"));
}

#[test]
fn compar_ia_s_votes_become_duels() {
    let text = "model_a_name\tmodel_b_name\tchosen_model_name\tboth_equal\tconversation_pair_id\tvisitor_id\topening_msg\n\
                m1\tm2\tm1\tFalse\tc1\tv1\tBonjour\nm1\tm2\tm2\tFalse\tc2\tv1\tQ\nm2\tm1\t\tTrue\tc3\t\tQ\nm1\tm2\t\tFalse\tc4\tv2\tQ\nm1\tm1\tm1\tFalse\tc5\tv2\tQ\n";
    let read = Votes::import(text.as_bytes(), Format::Csv).unwrap();
    let told: Vec<(&str, &str)> = read.votes.iter().map(|vote| (vote.winner, vote.cluster.as_str())).collect();
    assert_eq!(told, [("first", "v1"), ("second", "v1"), ("tie", "c3")]);
    assert_eq!(read.broken.iter().map(|one| one.line).collect::<Vec<_>>(), [5, 6]);
    let items = import(text, Format::Csv).dataset.items;
    assert_eq!((items.len(), items[0].question.as_str(), items[0].id.as_str()), (5, "Bonjour", "c1"));
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_again(
        questions in prop::collection::vec(("[^\\s\\x00-\\x1f][ -~éà«»,;\"\n]{0,20}", prop::option::of("[a-zé;,\"]{1,9}"), prop::collection::vec("[ -~]{0,9}", 0..3)), 1..8)
    ) {
        let items = questions.into_iter().enumerate().map(|(place, (question, reference, passages))| Item {
            id: format!("i{place}"),
            question,
            cluster: reference.clone(),
            fields: reference.iter().map(|text| ("thème".to_owned(), text.clone())).collect(),
            reference,
            passages,
        });
        let dataset = Dataset { items: items.collect() };
        for format in [Format::Jsonl, Format::Csv, #[cfg(feature = "parquet")] Format::Parquet] {
            let read = Dataset::import(&dataset.export(format).unwrap(), format, &Columns::default()).unwrap();
            prop_assert_eq!(&read.dataset, &dataset, "{:?} {:?}", format, read.broken);
            prop_assert_eq!(read.dataset.hash(), dataset.hash());
        }
    }
}
