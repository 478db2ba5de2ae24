//! Errors of words and of characters: what it takes to turn an answer (a transcript, a page read) into its reference.

/// Substitutions, deletions and insertions, and what the reference holds. They add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Edits {
    pub edits: u64,
    pub reference: u64,
}

impl Edits {
    /// In words, between white space.
    pub fn words(answer: &str, reference: &str) -> Edits {
        let (answer, reference): (Vec<&str>, Vec<&str>) =
            (answer.split_whitespace().collect(), reference.split_whitespace().collect());
        Edits { edits: distance(&answer, &reference), reference: reference.len() as u64 }
    }

    /// In characters, white space at the ends aside.
    pub fn characters(answer: &str, reference: &str) -> Edits {
        let (answer, reference): (Vec<char>, Vec<char>) =
            (answer.trim().chars().collect(), reference.trim().chars().collect());
        Edits { edits: distance(&answer, &reference), reference: reference.len() as u64 }
    }

    pub fn add(&mut self, other: Edits) {
        self.edits += other.edits;
        self.reference += other.reference;
    }

    /// WER or CER: edits over the length of the reference (Morris, Maier & Green 2004); over 1 when the answer rambles, and
    /// nothing when there is no reference.
    pub fn rate(self) -> Option<f64> {
        (self.reference > 0).then(|| self.edits as f64 / self.reference as f64)
    }
}

/// Levenshtein's (1966) distance.
fn distance<T: PartialEq>(one: &[T], other: &[T]) -> u64 {
    let mut row: Vec<u64> = (0..=other.len() as u64).collect();
    for (line, item) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line as u64 + 1;
        for (place, beside) in other.iter().enumerate() {
            let replaced = diagonal + u64::from(item != beside);
            diagonal = row[place + 1];
            row[place + 1] = replaced.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        assert_eq!(
            Edits::words("le délai est deux mois", "le délai est de deux mois"),
            Edits { edits: 1, reference: 6 }
        );
        assert_eq!(Edits::characters("kitten", "sitting"), Edits { edits: 3, reference: 7 });
        assert_eq!(Edits::words("quelque chose", "").rate(), None);
    }

    proptest! {
        #[test]
        fn it_is_a_distance(a in "[ab ]{0,12}", b in "[ab ]{0,12}", c in "[ab ]{0,12}") {
            let far = |a: &str, b: &str| {
                distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
            };
            prop_assert_eq!(far(&a, &b), far(&b, &a));
            prop_assert_eq!(far(&a, &b) == 0, a == b);
            prop_assert!(far(&a, &c) <= far(&a, &b) + far(&b, &c));
        }
    }
}
