//! What judges said, put together: who could be read, what a panel decided, what nobody may overlook.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Preferred, Unreadable, both_orders, majority};

/// What became of one request to a judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    Said(T),
    Unreadable(Unreadable),
    /// No answer came.
    Failed,
}

impl<T> Heard<T> {
    pub fn said(&self) -> Option<&T> {
        match self {
            Heard::Said(said) => Some(said),
            _ => None,
        }
    }
}

/// How often a judge was asked, and how often it could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub asked: usize,
    pub read: usize,
    /// Requests without an answer.
    pub failed: usize,
    /// Answers that are no verdict, by reason.
    pub unreadable: BTreeMap<Unreadable, usize>,
    /// Pairs in which the order changed what it said: each is a tie.
    pub order_decided: usize,
}

/// The counts of a judging; shown beside every figure that comes from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub judges: BTreeMap<String, Count>,
    /// Items, or pairs.
    pub items: usize,
    /// Those without a verdict: nobody could be read, or no majority. They are missing evidence, not zeros.
    pub undecided: usize,
}

impl Tally {
    fn hear<T>(&mut self, judge: &str, heard: &Heard<T>) {
        let count = self.judges.entry(judge.to_owned()).or_default();
        count.asked += 1;
        match heard {
            Heard::Said(_) => count.read += 1,
            Heard::Unreadable(why) => *count.unreadable.entry(*why).or_default() += 1,
            Heard::Failed => count.failed += 1,
        }
    }

    /// The panel's value for one answer; none without a majority.
    pub fn score<'a>(&mut self, panel: &'a [(String, Heard<super::Score>)]) -> Option<&'a str> {
        panel.iter().for_each(|(judge, heard)| self.hear(judge, heard));
        let values: Vec<Option<&str>> =
            panel.iter().map(|(_, heard)| heard.said().map(|score| score.value.as_str())).collect();
        self.settle(majority(&values))
    }

    /// The panel's preference within one pair. Of each judge, both orders: straight, then swapped.
    pub fn pair(&mut self, panel: &[(String, [Heard<Preferred>; 2])]) -> Option<Preferred> {
        let mut words = Vec::new();
        for (judge, [straight, swapped]) in panel {
            self.hear(judge, straight);
            self.hear(judge, swapped);
            let both = both_orders(straight.said().copied(), swapped.said().copied());
            let same = straight.said().zip(swapped.said()).is_none_or(|(one, other)| *one == other.turned());
            if !same && let Some(count) = self.judges.get_mut(judge) {
                count.order_decided += 1;
            }
            words.push(both.map(Preferred::word));
        }
        let decided = majority(&words).and_then(Preferred::of_word);
        self.settle(decided)
    }

    fn settle<T>(&mut self, decided: Option<T>) -> Option<T> {
        self.items += 1;
        self.undecided += usize::from(decided.is_none());
        decided
    }

    /// Requests that were answered by something that is no verdict.
    pub fn unreadable(&self) -> usize {
        self.judges.values().flat_map(|count| count.unreadable.values()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Score;
    use super::*;
    use Preferred::{First, Second, Tie};

    #[test]
    fn nothing_is_lost_from_the_counts() {
        let mut tally = Tally::default();
        let said =
            |value: &str| Heard::Said(Score { value: value.to_owned(), quote: String::new(), reason: String::new() });
        let panel = [
            ("a".to_owned(), said("2")),
            ("b".to_owned(), said("2")),
            ("c".to_owned(), Heard::Unreadable(Unreadable::NotJson)),
        ];
        assert_eq!(tally.score(&panel), Some("2"));
        let panel = [
            ("a".to_owned(), said("2")),
            ("b".to_owned(), Heard::Failed),
            ("c".to_owned(), Heard::Unreadable(Unreadable::NotJson)),
        ];
        assert_eq!(tally.score(&panel), None);
        assert_eq!((tally.items, tally.undecided, tally.unreadable()), (2, 1, 2));
        assert_eq!((tally.judges["c"].asked, tally.judges["c"].read, tally.judges["b"].failed), (2, 0, 1));
        assert_eq!(tally.judges["c"].unreadable[&Unreadable::NotJson], 2);
    }

    #[test]
    fn a_judge_whom_the_order_decides_says_tie_and_is_counted() {
        let mut tally = Tally::default();
        let one = |straight, swapped| [("a".to_owned(), [Heard::Said(straight), Heard::Said(swapped)])];
        assert_eq!(tally.pair(&one(First, Second)), Some(First));
        assert_eq!(tally.pair(&one(First, First)), Some(Tie));
        assert_eq!(tally.pair(&one(Tie, Tie)), Some(Tie));
        assert_eq!(tally.pair(&[("a".to_owned(), [Heard::Said(First), Heard::Failed])]), None);
        let count = &tally.judges["a"];
        assert_eq!((count.asked, count.read, count.failed, count.order_decided), (8, 7, 1, 1));
        assert_eq!((tally.items, tally.undecided), (4, 1));
    }
}
