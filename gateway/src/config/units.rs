//! Sizes and durations as people write them: `20MiB`, `30s`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A number of bytes: `512`, `64KiB`, `20MiB`, `1GiB` (also `KB`, `MB`, `GB`, powers of ten).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

impl Size {
    pub const fn mib(n: u64) -> Size {
        Size(n << 20)
    }

    /// The size as a count that fits memory on this machine.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Size> {
        let text = text.trim();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| text.strip_suffix(name).map(|n| (n.trim(), *unit)))
            .unwrap_or((text, 1));
        number.parse::<u64>().ok()?.checked_mul(unit).map(Size)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, unit) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 512, 64KiB or 20MiB")
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Size, E> {
                Ok(Size(n))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        d.deserialize_any(Words)
    }
}

/// A length of time: `50ms`, `10s`, `2m`, `1h`, `90d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span(pub Duration);

impl Span {
    pub const fn millis(n: u64) -> Span {
        Span(Duration::from_millis(n))
    }
    pub const fn seconds(n: u64) -> Span {
        Span(Duration::from_secs(n))
    }

    /// Reads `90d`, `12h`, `30s`. `None` when it is not a positive length of time.
    pub fn parse(text: &str) -> Option<Span> {
        let text = text.trim();
        if let Some(days) = text.strip_suffix('d') {
            let days: u64 = days.trim().parse().ok()?;
            return Some(Span::seconds(days.checked_mul(86_400)?));
        }
        let length: jiff::SignedDuration = text.parse().ok()?;
        Duration::try_from(length).ok().map(Span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            m if m > 0 && m % 86_400_000 == 0 => write!(f, "{}d", m / 86_400_000),
            m if m % 60_000 == 0 && m > 0 => write!(f, "{}m", m / 60_000),
            m if m % 1_000 == 0 => write!(f, "{}s", m / 1_000),
            m => write!(f, "{m}ms"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time with its unit, such as 500ms, 30s, 2m or 90d")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                Span::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        d.deserialize_any(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("512", 512), ("64KiB", 65_536), ("20MiB", 20 << 20), ("1 GB", 1_000_000_000)] {
            assert_eq!(Size::parse(text), Some(Size(bytes)), "{text}");
        }
        assert_eq!(Size::parse("-1"), None);
        assert_eq!(Size::parse("lots"), None);
        assert_eq!(Size::mib(20).to_string(), "20MiB");
    }

    #[test]
    fn spans_are_read_and_written() {
        for (text, millis) in [("50ms", 50), ("10s", 10_000), ("2m", 120_000), ("90d", 7_776_000_000u64)] {
            let span = Span::parse(text).expect(text);
            assert_eq!(span, Span::millis(millis));
            assert_eq!(span.to_string(), text);
        }
        assert_eq!(Span::parse("-5s"), None);
        assert_eq!(Span::parse("5"), None);
    }
}
