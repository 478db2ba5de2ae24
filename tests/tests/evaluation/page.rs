//! docs/evaluation.md: each command it shows runs, on the grid it shows.

use crate::evaluation::{folder, guichet};

const PAGE: &str = include_str!("../../../docs/evaluation.md");

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// Sixty answers to twenty users, three raters of thirty items, duels of three models, evidence of the page's grid.
fn files() -> [(&'static str, String); 5] {
    let answers: String = (0..60).map(|i| format!("u{},{},{}\n", i / 3, i % 7, u8::from(i % 4 != 0))).collect();
    let ratings: String = (0..30)
        .flat_map(|i| {
            (0..3).map(move |r| {
                format!("i{i},r{r},{}\n", if (i + r) % 5 == 0 { "" } else { ["1", "2", "3"][(i + r / 2) % 3] })
            })
        })
        .collect();
    let duels: String = (0..90)
        .map(|i| {
            let (first, second) = [("a", "b"), ("b", "c"), ("c", "a")][i % 3];
            format!("{first},{second},{}\n", ["first", "second", "tie", "first"][(i / 3) % 4])
        })
        .collect();
    let evidence: String = (0..40)
        .flat_map(|i| {
            let human = if i < 20 { format!("juste,{},human,i{i},r1\n", u8::from(i % 5 != 0)) } else { String::new() };
            let ton = format!("ton,{},human,i{i},r1\n", 1 + (i * 7) % 3);
            [format!("juste,{},judge:judge-criterion@1,i{i},\n", u8::from(i % 6 != 0)), human, ton]
        })
        .collect();
    [
        ("answers.csv", format!("user,score,right\n{answers}")),
        ("ratings.csv", format!("item,rater,label\n{ratings}")),
        ("duels.csv", format!("first,second,winner\n{duels}")),
        ("evidence.csv", format!("criterion,value,source,item,rater\n{evidence}")),
        ("grid.yaml", blocks("yaml")[0].to_owned()),
    ]
}

#[test]
fn every_command_of_the_page_runs() {
    let files = files();
    let folder = folder(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let commands: Vec<&str> = blocks("console").into_iter().flat_map(str::lines).collect();
    assert!(commands.len() >= 11, "{commands:#?}");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[..3], ["$", "guichet", "eval"], "{command}");
        let said = guichet(folder.path(), &words[3..]);
        assert_eq!(said.code, Some(0), "{command}: {}", said.err);
        assert!(!said.out.trim().is_empty(), "{command} says nothing");
    }
}

/// Each statistic has its line among the explanations.
#[test]
fn every_statistic_is_explained() {
    for entry in eval::catalogue::list() {
        assert!(PAGE.contains(&format!("`{}`", entry.name)), "{} is not explained", entry.name);
    }
}
