//! Answers beside references, and their form.

use serde_json::{Value, json};

use super::frame::Frame;
use super::{Column, Entry, Kind, LEVEL, Setting, column, told};
use crate::metrics::edit::Edits;
use crate::metrics::format::{Form, exact_match};
use crate::metrics::rouge::rouge_l;
use crate::metrics::{bleu, chrf};
use crate::refusal::{Refusal, Result};
use crate::stats::{mean, proportion};

const ANSWER: Column = column("answer", Kind::Text, "réponse", "answer");
const BESIDE: &[Column] = &[ANSWER, column("reference", Kind::Text, "référence", "reference")];

const fn count(name: &'static str, fr: &'static str, en: &'static str) -> Setting {
    Setting { name, default: Some(""), fr, en }
}

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "bleu",
        fr: "BLEU du corpus et de chaque réponse",
        en: "BLEU of the corpus and of each answer",
        columns: BESIDE,
        settings: &[],
        source: "Papineni et al. 2002; sacreBLEU tok:13a smooth:exp, eff:no for the corpus, eff:yes for one answer",
        run: |frame| {
            let counts: Vec<bleu::Counts> =
                pairs(frame)?.map(|(answer, other)| bleu::Counts::of(answer, &[other])).collect();
            let mut all = bleu::Counts::default();
            counts.iter().for_each(|one| all.add(one));
            let each: Vec<f64> = counts.iter().map(bleu::Counts::sentence).collect();
            Ok(json!({"corpus": all.corpus(), "each": each}))
        },
    },
    Entry {
        name: "chrf",
        fr: "chrF du corpus et de chaque réponse",
        en: "chrF of the corpus and of each answer",
        columns: BESIDE,
        settings: &[],
        source: "Popović 2015; sacreBLEU nc:6 nw:0 space:no eff:yes",
        run: |frame| {
            let counts: Vec<chrf::Counts> =
                pairs(frame)?.map(|(answer, other)| chrf::Counts::of(answer, &[other])).collect();
            let mut all = chrf::Counts::default();
            counts.iter().for_each(|one| all.add(one));
            let each: Vec<f64> = counts.iter().map(chrf::Counts::score).collect();
            Ok(json!({"corpus": all.score(), "each": each}))
        },
    },
    Entry {
        name: "rouge-l",
        fr: "ROUGE-L moyen et de chaque réponse",
        en: "ROUGE-L, its mean and that of each answer",
        columns: BESIDE,
        settings: &[],
        source: "Lin 2004",
        run: |frame| {
            let each: Vec<_> = pairs(frame)?.map(|(answer, reference)| rouge_l(answer, reference)).collect();
            let f1: Vec<f64> = each.iter().map(|one| one.f1).collect();
            Ok(json!({"mean_f1": mean(&f1), "each": told(each)?}))
        },
    },
    Entry {
        name: "wer",
        fr: "taux d’erreur de mots, du corpus et de chaque réponse",
        en: "word error rate, of the corpus and of each answer",
        columns: BESIDE,
        settings: &[],
        source: "Morris, Maier & Green 2004",
        run: |frame| edits(frame, Edits::words),
    },
    Entry {
        name: "cer",
        fr: "taux d’erreur de caractères, du corpus et de chaque réponse",
        en: "character error rate, of the corpus and of each answer",
        columns: BESIDE,
        settings: &[],
        source: "Morris, Maier & Green 2004",
        run: |frame| edits(frame, Edits::characters),
    },
    Entry {
        name: "exact-match",
        fr: "part de réponses égales à leur référence",
        en: "share of answers equal to their reference",
        columns: BESIDE,
        settings: &[Setting { name: "strict", default: Some("false"), fr: "à l’octet près", en: "to the byte" }, LEVEL],
        source: "equality after case, white space and Unicode composition, unless strict; Wilson 1927",
        run: |frame| {
            let strict = frame.setting("strict")?;
            let same: Vec<bool> = pairs(frame)?.map(|(answer, other)| exact_match(answer, other, strict)).collect();
            share(frame, &same)
        },
    },
    Entry {
        name: "format",
        fr: "part de réponses qui ont la forme demandée",
        en: "share of answers of the form asked for",
        columns: &[ANSWER],
        settings: &[
            Setting {
                name: "json",
                default: Some("false"),
                fr: "toute la réponse est du JSON",
                en: "the whole answer is JSON",
            },
            count(
                "keys",
                "clés demandées, avec des virgules ; a.b pour une clé intérieure",
                "keys wanted, with commas; a.b for an inner one",
            ),
            Setting { name: "closed", default: Some("false"), fr: "aucune autre clé", en: "no other key" },
            count("fewest_words", "mots au moins", "words at least"),
            count("most_words", "mots au plus", "words at most"),
            count("fewest_characters", "caractères au moins", "characters at least"),
            count("most_characters", "caractères au plus", "characters at most"),
            LEVEL,
        ],
        source: "Wilson 1927",
        run: form,
    },
];

fn pairs(frame: &Frame) -> Result<impl Iterator<Item = (&str, &str)>> {
    if frame.rows() == 0 {
        return Err(Refusal::too_few("réponses", "answers", 0, 1));
    }
    Ok(frame.texts("answer").into_iter().zip(frame.texts("reference")))
}

fn edits(frame: &Frame, of: fn(&str, &str) -> Edits) -> Result<Value> {
    let each: Vec<Edits> = pairs(frame)?.map(|(answer, reference)| of(answer, reference)).collect();
    let mut all = Edits::default();
    each.iter().for_each(|one| all.add(*one));
    let rate = all.rate().ok_or_else(|| Refusal::undefined("les références sont vides", "the references are empty"))?;
    let each: Vec<Option<f64>> = each.into_iter().map(Edits::rate).collect();
    Ok(json!({"corpus": rate, "edits": all.edits, "reference_length": all.reference, "each": each}))
}

fn share(frame: &Frame, passed: &[bool]) -> Result<Value> {
    let count = passed.iter().filter(|passed| **passed).count();
    Ok(json!({"share": told(proportion::wilson(count, passed.len(), frame.level()?)?)?, "each": passed}))
}

fn form(frame: &Frame) -> Result<Value> {
    let keys = frame.word("keys").split(',').map(str::trim).filter(|key| !key.is_empty());
    let form = Form {
        json: frame.setting("json")?,
        keys: keys.map(str::to_owned).collect(),
        closed: frame.setting("closed")?,
        fewest_words: frame.setting_if_said("fewest_words")?,
        most_words: frame.setting_if_said("most_words")?,
        fewest_characters: frame.setting_if_said("fewest_characters")?,
        most_characters: frame.setting_if_said("most_characters")?,
    };
    let faults: Vec<_> = frame.texts("answer").into_iter().map(|answer| form.faults(answer)).collect();
    let mut told = share(frame, &faults.iter().map(Vec::is_empty).collect::<Vec<bool>>())?;
    told["faults"] = super::told(faults)?;
    Ok(told)
}
