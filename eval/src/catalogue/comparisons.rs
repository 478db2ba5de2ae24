//! Two candidates compared, several comparisons corrected, and how many items it takes.

use serde_json::{Value, json};

use super::frame::Frame;
use super::{CLUSTER, Entry, Kind, LEVEL, Setting, column, optional, told};
use crate::refusal::Result;
use crate::stats::size::{self, Wanted};
use crate::stats::{mean, paired};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "paired-difference",
        fr: "différence moyenne de deux candidats sur les mêmes éléments, premier moins second",
        en: "mean difference of two candidates on the same items, first minus second",
        columns: &[
            column("first", Kind::Number, "note du premier", "score of the first"),
            column("second", Kind::Number, "note du second", "score of the second"),
            CLUSTER,
        ],
        settings: &[LEVEL],
        source: "Student 1908; Liang & Zeger 1986; Miller 2024",
        run: |frame| {
            let (first, second) = (frame.numbers("first"), frame.numbers("second"));
            let got = paired::difference(&first, &second, &frame.clusters(), frame.level()?)?;
            Ok(json!({"difference": told(got)?, "first_mean": mean(&first), "second_mean": mean(&second)}))
        },
    },
    Entry {
        name: "mcnemar",
        fr: "deux candidats réussissent-ils aussi souvent ? test exact sur les mêmes éléments",
        en: "do two candidates pass as often? exact test on the same items",
        columns: &[
            column("first", Kind::YesNo, "le premier réussit", "the first passes"),
            column("second", Kind::YesNo, "le second réussit", "the second passes"),
        ],
        settings: &[],
        source: "McNemar 1947, exact form",
        run: |frame| told(paired::mcnemar(&frame.yes_or_no("first"), &frame.yes_or_no("second"))?),
    },
    Entry {
        name: "holm",
        fr: "valeurs p corrigées de leur nombre",
        en: "p-values corrected for how many they are",
        columns: &[
            column("p", Kind::Number, "valeur p", "p-value"),
            optional("name", Kind::Label, "nom de la comparaison", "name of the comparison"),
        ],
        settings: &[],
        source: "Holm 1979",
        run: holm,
    },
    Entry {
        name: "sample-size",
        fr: "nombre d’éléments pour voir une différence",
        en: "number of items to see a difference",
        columns: &[],
        settings: &[
            Setting {
                name: "difference",
                default: None,
                fr: "plus petite différence à voir",
                en: "smallest difference to see",
            },
            Setting {
                name: "kind",
                default: Some("paired"),
                fr: "paired, means ou shares",
                en: "paired, means or shares",
            },
            Setting {
                name: "deviation",
                default: Some("1"),
                fr: "écart-type (des différences si paired)",
                en: "standard deviation (of differences if paired)",
            },
            Setting {
                name: "base",
                default: Some("0.5"),
                fr: "part de départ, si shares",
                en: "share to start from, if shares",
            },
            Setting {
                name: "alpha",
                default: Some("0.05"),
                fr: "risque de fausse alerte",
                en: "chance of a false alarm",
            },
            Setting {
                name: "power",
                default: Some("0.8"),
                fr: "chance de voir ce qui est",
                en: "chance to see what is there",
            },
            Setting {
                name: "per_unit",
                default: Some("1"),
                fr: "observations par unité",
                en: "observations of a unit",
            },
            Setting {
                name: "correlation",
                default: Some("0"),
                fr: "corrélation dans une unité",
                en: "correlation in a unit",
            },
        ],
        source: "Guenther 1981; Fleiss, Levin & Paik 2003; design effect of Kish 1965",
        run: sample_size,
    },
];

fn holm(frame: &Frame) -> Result<Value> {
    let p = frame.numbers("p");
    let names = frame.texts("name");
    let adjusted = paired::holm(&p)?;
    let rows = p.iter().zip(adjusted).enumerate().map(|(row, (p, adjusted))| {
        let mut told = json!({"p": p, "adjusted": adjusted});
        if let Some(name) = names.get(row) {
            told["name"] = json!(name);
        }
        told
    });
    Ok(rows.collect())
}

fn sample_size(frame: &Frame) -> Result<Value> {
    let wanted = Wanted {
        difference: frame.setting("difference")?,
        alpha: frame.setting("alpha")?,
        power: frame.setting("power")?,
        correlation: frame.setting("correlation")?,
        per_unit: frame.setting("per_unit")?,
    };
    let kind = frame.among("kind", &[("paired", 0), ("means", 1), ("shares", 2)])?;
    told(match kind {
        0 => size::paired(&wanted, frame.setting("deviation")?)?,
        1 => size::means(&wanted, frame.setting("deviation")?)?,
        _ => size::shares(&wanted, frame.setting("base")?)?,
    })
}
