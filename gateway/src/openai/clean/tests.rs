use super::*;

const ALL: Cleaning = Cleaning { fence: true, preamble: true };

fn streamed(rules: Cleaning, text: &str, size: usize) -> String {
    let mut clean = Clean::new(rules);
    let mut out = String::new();
    let chars: Vec<char> = text.chars().collect();
    for piece in chars.chunks(size) {
        clean.push(&piece.iter().collect::<String>(), &mut out);
    }
    clean.finish(&mut out);
    out
}

fn every_cut(rules: Cleaning, text: &str, expected: &str) {
    for size in 1..=text.chars().count().max(1) {
        assert_eq!(streamed(rules, text, size), expected, "{text:?} by {size}");
    }
}

#[test]
fn wrapping_fences_and_preambles_go() {
    for (text, expected) in [
        ("```\nBonjour\nà tous\n```", "Bonjour\nà tous"),
        ("```markdown\n# Titre\n\nTexte\n```\n", "# Titre\n\nTexte"),
        ("```markdown\n# T\n```python\nx = 1\n```\nfin\n```", "# T\n```python\nx = 1\n```\nfin"),
        ("Voici le texte corrigé :\n\nBonjour à tous.", "Bonjour à tous."),
        ("Voici le texte corrigé\u{a0}:\n```\nBonjour\n```", "Bonjour"),
        ("**Voici une version reformulée :**\nBonjour", "Bonjour"),
        ("Bien sûr !\n\nVoici la traduction en anglais :\n\nHello", "Hello"),
        ("Bien sûr, voici le texte corrigé :\nBonjour", "Bonjour"),
        ("D’accord, voici la traduction :\nHello", "Hello"),
        ("Here is the corrected text:\n\nHello", "Hello"),
        ("Sure! Here's the translation:\nHello", "Hello"),
        ("Sure!\nHello", "Hello"),
        ("Texte corrigé :\nBonjour", "Bonjour"),
    ] {
        every_cut(ALL, text, expected);
        assert_eq!(clean_whole(text, ALL).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn real_content_stays() {
    for text in [
        "Bonjour à tous.",
        "Bonjour\n```python\nx\n```\n",
        "```python\nprint(1)\n```",
        "```python\nprint(1)\n```\nVoilà.",
        "Voici les horaires de la mairie :\n- lundi",
        "Voici le texte corrigé :",
        "Voici le texte corrigé :\n\n",
        "Voicile texte corrigé :\nBonjour",
        "Bien sûr !",
        "Bien sûr que le texte est bon.\nOui",
        "Sure, the text is here.\nYes",
        "Le texte corrigé :\nBonjour",
        "Titre :\nBonjour",
        "``pas une clôture``\n",
        "\n\n  Bonjour\n\n",
        "",
    ] {
        every_cut(ALL, text, text);
        assert_eq!(clean_whole(text, ALL), None, "{text:?}");
    }
    let long = format!("Voici le texte {} :\nBonjour", "très ".repeat(60));
    every_cut(ALL, &long, &long);
}

#[test]
fn a_fence_that_wraps_only_the_beginning_loses_no_text() {
    every_cut(ALL, "```\ncode\n```\nExplication", "code\nExplication");
    assert_eq!(clean_whole("```\ncode\n```\nExplication", ALL), None);
    // Cut by the engine before the closing fence.
    every_cut(ALL, "```markdown\nBonjour\n``", "Bonjour\n``");
    every_cut(ALL, "```markdown\nun\n```\ncode\n```\ndeux\n```", "un\n```\ncode\n```\ndeux");
}

#[test]
fn each_rule_is_apart() {
    let fence = Cleaning { fence: true, preamble: false };
    let preamble = Cleaning { fence: false, preamble: true };
    let text = "Voici le texte corrigé :\n```\nBonjour\n```";
    every_cut(fence, text, text);
    every_cut(preamble, text, "```\nBonjour\n```");
    assert_eq!(clean_whole(text, fence), None);
    assert_eq!(clean_whole(text, preamble), Some("```\nBonjour\n```"));
}

#[test]
fn ordinary_text_is_not_held_back() {
    let mut clean = Clean::new(ALL);
    let mut out = String::new();
    clean.push("Le conseil", &mut out);
    assert_eq!(out, "Le conseil");
    assert!(clean.is_through());
}
