//! Where data with a form of their own stand in a text.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::checks;

type Spans = Vec<Range<usize>>;

/// A pattern over Latin letters and ASCII digits: all of Unicode's would make automata of megabytes, and the texts are
/// French.
pub(super) fn pattern(text: &str) -> Regex {
    let latin = text
        .replace(r"\p{Lu}", "[A-ZÀ-ÖØ-ÞĀ-Ɏ]")
        .replace(r"\p{Ll}", "[a-zß-öø-ɏ]")
        .replace(r"\p{L}", "[A-Za-zÀ-ÖØ-öø-ɏ]")
        .replace(r"\p{N}", "[0-9]")
        .replace(r"\d", "[0-9]")
        .replace(r"\b", r"(?-u:\b)");
    crate::pattern::pattern(&latin)
}

/// Spans that match and are sound. A match that is not sound is tried again one character on, so that it hides nothing;
/// matches have a largest length, which keeps the whole linear.
fn scan(regex: &Regex, text: &str, sound: impl Fn(Range<usize>) -> Option<Range<usize>>) -> Spans {
    let mut spans = Spans::new();
    let mut from = 0;
    while let Some(found) = regex.find_at(text, from) {
        match sound(found.range()) {
            Some(span) => {
                from = span.end;
                spans.push(span);
            }
            None => from = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8),
        }
        if from >= text.len() {
            break;
        }
    }
    spans
}

/// No letter or digit touches the span.
fn alone(text: &str, span: &Range<usize>) -> bool {
    let before = text[..span.start].chars().next_back();
    let after = text[span.end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

fn kept(text: &str, keep: impl Fn(char) -> bool) -> String {
    text.chars().filter(|c| keep(*c)).collect()
}

static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) [\p{L}\p{N}][\p{L}\p{N}._%+'’-]{0,63} (?: @ | \s?[\[(]\s?(?:at|AT|arobase|@)\s?[\])]\s? )
          [\p{L}\p{N}][\p{L}\p{N}-]{0,62} (?: \.[\p{L}\p{N}][\p{L}\p{N}-]{0,62} ){0,6} \.\p{L}{2,24}",
    )
});

pub(super) fn emails(text: &str) -> Spans {
    scan(&EMAIL, text, Some)
}

/// Between groups of digits: a space of any width, a point, a hyphen, a slash.
const GAP: &str = r"[\x20\x{a0}\x{202f}\x{2009}./-]";

static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?x) (?: (?: \+ | 00 ){GAP}? (?: 33 | 262 | 590 | 594 | 596 | 508 | 687 | 689 | 681 ) {GAP}? (?: \(0\){GAP}? )? | \(?0\)? )
               \d\)? (?: {GAP}{{0,2}}\d{{2}} ){{4}}
             | 0 [1-9] (?: {GAP}\d{{3}} ){{2}} {GAP}? \d{{2}}
             | 0 [1-9]\d{{2}} (?: {GAP}\d{{3}} ){{2}}
             | (?: \+ ) [1-9]\d{{0,2}} (?: {GAP}?\(?\d{{1,4}}\)? ){{2,5}}"
    ))
});

/// French numbers, written with or without gaps, and international ones with their `+`.
pub(super) fn phones(text: &str) -> Spans {
    scan(&PHONE, text, |span| {
        let written = &text[span.clone()];
        let digits = kept(written, |c| c.is_ascii_digit());
        let length = match (written.starts_with('+'), digits.starts_with("00")) {
            (true, _) => (8..=15).contains(&digits.len()),
            (false, true) => (10..=15).contains(&digits.len()),
            // National: ten digits, the second not 0.
            (false, false) => digits.len() == 10 && !digits[1..].starts_with('0'),
        };
        let before = text[..span.start].trim_end_matches(' ').chars().next_back();
        let after = &text[span.end..];
        // A decimal, or a longer row of groups, is something else.
        let more = after.strip_prefix([' ', '.', '-', ',', '/', '\u{a0}']).is_some_and(|rest| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            (2..=4).contains(&digits) && !written.starts_with('+') && after.as_bytes()[0] != b' '
        });
        let longer = before.is_some_and(|c| matches!(c, '.' | ',' | '/' | '-' | '_' | '=')) && touches(text, &span);
        (length && alone(text, &span) && !more && !longer).then_some(span)
    })
}

/// A sign that joins numbers stands right before the span, after a digit.
fn touches(text: &str, span: &Range<usize>) -> bool {
    let mut before = text[..span.start].chars().rev();
    before.next().is_some_and(|c| matches!(c, '.' | ',' | '/' | '-' | '_' | '='))
        && before.next().is_some_and(|c| c.is_ascii_digit() || c.is_alphabetic())
}

static NIR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?x) [1-478] {GAP}? \d{{2}} {GAP}? \d{{2}} {GAP}? (?: \d{{2}} | 2[ABab] ) {GAP}? \d{{3}} {GAP}? \d{{3}} (?: {GAP}? | \s?/\s? ) \d{{2}}"
    ))
});

/// Numbers of social security with their key.
pub(super) fn nirs(text: &str) -> Spans {
    scan(&NIR, text, |span| {
        let signs = kept(&text[span.clone()], char::is_alphanumeric);
        (alone(text, &span) && checks::nir(&signs)).then_some(span)
    })
}

static IBAN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)[a-z]{2}[0-9]{2}(?:[\x20\x{a0}\x{202f}.-]?[a-z0-9]){11,30}"));

/// As many signs as the country's IBANs have, with the right key.
pub(super) fn ibans(text: &str) -> Spans {
    scan(&IBAN, text, |span| {
        let written = &text[span.clone()];
        let length = checks::iban_length(&written.get(..2)?.to_ascii_uppercase())?;
        let signs = || written.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric());
        let (last, sign) = signs().nth(length - 1)?;
        let span = span.start..span.start + last + sign.len_utf8();
        let iban: String = signs().take(length).map(|(_, c)| c).collect();
        (alone(text, &span) && checks::iban(&iban)).then_some(span)
    })
}

static CARD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d(?:[\x20\x{a0}\x{202f}.-]?\d){14,18}"));

pub(super) fn cards(text: &str) -> Spans {
    scan(&CARD, text, |span| {
        // The longest run may hold digits of what follows: sixteen and fifteen are tried too.
        let written = &text[span.clone()];
        let ends: Vec<usize> = written.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(i, _)| i + 1).collect();
        let mut lengths = vec![ends.len(), 16, 15];
        lengths.dedup();
        lengths.into_iter().filter(|length| *length <= ends.len()).find_map(|length| {
            let part = span.start..span.start + ends[length - 1];
            let digits = kept(&text[part.clone()], |c| c.is_ascii_digit());
            (alone(text, &part) && checks::card(&digits)).then_some(part)
        })
    })
}

/// « de la », « du », « d’ »…
const LINK: &str = r"(?:(?:de\x20la|de\x20l['’]|de|du|des|d['’]|la|le|les|l['’]|à|au|aux|en|sur|sous|et)\x20?)";
/// A word of a name: a capital and what follows, a figure (8 Mai 1945), an initial or an abbreviation.
const PROPER: &str = r"(?:\p{Lu}\p{L}{0,2}\.|\p{Lu}[\p{L}’'-]{0,30}|\d{1,4}(?:er|ère|e)?)";
/// Postal code and town.
const TOWN: &str = r"(?:[\s,–-]{1,4}(?:(?:BP|CS|TSA)\x20?\d{2,6}[\s,–-]{1,4})?(?:F-)?\d{5}\x20{1,2}[\p{Lu}][\p{L}’'-]{1,40}(?:[\x20-](?:\p{Lu}[\p{L}’'-]{0,30}|sur|sous|en|lès|les|la|le|de|du|des|d['’]\p{Lu}[\p{L}-]{0,30}|\d{1,2})){0,6}(?:\x20(?:CEDEX|Cedex|cedex)(?:\x20\d{1,2})?)?)";

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    // Ways whose name is enough, then those that are everyday words too and need a proper name after.
    let ways = r"(?i:rue|avenue|av\.?|ave\.?|boulevard|boul\.?|bld|blvd|bd\.?|impasse|imp\.?|allées?|all\.|chemin|ch\.|chem\.|quai|ruelle|venelle|faubourg|fbg|esplanade|rond-point|lotissement|lot\.|résidence|rés\.|clos|sentier|montée|traverse|promenade|hameau|mail)";
    let doubtful = r"(?i:place|pl\.?|cours|route|rte\.?|square|sq\.?|passage|villa|cité|parvis|port|pont|voie|domaine)";
    let number = r"\d{1,4}(?:\x20?-\x20?\d{1,4})?(?:\x20?(?:bis|ter|quater|[A-Da-d])\b)?(?:,\x20?|\x20)";
    let lower = r"[\p{Ll}][\p{L}’'-]{2,30}";
    pattern(&format!(
        r"(?x) {number} {ways} \x20 {LINK}{{0,3}} (?: {PROPER} (?: [\x20-] {LINK}{{0,2}} {PROPER} ){{0,6}} | {lower} (?: [\x20-] {PROPER} ){{0,4}} ) {TOWN}?
             | {number} {doubtful} \x20 {LINK}{{0,3}} {PROPER} (?: [\x20-] {LINK}{{0,2}} {PROPER} ){{0,6}} {TOWN}?
             | (?i:lieu[-\x20]dit|lieudit) \x20 {LINK}{{0,2}} \x20? «?\x20? {PROPER} (?: [\x20-] {LINK}{{0,2}} {PROPER} ){{0,4}} {TOWN}
             | (?:BP|B\.P\.|CS|TSA) \x20? \d{{2,6}} {TOWN}"
    ))
});

pub(super) fn addresses(text: &str) -> Spans {
    scan(&ADDRESS, text, |span| {
        let before = text[..span.start].chars().next_back();
        // A full stop that ends the sentence is not the address's.
        let written = text[span.clone()].trim_end_matches(['.', '\'', '’', '-', ' ']);
        let end = span.start + written.len();
        (!before.is_some_and(|c| c.is_alphanumeric() || c == ',' || c == '.')).then_some(span.start..end)
    })
}
