//! Whether every model is linked to every other by chains of wins both ways.

use super::Tally;
use crate::refusal::{Code, Refusal, Result};

/// Refuses when it is not so, and names who is apart.
pub(super) fn strongly_connected(names: &[String], tally: &Tally) -> Result<()> {
    let beats = |i: usize, j: usize| {
        let (won, _, drawn) = tally.pair(i, j);
        won > 0.0 || drawn > 0.0
    };
    let down = reached(tally.models, beats);
    let up = reached(tally.models, |i, j| beats(j, i));
    for (seen, fr, en) in [
        (down, "n’ont jamais perdu, fût-ce de proche en proche, contre", "never lost, even by a chain of duels, to"),
        (up, "n’ont jamais gagné, fût-ce de proche en proche, contre", "never won, even by a chain of duels, against"),
    ] {
        let (together, apart): (Vec<usize>, Vec<usize>) = (0..tally.models).partition(|i| seen[*i]);
        if !apart.is_empty() {
            let (apart, together) = (list(names, &apart), list(names, &together));
            return Err(Refusal::new(
                Code::Disconnected,
                format!("aucun classement : {apart} {fr} {together} ; il faut d’autres duels entre eux"),
                format!("no ranking: {apart} {en} {together}; more duels between them are needed"),
            ));
        }
    }
    Ok(())
}

/// Who is reached from the first model.
fn reached(models: usize, edge: impl Fn(usize, usize) -> bool) -> Vec<bool> {
    let mut seen = vec![false; models];
    let mut left = vec![0];
    seen[0] = true;
    while let Some(i) = left.pop() {
        for (j, seen) in seen.iter_mut().enumerate() {
            if !*seen && edge(i, j) {
                *seen = true;
                left.push(j);
            }
        }
    }
    seen
}

fn list(names: &[String], which: &[usize]) -> String {
    const SHOWN: usize = 6;
    let mut text = which.iter().take(SHOWN).map(|i| names[*i].as_str()).collect::<Vec<_>>().join(", ");
    if which.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
