use super::*;
use crate::random::Random;
use crate::stats::Level;
use crate::table::Table;

fn grid(facets: &str) -> Grid {
    Grid::read(&text(facets)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn text(facets: &str) -> String {
    format!("grid: essai\nversion: 1\ntitle: {{fr: Essai, en: Trial}}\nminimum: 10\nfacets:\n{facets}")
}

/// A facet of one criterion.
fn facet(id: &str, weight: f64, criterion: &str) -> String {
    format!(
        "- {{id: {id}, label: {{fr: A, en: B}}, weight: {weight}, criteria: [{{question: {{fr: Q, en: Q}}, {criterion}}}]}}\n"
    )
}

fn score(grid: &Grid, csv: &str) -> Report {
    let evidence = EvidenceTable::read(grid, &Table::read(csv.as_bytes()).unwrap()).unwrap();
    grid.score(&evidence, Level::default())
}

fn yes(criterion: &str, source: &str, items: std::ops::Range<u32>, good: impl Fn(u32) -> bool) -> String {
    items.map(|i| format!("{criterion},{source},i{i},{}\n", u8::from(good(i)))).collect()
}

const HEADER: &str = "criterion,source,item,value\n";

#[test]
fn the_shipped_grid_is_sound_and_its_hash_is_of_what_it_says() {
    let grid = Grid::read(GUICHET_1).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(grid.facets.len(), 11);
    assert!(grid.about.fr.contains("remplaçable"));
    let commented = GUICHET_1.replace("minimum: 30\n", "# un commentaire\nminimum:   30\n");
    assert_eq!(Grid::read(&commented).unwrap().hash, grid.hash);
    let changed = GUICHET_1.replace("weight: 20\n", "weight: 21\n");
    assert_ne!(Grid::read(&changed).unwrap().hash, grid.hash);
    assert_eq!(grid.hash.len(), 64);
}

#[test]
fn all_problems_are_told_at_once_each_with_its_path() {
    let facets = r"
- {id: a, label: {fr: A, en: A}, weight: 0, references: [b]}
- {id: b, label: {fr: B, en: B}, references: [c]}
- {id: c, label: {fr: C, en: C}, references: [a, d]}
- id: a
  label: {fr: A}
  criteria:
  - {id: x, question: {fr: Q, en: Q}, scale: stars, evidence: [human]}
  - {id: x, question: {fr: Q, en: Q}, scale: boolean, evidence: ['auto:magie', 'judge:sans-version'], veto: 80, poids: 1}
  - {id: y, question: {fr: Q, en: Q}, scale: {ordinal: [{value: 2, fr: a, en: a}, {value: 1, fr: b, en: b}]}, evidence: human}
  - {id: z, question: {fr: Q, en: Q}, scale: {nominal: {a: 1}}, evidence: [human, attestation]}
  - {id: w, question: {fr: Q, en: Q}, scale: {severity: {worst: 10}}, direction: higher, evidence: [human]}
- {id: vide, label: {fr: V, en: V}}
";
    let problems = Grid::read(&text(facets)).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    for path in [
        "facets[0].weight",
        "facets[2].references[1]",
        "facets[3].id",
        "facets[3].label.en",
        "facets[3].criteria[0].scale",
        "facets[3].criteria[1].id",
        "facets[3].criteria[1].evidence[0]",
        "facets[3].criteria[1].evidence[1]",
        "facets[3].criteria[1].veto",
        "facets[3].criteria[1].poids",
        "facets[3].criteria[2].scale.ordinal[1].value",
        "facets[3].criteria[3].scale.nominal",
        "facets[3].criteria[3].evidence",
        "facets[3].criteria[4].direction",
        "facets[4].criteria",
    ] {
        assert!(paths.contains(&path), "{path} is not in {paths:#?}");
    }
    let round = problems.iter().find(|problem| problem.message.fr.contains("tournent en rond")).expect("the cycle");
    assert!(round.message.fr.contains("a → b → c → a") && round.path == "facets[2].references[0]", "{round}");
    assert!(problems.iter().all(|problem| !problem.remedy.fr.is_empty() && !problem.remedy.en.is_empty()));
    assert!(Grid::read("facets: [").unwrap_err()[0].message.fr.contains("YAML"));
    assert!(!Grid::read("- 1").unwrap_err().is_empty() && !Grid::read("").unwrap_err().is_empty());
}

#[test]
fn a_share_has_wilsons_interval_and_all_yes_is_not_certainty() {
    let grid = grid(&facet("f", 1.0, "id: c, scale: boolean, evidence: [human]"));
    let report = score(&grid, &format!("{HEADER}{}", yes("c", "human", 0..100, |i| i < 80)));
    let got = &report.profile[0].criteria[0];
    let wanted = crate::stats::proportion::wilson(80, 100, Level::default()).unwrap().interval;
    let interval = got.score.unwrap().interval;
    assert!((interval.low - wanted.low).abs() < 0.005 && (interval.high - wanted.high).abs() < 0.005, "{interval:?}");
    let sure = score(&grid, &format!("{HEADER}{}", yes("c", "human", 0..20, |_| true)));
    let (facet, Total::Given { score: total, .. }) = (&sure.profile[0], &sure.total) else {
        panic!("{:?}", sure.total)
    };
    assert!(facet.criteria[0].score.unwrap().interval.low < 0.85 && total.interval.low < 0.85, "{total:?}");
}

#[test]
fn not_applicable_leaves_the_denominator_and_missing_is_coverage() {
    let two = facet("f", 1.0, "id: c, scale: boolean, evidence: [human]")
        + &facet("g", 3.0, "id: d, scale: boolean, evidence: [human]");
    let grid = grid(&two);
    let mut csv = format!("{HEADER}{}", yes("c", "human", 0..40, |i| i % 2 == 0));
    csv.push_str(&yes("d", "human", 0..20, |i| i % 4 != 0));
    (20..30).for_each(|i| csv.push_str(&format!("d,human,i{i},na\n")));
    (30..35).for_each(|i| csv.push_str(&format!("d,human,i{i},\n")));
    let report = score(&grid, &csv);
    let d = &report.profile[1].criteria[0];
    assert_eq!((d.n, d.not_applicable, d.missing), (20, 10, 10));
    assert!((d.coverage.unwrap() - 20.0 / 30.0).abs() < 1e-12 && (d.score.unwrap().estimate - 0.75).abs() < 1e-12);
    let Total::Given { score: total, weight_covered, .. } = report.total else { panic!("{:?}", report.total) };
    assert!((total.estimate - (0.5 + 3.0 * 0.75) / 4.0).abs() < 1e-12 && (weight_covered - 1.0).abs() < 1e-12);
    // All « sans objet »: as if the criterion were not there. Never asked: shown, neither zero nor dropped.
    let without = score(&grid, &format!("{HEADER}{}d,human,i1,sans objet\n", yes("c", "human", 0..40, |i| i % 2 == 0)));
    let Total::Given { score: total, weight_covered, if_missing } = without.total else { panic!("a total") };
    assert_eq!((total.estimate, weight_covered, if_missing), (0.5, 1.0, (0.5, 0.5)));
    let missing = score(&grid, &format!("{HEADER}{}", yes("c", "human", 0..40, |i| i % 2 == 0)));
    let Total::Given { score: total, weight_covered, if_missing } = missing.total else { panic!("a total") };
    assert_eq!((total.estimate, weight_covered, if_missing), (0.5, 0.25, (0.125, 0.875)));
    assert_eq!(missing.profile[1].state, State::Missing);
}

#[test]
fn too_few_is_inconclusive_and_a_veto_blocks() {
    let two = facet("f", 1.0, "id: c, scale: boolean, evidence: [human], veto: 0.7")
        + &facet("g", 1.0, "id: d, scale: boolean, evidence: [human]");
    let grid = grid(&two);
    let d = yes("d", "human", 0..50, |i| i % 2 == 0);
    // 80 % of 20 is under the threshold by its lower bound, of 400 it is not.
    let total = |csv: String| score(&grid, &format!("{HEADER}{csv}{d}"));
    let fired = total(yes("c", "human", 0..20, |i| i % 5 != 0));
    let Total::Blocked { by } = &fired.total else { panic!("{:?}", fired.total) };
    assert_eq!((by[0].criterion.as_str(), by[0].veto), ("c", Veto::Fired));
    assert!(fired.profile[0].score.is_some(), "the profile stays");
    assert!(matches!(total(yes("c", "human", 0..400, |i| i % 5 != 0)).total, Total::Given { .. }));
    let few = total(yes("c", "human", 0..9, |_| true));
    let criterion = &few.profile[0].criteria[0];
    assert_eq!((criterion.state, criterion.veto), (State::Inconclusive, Some(Veto::Unknown)));
    assert!(
        criterion.score.is_none() && criterion.reason.as_ref().unwrap().fr.contains("non concluant"),
        "{criterion:?}"
    );
    assert!(matches!(few.total, Total::Blocked { .. }));
}

#[test]
fn a_judge_is_corrected_by_people() {
    let grid = grid(&facet("f", 1.0, "id: c, scale: boolean, evidence: [human, 'judge:j@1']"));
    let mut random = Random::new(3);
    let mut csv = HEADER.to_owned();
    for i in 0..2_000 {
        // The judge says yes to a third of what people refuse.
        let human = random.unit() < 0.6;
        let judge = human || random.unit() < 0.33;
        csv.push_str(&format!("c,judge:j@1,i{i},{}\n", u8::from(judge)));
        if i < 200 {
            csv.push_str(&format!("c,human,i{i},{}\n", u8::from(human)));
        }
    }
    let got = &score(&grid, &csv).profile[0];
    let figure = got.criteria[0].score.unwrap();
    assert_eq!((got.criteria[0].basis, got.criteria[0].n), (Some("judge_corrected"), 2_000));
    assert!((figure.estimate - 0.6).abs() < 0.06 && figure.interval.contains(0.6), "{figure:?}");
    let facet = got.score.unwrap().interval;
    assert!(
        (facet.low - figure.interval.low).abs() < 1e-9 && (facet.high - figure.interval.high).abs() < 1e-9,
        "{facet:?}"
    );
}

/// What people saw was drawn from what the judge saw, and the judge could not be read here and there: still corrected.
#[test]
fn a_judge_is_corrected_whatever_the_chances() {
    let grid = grid(&facet("f", 1.0, "id: c, scale: boolean, evidence: [human, 'judge:j@1']"));
    let mut random = Random::new(5);
    for unequal in [false, true] {
        let mut csv = "criterion,source,item,value,probability\n".to_owned();
        for i in 0..2_000 {
            let human = random.unit() < 0.6;
            let judge = human || random.unit() < 0.33;
            let verdict = if i % 50 == 0 { String::new() } else { u8::from(judge).to_string() };
            let rare = if unequal && i % 2 == 0 { 0.5 } else { 1.0 };
            csv.push_str(&format!("c,judge:j@1,i{i},{verdict},{rare}\n"));
            if i < 200 {
                csv.push_str(&format!("c,human,i{i},{},{}\n", u8::from(human), 0.1 * rare));
            }
        }
        let got = &score(&grid, &csv).profile[0].criteria[0];
        assert_eq!((got.basis, got.n), (Some("judge_corrected"), 1_964), "{got:?}");
        let interval = got.score.unwrap().interval;
        assert!(interval.contains(0.6) && interval.high - interval.low < 0.14, "{interval:?}");
        assert_eq!(got.judge.as_ref().unwrap().agrees, Agrees::Enough);
    }
    // People who scored what the judge was never given: their word alone, and why.
    let csv =
        format!("{HEADER}{}{}", yes("c", "human", 0..40, |i| i % 2 == 0), yes("c", "judge:j@1", 20..99, |_| true));
    let got = &score(&grid, &csv).profile[0].criteria[0];
    assert_eq!(got.basis, Some("human"));
    assert!(got.judge_unused.as_ref().unwrap().fr.starts_with("20 éléments"), "{got:?}");
}

/// A judge alone shows its score, lifts no veto, and is held to people's word by a threshold of the grid.
#[test]
fn a_judge_alone_is_in_doubt() {
    let with = |more: &str| facet("f", 1.0, &format!("id: c, scale: boolean, evidence: [human, 'judge:j@1']{more}"));
    let judge = yes("c", "judge:j@1", 0..400, |i| i % 10 != 0);
    let report = score(&grid(&with(", veto: 0.5")), &format!("{HEADER}{judge}"));
    let got = &report.profile[0].criteria[0];
    assert_eq!((got.state, got.basis, got.veto), (State::Conclusive, Some("judge"), Some(Veto::Unknown)));
    assert!(got.score.is_some() && got.doubt().unwrap().fr.contains("non mesuré"), "{got:?}");
    assert!(matches!(report.total, Total::Blocked { .. }));
    // Twenty of people's, four against the judge: α about 0.2 as yes are many.
    let people = yes("c", "human", 0..20, |i| i % 10 != 0 && i % 5 != 1);
    let agrees = |more: &str| {
        let report = score(&grid(&with(more)), &format!("{HEADER}{judge}{people}"));
        report.profile[0].criteria[0].judge.clone().unwrap()
    };
    assert_eq!(agrees("").agrees, Agrees::TooLittle, "{:?}", agrees(""));
    assert_eq!(agrees(", judge_agreement: 0.1").agrees, Agrees::Enough, "{:?}", agrees(""));
    let wrong = Grid::read(&text(&with(", judge_agreement: 2"))).unwrap_err();
    assert!(wrong[0].path.ends_with("judge_agreement"), "{wrong:?}");
}

/// The same answers under two criteria err together: the total is no surer than one of them.
#[test]
fn criteria_of_the_same_items_err_together() {
    let scale = "scale: {interval: {low: 0, high: 10}}, evidence: [human]";
    let two = facet("f", 1.0, &format!("id: c, {scale}")) + &facet("g", 1.0, &format!("id: d, {scale}"));
    let grid = grid(&two);
    let rows = |criterion: &str, from: u32| -> String {
        (0..60).map(|i| format!("{criterion},human,i{},{}\n", i + from, i % 9)).collect()
    };
    let width = |csv: String| {
        let Total::Given { score, .. } = score(&grid, &format!("{HEADER}{csv}")).total else { panic!("a total") };
        score.interval.high - score.interval.low
    };
    let (together, apart) = (width(rows("c", 0) + &rows("d", 0)), width(rows("c", 0) + &rows("d", 1_000)));
    assert!((together / apart - 2.0_f64.sqrt()).abs() < 0.02, "{together} {apart}");
}

#[test]
fn references_count_once_and_facts_have_no_sampling_error() {
    let grid = grid(
        "- {id: tout, label: {fr: T, en: T}, references: [f, g]}\n\
         - {id: f, label: {fr: F, en: F}, weight: 3, criteria: [{id: c, question: {fr: Q, en: Q}, scale: boolean, evidence: [attestation]}]}\n\
         - {id: g, label: {fr: G, en: G}, weight: 1, criteria: [{id: d, question: {fr: Q, en: Q}, scale: {interval: {low: 0, high: 100}}, evidence: ['usage:return']}]}\n",
    );
    let csv = "criterion,value,document,date,signatory,low,high\n\
               c,oui,AIPD v2,2026-03-01,DPO,,\n\
               d,40,,,,30,50\n";
    let report = score(&grid, csv);
    assert_eq!(report.profile[1].criteria[0].score.unwrap().interval.low, 1.0);
    let d = report.profile[2].criteria[0].score.unwrap();
    assert!((d.interval.low - 0.3).abs() < 1e-12 && (d.interval.high - 0.5).abs() < 1e-12);
    let Total::Given { score: total, .. } = report.total else { panic!("a total") };
    assert!((total.estimate - (3.0 + 0.4) / 4.0).abs() < 1e-12, "{total:?}");
    assert!((total.interval.high - total.interval.low - 0.05).abs() < 1e-9, "{total:?}");
}

#[test]
fn bad_evidence_is_told_by_line() {
    let grid = grid(
        &(facet(
            "f",
            1.0,
            "id: c, scale: {ordinal: [{value: 1, fr: a, en: a}, {value: 2, fr: b, en: b}]}, evidence: [human, 'judge:j@1']",
        ) + &facet("g", 1.0, "id: a, scale: boolean, evidence: [attestation]")
            + &facet("h", 1.0, "id: s, scale: {severity: {worst: 10}}, evidence: [human]")),
    );
    let csv = "criterion,source,item,value,document,date,signatory,words,probability\n\
               c,human,i1,2,,,,,\n\
               inconnu,human,i1,2,,,,,\n\
               c,,i1,2,,,,,\n\
               c,judge:j@2,i1,2,,,,,\n\
               c,human,i1,3,,,,,\n\
               a,,,oui,AIPD,01/03/2026,DPO,,\n\
               a,,,oui,AIPD,2026-03-01,,,\n\
               s,human,i1,5,,,,,\n\
               c,human,i2,1,,,,,0\n";
    let evidence = EvidenceTable::read(&grid, &Table::read(csv.as_bytes()).unwrap()).unwrap();
    assert_eq!(evidence.rows, 1);
    let lines: Vec<u64> = evidence.broken.iter().map(|broken| broken.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10], "{:#?}", evidence.broken);
}
