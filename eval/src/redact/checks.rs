//! Keys of numbers: what tells a real one from any row of digits.

/// NIR of 15 signs, digits or the A and B of Corsica: key = 97 − (number mod 97), 2A counting as 19 and 2B as 18.
pub(super) fn nir(signs: &str) -> bool {
    let Some((number, key)) = signs.split_at_checked(13) else { return false };
    let number = number.to_ascii_uppercase().replace("2A", "19").replace("2B", "18");
    match (number.parse::<u64>(), key.parse::<u64>()) {
        (Ok(number), Ok(key)) => key == 97 - number % 97,
        _ => false,
    }
}

/// ISO 7064 mod 97-10, letters counting from 10 to 35, the first four signs moved to the end.
pub(super) fn iban(signs: &str) -> bool {
    let Some((head, tail)) = signs.split_at_checked(4) else { return false };
    let mut rest = 0_u32;
    for sign in tail.chars().chain(head.chars()) {
        let Some(value) = sign.to_digit(36) else { return false };
        rest = if value < 10 { rest * 10 + value } else { rest * 100 + value } % 97;
    }
    rest == 1
}

/// Signs of an IBAN of this country, for those of SEPA.
pub(super) fn iban_length(country: &str) -> Option<usize> {
    const LENGTHS: &[(&str, usize)] = &[
        ("AD", 24),
        ("AL", 28),
        ("AT", 20),
        ("BE", 16),
        ("BG", 22),
        ("CH", 21),
        ("CY", 28),
        ("CZ", 24),
        ("DE", 22),
        ("DK", 18),
        ("EE", 20),
        ("ES", 24),
        ("FI", 18),
        ("FR", 27),
        ("GB", 22),
        ("GI", 23),
        ("GR", 27),
        ("HR", 21),
        ("HU", 28),
        ("IE", 22),
        ("IS", 26),
        ("IT", 27),
        ("LI", 21),
        ("LT", 20),
        ("LU", 20),
        ("LV", 21),
        ("MC", 27),
        ("MD", 24),
        ("ME", 22),
        ("MK", 19),
        ("MT", 31),
        ("NL", 18),
        ("NO", 15),
        ("PL", 28),
        ("PT", 25),
        ("RO", 24),
        ("RS", 22),
        ("SE", 24),
        ("SI", 19),
        ("SK", 24),
        ("SM", 27),
        ("VA", 22),
    ];
    LENGTHS.iter().find(|(name, _)| *name == country).map(|(_, length)| *length)
}

/// Bank card: Luhn's key, and the first digits and lengths of the networks met in France. Fourteen digits are left alone: a
/// SIRET has as many, and the same key.
pub(super) fn card(digits: &str) -> bool {
    let network = match digits.len() {
        15 => digits.starts_with("34") || digits.starts_with("37"),
        16..=19 => matches!(digits.as_bytes()[0], b'2' | b'4' | b'5' | b'6'),
        _ => false,
    };
    network && luhn(digits)
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2, digit) {
                (0, _) => digit,
                (_, 0..=4) => 2 * digit,
                _ => 2 * digit - 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        assert!(nir("255081416802538") && nir("180126955222380") && !nir("255081416802539"));
        assert!(nir("2550814168025 38".replace(' ', "").as_str()) && !nir("25508141680253"));
        assert!(iban("FR1420041010050500013M02606") && iban("DE89370400440532013000"));
        assert!(!iban("FR1420041010050500013M02607"));
        assert!(
            card("4970101234567890") == luhn("4970101234567890") && card("4111111111111111") && card("371449635398431")
        );
        assert!(!card("4111111111111112") && !card("55210055400013"));
    }
}
