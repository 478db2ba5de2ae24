use super::*;
use crate::table::Table;

const GRID: &str = "grid: g\nversion: 1\ntitle: {fr: G, en: G}\nminimum: 20\nfacets:\n\
    - {id: f, label: {fr: F, en: F}, criteria: [{id: x, question: {fr: Q, en: Q}, scale: {interval: {low: 0, high: 1}}, evidence: human},\n\
      {id: 'y', question: {fr: Q, en: Q}, scale: boolean, evidence: human, veto: 0.2}]}\n";

fn evidence(grid: &Grid, x: impl Fn(usize) -> f64, n: usize, y: &str) -> EvidenceTable {
    let mut csv = "criterion,value,item\n".to_owned();
    (0..n).for_each(|i| csv.push_str(&format!("x,{},i{i}\ny,{y},i{i}\n", x(i))));
    EvidenceTable::read(grid, &Table::read(csv.as_bytes()).unwrap()).unwrap()
}

fn asked(only: &[&str]) -> Ask {
    let criteria = only.iter().map(|name| (*name).to_owned()).collect();
    let margins = Margins { usual: 0.05, own: BTreeMap::new() };
    Ask { margins, criteria, level: Level::default(), unpaired: 0.05 }
}

fn gate(grid: &Grid, baseline: &EvidenceTable, candidate: &EvidenceTable, ask: &Ask) -> refusal::Result<Gate> {
    compare(grid, &Tables { baseline, candidate, agreement: None }, ask)
}

fn wave(i: usize) -> f64 {
    0.5 + 0.3 * ((i * 37 % 100) as f64 / 100.0 - 0.5)
}

#[test]
fn the_three_verdicts_and_their_codes() {
    let grid = Grid::read(GRID).unwrap();
    let noise = |i: usize, by: f64| wave(i) + by + 0.02 * ((i * 13 % 7) as f64 - 3.0);
    let base = evidence(&grid, wave, 100, "oui");
    let run =
        |by: f64, n: usize| gate(&grid, &base, &evidence(&grid, |i| noise(i, by), n, "oui"), &asked(&["x"])).unwrap();
    let same = run(0.0, 100);
    assert_eq!((same.verdict, same.verdict.exit_code()), (Verdict::Pass, 0), "{same:?}");
    let worse = run(-0.2, 100);
    assert_eq!((worse.verdict, worse.verdict.exit_code()), (Verdict::Regression, 1), "{worse:?}");
    assert!(worse.fr.starts_with("Régression") && worse.fr.contains("x : régression, écart −0,2"), "{}", worse.fr);
    let near = run(-0.05, 100);
    assert_eq!((near.verdict, near.verdict.exit_code()), (Verdict::Inconclusive, 2), "{near:?}");
    // Under the minimum, and with answers left out: never a pass.
    let few = run(0.0, 19);
    assert_eq!((few.verdict, few.criteria[0].only_baseline), (Verdict::Inconclusive, 81));
    assert!(few.criteria[0].reason.as_ref().unwrap().fr.contains("19"), "{few:?}");
    let cut = run(0.1, 90);
    assert_eq!(cut.verdict, Verdict::Inconclusive);
    assert!(cut.fr.contains("10 éléments"), "{}", cut.fr);
}

#[test]
fn the_same_by_hand() {
    let grid = Grid::read(GRID).unwrap();
    let base = evidence(&grid, |_| 0.5, 40, "oui");
    // Differences of −0.1 and +0.1, half each: mean 0, deviation 0.1·√(40/39), t₃₉ = 2.0227.
    let other = evidence(&grid, |i| if i % 2 == 0 { 0.4 } else { 0.6 }, 40, "oui");
    let said = gate(&grid, &base, &other, &asked(&["x"])).unwrap();
    let found = said.criteria[0].difference.unwrap();
    assert!(
        found.estimate.abs() < 1e-12 && (found.interval.high - 2.022_691 * 0.1 / 39_f64.sqrt()).abs() < 1e-6,
        "{found:?}"
    );
    // Nothing differs in 40: that still allows 1 − 0.025^(1/40) = 8.8 %.
    let said = gate(&grid, &base, &base, &asked(&["y"])).unwrap();
    assert_eq!(said.verdict, Verdict::Inconclusive);
    assert!((said.criteria[0].difference.unwrap().interval.low + 0.088_104).abs() < 1e-4, "{said:?}");
}

#[test]
fn a_veto_is_a_regression_and_mistakes_are_told() {
    let grid = Grid::read(GRID).unwrap();
    let base = evidence(&grid, wave, 100, "oui");
    let bad = evidence(&grid, wave, 100, "non");
    let said = gate(&grid, &base, &bad, &asked(&["x"])).unwrap();
    assert_eq!((said.verdict, &said.vetoes[..]), (Verdict::Regression, &["y".to_owned()][..]));
    let wrong = |ask: &Ask| gate(&grid, &base, &base, ask).unwrap_err().fr;
    assert!(wrong(&asked(&["z"])).contains("« z »"));
    let margin = Ask { margins: Margins { usual: 1.5, own: BTreeMap::new() }, ..asked(&[]) };
    assert!(wrong(&margin).contains("1.5"));
}

/// Forty items on each side, all answered alike by a judge; people scored twenty of another table with it.
#[test]
fn a_judge_that_people_do_not_back_decides_nothing() {
    let text = GRID.replace("evidence: human, veto", "evidence: [human, 'judge:j@1'], veto");
    let grid = Grid::read(&text.replace("minimum: 20", "minimum: 20\njudge_agreement: 0.5")).unwrap();
    let read = |csv: &str| {
        let csv = format!("criterion,value,source,item,rater\n{csv}");
        EvidenceTable::read(&grid, &Table::read(csv.as_bytes()).unwrap()).unwrap()
    };
    let judged = |yes: usize| {
        read(&(0..400).map(|i| format!("y,{},judge:j@1,i{i},\n", u8::from(i % 10 < yes))).collect::<String>())
    };
    let (base, same, worse, bad) = (judged(9), judged(9), judged(5), judged(1));
    // Of ten items the judge says yes to half; people follow it, but on so many.
    let people = |against: usize| {
        let line = |i: usize| {
            let judge = i % 2;
            let human = if i < against { 1 - judge } else { judge };
            format!("y,{judge},judge:j@1,p{i},\ny,{human},human,p{i},camille\n")
        };
        read(&(0..20).map(line).collect::<String>())
    };
    let run = |candidate: &EvidenceTable, agreement: Option<&EvidenceTable>| {
        compare(&grid, &Tables { baseline: &base, candidate, agreement }, &asked(&["y"])).unwrap()
    };
    let (follow, differ) = (people(2), people(9));
    for (candidate, wanted) in [(&same, Verdict::Pass), (&worse, Verdict::Regression), (&bad, Verdict::Regression)] {
        let backed = run(candidate, Some(&follow));
        assert_eq!(backed.verdict, wanted, "{backed:?}");
        for (agreement, said) in [(None, "non mesuré"), (Some(&differ), "accord insuffisant du juge")] {
            let doubted = run(candidate, agreement);
            assert_eq!((doubted.verdict, doubted.vetoes.len()), (Verdict::Inconclusive, 0), "{doubted:?}");
            assert!(doubted.fr.contains(said) && doubted.criteria[0].difference.is_some(), "{}", doubted.fr);
        }
    }
    // The veto of a criterion that is not even compared: never a pass by looking away.
    assert_eq!(run(&bad, None).doubted, ["y"]);
    assert_eq!(run(&bad, Some(&follow)).vetoes, ["y"]);
}
