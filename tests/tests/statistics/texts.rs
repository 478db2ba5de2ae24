//! pytrec_eval, ranx, sacreBLEU, rouge-score and jiwer.

use std::collections::HashMap;

use eval::metrics::edit::Edits;
use eval::metrics::retrieval::Query;
use eval::metrics::rouge::rouge_l;
use eval::metrics::{bleu, chrf};
use eval::random::Random;
use serde_json::{Map, Value, json};

use crate::statistics::reference::{all_near, ask};

const REFERENCES: [&str; 8] = [
    "Le silence gardé pendant deux mois par l'administration vaut décision d'acceptation.",
    "Votre demande a bien été reçue ; elle sera traitée sous 2,5 mois (article L. 231-1).",
    "La carte nationale d'identité coûte 25 € en cas de perte, sinon elle est gratuite.",
    "L’usager doit fournir : un justificatif de domicile, une photo d’identité, l’ancien titre.",
    "Oui.",
    "Prenez rendez-vous sur https://rendezvous.example.fr/mairie?id=42 avant le 12-03-2026.",
    "Le taux est de 5.5% jusqu'à 25,710 €, puis 20% & 30% au-delà \"selon le barème\".",
    "Article premier. La présente loi est exécutée comme loi de l'État.",
];
const ANSWERS: [&str; 8] = [
    "Le silence de l'administration pendant deux mois vaut acceptation.",
    "Votre demande a été reçue; elle est traitée sous 2,5 mois (article L. 231-1).",
    "La carte d'identité est gratuite, sauf en cas de perte : elle coûte alors 25 euros.",
    "Il faut un justificatif de domicile,  une photo d’identité et l’ancien titre .",
    "Oui",
    "Rendez-vous : https://rendezvous.example.fr/mairie?id=42, avant le 12-03-2026",
    "Le taux est de 5.5 % jusqu'à 25 710 €, puis de 20% &amp; 30% au-delà \"selon le barème\".",
    "Rien à voir.",
];

/// Words of a small vocabulary, so that runs of them come back.
fn babble(random: &mut Random) -> String {
    let words = ["le", "délai", "est", "de", "deux", "mois,", "Mois.", "l'été", "25-3", "2.5", "non", "«oui»", "où"];
    let count = 1 + random.below(18);
    (0..count).map(|_| words[random.below(words.len() as u32) as usize]).collect::<Vec<_>>().join(" ")
}

#[test]
fn overlap_and_errors() {
    let mut random = Random::new(77);
    let mut answers: Vec<String> = ANSWERS.iter().map(|text| (*text).to_owned()).collect();
    let mut references: Vec<String> = REFERENCES.iter().map(|text| (*text).to_owned()).collect();
    answers.extend((0..40).map(|_| babble(&mut random)));
    references.extend((0..40).map(|_| babble(&mut random)));
    let others: Vec<String> = references.iter().rev().cloned().collect();
    let mut cases = Map::new();
    cases.insert("texts".to_owned(), json!({"kind": "texts", "answers": answers, "references": references}));
    let case = json!({"kind": "multiple_references", "answers": answers, "references": [references, others]});
    cases.insert("many".to_owned(), case);
    let theirs = ask(&cases);

    let pairs = || answers.iter().map(String::as_str).zip(references.iter().map(String::as_str));
    let single: Vec<[&str; 1]> = references.iter().map(|reference| [reference.as_str()]).collect();
    let alone = || answers.iter().map(String::as_str).zip(single.iter().map(|one| &one[..]));
    theirs.near("texts", "bleu", bleu::corpus(alone()), 1e-8);
    theirs.near("texts", "chrf", chrf::corpus(alone()), 1e-8);
    let double: Vec<[&str; 2]> = references.iter().zip(&others).map(|(a, b)| [a.as_str(), b.as_str()]).collect();
    let both = || answers.iter().map(String::as_str).zip(double.iter().map(|two| &two[..]));
    theirs.near("many", "bleu", bleu::corpus(both()), 1e-8);
    theirs.near("many", "chrf", chrf::corpus(both()), 1e-8);

    let each = |of: &dyn Fn(&str, &str) -> f64| pairs().map(|(answer, other)| of(answer, other)).collect::<Vec<f64>>();
    for (figure, of) in [
        ("bleu_each", &(|a: &str, r: &str| bleu::Counts::of(a, &[r]).sentence()) as &dyn Fn(&str, &str) -> f64),
        ("chrf_each", &|a, r| chrf::Counts::of(a, &[r]).score()),
        ("rouge_f1", &|a, r| rouge_l(a, r).f1),
        ("rouge_precision", &|a, r| rouge_l(a, r).precision),
        ("rouge_recall", &|a, r| rouge_l(a, r).recall),
    ] {
        all_near(figure, &each(of), &theirs.numbers("texts", figure), 1e-8);
    }
    let sum = |of: fn(&str, &str) -> Edits| {
        let mut all = Edits::default();
        pairs().for_each(|(answer, reference)| all.add(of(answer, reference)));
        all.rate().expect("a rate")
    };
    theirs.near("texts", "wer", sum(Edits::words), 1e-12);
    theirs.near("texts", "cer", sum(Edits::characters), 1e-12);
}

/// Random results with many equal scores, documents nobody judged, and a query without relevant document.
#[test]
fn retrieval() {
    const K: usize = 5;
    let mut random = Random::new(55);
    let mut queries: HashMap<String, Query> = HashMap::new();
    for q in 0..30 {
        let mut query = Query::default();
        for d in 0..20 {
            let name = format!("d{d}");
            if random.unit() < 0.6 {
                let coarse = f64::from(random.below(6)) / 2.0;
                query.found.push((name.clone(), if q % 2 == 0 { coarse } else { random.normal() }));
            }
            if random.unit() < 0.7 {
                query.judged.insert(name, if q == 7 { 0 } else { i64::from(random.below(4)) - 1 });
            }
        }
        queries.insert(format!("q{q}"), query);
    }
    let found: Value =
        queries.iter().map(|(name, query)| (name.clone(), query.found.iter().cloned().collect::<Value>())).collect();
    let judged: Value = queries.iter().map(|(name, query)| (name.clone(), json!(query.judged))).collect();
    let mut cases = Map::new();
    cases.insert("r".to_owned(), json!({"kind": "retrieval", "judged": judged, "found": found, "k": K}));
    let theirs = ask(&cases);
    let theirs = theirs.of("r");
    let mut sums = HashMap::new();
    let sound: Vec<&str> = theirs["ranx_queries"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert!(sound.len() > 10, "{sound:?}");
    for (name, query) in &queries {
        let (all, cut) = (query.scores(None).expect("scores"), query.scores(Some(K)).expect("scores"));
        let figures = [
            ("average_precision", all.average_precision),
            ("reciprocal_rank", all.reciprocal_rank),
            ("ndcg_cut", cut.ndcg),
            ("recall", cut.recall),
            ("precision", cut.precision),
            ("ndcg", all.ndcg),
        ];
        for (figure, ours) in figures {
            let value = theirs["queries"][name][figure].as_f64().expect("a number");
            assert!((ours - value).abs() < 1e-9, "{name}.{figure}: ours {ours}, theirs {value}");
            if sound.contains(&name.as_str()) {
                *sums.entry(figure).or_insert(0.0) += ours / sound.len() as f64;
            }
        }
    }
    for (figure, value) in theirs["ranx"].as_object().expect("figures") {
        let (ours, value) = (sums[figure.as_str()], value.as_f64().expect("a number"));
        assert!((ours - value).abs() < 1e-9, "ranx {figure}: ours {ours}, theirs {value}");
    }
}
