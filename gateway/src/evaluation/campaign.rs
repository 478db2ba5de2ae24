//! Campaigns of annotation: people answer the human criteria of a grid on items whose author they are not told.
//!
//! | file | holds |
//! |---|---|
//! | [`grid`] | the grid of a campaign, stored or shipped, and its human criteria |
//! | [`rows`] | what becomes an item: records, rows given, gold |
//! | [`view`] | an item as its annotator sees it |
//! | [`answer`] | what an annotator says, checked against the grid |
//! | [`results`] | agreement, accuracy, preferences, the table of evidence: by the crate `eval` |
//! | [`sheet`] | the same as blind CSV, one for each annotator |
//!
//! Each annotator gets items in an order of their own: by the SHA-256 of `SEED:MEMBER:ITEM`. The sides of a pair are swapped
//! when the first byte of that of `SEED:MEMBER:ITEM:side` is odd.

pub mod answer;
pub mod grid;
pub mod results;
pub mod rows;
pub mod sheet;
pub mod view;

use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use self::rows::Row;
use crate::config::Span;
use crate::error::ApiError;
use crate::policy::role::{Held, Role, Scope};
use crate::store::campaigns::{Campaign, NewCampaign};
use crate::store::{Actor, Database, StoreError};

/// Longest instructions, in characters; most annotators of an item, and named members.
const INSTRUCTIONS_MAX: usize = 10_000;
const PER_ITEM_MAX: i64 = 50;
const ANNOTATORS_MAX: usize = 200;
/// Longest time an item is held.
const LOCK_MAX: i64 = 30 * 86_400_000;

/// What is wanted of a campaign.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// 1 to 200 characters.
    #[schema(example = "accueil, novembre")]
    pub name: String,
    /// Absent: the sample's, or the only one that the caller evaluates.
    #[serde(default)]
    pub organization_id: Option<i64>,
    /// What annotators are told besides the grid's questions.
    #[serde(default)]
    pub instructions: String,
    /// `id@version` of a stored grid, or of the shipped one.
    #[schema(example = "guichet@1")]
    pub grid: String,
    /// Ids of criteria of the grid whose evidence is human; empty: all that fit the items.
    #[serde(default)]
    pub criteria: Vec<String>,
    /// Sample whose records are the items.
    #[serde(default)]
    pub sample_id: Option<i64>,
    /// Other items, and gold: rows with what is `expected`. Redacted before they are stored.
    #[serde(default)]
    pub rows: Vec<Row>,
    /// People who answer each item.
    #[serde(default = "two")]
    pub per_item: i64,
    /// Of the order of items and the sides of pairs.
    #[serde(default = "one")]
    pub seed: i64,
    /// How long an item is held for who was given it: `30m`.
    #[serde(default = "half_an_hour")]
    #[schema(value_type = String, example = "30m")]
    pub lock: Span,
    /// Members who may annotate: of that organization, role or none, or evaluators of it. Empty: whoever evaluates it.
    #[serde(default)]
    pub annotators: Vec<i64>,
    /// A person looked at the rows and found nobody in them: they are kept past the retention.
    #[serde(default)]
    pub checked: bool,
}

const fn one() -> i64 {
    1
}

const fn two() -> i64 {
    2
}

const fn half_an_hour() -> Span {
    Span::seconds(1_800)
}

/// Why something about a campaign cannot be done.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// What is asked makes no sense: where, in French, in English.
    Wrong {
        param: String,
        french: String,
        english: String,
    },
    Store(StoreError),
}

impl Trouble {
    pub fn wrong(param: impl Into<String>, french: impl Into<String>, english: impl Into<String>) -> Trouble {
        Trouble::Wrong { param: param.into(), french: french.into(), english: english.into() }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

impl From<Trouble> for ApiError {
    fn from(trouble: Trouble) -> ApiError {
        match trouble {
            Trouble::Wrong { param, french, english } => ApiError::bad_request(french, english).param(param),
            Trouble::Store(error) => error.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Wrong { param, french, english } => write!(f, "{param}: {french} / {english}"),
            Trouble::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Trouble {}

/// The place of an item in an annotator's own order.
pub fn rank(campaign: &Campaign, member: i64, item: &str) -> [u8; 32] {
    Sha256::digest(format!("{}:{member}:{item}", campaign.seed)).into()
}

/// Whether an annotator is shown the second answer of a pair first.
pub fn swapped(campaign: &Campaign, member: i64, item: &str) -> bool {
    Sha256::digest(format!("{}:{member}:{item}:side", campaign.seed))[0] % 2 == 1
}

/// Makes a campaign of the organization that `ask` says; whoever asks may evaluate it.
pub async fn create(database: &Database, actor: Actor, ask: Ask) -> Result<Campaign, Trouble> {
    let lock_ms = i64::try_from(ask.lock.0.as_millis()).unwrap_or(i64::MAX);
    if !(1..=LOCK_MAX).contains(&lock_ms) {
        return Err(Trouble::wrong("lock", "« lock » va jusqu’à 30 jours.", "“lock” goes up to 30 days."));
    }
    if !(1..=PER_ITEM_MAX).contains(&ask.per_item) {
        return Err(Trouble::wrong("per_item", "« per_item » va de 1 à 50.", "“per_item” goes from 1 to 50."));
    }
    if ask.instructions.chars().count() > INSTRUCTIONS_MAX {
        let french = "« instructions » a 10 000 caractères au plus.";
        return Err(Trouble::wrong("instructions", french, "“instructions” has 10,000 characters at most."));
    }
    let annotators = annotators(database, &ask).await?;
    let (found, grid) = grid::find(database, ask.organization_id, &ask.grid).await?;
    let mut items = rows::of_sample(database, &ask).await?;
    items.extend(rows::given(database, &ask).await?);
    let criteria = grid::asked(&grid, &ask.criteria, &items)?;
    rows::expect(&ask.rows, &grid, &criteria, &mut items)?;
    if items.iter().all(|item| item.expected.is_some()) {
        return Err(Trouble::wrong(
            "rows",
            "Il n’y a rien à annoter : donnez un échantillon, ou des lignes sans réponse attendue.",
            "There is nothing to annotate: give a sample, or rows without an expected answer.",
        ));
    }
    if items.len() > rows::MOST {
        return Err(Trouble::wrong(
            "rows",
            "Une campagne a 10 000 éléments au plus.",
            "A campaign has 10,000 items at most.",
        ));
    }
    let mut change = database.edit(actor).await?;
    let grid_number = match found {
        grid::Found::Stored(number) => number,
        grid::Found::Shipped(name, document) => change.store_grid(None, &name, &grid.hash, document).await?.0.number,
    };
    let new = NewCampaign {
        name: ask.name,
        organization_id: ask.organization_id,
        instructions: ask.instructions.replace('\0', ""),
        grid_number,
        criteria,
        sample_id: ask.sample_id,
        per_item: ask.per_item,
        lock_ms,
        seed: ask.seed,
        checked: ask.checked,
        annotators,
        items,
    };
    let made = change.create_campaign(&new).await?;
    change.commit().await?;
    Ok(made)
}

/// The members named, each once: of that organization, or evaluators of it.
async fn annotators(database: &Database, ask: &Ask) -> Result<Vec<i64>, Trouble> {
    let mut named = ask.annotators.clone();
    named.sort_unstable();
    named.dedup();
    if named.len() > ANNOTATORS_MAX {
        return Err(Trouble::wrong("annotators", "Deux cents membres au plus.", "Two hundred members at most."));
    }
    for id in &named {
        let member = database.member(*id).await?.filter(|member| member.disabled_at.is_none());
        let may = member.is_some_and(|member| {
            let held = |scope| member.grants.iter().any(|g| g.held() == Some(Held { role: Role::Evaluator, scope }));
            member.organization_id == ask.organization_id
                || held(Scope::Instance)
                || ask.organization_id.is_some_and(|organization| held(Scope::Organization(organization)))
        });
        if !may {
            return Err(Trouble::wrong(
                "annotators",
                format!("Le membre {id} n’est pas de cette administration et n’y évalue pas."),
                format!("Member {id} is not of this organization and does not evaluate it."),
            ));
        }
    }
    Ok(named)
}
