//! chrF: agreement of runs of characters, kinder than BLEU to a language that inflects.

use super::{grams, shared};

const ORDERS: usize = 6;
const BETA: f64 = 2.0;

/// Counts of one answer or of many: they add up. Of each order: in the answer, in the reference, in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([[u64; 3]; ORDERS]);

impl Counts {
    /// Of an answer beside its references: beside the one that it matches best.
    pub fn of(answer: &str, references: &[&str]) -> Counts {
        let characters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<char>>();
        let answer = characters(answer);
        let mut best: Option<Counts> = None;
        for reference in references {
            let reference = characters(reference);
            let mut counts = Counts::default();
            for order in 1..=ORDERS {
                let (own, other) = (grams(&answer, order), grams(&reference, order));
                let sum = |grams: &std::collections::HashMap<_, u32>| grams.values().map(|n| u64::from(*n)).sum();
                let in_answer = if other.is_empty() { 0 } else { sum(&own) };
                counts.0[order - 1] = [in_answer, sum(&other), u64::from(shared(&own, &other))];
            }
            if best.is_none_or(|best| counts.score() > best.score()) {
                best = Some(counts);
            }
        }
        best.unwrap_or_default()
    }

    pub fn add(&mut self, other: &Counts) {
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// chrF, 0 to 100: F₂ of mean precision and mean recall over orders 1 to 6 that both sides are long enough for, white
    /// space left out. Popović (2015), with sacreBLEU 2's effective order (`nc:6|nw:0|space:no|eff:yes`).
    pub fn score(&self) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for [answer, reference, both] in self.0 {
            if answer > 0 && reference > 0 {
                precision += both as f64 / answer as f64;
                recall += both as f64 / reference as f64;
                orders += 1.0;
            }
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall, square) = (precision / orders, recall / orders, BETA * BETA);
        100.0 * (1.0 + square) * precision * recall / (square * precision + recall)
    }
}

/// chrF of answers, each with its references.
pub fn corpus<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [&'a str])>) -> f64 {
    let mut counts = Counts::default();
    for (answer, references) in pairs {
        counts.add(&Counts::of(answer, references));
    }
    counts.score()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_scale_and_the_best_reference() {
        assert!((Counts::of("délai", &["délai"]).score() - 100.0).abs() < 1e-9);
        assert!((Counts::of("dé lai", &["délai"]).score() - 100.0).abs() < 1e-9);
        assert_eq!(Counts::of("abc", &["xyz"]).score(), 0.0);
        assert_eq!(Counts::of("", &["xyz"]).score(), 0.0);
        let both = Counts::of("deux mois", &["trois ans", "deux mois"]);
        assert!((both.score() - 100.0).abs() < 1e-9);
    }
}
