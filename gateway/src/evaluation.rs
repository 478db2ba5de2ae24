//! Evaluation around the crate `eval`: content kept of requests, redacted first, drawn from, and let go of.
//!
//! | file | holds |
//! |---|---|
//! | [`campaign`] | people who annotate, and what they found |
//! | [`case`] | a judging with all it needs |
//! | [`content`] | what is kept of a request and its answer, and its redaction |
//! | [`dataset`] | stored datasets, read as items |
//! | [`desk`] | the threads that redact, and the one that stores |
//! | [`ask`] | requests that an experiment or a judging makes, and their answers |
//! | [`experiment`] | a dataset put to models, two candidates compared |
//! | [`judging`] | answers put before judges, and what they come to |
//! | [`runs`] | experiments and judgings at work, in the background |
//! | [`sample`] | stratified draws with their chances, and estimates from them |
//! | [`retention`] | what goes by itself |

pub mod ask;
pub mod campaign;
pub mod case;
pub mod content;
pub mod dataset;
pub mod desk;
pub mod experiment;
pub mod judging;
pub mod retention;
pub mod runs;
pub mod sample;

use std::borrow::Cow;

use ::eval::grid::{GUICHET_1, Grid};

use crate::error::{ApiError, ApiResult};
use crate::store::grids::GridName;
use crate::store::{Actor, Database};

/// The text of a grid that is said by its text or by its name: `id@version`, or `guichet-1` for the shipped one. A stored one
/// never changes from then on.
///
/// # Errors
/// 400 where the organization knows no grid of that name.
pub async fn grid_text<'a>(
    database: &Database,
    actor: Actor,
    organization: Option<i64>,
    said: &'a str,
) -> ApiResult<Cow<'a, str>> {
    if !GridName::parse(said).is_some_and(|name| name.is_plain()) {
        return Ok(Cow::Borrowed(said));
    }
    match campaign::grid::find(database, organization, said).await?.0 {
        campaign::grid::Found::Shipped(_, document) => Ok(Cow::Borrowed(document)),
        campaign::grid::Found::Stored(number) => {
            let stored = database.grid(number).await?.ok_or_else(ApiError::not_found)?;
            if stored.used.is_none() {
                let mut change = database.edit(actor).await?;
                change.use_grid(number).await?;
                change.commit().await?;
            }
            Ok(Cow::Owned(stored.document))
        }
    }
}

/// A grid by its text, or the shipped one by its name.
///
/// # Errors
/// 400 with every problem of the grid.
pub fn grid(text: &str) -> ApiResult<Grid> {
    let text = if text == "guichet-1" { GUICHET_1 } else { text };
    Grid::read(text).map_err(|problems| {
        let told = problems.iter().map(ToString::to_string).collect::<Vec<String>>().join("\n");
        ApiError::bad_request(
            format!("La grille a {} problème(s) :\n{told}", problems.len()),
            format!("The grid has {} problem(s):\n{told}", problems.len()),
        )
        .param("grid")
    })
}

/// The day it is, in UTC.
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date()
}
