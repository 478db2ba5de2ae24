//! Names after a civility: « Madame Durand », « M. Jean-Luc de la Tour ».

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::patterns::pattern;

/// A civility, then maybe a function (« Madame la députée »), then what may be a name.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let civility = r"\b(?:(?:Monsieur|Madame|Mademoiselle|Messieurs|Mesdames|Docteur|Docteure|Maître|Professeur|Professeure|MONSIEUR|MADAME|MADEMOISELLE|monsieur|madame|mademoiselle)\b|(?:MM|Mmes|Mlles|Mme|MME|Mlle|MLLE|Mr|MR|Dr|DR|Pr|Me|M)\b\.?)";
    let function = r"(?:(?:[Ll]e|[Ll]a|[Ll]['’])\x20?(?P<function>\p{L}[\p{L}-]{2,30})(?:\x20(?:adjointe?|déléguée?|générale?|honoraire|municipale?|départementale?|régionale?))?\x20)";
    let word = r"(?:\p{Lu}\.(?:-\p{Lu}\.)?|(?:[DdOL]['’])?\p{Lu}[\p{L}’'-]{1,40})";
    let particle = r"(?:(?:de\x20la|de\x20l['’]|de|du|des|d['’]|le|la|van|von|den|der|ten|ter|ben|bin|el|al|da|dos|di|Le|La|De|Du|Des|Van|Von|Ben|El|Al|Da|Di)\x20?)";
    pattern(&format!(
        r"(?P<civility>{civility})[\x20\x{{a0}}\x{{202f}}]{{1,2}}{function}?(?P<name>{particle}{{0,2}}{word}(?:[\x20\x{{a0}}-]{particle}{{0,2}}{word}){{0,3}})"
    ))
});

/// Functions and words that follow a civility without being a name.
const FUNCTIONS: &[&str] = &[
    "administrateur",
    "administratrice",
    "agent",
    "agente",
    "ambassadeur",
    "ambassadrice",
    "avocat",
    "avocate",
    "bâtonnier",
    "chancelier",
    "chef",
    "cheffe",
    "colonel",
    "commandant",
    "commandante",
    "commissaire",
    "conseiller",
    "conseillère",
    "consul",
    "consule",
    "défenseur",
    "défenseure",
    "déléguée",
    "délégué",
    "député",
    "députée",
    "directeur",
    "directrice",
    "docteur",
    "docteure",
    "doyen",
    "doyenne",
    "garde",
    "général",
    "générale",
    "gouverneur",
    "gouverneure",
    "greffier",
    "greffière",
    "inspecteur",
    "inspectrice",
    "juge",
    "maire",
    "maires",
    "ministre",
    "ministres",
    "monsieur",
    "madame",
    "préfet",
    "préfète",
    "premier",
    "première",
    "président",
    "présidente",
    "présidents",
    "principal",
    "principale",
    "procureur",
    "procureure",
    "professeur",
    "professeure",
    "proviseur",
    "proviseure",
    "rapporteur",
    "rapporteure",
    "recteur",
    "rectrice",
    "responsable",
    "secrétaire",
    "sénateur",
    "sénatrice",
    "substitut",
    "trésorier",
    "trésorière",
    "vice-président",
    "vice-présidente",
    "sous-préfet",
    "sous-préfète",
    "médiateur",
    "médiatrice",
    "mesdames",
    "messieurs",
    "mademoiselle",
    "notaire",
    "huissier",
    "maître",
    "chère",
    "cher",
    "tout",
    "toute",
    "tous",
    "je",
    "nous",
    "vous",
    "en",
    "par",
    "suite",
    "objet",
    "votre",
    "notre",
    "veuillez",
    "merci",
    "bonjour",
    "suite",
    "conformément",
];

fn is_function(word: &str) -> bool {
    let word = word.trim_matches(['.', '\'', '’', '-']).to_lowercase();
    FUNCTIONS.contains(&word.as_str())
}

/// Spans of names, the civility left in place.
pub(super) fn names(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut from = 0;
    while let Some(found) = NAME.captures_at(text, from) {
        let (Some(whole), Some(civility), Some(name)) = (found.get(0), found.name("civility"), found.name("name"))
        else {
            break;
        };
        let function = found.name("function");
        match bounds(name.as_str(), civility.as_str(), function.map(|function| function.as_str())) {
            Some(length) => {
                spans.push(name.start()..name.start() + length);
                from = name.start() + length;
            }
            None => from = civility.end().min(whole.end()),
        }
    }
    spans
}

/// How much of what follows a civility is a name.
fn bounds(name: &str, civility: &str, function: Option<&str>) -> Option<usize> {
    // « Monsieur le Président de la République » : after a function, a name starts with its capital.
    if function.is_some_and(|function| !is_function(function) || name.starts_with(char::is_lowercase)) {
        return None;
    }
    // « Madame la Préfète », « Monsieur Le Directeur ».
    let words: Vec<&str> = name.split([' ', '\u{a0}']).collect();
    let mut heads =
        words.iter().skip_while(|word| matches!(word.to_lowercase().as_str(), "le" | "la" | "de" | "du" | "des"));
    if heads.next().is_some_and(|head| is_function(head.trim_start_matches("l'").trim_start_matches("l’"))) {
        return None;
    }
    // « M » and « Me » alone are also letters and a pronoun: a full name or a capital word must follow, never a figure.
    if matches!(civility, "M" | "Me") && name.chars().filter(|c| c.is_alphabetic()).count() < 3 {
        return None;
    }
    // « Madame Durand Je vous écris »: a sentence that starts is not the name's.
    let mut length = 0;
    for (place, word) in words.iter().enumerate() {
        if place > 0 && is_function(word) {
            break;
        }
        length += word.len() + if place > 0 { name[length..].chars().next().map_or(0, char::len_utf8) } else { 0 };
    }
    let kept = name[..length].trim_end_matches(['\'', '’', '-', ' ']);
    (kept.chars().any(char::is_uppercase)).then_some(kept.len())
}
