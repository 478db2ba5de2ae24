//! Whether an answer has the form it was asked for.

use serde_json::Value;

use super::readable;

/// The same text: as it is, or as it reads ([`readable`], case aside).
pub fn exact_match(answer: &str, reference: &str, strict: bool) -> bool {
    if strict {
        return answer == reference;
    }
    readable(answer).to_lowercase() == readable(reference).to_lowercase()
}

/// What form is wanted. What is not said is not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The whole answer is one JSON value.
    pub json: bool,
    /// It is an object with these keys, `a.b` for a key of an object within.
    pub keys: Vec<String>,
    /// No other key stands at its top.
    pub closed: bool,
    pub fewest_words: Option<usize>,
    pub most_words: Option<usize>,
    pub fewest_characters: Option<usize>,
    pub most_characters: Option<usize>,
}

/// In what an answer fails.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    NotJson,
    MissingKey(String),
    ExtraKey(String),
    TooShort,
    TooLong,
}

impl Form {
    /// All that an answer fails in; nothing when it has the form.
    pub fn faults(&self, answer: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.json || self.closed || !self.keys.is_empty() {
            match serde_json::from_str::<Value>(answer) {
                Ok(value) => self.keys_of(&value, &mut faults),
                Err(_) => faults.push(Fault::NotJson),
            }
        }
        let (words, characters) = (answer.split_whitespace().count(), answer.chars().count());
        let under = |n: usize, least: Option<usize>| least.is_some_and(|least| n < least);
        let over = |n: usize, most: Option<usize>| most.is_some_and(|most| n > most);
        if under(words, self.fewest_words) || under(characters, self.fewest_characters) {
            faults.push(Fault::TooShort);
        }
        if over(words, self.most_words) || over(characters, self.most_characters) {
            faults.push(Fault::TooLong);
        }
        faults
    }

    fn keys_of(&self, value: &Value, faults: &mut Vec<Fault>) {
        for key in &self.keys {
            if key.split('.').try_fold(value, |value, step| value.get(step)).is_none() {
                faults.push(Fault::MissingKey(key.clone()));
            }
        }
        if self.closed {
            let known = |key: &str| self.keys.iter().any(|wanted| wanted.split('.').next() == Some(key));
            let extra = value.as_object().into_iter().flat_map(|object| object.keys()).filter(|key| !known(key));
            faults.extend(extra.map(|key| Fault::ExtraKey(key.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = Form {
            keys: vec!["verdict".to_owned(), "preuve.page".to_owned()],
            closed: true,
            most_characters: Some(60),
            ..Form::default()
        };
        assert!(form.faults(r#"{"verdict": true, "preuve": {"page": 3}}"#).is_empty());
        assert_eq!(form.faults("Voici : {}"), [Fault::NotJson]);
        assert_eq!(
            form.faults(r#"{"verdict": null, "avis": "je pense que oui, sans en être tout à fait sûr"}"#),
            [Fault::MissingKey("preuve.page".to_owned()), Fault::ExtraKey("avis".to_owned()), Fault::TooLong]
        );
        assert_eq!(Form { fewest_words: Some(3), ..Form::default() }.faults("deux mots"), [Fault::TooShort]);
    }

    #[test]
    fn matches() {
        assert!(exact_match(" Oui\u{a0}!", "oui !", false) && !exact_match("Oui !", "oui !", true));
        assert!(!exact_match("non", "oui", false));
    }
}
