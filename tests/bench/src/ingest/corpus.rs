//! Documents of the sizes that corpora of administrations have: most of them one passage, some many.

/// Words of each document, over and over.
const SIZES: [usize; 10] = [60, 90, 120, 200, 250, 80, 350, 600, 150, 1_800];
const WORDS: [&str; 24] = [
    "préfet",
    "congé",
    "salarié",
    "arrêté",
    "commune",
    "délai",
    "recours",
    "agent",
    "permis",
    "voirie",
    "employeur",
    "indemnité",
    "contrat",
    "demande",
    "autorité",
    "service",
    "dossier",
    "décision",
    "titulaire",
    "activité",
    "établissement",
    "conseil",
    "règlement",
    "attestation",
];

/// The text of a document, in Markdown: the same for the same number.
pub fn text(number: usize) -> String {
    let mut state = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = format!("# Fiche {number}\n\n");
    for nth in 0..SIZES[number % SIZES.len()] {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
        text.push_str(match nth % 60 {
            59 => ".\n\n",
            14 | 29 | 44 => ". ",
            _ => " ",
        });
    }
    text
}
