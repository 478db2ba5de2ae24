//! Whether what an answer quotes is really in the passage it cites.

use super::readable;

/// The quote is in the passage, letter for letter once both read the same: white space and the composition of letters
/// aside, nothing else, not even case. Marks around the quote and an ellipsis at an end are not part of it. An empty
/// quote is in nothing.
pub fn is_literal(quote: &str, passage: &str) -> bool {
    let quote = readable(quote);
    let quote = bare(&quote);
    !quote.is_empty() && readable(passage).contains(quote)
}

fn bare(quote: &str) -> &str {
    let marks = |c: char| matches!(c, '«' | '»' | '“' | '”' | '"' | '…') || c.is_whitespace();
    let quote = quote.trim_matches(marks);
    let quote = quote.strip_prefix("[...]").or(quote.strip_prefix("...")).unwrap_or(quote);
    let quote = quote.strip_suffix("[...]").or(quote.strip_suffix("...")).unwrap_or(quote);
    quote.trim_matches(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_or_not() {
        let passage = "Le silence gardé\u{a0}pendant deux mois\n vaut   décision d\u{2019}acceptation.";
        for quote in [
            "pendant deux mois vaut décision",
            "« silence garde\u{301} pendant »",
            "…deux mois…",
            "[...] vaut décision d\u{2019}acceptation.",
        ] {
            assert!(is_literal(quote, passage), "{quote}");
        }
        for quote in
            ["", "« »", "pendant trois mois", "Pendant deux mois", "deux mois vaut une décision", "d'acceptation"]
        {
            assert!(!is_literal(quote, passage), "{quote}");
        }
    }
}
