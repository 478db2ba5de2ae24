//! Agreement of raters, and rankings from their choices.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::frame::Frame;
use super::{CLUSTER, Column, Entry, Kind, LEVEL, METHOD, RESAMPLES, SEED, Setting, column, maybe, told};
use crate::refusal::{Refusal, Result};
use crate::stats::alpha::{Metric, Ratings};
use crate::stats::kappa::{self, Weights};
use crate::stats::ranking::{Duel, Outcome, Ranking, davidson};
use crate::stats::units::Clusters;
use crate::table::number;

const ITEM: Column = column("item", Kind::Label, "élément noté", "item rated");
const ORDER: Setting = Setting {
    name: "categories",
    default: Some(""),
    fr: "catégories dans l’ordre, avec des virgules ; sinon ordre des nombres ou de l’alphabet",
    en: "categories in order, with commas; order of numbers or of the alphabet otherwise",
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "cohen-kappa",
        fr: "accord de deux personnes au-delà du hasard",
        en: "agreement of two raters beyond chance",
        columns: &[
            column(
                "first",
                Kind::Label,
                "catégorie choisie par la première personne",
                "category the first rater chose",
            ),
            column("second", Kind::Label, "par la seconde", "and the second"),
        ],
        settings: &[
            Setting {
                name: "weights",
                default: Some("none"),
                fr: "none, linear ou quadratic",
                en: "none, linear or quadratic",
            },
            ORDER,
            LEVEL,
        ],
        source: "Cohen 1960, 1968; Fleiss, Cohen & Everitt 1969",
        run: cohen,
    },
    Entry {
        name: "fleiss-kappa",
        fr: "accord au-delà du hasard, autant de notes par élément",
        en: "agreement beyond chance, as many ratings of each item",
        columns: &[ITEM, column("label", Kind::Label, "catégorie choisie", "category chosen")],
        settings: &[LEVEL, RESAMPLES, SEED, METHOD],
        source: "Fleiss 1971",
        run: fleiss,
    },
    Entry {
        name: "krippendorff-alpha",
        fr: "accord de toutes personnes, notes manquantes admises",
        en: "agreement of any raters, ratings may be missing",
        columns: &[
            ITEM,
            maybe("label", Kind::Label, "note donnée ; vide si aucune", "rating given; empty if none"),
            CLUSTER,
        ],
        settings: &[
            Setting {
                name: "metric",
                default: None,
                fr: "nominal, ordinal, interval ou ratio",
                en: "nominal, ordinal, interval or ratio",
            },
            ORDER,
            LEVEL,
            RESAMPLES,
            SEED,
            METHOD,
        ],
        source: "Krippendorff 2011; Hayes & Krippendorff 2007; interval of Zapf et al. 2016",
        run: krippendorff,
    },
    Entry {
        name: "bradley-terry",
        fr: "classement d’après des duels, égalités admises (Davidson)",
        en: "ranking from duels, ties allowed (Davidson)",
        columns: &[
            column("first", Kind::Label, "un modèle", "one model"),
            column("second", Kind::Label, "l’autre", "the other"),
            column("winner", Kind::Label, "first, second ou tie", "first, second or tie"),
            CLUSTER,
        ],
        settings: &[LEVEL],
        source: "Davidson 1970; Bradley & Terry 1952; rank intervals after Holm 1979",
        run: bradley_terry,
    },
];

/// Categories in their order, and the place of each rating.
fn ordered<'a>(frame: &'a Frame, labels: &[&'a str]) -> Result<(Vec<&'a str>, Vec<usize>)> {
    let said = frame.word("categories");
    let categories: Vec<&str> = if said.is_empty() {
        let mut found: Vec<&str> = labels.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if found.iter().all(|label| number(label).is_some()) {
            found.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
        }
        found
    } else {
        said.split(',').map(str::trim).collect()
    };
    let place = |label: &str| {
        categories.iter().position(|category| *category == label).ok_or_else(|| {
            Refusal::input(
                format!("« {label} » n’est pas parmi les catégories {}", categories.join(", ")),
                format!("“{label}” is not among the categories {}", categories.join(", ")),
            )
        })
    };
    let places = labels.iter().map(|label| place(label)).collect::<Result<_>>()?;
    Ok((categories, places))
}

fn cohen(frame: &Frame) -> Result<Value> {
    let weights = [("none", Weights::None), ("linear", Weights::Linear), ("quadratic", Weights::Quadratic)];
    let weights = frame.among("weights", &weights)?;
    let labels = [frame.texts("first"), frame.texts("second")].concat();
    let (categories, places) = ordered(frame, &labels)?;
    let (first, second) = places.split_at(labels.len() / 2);
    let got = kappa::cohen(first, second, categories.len(), weights, frame.level()?)?;
    Ok(json!({"kappa": told(got)?, "categories": categories}))
}

fn fleiss(frame: &Frame) -> Result<Value> {
    let labels = frame.texts("label");
    let categories: Vec<&str> = labels.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let mut items: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (item, label) in frame.texts("item").into_iter().zip(&labels) {
        let counts = items.entry(item).or_insert_with(|| vec![0; categories.len()]);
        if let Ok(place) = categories.binary_search(label) {
            counts[place] += 1;
        }
    }
    let counts: Vec<Vec<u32>> = items.into_values().collect();
    told(kappa::fleiss(&counts, &frame.plan()?)?)
}

fn krippendorff(frame: &Frame) -> Result<Value> {
    let metrics = [
        ("nominal", Metric::Nominal),
        ("ordinal", Metric::Ordinal),
        ("interval", Metric::Interval),
        ("ratio", Metric::Ratio),
    ];
    let metric = frame.among("metric", &metrics)?;
    let rated: Vec<(&str, &str)> =
        frame.texts("item").into_iter().zip(frame.texts("label")).filter(|(_, label)| !label.is_empty()).collect();
    let labels: Vec<&str> = rated.iter().map(|(_, label)| *label).collect();
    let values: Vec<f64> = match metric {
        Metric::Nominal | Metric::Ordinal => ordered(frame, &labels)?.1.into_iter().map(|place| place as f64).collect(),
        Metric::Interval | Metric::Ratio => labels
            .iter()
            .map(|label| {
                number(label).ok_or_else(|| {
                    Refusal::input(format!("« {label} » n’est pas un nombre"), format!("“{label}” is not a number"))
                })
            })
            .collect::<Result<_>>()?,
    };
    let mut items: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for ((item, _), value) in rated.iter().zip(values) {
        items.entry(item).or_default().push(value);
    }
    let units: BTreeMap<&str, &str> = match frame.has("cluster") {
        true => frame.texts("item").into_iter().zip(frame.texts("cluster")).collect(),
        false => BTreeMap::new(),
    };
    let clusters = Clusters::named(items.keys().map(|item| *units.get(item).unwrap_or(item)));
    let items: Vec<Vec<f64>> = items.into_values().collect();
    let ratings = Ratings::in_units(&items, &clusters, metric)?;
    let alpha = ratings.alpha()?;
    // α may exist where its interval does not: then the reason stands in the interval's place.
    let interval = match ratings.interval(&frame.plan()?) {
        Ok(interval) => told(interval)?,
        Err(refusal) => json!({"refused": told(refusal)?}),
    };
    Ok(json!({"alpha": told(alpha)?, "interval": interval}))
}

fn bradley_terry(frame: &Frame) -> Result<Value> {
    told(ranked(frame)?)
}

pub(super) fn ranked(frame: &Frame) -> Result<Ranking> {
    let (first, second) = (frame.texts("first"), frame.texts("second"));
    let names: Vec<&str> = first.iter().chain(&second).copied().collect::<BTreeSet<_>>().into_iter().collect();
    let place = |name: &str| names.binary_search(&name).unwrap_or(0) as u32;
    let duels = first
        .iter()
        .zip(&second)
        .zip(frame.texts("winner"))
        .map(|((first, second), winner)| {
            let outcome = match winner {
                "first" => Outcome::First,
                "second" => Outcome::Second,
                "tie" => Outcome::Tie,
                _ if winner == *first => Outcome::First,
                _ if winner == *second => Outcome::Second,
                _ => {
                    return Err(Refusal::input(
                        format!("le gagnant « {winner} » n’est ni first, ni second, ni tie"),
                        format!("the winner “{winner}” is not first, second or tie"),
                    ));
                }
            };
            Ok(Duel { first: place(first), second: place(second), outcome })
        })
        .collect::<Result<Vec<Duel>>>()?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let clusters = frame.has("cluster").then(|| frame.clusters());
    davidson(&names, &duels, clusters.as_ref(), frame.level()?)
}
