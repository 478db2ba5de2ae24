//! Shares, means, totals.

use serde_json::{Value, json};

use super::frame::Frame;
use super::{CLUSTER, Column, Entry, Kind, LEVEL, METHOD, RESAMPLES, SEED, Setting, column, maybe, told};
use crate::refusal::{Refusal, Result};
use crate::stats::corrected::{Judged, Trust, corrected_mean};
use crate::stats::strata::{Stratum, stratified_mean};
use crate::stats::units::{Clusters, Units, clustered_mean};
use crate::stats::{bootstrap, proportion, weighted};

const VALUE: Column = column("value", Kind::Number, "note", "score");
const SUCCESS: Column = column("success", Kind::YesNo, "réussi ou non", "passed or not");
const PROBABILITY: Column = column(
    "probability",
    Kind::Number,
    "probabilité qu’avait la ligne d’être tirée",
    "chance the line had of being drawn",
);

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "wilson",
        fr: "part de oui et intervalle de Wilson",
        en: "share of yes with Wilson's interval",
        columns: &[SUCCESS, CLUSTER],
        settings: &[LEVEL],
        source: "Wilson 1927; with clusters, effective size of Korn & Graubard 1998",
        run: wilson,
    },
    Entry {
        name: "newcombe",
        fr: "différence de deux parts indépendantes, première nommée moins seconde",
        en: "difference of two independent shares, first named minus second",
        columns: &[column("group", Kind::Label, "l’un de deux groupes", "one of two groups"), SUCCESS],
        settings: &[LEVEL],
        source: "Newcombe 1998, method 10",
        run: newcombe,
    },
    Entry {
        name: "clustered-mean",
        fr: "moyenne, erreur par unités indépendantes",
        en: "mean, its error by independent units",
        columns: &[VALUE, CLUSTER],
        settings: &[LEVEL],
        source: "Liang & Zeger 1986; Cameron & Miller 2015",
        run: |frame| told(clustered_mean(&frame.numbers("value"), &frame.clusters(), frame.level()?)?),
    },
    Entry {
        name: "bootstrap-mean",
        fr: "moyenne, intervalle par rééchantillonnage d’unités",
        en: "mean, its interval by resampling units",
        columns: &[VALUE, CLUSTER],
        settings: &[LEVEL, RESAMPLES, SEED, METHOD],
        source: "Efron 1987; Efron & Tibshirani 1993",
        run: |frame| {
            let units = Units::mean(&frame.numbers("value"), &frame.clusters())?;
            told(bootstrap::of_units(&units, &frame.plan()?)?)
        },
    },
    Entry {
        name: "stratified-mean",
        fr: "moyenne d’un échantillon stratifié",
        en: "mean of a stratified sample",
        columns: &[
            maybe(
                "value",
                Kind::Number,
                "note ; vide pour une strate dont rien n’a été tiré",
                "score; empty for a stratum never drawn from",
            ),
            column("stratum", Kind::Label, "strate", "stratum"),
            column(
                "population",
                Kind::Number,
                "taille de la strate, la même sur ses lignes",
                "size of the stratum, the same on its lines",
            ),
            CLUSTER,
        ],
        settings: &[LEVEL],
        source: "Cochran 1977, §5",
        run: stratified,
    },
    Entry {
        name: "weighted-mean",
        fr: "moyenne d’un tirage à probabilités inégales (Hájek)",
        en: "mean of a draw with unequal chances (Hájek)",
        columns: &[VALUE, PROBABILITY, CLUSTER],
        settings: &[LEVEL],
        source: "Hájek 1971; Särndal, Swensson & Wretman 1992",
        run: |frame| {
            let (values, chances) = (frame.numbers("value"), frame.numbers("probability"));
            told(weighted::hajek_mean(&values, &chances, &frame.clusters(), frame.level()?)?)
        },
    },
    Entry {
        name: "weighted-total",
        fr: "total d’un tirage à probabilités inégales (Horvitz-Thompson)",
        en: "total of a draw with unequal chances (Horvitz-Thompson)",
        columns: &[VALUE, PROBABILITY, CLUSTER],
        settings: &[LEVEL],
        source: "Horvitz & Thompson 1952; Hansen & Hurwitz 1943",
        run: |frame| {
            let (values, chances) = (frame.numbers("value"), frame.numbers("probability"));
            told(weighted::horvitz_thompson_total(&values, &chances, &frame.clusters(), frame.level()?)?)
        },
    },
    Entry {
        name: "judge-corrected-mean",
        fr: "moyenne d’un juge automatique, corrigée par des personnes",
        en: "mean of an automatic judge, corrected by people",
        columns: &[
            column("judge", Kind::Number, "note du juge", "the judge's score"),
            maybe(
                "human",
                Kind::Number,
                "note de personnes ; vide si personne n’a noté",
                "people's score; empty where nobody scored",
            ),
            CLUSTER,
        ],
        settings: &[
            LEVEL,
            Setting {
                name: "trust",
                default: Some("tuned"),
                fr: "tuned (PPI++), full (λ = 1) ou un nombre de 0 à 1",
                en: "tuned (PPI++), full (λ = 1) or a number from 0 to 1",
            },
        ],
        source: "Angelopoulos et al. 2023 (PPI, PPI++)",
        run: judge_corrected,
    },
];

fn wilson(frame: &Frame) -> Result<Value> {
    let success = frame.yes_or_no("success");
    let (passed, n) = (success.iter().filter(|passed| **passed).count(), success.len());
    if !frame.has("cluster") {
        return told(proportion::wilson(passed, n, frame.level()?)?);
    }
    let values: Vec<f64> = success.iter().map(|passed| f64::from(u8::from(*passed))).collect();
    let units = Units::mean(&values, &frame.clusters())?;
    let variance = units.variance();
    told(proportion::effective(units.value(), variance, n, units.count(), frame.level()?)?)
}

fn newcombe(frame: &Frame) -> Result<Value> {
    let groups = frame.texts("group");
    let mut names: Vec<&str> = Vec::new();
    for group in &groups {
        if !names.contains(group) {
            names.push(group);
        }
    }
    let [first, second] = names[..] else {
        return Err(Refusal::input(
            format!("il faut deux groupes, il y en a {}", names.len()),
            format!("two groups are needed, there are {}", names.len()),
        ));
    };
    let success = frame.yes_or_no("success");
    let count = |name: &str| {
        let of_group = groups.iter().zip(&success).filter(|(group, _)| **group == name);
        (of_group.clone().filter(|(_, passed)| **passed).count(), of_group.count())
    };
    let got = proportion::newcombe(count(first), count(second), frame.level()?)?;
    Ok(json!({"first": first, "second": second, "difference": told(got)?}))
}

fn stratified(frame: &Frame) -> Result<Value> {
    let (names, sizes) = (frame.texts("stratum"), frame.numbers("population"));
    let (values, clusters) = (frame.maybe_numbers("value"), frame.texts("cluster"));
    let mut order: Vec<&str> = Vec::new();
    for name in &names {
        if !order.contains(name) {
            order.push(name);
        }
    }
    let strata = order
        .into_iter()
        .map(|name| {
            let rows: Vec<usize> = (0..names.len()).filter(|row| names[*row] == name).collect();
            let population = sizes[rows[0]];
            if rows.iter().any(|row| sizes[*row] != population) {
                return Err(Refusal::input(
                    format!("la strate « {name} » a plusieurs tailles"),
                    format!("the stratum “{name}” has several sizes"),
                ));
            }
            let seen: Vec<usize> = rows.into_iter().filter(|row| values[*row].is_some()).collect();
            let clusters = if clusters.is_empty() {
                Clusters::alone(seen.len())
            } else {
                Clusters::named(seen.iter().map(|row| clusters[*row]))
            };
            let values = seen.iter().filter_map(|row| values[*row]).collect();
            Ok(Stratum { name: name.to_owned(), population, values, clusters })
        })
        .collect::<Result<Vec<_>>>()?;
    told(stratified_mean(&strata, frame.level()?)?)
}

fn judge_corrected(frame: &Frame) -> Result<Value> {
    let trust = match frame.word("trust") {
        "tuned" => Trust::Tuned,
        "full" => Trust::Full,
        _ => Trust::Fixed(frame.setting("trust")?),
    };
    let (judge, human) = (frame.numbers("judge"), frame.maybe_numbers("human"));
    let clusters = frame.clusters();
    let side = |seen: bool| -> (Vec<f64>, Clusters) {
        let rows = || (0..judge.len()).filter(|row| human[*row].is_some() == seen);
        (rows().map(|row| judge[row]).collect(), Clusters::named(rows().map(|row| clusters.of()[row])))
    };
    let ((judged, clusters), (alone, clusters_alone)) = (side(true), side(false));
    let human: Vec<f64> = human.into_iter().flatten().collect();
    let (human, judge, judge_alone) = (&human[..], &judged[..], &alone[..]);
    let judged = Judged { human, judge, clusters: &clusters, judge_alone, clusters_alone: &clusters_alone };
    told(corrected_mean(&judged, trust, frame.level()?)?)
}
