//! compar:IA's votes: duels of two models, as the Ministry of Culture publishes them.
//!
//! Columns, from the export of the platform: `model_a_name`, `model_b_name`, `chosen_model_name` (empty when nobody won),
//! `both_equal`, `opening_msg`, `conversation_pair_id`, `visitor_id`.

use serde::Serialize;
use serde_json::Value;

use super::Format;
use super::import::{nothing, records, said};
use crate::columns::{Column, Columns};
use crate::refusal::Result;
use crate::table::{Broken, yes_or_no};

/// One vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vote {
    pub item: String,
    pub first: String,
    pub second: String,
    /// `first`, `second` or `tie`.
    pub winner: &'static str,
    /// The visitor: votes of one are not independent.
    pub cluster: String,
}

/// Votes, and lines that are none.
#[derive(Debug)]
pub struct Votes {
    pub votes: Vec<Vote>,
    pub broken: Vec<Broken>,
}

impl Votes {
    /// Reads votes.
    ///
    /// # Errors
    /// A file of another format, or none of whose lines is a vote.
    pub fn import(bytes: &[u8], format: Format) -> Result<Votes> {
        let (records, mut broken) = records(bytes, format)?;
        let mut votes = Vec::new();
        for mut record in records {
            let mut cell = |name: &str| {
                let value = record.values.remove(name).filter(|value| !value.is_null());
                value.map(|value: Value| said(value).trim().to_owned()).unwrap_or_default()
            };
            let (first, second) = (cell("model_a_name"), cell("model_b_name"));
            let (chosen, equal) = (cell("chosen_model_name"), cell("both_equal"));
            let winner = match chosen.as_str() {
                _ if first.is_empty() || second.is_empty() => Err(("il manque un modèle", "a model is missing")),
                _ if first == second => Err(("un modèle contre lui-même", "a model against itself")),
                _ if yes_or_no(&equal) == Some(true) => Ok("tie"),
                chosen if chosen == first => Ok("first"),
                chosen if chosen == second => Ok("second"),
                "" => Err(("personne n’a voté", "nobody voted")),
                _ => Err(("le modèle choisi n’est aucun des deux", "the chosen model is neither")),
            };
            let (mut item, mut cluster) = (cell("conversation_pair_id"), cell("visitor_id"));
            if item.is_empty() {
                item = format!("l{}", record.line);
            }
            if cluster.is_empty() {
                cluster.clone_from(&item);
            }
            match winner {
                Ok(winner) => votes.push(Vote { item, first, second, winner, cluster }),
                Err((fr, en)) => broken.push(Broken::new(record.line, fr, en)),
            }
        }
        broken.sort_by_key(|broken| broken.line);
        if votes.is_empty() {
            return Err(nothing(&broken, ("un vote", "a vote")));
        }
        Ok(Votes { votes, broken })
    }

    /// The table that `bradley-terry` and reports read.
    pub fn columns(&self) -> Columns {
        let column =
            |of: &dyn Fn(&Vote) -> String| Column::Text(self.votes.iter().map(|vote| Some(of(vote))).collect());
        Columns(vec![
            ("first".to_owned(), column(&|vote| vote.first.clone())),
            ("second".to_owned(), column(&|vote| vote.second.clone())),
            ("winner".to_owned(), column(&|vote| vote.winner.to_owned())),
            ("cluster".to_owned(), column(&|vote| vote.cluster.clone())),
            ("item".to_owned(), column(&|vote| vote.item.clone())),
        ])
    }
}
