//! What a gate says to people.

use super::{Gate, Verdict};
use crate::report::words::signed;

pub(super) fn french(gate: &Gate) -> String {
    let mut text = match gate.verdict {
        Verdict::Pass => {
            "Passe : sur aucun critère le candidat n’est moins bon que la référence au-delà de la marge.".to_owned()
        }
        Verdict::Regression => {
            "Régression : le candidat est moins bon que la référence, au-delà de la marge.".to_owned()
        }
        Verdict::Inconclusive => {
            "Non concluant : on ne peut ni accepter le candidat, ni dire qu’il est moins bon.".to_owned()
        }
    };
    for one in &gate.criteria {
        let verdict = match one.verdict {
            Verdict::Pass => "passe",
            Verdict::Regression => "régression",
            Verdict::Inconclusive => "non concluant",
        };
        text.push_str(&format!("\n- {} : {verdict}", one.criterion));
        if let Some(found) = &one.difference {
            let (low, high) = (signed(found.interval.low), signed(found.interval.high));
            let (estimate, margin) = (signed(found.estimate), signed(-one.margin));
            text.push_str(&format!(", écart {estimate} ({low} à {high}), marge {margin}, {} paires", one.pairs));
        }
        if let Some(reason) = &one.reason {
            text.push_str(&format!(" ; {}", reason.fr));
        } else if let (Verdict::Inconclusive, Some(found)) = (one.verdict, &one.difference) {
            let room = found.estimate + one.margin;
            let half = found.estimate - found.interval.low;
            if room > 0.0 {
                let needed = (found.n as f64 * (half / room).powi(2)).ceil();
                text.push_str(&format!(" ; si l’écart reste le même, il faudrait environ {needed} paires"));
            }
        }
    }
    for veto in &gate.vetoes {
        text.push_str(&format!("\n- {veto} : le veto de la grille se déclenche"));
    }
    for veto in &gate.doubted {
        text.push_str(&format!(
            "\n- {veto} : d’après le juge, le veto de la grille se déclencherait ; son accord avec les personnes n’est pas établi"
        ));
    }
    text
}
