use super::*;
use crate::grid::{GUICHET_1, Grid, Scale};
use crate::random::Random;
use crate::refusal::Code;
use crate::stats::Level;
use crate::stats::bootstrap::Plan;
use crate::stats::ranking::Outcome;

fn plan() -> Plan {
    Plan { resamples: 500, ..Plan::default() }
}

fn rating(item: usize, rater: usize, value: &str) -> Rating {
    let answer = Answer::stored((!value.is_empty()).then(|| value.to_owned()));
    Rating {
        item: format!("i{item}"),
        rater: format!("r{rater}"),
        unit: format!("i{item}"),
        answer,
        words: Some(100.0),
    }
}

#[test]
fn answers_are_read_as_people_write_them() {
    let grid = Grid::read(GUICHET_1).unwrap();
    let criterion = |id: &str| grid.criterion(id).unwrap();
    let value = |text: &str| Ok(Answer::Value(text.to_owned()));
    assert_eq!(Answer::read(criterion("sans-danger"), "Oui", false), value("yes"));
    assert_eq!(Answer::read(criterion("reponse-juste"), "3.0", false), value("3"));
    assert_eq!(Answer::read(criterion("reponse-juste"), " N/A", false), Ok(Answer::NotApplicable));
    assert_eq!(Answer::read(criterion("fautes"), "2,5", false), value("2.5"));
    assert_eq!(Answer::read(criterion("clair"), "passer", false), Ok(Answer::Skipped));
    for (id, said) in [("sans-danger", "peut-être"), ("reponse-juste", "5"), ("fautes", "-1"), ("clair", "")] {
        let (fr, en) = Answer::read(criterion(id), said, false).unwrap_err();
        assert!(fr.contains(id) && en.contains("is not"), "{fr} {en}");
    }
    let pairwise = crate::grid::Criterion { scale: Scale::Pairwise, ..criterion("clair").clone() };
    assert_eq!(Answer::read(&pairwise, "A", false), value("first"));
    assert_eq!(Answer::read(&pairwise, "a", true), value("second"));
    assert_eq!(Answer::read(&pairwise, "Nul", true), value("tie"));
    assert!(Answer::read(&pairwise, "first", false).is_err());
}

/// Three raters, one of whom answers at random: pairs of the sound two agree most, and skipped answers count nowhere.
#[test]
fn agreement_tells_who_agrees() {
    let grid = Grid::read(GUICHET_1).unwrap();
    let criterion = grid.criterion("reponse-juste").unwrap();
    let mut random = Random::new(5);
    let mut ratings = Vec::new();
    for item in 0..80 {
        let truth = 1 + random.below(4);
        for rater in 0..2 {
            let slip = u32::from(random.below(10) == 0);
            ratings.push(rating(item, rater, &(truth.max(2) - slip).to_string()));
        }
        ratings.push(rating(item, 2, &(1 + random.below(4)).to_string()));
    }
    ratings.push(rating(80, 0, ""));
    ratings.push(rating(81, 0, "na"));
    let told = agreement(criterion, &ratings, &plan());
    assert_eq!((told.items, told.shared, told.ratings, told.raters), (80, 80, 240, 3));
    assert_eq!((told.skipped, told.not_applicable), (1, 1));
    let kappa = |one: &str, other: &str| {
        let pair = told.cohen.iter().find(|pair| pair.first == one && pair.second == other).unwrap();
        pair.kappa.said().unwrap().estimate
    };
    assert!(kappa("r0", "r1") > 0.7 && kappa("r0", "r2") < 0.3, "{told:#?}");
    let alpha = told.alpha.said().unwrap();
    assert!(alpha.interval.said().unwrap().interval.contains(alpha.alpha.estimate));
    assert_eq!(told.fleiss.said().unwrap().raters, 3);
}

#[test]
fn where_nothing_varies_agreement_is_undefined_and_not_one() {
    let grid = Grid::read(GUICHET_1).unwrap();
    let criterion = grid.criterion("sans-danger").unwrap();
    let ratings: Vec<Rating> = (0..40).flat_map(|item| (0..2).map(move |rater| rating(item, rater, "yes"))).collect();
    let told = agreement(criterion, &ratings, &plan());
    let refused = |code: &Refusal| code.code == Code::Undefined;
    assert!(matches!(&told.alpha, Told::Refused { refused: why } if refused(why)), "{told:#?}");
    assert!(matches!(&told.fleiss, Told::Refused { refused: why } if refused(why)), "{told:#?}");
    assert!(matches!(&told.cohen[0].kappa, Told::Refused { refused: why } if refused(why)), "{told:#?}");
    let none = agreement(criterion, &[], &plan());
    assert!(none.alpha.said().is_none() && none.fleiss.said().is_none() && none.cohen.is_empty());
    let amounts = agreement(grid.criterion("fautes").unwrap(), &[rating(0, 0, "1"), rating(0, 1, "2")], &plan());
    assert!(amounts.fleiss.said().is_none() && amounts.cohen.is_empty());
}

#[test]
fn accuracy_counts_answers_and_says_when_they_are_few() {
    let one = |item: usize, rater: &str, right: bool| Checked {
        item: format!("g{item}"),
        rater: rater.to_owned(),
        criterion: "c".to_owned(),
        answer: Answer::Value(if right { "yes" } else { "no" }.to_owned()),
        expected: Answer::Value("yes".to_owned()),
    };
    let mut checked: Vec<Checked> = (0..20).map(|item| one(item, "a", item % 4 != 0)).collect();
    checked.extend((0..3).map(|item| one(item, "b", true)));
    checked.push(Checked { answer: Answer::Skipped, ..one(4, "b", true) });
    let told = accuracy(&checked, Level::default());
    assert_eq!((told[0].answers, told[0].right), (20, 15));
    let share = told[0].share.said().unwrap();
    assert!(share.estimate == 0.75 && share.interval.low < 0.57 && share.interval.high > 0.85, "{share:?}");
    assert_eq!((told[1].answers, told[1].right), (3, 3));
    assert!(told[1].share.said().is_none());
    let of_b = told[1].by_criterion[0].share.said().unwrap();
    assert!(of_b.interval.low < 0.45 && of_b.interval.high == 1.0, "three of three prove little: {of_b:?}");
}

#[test]
fn preferences_do_not_depend_on_the_order_of_a_pair_and_rank() {
    let strengths = [("a", 1.0), ("b", 0.0), ("c", -1.0)];
    let mut random = Random::new(9);
    let mut choices = Vec::new();
    for n in 0..300 {
        let (i, j) = [(0, 1), (1, 2), (0, 2), (1, 0)][n % 4];
        let lead: f64 = strengths[i].1 - strengths[j].1;
        let outcome = if random.unit() < 1.0 / (1.0 + (-lead).exp()) { Outcome::First } else { Outcome::Second };
        choices.push(Choice {
            first: strengths[i].0.to_owned(),
            second: strengths[j].0.to_owned(),
            outcome,
            unit: format!("u{}", n / 3),
            rater: "r".to_owned(),
            first_on_left: random.below(2) == 0,
        });
    }
    let told = pairs(&choices, Level::default());
    assert_eq!(told.pairs.iter().map(|pair| pair.wins + pair.losses + pair.ties).sum::<usize>(), 300);
    assert_eq!(told.pairs.len(), 3);
    assert!(told.left.said().unwrap().interval.contains(0.5), "{told:#?}");
    let turned: Vec<Choice> = choices
        .iter()
        .map(|choice| Choice {
            first: choice.second.clone(),
            second: choice.first.clone(),
            outcome: match choice.outcome {
                Outcome::First => Outcome::Second,
                Outcome::Second => Outcome::First,
                Outcome::Tie => Outcome::Tie,
            },
            first_on_left: !choice.first_on_left,
            ..choice.clone()
        })
        .collect();
    let again = pairs(&turned, Level::default());
    for (one, other) in told.pairs.iter().zip(&again.pairs) {
        assert_eq!((one.wins, one.losses, &one.first), (other.wins, other.losses, &other.first));
    }
    let ranked = ranking(&choices, Level::default()).unwrap();
    let order: Vec<&str> = ranked.places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(order, ["a", "b", "c"]);
    let few: Vec<Choice> = choices.iter().filter(|choice| choice.first == "a").take(3).cloned().collect();
    assert!(ranking(&few, Level::default()).is_err());
    assert!(ranking(&[], Level::default()).is_err());
}
