//! ROUGE-L: the longest run of words, in order but not side by side, that an answer shares with its reference.

/// Precision, recall and their F₁, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct RougeL {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// Words: lower case, letters and digits of any script. Google's `rouge-score` keeps only a–z and 0–9 and would cut
/// « délai » in two; beside it, ours is its `RougeScorer` with this tokenizer.
fn words(text: &str) -> Vec<String> {
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// P = LCS/|answer|, R = LCS/|reference|, F₁ = 2PR/(P+R): Lin (2004), over the whole text as one sentence, without
/// stemming.
pub fn rouge_l(answer: &str, reference: &str) -> RougeL {
    let (answer, reference) = (words(answer), words(reference));
    if answer.is_empty() || reference.is_empty() {
        return RougeL::default();
    }
    let mut lengths = vec![0_usize; reference.len() + 1];
    for word in &answer {
        let mut diagonal = 0;
        for (place, other) in reference.iter().enumerate() {
            let above = lengths[place + 1];
            lengths[place + 1] = if word == other { diagonal + 1 } else { above.max(lengths[place]) };
            diagonal = above;
        }
    }
    let longest = lengths[reference.len()] as f64;
    let (precision, recall) = (longest / answer.len() as f64, longest / reference.len() as f64);
    let f1 = if longest > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
    RougeL { precision, recall, f1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lin (2004), §2: « police kill the gunman » and « the gunman kill police » beside « police killed the gunman ».
    #[test]
    fn published() {
        let reference = "police killed the gunman";
        assert!((rouge_l("police kill the gunman", reference).f1 - 0.75).abs() < 1e-12);
        assert!((rouge_l("the gunman kill police", reference).f1 - 0.5).abs() < 1e-12);
        assert_eq!(rouge_l("", reference), RougeL::default());
        assert!((rouge_l("Délai : 2 mois", "délai 2 mois").f1 - 1.0).abs() < 1e-12);
    }
}
