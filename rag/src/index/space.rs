//! The physical collection of one embedding model.

use std::fmt;

/// All chunks that one model embeds, in vectors of one size. Vectors of two models are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space {
    name: String,
    dimensions: usize,
}

/// Characters of a model's id that its space's name shows; a hash of the whole id tells the rest apart.
const SHOWN: usize = 40;

impl Space {
    /// The space of a model, by the id it has in the configuration. The name serves as a folder and as the name of a
    /// collection on a server: `multilingual-e5-small-1f0c2a9b-384`.
    pub fn new(model: &str, dimensions: usize) -> Space {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
        let shown: String = model.chars().take(SHOWN).map(plain).collect();
        let hash = crate::sparse::term_id(model);
        Space { name: format!("{shown}-{hash:08x}-{dimensions}"), dimensions }
    }

    /// The space that has this name; `None` when no space has it.
    pub fn named(name: &str) -> Option<Space> {
        let (rest, dimensions) = name.rsplit_once('-')?;
        let (shown, hash) = rest.rsplit_once('-')?;
        let safe = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        let known = shown.chars().all(safe) && hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let dimensions = dimensions.parse().ok().filter(|count| *count > 0)?;
        known.then(|| Space { name: name.to_owned(), dimensions })
    }

    /// Lower-case letters, digits and hyphens.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Numbers of each dense vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }
}

impl fmt::Display for Space {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_distinct_and_read_back() {
        let slash = Space::new("BAAI/bge-m3", 1024);
        let dash = Space::new("BAAI-bge-m3", 1024);
        assert_ne!(slash, dash);
        assert!(slash.name().starts_with("baai-bge-m3-") && slash.name().ends_with("-1024"), "{slash}");
        assert_ne!(slash, Space::new("BAAI/bge-m3", 512));
        for space in [slash, dash, Space::new("../../é", 3), Space::new("", 1)] {
            assert_eq!(Space::named(space.name()), Some(space.clone()));
            assert!(!space.name().contains(['/', '.']), "{space}");
        }
        for name in ["", "lost+found", "a-b", "e5-1234567-384", "e5-12345678-0", "../x-12345678-3"] {
            assert_eq!(Space::named(name), None, "{name}");
        }
    }
}
