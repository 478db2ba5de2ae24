use super::*;
use crate::grid::GUICHET_1;
use crate::random::Random;

const GRID: &str = "grid: g\nversion: 1\ntitle: {fr: G <b>, en: G}\nminimum: 8\nfacets:\n\
    - {id: f, label: {fr: F, en: F}, criteria: [{id: x, question: {fr: Q, en: Q}, scale: boolean, evidence: [human, 'judge:judge-criterion@1']},\n\
      {id: 'y', question: {fr: Q2, en: Q}, scale: boolean, evidence: human}]}\n\
    - {id: h, label: {fr: H, en: H}, criteria: [{id: z, question: {fr: Q3, en: Q}, scale: boolean, evidence: human}]}\n";

fn made(evidence: &str, no_end_users: bool, threshold: Option<f64>) -> Report {
    let grid = Grid::read(GRID).unwrap();
    let evidence = EvidenceTable::read(&grid, &Table::read(evidence.as_bytes()).unwrap()).unwrap();
    Report::new(sources(&grid, &evidence, no_end_users, threshold)).unwrap()
}

fn sources<'a>(grid: &'a Grid, evidence: &'a EvidenceTable, no_end_users: bool, threshold: Option<f64>) -> Sources<'a> {
    Sources {
        grid,
        evidence,
        duels: None,
        usage: None,
        level: Level::default(),
        threshold,
        product: None,
        no_end_users,
        provenance: Provenance::default(),
    }
}

/// x over `users` users, y and z over 60.
fn evidence(users: usize) -> String {
    let mut csv = "criterion,value,source,item,cluster\n".to_owned();
    (0..60).for_each(|i| csv.push_str(&format!("x,{},human,i{i},u{}\n", i % 3 / 2, i % users)));
    (0..60).for_each(|i| csv.push_str(&format!("y,{},human,i{i},v{i}\nz,{},human,i{i},v{i}\n", i % 2, i % 4 / 2)));
    csv
}

#[test]
fn fewer_than_ten_users_are_hidden_with_what_gives_them_away() {
    let report = made(&evidence(9), false, None);
    let facet = &report.scored.profile[0];
    assert!(facet.criteria[0].score.is_none() && facet.criteria[1].score.is_some(), "{facet:?}");
    // x = 2 · facet − y: the facet goes too, and the total over one hidden facet.
    assert!(facet.score.is_none() && matches!(report.scored.total, crate::grid::Total::Inconclusive), "{facet:?}");
    assert!(report.decision.weights.is_empty() && report.hidden >= 4, "{}", report.hidden);
    assert!(report.distributions.iter().all(|one| one.criterion != "x"));
    let json = serde_json::to_string(&report).unwrap();
    let whole = made(&evidence(9), true, None);
    let secret = whole.scored.profile[0].criteria[0].score.unwrap().interval.low.to_string();
    for text in [&json, &report.html(), &report.markdown(), &String::from_utf8(report.csv().unwrap()).unwrap()] {
        assert!(!text.contains(&secret), "{secret}");
    }
    // Ten users, or items that nobody sent: all is there.
    for report in [made(&evidence(10), false, None), whole] {
        assert!(report.scored.profile[0].criteria[0].score.is_some() && report.scored.profile[0].score.is_some());
    }
}

#[test]
fn small_slices_are_folded_until_ten_users_are_behind_each() {
    let mut csv = "criterion,value,source,item\n".to_owned();
    (0..60).for_each(|i| csv.push_str(&format!("x,{},human,i{i}\n", u8::from(i < 57))));
    let shown = |report: &Report| report.distributions[0].slices.iter().map(|slice| slice.answers).collect::<Vec<_>>();
    assert_eq!(shown(&made(&csv, true, None)), [3, 57]);
    assert_eq!(shown(&made(&csv, false, None)), [60]);
}

#[test]
fn usage_hides_small_cells_refuses_agents_and_tells_what_is_not_measurable() {
    let read = |text: &str| Usage::read(&Table::read(text.as_bytes()).unwrap());
    let usage = read(
        "indicator,month,value,users\nmonthly-active-users,2026-05,120,\nmonthly-active-users,2026-03,9,\n\
                      monthly-active-users,2026-04,,\nsatisfaction,2026-05,4.2,3\n",
    )
    .unwrap();
    let told: Vec<String> = usage
        .six_months("monthly-active-users")
        .iter()
        .map(|month| format!("{} {}", month.month, month.value.words()))
        .collect();
    assert_eq!(
        told[2..],
        ["2026-02 non mesurable", "2026-03 moins de 10 usagers", "2026-04 non mesurable", "2026-05 120"]
    );
    assert_eq!((told[0].as_str(), told.len(), usage.hidden), ("2025-12 non mesurable", 6, 2));
    assert_eq!(usage.indicators["satisfaction"][0].value, usage::Value::Hidden);
    assert!(read("indicator,month,value,agent\n").unwrap_err().fr.contains("rapport par agent"));
    for wrong in ["a,2026-13,1\n", "a,2026-01,beaucoup\n", "a,2026-01,1\na,2026-01,2\n"] {
        assert!(read(&format!("indicator,month,value\n{wrong}")).unwrap_err().fr.contains("ligne"), "{wrong}");
    }
}

#[test]
fn the_sheet_says_go_no_go_or_what_is_missing() {
    let grid = Grid::read(GRID).unwrap();
    let evidence = EvidenceTable::read(&grid, &Table::read(evidence(60).as_bytes()).unwrap()).unwrap();
    let usage = Table::read(b"indicator,month,value\nmonthly-active-users,2026-05,120\nreturn,2026-05,\n").unwrap();
    let verdict = |threshold: f64, targets: &[(&str, f64)]| {
        let targets = targets.iter().map(|(name, target)| ((*name).to_owned(), *target)).collect();
        let product = Some(product::Ask { name: "Assistant".to_owned(), targets });
        let made =
            Report::new(Sources { product, usage: Some(&usage), ..sources(&grid, &evidence, true, Some(threshold)) });
        let product = made.unwrap().product.unwrap();
        (product.verdict, product.conditions.iter().map(|one| one.met).collect::<Vec<_>>())
    };
    use product::Verdict::{Go, NoGo, Undecided};
    assert_eq!(verdict(0.2, &[("monthly-active-users", 100.0)]), (Go, vec![Some(true); 3]));
    assert_eq!(verdict(0.2, &[("monthly-active-users", 200.0)]).0, NoGo);
    assert_eq!(verdict(0.9, &[]).0, NoGo);
    assert_eq!(verdict(0.45, &[]), (Undecided, vec![Some(true), None]));
    assert_eq!(verdict(0.2, &[("return", 0.5)]), (Undecided, vec![Some(true), Some(true), None]));
}

#[test]
fn what_would_change_the_decision_is_computed() {
    // z = 1/2, x = 1/3, y = 1/2: facets 5/12 and 1/2, total 11/24.
    let report = made(&evidence(60), true, Some(0.44));
    assert_eq!(report.decision.standing, decision::Standing::Inconclusive);
    let weights: Vec<_> =
        report.decision.weights.iter().map(|one| (one.without.unwrap(), one.doubled.unwrap())).collect();
    let close = |got: f64, wanted: f64| assert!((got - wanted).abs() < 1e-9, "{got} {wanted}");
    close(weights[0].0, 0.5);
    close(weights[0].1, (2.0 * 5.0 / 12.0 + 0.5) / 3.0);
    let said = report.decision.changes.join("\n");
    assert!(said.contains("contient le seuil 0,44") && said.contains("dépend des poids choisis"), "{said}");
}

#[test]
fn the_page_is_whole_accessible_and_lets_no_markup_in() {
    let grid = Grid::read(GUICHET_1).unwrap();
    let mut random = Random::new(3);
    let mut csv = "criterion,value,source,item\n".to_owned();
    for i in 0..80 {
        csv.push_str(&format!("clair,{},human,i{i}\nsans-danger,1,human,i{i}\n", 1 + random.below(4)));
    }
    let evidence = EvidenceTable::read(&grid, &Table::read(csv.as_bytes()).unwrap()).unwrap();
    let duels = Table::read(b"first,second,winner\na,<script>alert(1)</script>,first\n").unwrap();
    let provenance = Provenance { program: "guichet \"1\"".to_owned(), ..Provenance::default() };
    let made =
        Report::new(Sources { duels: Some(&duels), provenance, ..sources(&grid, &evidence, true, None) }).unwrap();
    let html = made.html();
    for outside in ["<script", "src=", "http://", "https://", "@import", "url("] {
        let left = html.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "");
        assert!(!left.contains(outside), "{outside}");
    }
    let count = |what: &str| html.matches(what).count();
    assert_eq!((count("<h1>"), count("<html lang=\"fr\">"), count("<main")), (1, 1, 1));
    assert_eq!(count("<svg "), count("role=\"img\""));
    assert_eq!(count("<table>"), count("<caption>"));
    assert_eq!(count("<section "), count("<h2 "));
    assert!(count("scope=\"row\"") > 40 && html.contains("Pas de classement"), "{html}");
    let profile = html.find("Profil par pan</h2>").unwrap();
    assert!(profile < html.find("Note d’ensemble</h2>").unwrap(), "profile first, total second");
    assert!(made.markdown().contains("## Profil par pan") && !made.markdown().contains("<script"));
    // Same sources, same page.
    assert_eq!(html, made.html());
}

/// x by a judge whom nobody vouches for, all of it yes; y and z by people, half of them.
#[test]
fn nothing_is_decided_on_a_judge_alone() {
    let judged: String =
        (0..60).map(|i| format!("x,{},judge:judge-criterion@1,i{i}\n", u8::from(i % 20 != 0))).collect();
    let people: String = (0..60).map(|i| format!("y,{},human,i{i}\nz,{},human,i{i}\n", i % 2, i % 2)).collect();
    let grid = Grid::read(GRID).unwrap();
    let csv = format!("criterion,value,source,item\n{judged}{people}");
    let evidence = EvidenceTable::read(&grid, &Table::read(csv.as_bytes()).unwrap()).unwrap();
    let made = |threshold: f64| {
        let product = Some(product::Ask { name: "Assistant".to_owned(), ..product::Ask::default() });
        Report::new(Sources { product, ..sources(&grid, &evidence, true, Some(threshold)) }).unwrap()
    };
    // 0.61 with the judge, 0.5 without: over 0.45 for sure only with it.
    let rests = made(0.45);
    assert_eq!(rests.decision.standing, decision::Standing::Doubted, "{:?}", rests.scored.total);
    let product = rests.product.as_ref().unwrap();
    assert_eq!((product.verdict, product.conditions[1].met), (product::Verdict::Undecided, None));
    for text in [rests.html(), rests.markdown()] {
        for said in ["sous réserve", "accord du juge avec les personnes non mesuré", "n’est pas établi"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
    assert!(String::from_utf8(rests.csv().unwrap()).unwrap().contains("non mesuré"));
    // Over 0.2 either way: said, and decided.
    let sure = made(0.2);
    assert_eq!(sure.decision.standing, decision::Standing::Reached);
    assert!(sure.decision.changes[0].contains("« x »") && sure.decision.changes[0].contains("serait la même"));
    assert_eq!(sure.product.unwrap().verdict, product::Verdict::Go);
}
