//! What a campaign found: agreement, preferences, rankings. Each figure with its interval, or why there is none.

use ::eval::stats::Level;
use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::campaigns::results;
use crate::api::json::Query;
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::evaluation::campaign::results::{AgreementFound, PairsFound, RankingsFound, Results, Settings};
use crate::policy::identity::Principal;

/// Resamples of the bootstrap, unless said, and bounds.
const RESAMPLES: usize = 2_000;
const RESAMPLES_MOST: usize = 10_000;
const RESAMPLES_LEAST: usize = 200;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(agreement)).routes(routes!(pairs)).routes(routes!(rankings))
}

/// How to compute intervals.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct How {
    /// Confidence level; 0.95 unless said.
    level: Option<f64>,
    /// Resamples of the bootstrap, 200 to 10,000; 2000 unless said.
    resamples: Option<usize>,
    /// Seed of the bootstrap; 1 unless said.
    seed: Option<u64>,
}

impl How {
    fn settings(&self) -> ApiResult<Settings> {
        let level = Level::new(self.level.unwrap_or(0.95));
        let level = level.map_err(|refusal| ApiError::bad_request(refusal.fr, refusal.en).param("level"))?;
        let resamples = self.resamples.unwrap_or(RESAMPLES);
        if !(RESAMPLES_LEAST..=RESAMPLES_MOST).contains(&resamples) {
            return Err(ApiError::bad_request(
                "« resamples » va de 200 à 10 000.",
                "“resamples” goes from 200 to 10,000.",
            )
            .param("resamples"));
        }
        Ok(Settings { level, resamples, seed: self.seed.unwrap_or(1) })
    }
}

async fn computed<T: Send + 'static>(
    app: &App,
    who: &Principal,
    id: i64,
    compute: impl FnOnce(&Results) -> T + Send + 'static,
) -> ApiResult<Answer<T>> {
    let campaign = results(app, who, id).await?;
    let results = Results::load(&app.store, campaign).await?;
    // Seconds of work for a large campaign, off the threads that serve.
    let work = tokio::task::spawn_blocking(move || compute(&results));
    work.await.map(Answer).map_err(ApiError::internal)
}

/// How far annotators agree on each criterion (Krippendorff's α, Fleiss' and Cohen's κ, with intervals), and how often each
/// is right on gold items. What cannot be said is in `refused`.
#[utoipa::path(get, path = "/v1/eval/campaigns/{id}/agreement", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), How),
    responses((status = 200, description = "`criteria` with `alpha`, `fleiss`, `cohen`; `accuracy`; `annotators`"), (status = 404, description = "Unknown, or not visible"), (status = 409, description = "The caller still annotates it")))]
async fn agreement(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(how): Query<How>,
) -> ApiResult<Answer<AgreementFound>> {
    let settings = how.settings()?;
    computed(&app, &who, id, move |results| results.agreement(settings)).await
}

/// Candidates against each other on each pairwise criterion: wins, losses, ties, share with its interval.
#[utoipa::path(get, path = "/v1/eval/campaigns/{id}/pairs", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), How),
    responses((status = 200, description = "`criteria` with `pairs` and `left`, the share of choices that went to the left side"), (status = 404, description = "Unknown, or not visible"), (status = 409, description = "The caller still annotates it")))]
async fn pairs(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(how): Query<How>,
) -> ApiResult<Answer<PairsFound>> {
    let settings = how.settings()?;
    computed(&app, &who, id, move |results| results.pairs(settings.level)).await
}

/// Candidates by strength on each pairwise criterion (Bradley-Terry, with ties). Refused, with the reason, where they are not
/// linked by wins both ways or the units are too few.
#[utoipa::path(get, path = "/v1/eval/campaigns/{id}/rankings", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), How),
    responses((status = 200, description = "`criteria` with `ranking`, or its `refused`"), (status = 404, description = "Unknown, or not visible"), (status = 409, description = "The caller still annotates it")))]
async fn rankings(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(how): Query<How>,
) -> ApiResult<Answer<RankingsFound>> {
    let settings = how.settings()?;
    computed(&app, &who, id, move |results| results.rankings(settings.level)).await
}
