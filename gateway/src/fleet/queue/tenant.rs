//! On whose behalf a request waits, and how urgently.

/// How urgent a request is: OpenAI's `service_tier`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Tier {
    /// Ahead of its organization's turn, by a bounded number of tokens.
    Priority,
    /// Somebody is waiting for the answer.
    #[default]
    Interactive,
    /// A batch: served from what is left.
    Flex,
}

impl Tier {
    pub const ALL: [Tier; 3] = [Tier::Priority, Tier::Interactive, Tier::Flex];

    pub(super) const fn lane(self) -> Lane {
        match self {
            Tier::Priority | Tier::Interactive => Lane::Interactive,
            Tier::Flex => Lane::Batch,
        }
    }
}

/// What is counted apart, so that a batch costs its organization no share of what people wait for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Lane {
    Interactive,
    Batch,
}

impl Lane {
    pub const ALL: [Lane; 2] = [Lane::Interactive, Lane::Batch];

    pub const fn as_str(self) -> &'static str {
        match self {
            Lane::Interactive => "interactive",
            Lane::Batch => "batch",
        }
    }
}

/// Who shares a model with whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tenant {
    pub organization: i64,
    pub project: i64,
    /// Of the organization among organizations: with twice the weight, twice the tokens.
    pub weight: u32,
    /// Of the project among those of its organization.
    pub project_weight: u32,
    pub tier: Tier,
}
