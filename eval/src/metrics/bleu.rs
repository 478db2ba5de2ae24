//! BLEU, as sacreBLEU counts it by default: tokens of `13a`, case kept, orders 1 to 4, exponential smoothing.
//!
//! Papineni et al. (2002); Post (2018) for tokens and defaults. Signature `case:mixed|tok:13a|smooth:exp`, with `eff:no` for
//! a corpus (an answer of fewer than four tokens weighs on it) and `eff:yes` for one sentence (orders it is too short for
//! are left out), as sacreBLEU has it.

use std::sync::LazyLock;

use regex::Regex;

use super::{grams, shared};
use crate::pattern::pattern;

const ORDERS: usize = 4;

/// Counts of one answer or of many: they add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    matched: [u64; ORDERS],
    total: [u64; ORDERS],
    answer: u64,
    reference: u64,
}

/// Replacements of NIST's mteval-v13a, in order.
static STEPS: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
    [
        (pattern(r"([\{-~\[-` -&\(-\+:-@/])"), " $1 "),
        (pattern(r"([^0-9])([.,])"), "$1 $2 "),
        (pattern(r"([.,])([^0-9])"), " $1 $2"),
        (pattern(r"([0-9])(-)"), "$1 $2 "),
    ]
});

/// Tokens of a text, by `13a`.
pub fn tokens(text: &str) -> Vec<String> {
    let mut text = text.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        for (entity, sign) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            text = text.replace(entity, sign);
        }
    }
    let spaced = STEPS.iter().fold(format!(" {text} "), |text, (step, by)| step.replace_all(&text, *by).into_owned());
    spaced.split_whitespace().map(str::to_owned).collect()
}

impl Counts {
    /// Of an answer beside its references, of which there is at least one for a score to exist.
    pub fn of(answer: &str, references: &[&str]) -> Counts {
        let answer = tokens(answer);
        let references: Vec<Vec<String>> = references.iter().map(|reference| tokens(reference)).collect();
        let mut counts = Counts { answer: answer.len() as u64, ..Counts::default() };
        for order in 1..=ORDERS {
            let mut best = std::collections::HashMap::new();
            for reference in &references {
                for (gram, count) in grams(reference, order) {
                    let most = best.entry(gram).or_insert(0);
                    *most = count.max(*most);
                }
            }
            let own = grams(&answer, order);
            counts.total[order - 1] = own.values().map(|count| u64::from(*count)).sum();
            counts.matched[order - 1] = u64::from(shared(&own, &best));
        }
        // The reference whose length is nearest, the shorter of two as near.
        let lengths = references.iter().map(|reference| reference.len() as u64);
        let nearest = lengths.min_by_key(|length| (length.abs_diff(counts.answer), *length));
        counts.reference = nearest.unwrap_or(0);
        counts
    }

    pub fn add(&mut self, other: &Counts) {
        for order in 0..ORDERS {
            self.matched[order] += other.matched[order];
            self.total[order] += other.total[order];
        }
        self.answer += other.answer;
        self.reference += other.reference;
    }

    /// Corpus BLEU, 0 to 100.
    pub fn corpus(&self) -> f64 {
        self.score(false)
    }

    /// BLEU of one sentence, 0 to 100: only the orders it is long enough for.
    pub fn sentence(&self) -> f64 {
        self.score(true)
    }

    fn score(&self, effective: bool) -> f64 {
        if self.matched.iter().all(|matched| *matched == 0) {
            return 0.0;
        }
        let (mut logs, mut orders, mut smooth) = (0.0, 0, 1.0);
        for (matched, total) in self.matched.iter().zip(self.total) {
            if total == 0 {
                break;
            }
            let precision = if *matched == 0 {
                smooth *= 2.0;
                100.0 / (smooth * total as f64)
            } else {
                100.0 * *matched as f64 / total as f64
            };
            logs += precision.ln();
            orders += 1;
        }
        if !effective && orders < ORDERS {
            return 0.0;
        }
        let short = self.answer < self.reference;
        let brevity = if short { (1.0 - self.reference as f64 / self.answer as f64).exp() } else { 1.0 };
        brevity * (logs / orders as f64).exp()
    }
}

/// BLEU of answers, each with its references.
pub fn corpus<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [&'a str])>) -> f64 {
    let mut counts = Counts::default();
    for (answer, references) in pairs {
        counts.add(&Counts::of(answer, references));
    }
    counts.corpus()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_13a() {
        for (text, wanted) in [
            ("Le délai est de 2,5 mois.", "Le délai est de 2,5 mois ."),
            (
                "L'article 3-2 (modifié), voir https://x.fr/a",
                "L'article 3 - 2 ( modifié ) , voir https : / / x . fr / a",
            ),
            ("&quot;oui&quot; &amp; non", "\" oui \" & non"),
            ("porte-\nmonnaie\nvide", "portemonnaie vide"),
        ] {
            assert_eq!(tokens(text).join(" "), wanted);
        }
    }

    #[test]
    fn the_ends_of_the_scale() {
        let text = "Votre demande sera traitée sous deux mois.";
        assert!((corpus([(text, &[text][..])]) - 100.0).abs() < 1e-9);
        assert_eq!(corpus([("rien de commun ici vraiment", &[text][..])]), 0.0);
        // Two tokens: no four-gram. The corpus score is 0, the sentence score is not.
        let short = Counts::of("deux mois", &["deux mois"]);
        assert!(short.corpus() == 0.0 && (short.sentence() - 100.0).abs() < 1e-9);
    }
}
