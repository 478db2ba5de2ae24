//! Datasets in and out of files.

use serde_json::json;

use super::{folder, guichet};

#[test]
fn a_dataset_goes_round_all_formats_and_keeps_its_hash() {
    let lines = "{\"id\":\"a\",\"question\":\"Qui, « toi » ?\",\"reference\":\"Moi\\nnon\",\"passages\":[\"p\",\"q\"],\"cluster\":\"u\",\"fields\":{\"theme\":\"état civil\"}}\n\
                 pas du JSON\n{\"id\":\"b\",\"question\":\"R ?\"}\n";
    let folder = folder(&[("d.jsonl", lines)]);
    let import = |from: &str, to: &str| {
        let said = guichet(folder.path(), &["dataset", "import", from, "--output", to]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.json()
    };
    let first = import("d.jsonl", "one.csv");
    assert_eq!((&first["items"], &first["set_aside"][0]["line"]), (&json!(2), &json!(2)), "{first}");
    let mut hashes = vec![first["hash"].clone()];
    for (from, to) in [("one.csv", "two.parquet"), ("two.parquet", "three.jsonl"), ("three.jsonl", "four.csv")] {
        let read = import(from, to);
        assert_eq!(read["set_aside"], json!([]), "{from}: {read}");
        hashes.push(read["hash"].clone());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn evalap_s_columns_and_compar_ia_s_votes_are_read() {
    let votes = "conversation_pair_id,visitor_id,model_a_name,model_b_name,chosen_model_name,both_equal\n\
                 c1,v1,a,b,a,false\nc2,v1,a,b,,true\nc3,v2,a,b,b,false\nc4,v2,a,b,,false\n";
    let folder = folder(&[("e.csv", "query,output_true\nQui ?,Moi\n"), ("v.csv", votes)]);
    let read = guichet(folder.path(), &["dataset", "import", "e.csv", "--output", "e.jsonl"]).json();
    assert_eq!(read["items"], 1, "{read}");
    let text = std::fs::read_to_string(folder.path().join("e.jsonl")).expect("a file");
    assert!(text.contains("\"question\":\"Qui ?\"") && text.contains("\"reference\":\"Moi\""), "{text}");
    let said = guichet(folder.path(), &["dataset", "votes", "v.csv", "--output", "duels.csv"]).json();
    assert_eq!((&said["votes"], &said["set_aside"][0]["line"]), (&json!(3), &json!(5)), "{said}");
    let duels = std::fs::read_to_string(folder.path().join("duels.csv")).expect("a file");
    assert!(duels.starts_with("first,second,winner,cluster,item\na,b,first,v1,c1\na,b,tie,v1,c2\n"), "{duels}");
}

/// docs/evaluating.md: each command it shows runs.
#[test]
fn every_command_of_the_page_runs() {
    let page = include_str!("../../../docs/evaluating.md");
    let folder = folder(&[
        ("questions.csv", "id,question\na,Q ?\n"),
        ("votes.csv", "model_a_name,model_b_name,chosen_model_name\na,b,a\n"),
    ]);
    let shown = page.split("```console\n").skip(1).filter_map(|rest| rest.split("\n```").next()).flat_map(str::lines);
    let commands: Vec<&str> = shown.collect();
    assert_eq!(commands.len(), 2, "{commands:#?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().skip(3).collect();
        let said = guichet(folder.path(), &words);
        assert_eq!(said.code, Some(0), "{command}: {}", said.err);
    }
}
