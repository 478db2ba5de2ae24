//! From a document to a grid, telling all that is not of the right kind.

use serde_json::{Map, Value};

use super::model::{Criterion, Direction, Evidence, Facet, Grid, Scale, Text};
use super::problem::Problem;

/// A minimum when neither the criterion nor the grid says one.
const MINIMUM: usize = 30;

/// The least agreement of a judge with people when neither the criterion nor the grid says one: under it, agreement is
/// « fair » at best (Landis & Koch 1977).
const JUDGE_AGREEMENT: f64 = 0.4;

/// What criteria take from their grid when they say nothing.
#[derive(Clone, Copy)]
struct Usual {
    minimum: usize,
    judge_agreement: f64,
}

/// What to say of a yes or no where a word is wanted: YAML takes a bare `y` for one.
const UNQUOTED: ((&str, &str), (&str, &str)) = (
    (
        "un oui ou non là où il faut un texte : sans guillemets, y, n, yes, no, on, off, true et false en sont en YAML",
        "a yes or no where a text is wanted: unquoted, y, n, yes, no, on, off, true and false are such in YAML",
    ),
    ("mettez-le entre guillemets : 'y'", "put it in quotes: 'y'"),
);

struct Reader<'a> {
    problems: &'a mut Vec<Problem>,
}

/// An object of the document and where it stands.
struct Place<'v> {
    map: &'v Map<String, Value>,
    path: String,
}

impl Place<'_> {
    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

pub(super) fn grid(document: &Value, problems: &mut Vec<Problem>) -> Grid {
    let mut reader = Reader { problems };
    let known = ["grid", "version", "title", "about", "minimum", "judge_agreement", "facets"];
    let Some(place) = reader.object(document, String::new(), &known) else { return Grid::default() };
    let usual = Usual {
        minimum: reader.count(&place, "minimum").unwrap_or(MINIMUM),
        judge_agreement: reader.agreement(&place).unwrap_or(JUDGE_AGREEMENT),
    };
    let facets = reader.list(&place, "facets", true);
    Grid {
        id: reader.word(&place, "grid").unwrap_or_default(),
        version: reader.word(&place, "version").unwrap_or_default(),
        title: reader.text(&place, "title", true),
        about: reader.text(&place, "about", false),
        facets: facets.iter().filter_map(|(path, value)| reader.facet(value, path, usual)).collect(),
        hash: String::new(),
    }
}

impl Reader<'_> {
    fn tell(&mut self, path: String, message: (&str, &str), remedy: (&str, &str)) {
        self.problems.push(Problem::new(path, message, remedy));
    }

    fn object<'v>(&mut self, value: &'v Value, path: String, known: &[&str]) -> Option<Place<'v>> {
        let Some(map) = value.as_object() else {
            self.tell(
                path,
                ("il faut ici des clés et des valeurs", "keys and values are wanted here"),
                ("écrivez clé: valeur", "write key: value"),
            );
            return None;
        };
        let place = Place { map, path };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let list = known.join(", ");
            let message = (format!("la clé « {key} » n’est pas connue"), format!("the key “{key}” is unknown"));
            self.problems.push(Problem::new(
                place.at(key),
                message,
                (format!("les clés sont : {list}"), format!("keys are: {list}")),
            ));
        }
        Some(place)
    }

    fn facet(&mut self, value: &Value, path: &str, usual: Usual) -> Option<Facet> {
        let known = ["id", "label", "weight", "references", "sources", "criteria"];
        let place = self.object(value, path.to_owned(), &known)?;
        let criteria = self.list(&place, "criteria", false);
        Some(Facet {
            id: self.word(&place, "id").unwrap_or_default(),
            label: self.text(&place, "label", true),
            weight: self.weight(&place),
            references: self.words(&place, "references"),
            sources: self.words(&place, "sources"),
            criteria: criteria.iter().filter_map(|(path, value)| self.criterion(value, path, usual)).collect(),
        })
    }

    fn criterion(&mut self, value: &Value, path: &str, usual: Usual) -> Option<Criterion> {
        let known =
            ["id", "question", "scale", "direction", "weight", "evidence", "minimum", "judge_agreement", "veto"];
        let place = self.object(value, path.to_owned(), &known)?;
        let id = self.word(&place, "id").unwrap_or_default();
        let scale = self.scale(&place);
        let direction = match place.map.get("direction").map(|value| value.as_str().unwrap_or_default()) {
            None => match scale {
                Some(Scale::Severity { .. }) => Direction::Lower,
                _ => Direction::Higher,
            },
            Some("higher") => Direction::Higher,
            Some("lower") => Direction::Lower,
            Some(_) => {
                let message = ("ce sens n’est pas connu", "this direction is unknown");
                self.tell(place.at("direction"), message, ("écrivez higher ou lower", "write higher or lower"));
                Direction::Higher
            }
        };
        let wanted = match scale {
            Some(Scale::Nominal(_) | Scale::Pairwise) => Some(Direction::Higher),
            Some(Scale::Severity { .. }) => Some(Direction::Lower),
            _ => None,
        };
        if wanted.is_some_and(|wanted| wanted != direction) {
            let message = ("cette échelle a déjà son sens", "this scale has a direction of its own");
            self.tell(place.at("direction"), message, ("retirez la ligne", "remove the line"));
        }
        let evidence = self.evidence(&place);
        Some(Criterion {
            id,
            question: self.text(&place, "question", true),
            scale: scale.unwrap_or(Scale::Boolean),
            direction,
            weight: self.weight(&place),
            evidence,
            minimum: self.count(&place, "minimum").unwrap_or(usual.minimum),
            judge_agreement: self.agreement(&place).unwrap_or(usual.judge_agreement),
            veto: self.veto(&place),
        })
    }

    fn agreement(&mut self, place: &Place<'_>) -> Option<f64> {
        let value = place.map.get("judge_agreement")?;
        let agreement = value.as_f64().filter(|alpha| (0.0..=1.0).contains(alpha));
        if agreement.is_none() {
            let message = ("un accord est entre 0 et 1", "an agreement is between 0 and 1");
            self.tell(place.at("judge_agreement"), message, ("écrivez par exemple 0.4", "write for instance 0.4"));
        }
        agreement
    }

    fn veto(&mut self, place: &Place<'_>) -> Option<f64> {
        let value = place.map.get("veto")?;
        let veto = value.as_f64().filter(|veto| *veto > 0.0 && *veto <= 1.0);
        if veto.is_none() {
            let message = ("un seuil de veto est une note entre 0 et 1", "a veto threshold is a score between 0 and 1");
            let remedy = (
                "écrivez par exemple 0.8 : il porte sur la borne basse",
                "write for instance 0.8: it bears on the lower bound",
            );
            self.tell(place.at("veto"), message, remedy);
        }
        veto
    }

    fn evidence(&mut self, place: &Place<'_>) -> Vec<Evidence> {
        let words = match place.map.get("evidence") {
            Some(Value::String(one)) => vec![(place.at("evidence"), one.clone())],
            Some(Value::Array(_)) => {
                let words = self.words(place, "evidence");
                words
                    .into_iter()
                    .enumerate()
                    .map(|(i, word)| (format!("{}[{i}]", place.at("evidence")), word))
                    .collect()
            }
            _ => Vec::new(),
        };
        if words.is_empty() {
            let message = ("ce critère n’a pas de preuve", "this criterion has no evidence");
            let remedy = (
                "écrivez human, attestation, auto:…, judge:…@… ou usage:…",
                "write human, attestation, auto:…, judge:…@… or usage:…",
            );
            self.tell(place.at("evidence"), message, remedy);
        }
        let mut evidence = Vec::new();
        for (path, word) in words {
            match Evidence::read(&word) {
                Ok(one) => evidence.push(one),
                Err(remedy) => {
                    let message =
                        (format!("la preuve « {word} » n’est pas connue"), format!("the evidence “{word}” is unknown"));
                    self.problems.push(Problem::new(path, message, (remedy.fr, remedy.en)));
                }
            }
        }
        if evidence.iter().any(Evidence::is_fact) && !evidence.iter().all(Evidence::is_fact) {
            let message = (
                "un fait (attestation, usage) et un échantillon ne se mêlent pas",
                "a fact (attestation, usage) and a sample do not mix",
            );
            self.tell(place.at("evidence"), message, ("faites-en deux critères", "make two criteria of it"));
        }
        evidence
    }

    fn scale(&mut self, place: &Place<'_>) -> Option<Scale> {
        let path = place.at("scale");
        let (name, body) = match place.map.get("scale") {
            Some(Value::String(name)) => (name.as_str(), &Value::Null),
            Some(Value::Object(map)) if map.len() == 1 => {
                map.iter().next().map(|(name, body)| (name.as_str(), body))?
            }
            _ => ("", &Value::Null),
        };
        let inner = format!("{path}.{name}");
        match name {
            "boolean" => Some(Scale::Boolean),
            "pairwise" => Some(Scale::Pairwise),
            "nominal" => self.nominal(body, inner),
            "ordinal" => self.ordinal(body, &inner),
            "interval" => {
                let place = self.object(body, inner, &["low", "high"])?;
                let (low, high) = (self.number(&place, "low")?, self.number(&place, "high")?);
                if low >= high {
                    let message = ("le bas n’est pas sous le haut", "low is not under high");
                    self.tell(place.path, message, ("écrivez low plus petit que high", "write low smaller than high"));
                    return None;
                }
                Some(Scale::Interval { low, high })
            }
            "severity" => {
                let place = self.object(body, inner, &["worst"])?;
                let worst = self.number(&place, "worst")?;
                if worst <= 0.0 {
                    let message = ("ce nombre de points n’est pas positif", "this number of points is not positive");
                    self.tell(
                        place.at("worst"),
                        message,
                        (
                            "écrivez les points pour 1000 mots qui valent 0",
                            "write the points per 1000 words that are worth 0",
                        ),
                    );
                    return None;
                }
                Some(Scale::Severity { worst })
            }
            _ => {
                let remedy =
                    "boolean, pairwise, {nominal: …}, {ordinal: …}, {interval: {low, high}}, {severity: {worst}}";
                self.problems.push(Problem::new(
                    path,
                    ("cette échelle n’est pas connue", "this scale is unknown"),
                    (format!("écrivez l’une de : {remedy}"), format!("write one of: {remedy}")),
                ));
                None
            }
        }
    }

    fn nominal(&mut self, body: &Value, path: String) -> Option<Scale> {
        let scores: Vec<(String, f64)> = body
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, score)| Some((name.clone(), score.as_f64().filter(|s| (0.0..=1.0).contains(s))?)))
            .collect();
        if scores.len() < 2 || scores.len() != body.as_object().map_or(0, Map::len) {
            let message = (
                "il faut deux catégories ou plus, chacune avec sa note",
                "two categories or more are wanted, each with its score",
            );
            self.tell(
                path,
                message,
                (
                    "écrivez par exemple {complète: 1, partielle: 0.5, absente: 0}",
                    "write for instance {complete: 1, partial: 0.5, none: 0}",
                ),
            );
            return None;
        }
        Some(Scale::Nominal(scores))
    }

    fn ordinal(&mut self, body: &Value, path: &str) -> Option<Scale> {
        let levels = body.as_array().map(Vec::as_slice).unwrap_or_default();
        let before = self.problems.len();
        let mut read: Vec<(f64, Text)> = Vec::new();
        for (i, level) in levels.iter().enumerate() {
            let Some(place) = self.object(level, format!("{path}[{i}]"), &["value", "fr", "en"]) else { continue };
            let Some(value) = self.number(&place, "value") else { continue };
            let anchor = Text {
                fr: self.word(&place, "fr").unwrap_or_default(),
                en: self.word(&place, "en").unwrap_or_default(),
            };
            if read.last().is_some_and(|(last, _)| *last >= value) {
                let message = ("les niveaux ne vont pas en montant", "levels do not go up");
                self.tell(
                    place.at("value"),
                    message,
                    ("écrivez-les du plus petit au plus grand", "write them from the smallest up"),
                );
            }
            read.push((value, anchor));
        }
        if levels.len() < 2 {
            let message = (
                "il faut deux niveaux ou plus, chacun ancré par des mots",
                "two levels or more are wanted, each anchored in words",
            );
            self.tell(
                path.to_owned(),
                message,
                ("écrivez [{value: 1, fr: …, en: …}, …]", "write [{value: 1, fr: …, en: …}, …]"),
            );
        }
        (self.problems.len() == before).then_some(Scale::Ordinal(read))
    }

    fn list<'v>(&mut self, place: &Place<'v>, key: &str, needed: bool) -> Vec<(String, &'v Value)> {
        let path = place.at(key);
        match place.map.get(key) {
            Some(Value::Array(list)) if !(needed && list.is_empty()) => {
                list.iter().enumerate().map(|(i, value)| (format!("{path}[{i}]"), value)).collect()
            }
            None if !needed => Vec::new(),
            _ => {
                self.tell(
                    path,
                    ("il faut ici une liste", "a list is wanted here"),
                    ("commencez chaque ligne par un tiret", "start each line with a dash"),
                );
                Vec::new()
            }
        }
    }

    fn words(&mut self, place: &Place<'_>, key: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (path, value) in self.list(place, key, false) {
            match value.as_str() {
                Some(word) if !word.trim().is_empty() => words.push(word.to_owned()),
                _ if value.is_boolean() => self.tell(path, UNQUOTED.0, UNQUOTED.1),
                _ => self.tell(path, ("il faut ici un texte", "a text is wanted here"), ("écrivez-le", "write it")),
            }
        }
        words
    }

    fn word(&mut self, place: &Place<'_>, key: &str) -> Option<String> {
        let word = match place.map.get(key) {
            Some(Value::String(word)) if !word.trim().is_empty() => Some(word.trim().to_owned()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        if word.is_none() {
            let (message, remedy) = match place.map.get(key) {
                Some(Value::Bool(_)) => UNQUOTED,
                _ => (("il manque un texte", "a text is missing"), ("écrivez-le", "write it")),
            };
            self.tell(place.at(key), message, remedy);
        }
        word
    }

    fn text(&mut self, place: &Place<'_>, key: &str, needed: bool) -> Text {
        match place.map.get(key) {
            None if !needed => Text::default(),
            Some(value @ Value::Object(_)) => match self.object(value, place.at(key), &["fr", "en"]) {
                Some(inner) => Text {
                    fr: self.word(&inner, "fr").unwrap_or_default(),
                    en: self.word(&inner, "en").unwrap_or_default(),
                },
                None => Text::default(),
            },
            _ => {
                let message =
                    ("il faut ici un texte en français et en anglais", "a text in French and English is wanted here");
                self.tell(place.at(key), message, ("écrivez {fr: …, en: …}", "write {fr: …, en: …}"));
                Text::default()
            }
        }
    }

    fn number(&mut self, place: &Place<'_>, key: &str) -> Option<f64> {
        let number = place.map.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
        if number.is_none() {
            self.tell(
                place.at(key),
                ("il faut ici un nombre", "a number is wanted here"),
                ("écrivez un nombre", "write a number"),
            );
        }
        number
    }

    fn count(&mut self, place: &Place<'_>, key: &str) -> Option<usize> {
        let value = place.map.get(key)?;
        let count = value.as_u64().filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok());
        if count.is_none() {
            self.tell(
                place.at(key),
                ("il faut ici un nombre entier positif", "a positive whole number is wanted here"),
                ("écrivez par exemple 30", "write for instance 30"),
            );
        }
        count
    }

    /// 1 when not said.
    fn weight(&mut self, place: &Place<'_>) -> f64 {
        if !place.map.contains_key("weight") {
            return 1.0;
        }
        let weight = self.number(place, "weight").unwrap_or(1.0);
        if weight <= 0.0 {
            let message = ("un poids n’est ni nul ni négatif", "a weight is neither zero nor negative");
            self.tell(
                place.at("weight"),
                message,
                ("donnez-lui un poids, ou retirez-le de la grille", "give it a weight, or take it out of the grid"),
            );
            return 1.0;
        }
        weight
    }
}
