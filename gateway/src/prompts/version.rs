//! The version of a prompt: three numbers, as in Semantic Versioning, without labels.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// `major.minor.patch`. Serialises as that string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when the variables or the expected answer change.
    pub major: u32,
    /// Changes when the wording changes what a model answers.
    pub minor: u32,
    /// Changes for a typo.
    pub patch: u32,
}

impl Version {
    /// Whether this is the version asked for, or one of those that begin with it: `1` and `1.4` are
    /// answered by 1.4.2. Anything that is no version is answered by none.
    pub fn answers(&self, asked: &str) -> bool {
        let own = [self.major, self.minor, self.patch];
        asked.split('.').enumerate().all(|(place, part)| own.get(place).is_some_and(|own| number(part) == Some(*own)))
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Option<Vec<u32>> = text.split('.').map(number).collect();
        match numbers.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            _ => Err(format!("`{text}` is not three numbers such as 1.0.0")),
        }
    }
}

/// One part of a version: digits without a leading zero.
fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn three_plain_numbers_and_nothing_else() {
        let version: Version = "1.20.3".parse().unwrap();
        assert_eq!((version.major, version.minor, version.patch), (1, 20, 3));
        assert_eq!(version.to_string(), "1.20.3");
        for wrong in ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-beta", "v1.0.0", "1..0", "+1.0.0", "1.0.99999999999"]
        {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_start_of_a_version_is_answered_by_it() {
        let version: Version = "1.4.2".parse().unwrap();
        for asked in ["1", "1.4", "1.4.2"] {
            assert!(version.answers(asked), "{asked}");
        }
        for asked in ["", "2", "1.5", "1.4.3", "1.4.2.0", "1.", "01", "x", "14"] {
            assert!(!version.answers(asked), "{asked}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number_not_by_text() {
        let newer: Version = "1.10.0".parse().unwrap();
        assert!(newer > "1.9.9".parse().unwrap());
    }
}
