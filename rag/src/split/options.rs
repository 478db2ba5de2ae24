//! How to split: Albert API's parameters, or sizes in tokens.

use regex::Regex;

use super::cut::Step;

/// Separators tried in order, from those that part the most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Separators {
    /// Headings, blocks, lines, sentences, words: Albert's `preset_separators=markdown`, from the structure itself.
    #[default]
    Structure,
    /// Albert's `separators`, to the letter.
    Literal(Vec<String>),
    /// The same with `is_separator_regex`.
    Patterns(Vec<String>),
    /// Albert's `disable_chunking`: one chunk, whatever its size.
    Whole,
}

/// Sizes are in what the tokenizer given to [`split`](super::split) counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The most a chunk may hold.
    pub size: usize,
    /// The most a chunk may repeat of the end of the one before it. Sections that fit repeat nothing.
    pub overlap: usize,
    /// A chunk smaller than this is joined to its neighbour, when both fit in one.
    pub min_size: usize,
    pub separators: Separators,
}

/// Bounds on what clients send.
const MOST_SEPARATORS: usize = 64;
const LONGEST_SEPARATOR: usize = 256;
/// Compiled size of one regular expression, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

impl Options {
    /// Sizes in tokens of the embedding model; crumbs are joined to their neighbours.
    pub fn tokens(size: usize) -> Options {
        Options { size, overlap: 0, min_size: size / 8, separators: Separators::Structure }
    }

    /// Albert API's defaults, with [`Characters`](super::Characters).
    pub fn albert() -> Options {
        Options { size: 2048, overlap: 0, min_size: 0, separators: Separators::Structure }
    }

    pub(super) fn steps(&self) -> Result<Vec<Step>, BadOptions> {
        if self.size == 0 {
            return Err(BadOptions::Size);
        }
        if self.overlap >= self.size {
            return Err(BadOptions::Overlap { overlap: self.overlap, size: self.size });
        }
        if self.min_size > self.size {
            return Err(BadOptions::MinSize { min_size: self.min_size, size: self.size });
        }
        let mut steps = match &self.separators {
            Separators::Whole => return Ok(Vec::new()),
            Separators::Structure => {
                let mut steps: Vec<Step> = (1..=6).map(Step::Heading).collect();
                steps.extend([Step::Block, Step::Line, Step::Sentence]);
                steps
            }
            Separators::Literal(separators) => {
                bounded(separators)?;
                separators.iter().filter(|separator| !separator.is_empty()).cloned().map(Step::Literal).collect()
            }
            Separators::Patterns(patterns) => {
                bounded(patterns)?;
                patterns
                    .iter()
                    .filter(|pattern| !pattern.is_empty())
                    .map(|pattern| compiled(pattern))
                    .collect::<Result<_, _>>()?
            }
        };
        // A size is a promise, whatever the separators.
        steps.extend([Step::Word, Step::Character]);
        Ok(steps)
    }
}

fn bounded(separators: &[String]) -> Result<(), BadOptions> {
    match separators.iter().find(|separator| separator.len() > LONGEST_SEPARATOR) {
        Some(long) => Err(BadOptions::Separator(long.chars().take(40).collect())),
        None if separators.len() > MOST_SEPARATORS => Err(BadOptions::Separators { limit: MOST_SEPARATORS }),
        None => Ok(()),
    }
}

fn compiled(pattern: &str) -> Result<Step, BadOptions> {
    let regex = regex::RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).multi_line(true).build();
    regex.map(|regex: Regex| Step::Pattern(regex)).map_err(|_| BadOptions::Separator(pattern.to_owned()))
}

/// Options that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadOptions {
    Size,
    Overlap { overlap: usize, size: usize },
    MinSize { min_size: usize, size: usize },
    Separator(String),
    Separators { limit: usize },
}

impl BadOptions {
    pub fn french(&self) -> String {
        match self {
            BadOptions::Size => "« chunk_size » doit être au moins 1.".to_owned(),
            BadOptions::Overlap { overlap, size } => {
                format!("« chunk_overlap » ({overlap}) doit être inférieur à « chunk_size » ({size}).")
            }
            BadOptions::MinSize { min_size, size } => {
                format!("« chunk_min_size » ({min_size}) ne peut dépasser « chunk_size » ({size}).")
            }
            BadOptions::Separator(separator) => format!("Le séparateur « {separator} » n’est pas valable."),
            BadOptions::Separators { limit } => format!("Plus de {limit} séparateurs."),
        }
    }

    pub fn english(&self) -> String {
        match self {
            BadOptions::Size => "“chunk_size” must be at least 1.".to_owned(),
            BadOptions::Overlap { overlap, size } => {
                format!("“chunk_overlap” ({overlap}) must be less than “chunk_size” ({size}).")
            }
            BadOptions::MinSize { min_size, size } => {
                format!("“chunk_min_size” ({min_size}) cannot exceed “chunk_size” ({size}).")
            }
            BadOptions::Separator(separator) => format!("The separator “{separator}” is not valid."),
            BadOptions::Separators { limit } => format!("More than {limit} separators."),
        }
    }
}

impl std::fmt::Display for BadOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {}", self.french(), self.english())
    }
}

impl std::error::Error for BadOptions {}
