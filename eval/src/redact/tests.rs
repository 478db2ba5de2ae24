//! Recall and precision on a generated set of French formats, and on texts that look like personal data and are not.

mod generator;

use proptest::prelude::*;

use super::*;
use crate::random::Random;
use generator::{HARD_NEGATIVES, planted};

const EACH: usize = 400;

/// Words of the frame around a datum that the mask took away: too much was masked.
fn lost(frame: &str, masked: &str) -> usize {
    frame
        .split_whitespace()
        .filter(|word| word.len() > 3 && !masked.contains(word.trim_matches(['.', ',', ':'])))
        .count()
}

#[test]
fn recall_and_precision_on_french_formats_and_hard_negatives() {
    let mut random = Random::new(2_026);
    let (mut planted_in_all, mut found, mut spurious) = (0, 0, 0);
    let (mut weak, mut taken) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let (mut here, mut missed) = (0, Vec::new());
        for _ in 0..EACH {
            let (frame, datum) = planted(&mut random, kind);
            let got = redact(&frame.replace("{}", &datum));
            let mut telling = datum.split([' ', '\n', ',', '\u{a0}']).filter(|part| part.chars().count() > 2);
            if got.masked.contains_key(&kind) && !telling.any(|part| got.text.contains(part)) {
                here += 1;
            } else {
                missed.push(got.text.clone());
            }
            let masks: usize = got.masked.values().sum();
            let too_much = masks.saturating_sub(1) + usize::from(lost(&frame.replace("{}", ""), &got.text) > 0);
            if too_much > 0 {
                taken.push(got.text);
            }
            spurious += too_much;
        }
        println!("{kind:?}: {here} of {EACH}");
        if (here as f64) < 0.98 * EACH as f64 {
            weak.push((kind, here, missed.into_iter().take(6).collect::<Vec<_>>()));
        }
        (planted_in_all, found) = (planted_in_all + EACH, found + here);
    }
    let mut wrong = Vec::new();
    for text in HARD_NEGATIVES {
        let got = redact(text);
        let masks: usize = got.masked.values().sum();
        if masks > 0 {
            wrong.push(got.text);
        }
        spurious += masks;
    }
    let (recall, precision) = (found as f64 / planted_in_all as f64, found as f64 / (found + spurious) as f64);
    println!(
        "recall {recall:.4}, precision {precision:.4}; wrong: {wrong:#?}; too much: {:#?}",
        &taken[..taken.len().min(9)]
    );
    assert!(weak.is_empty(), "{weak:#?}");
    assert!(recall >= 0.98 && precision >= 0.95, "recall {recall}, precision {precision}");
    // On their own, at most one in twenty of the hard ones.
    assert!(wrong.len() * 20 <= HARD_NEGATIVES.len(), "{wrong:#?}");
}

#[test]
fn one_text_with_all_of_them() {
    let got = redact(
        "Bonjour, je suis Mme Élodie Le Goff, 12 bis rue de la République, 35000 Rennes. Tél. : 06 12 34 56 78 ou \
         elodie.legoff@exemple.fr. NIR 2 55 08 14 168 025 38, IBAN FR14 2004 1010 0505 0001 3M02 606, carte 4111 1111 1111 \
         1111. Madame la Préfète a répondu.",
    );
    assert_eq!(
        got.text,
        "Bonjour, je suis Mme [nom], [adresse]. Tél. : [téléphone] ou [email]. NIR [NIR], IBAN [IBAN], carte [carte]. \
         Madame la Préfète a répondu."
    );
    assert_eq!(got.masked.values().copied().collect::<Vec<_>>(), [1; 7]);
}

/// Seconds this thread has computed: others may keep the machine busy.
fn computed() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Eight times as long is about eight times as slow, for texts made to be slow.
#[test]
fn time_is_linear() {
    for piece in
        ["1 ", "12 rue de ", "M. A ", "a@b.", "FR14 2004 ", "4111 ", "+33 ", "de la ", "1 avenue A B C D, ", "é"]
    {
        let spent = |times: usize| {
            let text = piece.repeat(times);
            let start = computed();
            std::hint::black_box(redact(&text));
            computed() - start
        };
        let (_, short, long) = (spent(500), spent(4_000), spent(32_000));
        assert!(long < 0.2 || long < 40.0 * short, "{piece:?}: {short} s, then {long} s for eight times as much");
    }
}

proptest! {
    #[test]
    fn twice_is_once(text in r"([A-Za-zéÀ .,@+0-9\[\]'’-]{0,12}(M\. |Mme |rue |@|06|FR76|\+33 |BP |Paris)?){0,12}") {
        let once = redact(&text);
        let twice = redact(&once.text);
        prop_assert_eq!(&once.text, &twice.text);
        prop_assert!(twice.masked.is_empty());
    }
}

#[test]
fn generated_texts_are_masked_once() {
    let mut random = Random::new(7);
    for kind in Kind::ALL {
        for _ in 0..100 {
            let (frame, datum) = planted(&mut random, kind);
            let once = redact(&frame.replace("{}", &datum));
            assert_eq!(redact(&once.text).text, once.text);
        }
    }
}
