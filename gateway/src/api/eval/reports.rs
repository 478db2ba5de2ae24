//! Comparisons, reports and gates: what tables of evidence say, without keeping anything of them.

use std::collections::BTreeMap;

use ::eval::gate::{self, Gate, Margins};
use ::eval::grid::{EvidenceTable, Grid};
use ::eval::report::{Provenance, Report, Sources, product};
use ::eval::stats::Level;
use ::eval::table::Table;
use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::experiments::found;
use super::{datasets, reach};
use crate::api::json::Json;
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::evaluation::experiment::{self, Compared, Metric};
use crate::evaluation::runs::{self, refused};
use crate::policy::identity::Principal;
use crate::store::chain::hex;
use crate::store::page::Reach;
use crate::store::runs::RunKind;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(compare)).routes(routes!(report)).routes(routes!(gate))
}

const fn level() -> f64 {
    0.95
}

fn checked(level: f64) -> ApiResult<Level> {
    Level::new(level).map_err(|refusal| refused(refusal).param("level"))
}

/// Two candidates of an experiment.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CompareForm {
    experiment_id: i64,
    /// `MODEL`, or `MODEL/PROMPT`.
    #[schema(example = "mistral-small/court")]
    first: String,
    #[schema(example = "mistral-small/long")]
    second: String,
    metric: Metric,
    /// Confidence level.
    #[serde(default = "level")]
    #[schema(example = 0.95)]
    level: f64,
}

/// Compare two candidates of an experiment on the same items: mean difference and its interval, by independent units. A request
/// that failed is the worst score.
#[utoipa::path(post, path = "/v1/eval/compare", tag = "Evaluation", security(("key" = [])), request_body = CompareForm,
    responses((status = 200, description = "`first`, `second`, `difference` (first − second) with its interval, `paired`"),
        (status = 404, description = "Unknown, or not visible")))]
async fn compare(
    State(app): State<AppState>,
    who: Principal,
    Json(form): Json<CompareForm>,
) -> ApiResult<Answer<Compared>> {
    let run = found(&app, &who, RunKind::Experiment, form.experiment_id).await?;
    let stored = datasets::found(&app, &who, run.dataset_id).await?;
    let dataset = crate::evaluation::dataset::items(&app.store, &stored).await?;
    let answers = runs::answers(&app, run.id).await?;
    let sides = (form.first.as_str(), form.second.as_str());
    let compared =
        experiment::compare(&dataset, &answers, sides, form.metric, checked(form.level)?).map_err(refused)?;
    Ok(Answer(Compared { dataset: stored.hash, ..compared }))
}

/// How a report is written.
#[derive(Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Written {
    Html,
    Markdown,
    #[default]
    Json,
    Csv,
    Parquet,
}

/// What a report is made of. Tables are CSV.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ReportForm {
    /// The grid by its name, `id@version`, or its whole text.
    grid: String,
    /// Whose grid that is; absent: the only organization that the caller reads, or everybody’s.
    #[serde(default)]
    organization_id: Option<i64>,
    /// Table of evidence: `criterion`, `value`, `source`, `item`, `cluster`, …
    evidence: String,
    /// Duels: `first`, `second`, `winner`.
    #[serde(default)]
    duels: Option<String>,
    /// Indicators of use: `indicator`, `month`, `value`, `users`.
    #[serde(default)]
    usage: Option<String>,
    /// `html`, `markdown`, `json`, `csv` or `parquet`.
    #[serde(default)]
    form: Written,
    /// Score that the total must surely reach, agreed beforehand.
    #[serde(default)]
    threshold: Option<f64>,
    /// Makes the sheet of a decision at six months of this product.
    #[serde(default)]
    product: Option<String>,
    /// What an indicator must reach in its last month.
    #[serde(default)]
    targets: BTreeMap<String, f64>,
    /// Seeds of earlier draws, to be recalled.
    #[serde(default)]
    seeds: BTreeMap<String, String>,
    /// No end user is behind the items: nothing is hidden.
    #[serde(default)]
    no_end_users: bool,
    #[serde(default = "level")]
    #[schema(example = 0.95)]
    level: f64,
    /// Set aside and count lines that cannot be used.
    #[serde(default)]
    skip_broken: bool,
}

/// A table that was sent, with its hash noted.
fn table(what: &'static str, text: &str, files: &mut Vec<(String, String)>) -> ApiResult<Table> {
    files.push((what.to_owned(), hex(&Sha256::digest(text.as_bytes()))));
    Table::read(text.as_bytes()).map_err(|refusal| refused(refusal).param(what))
}

fn evidence(what: &'static str, grid: &Grid, table: &Table, skip_broken: bool) -> ApiResult<EvidenceTable> {
    let evidence = EvidenceTable::read(grid, table).map_err(|refusal| refused(refusal).param(what))?;
    match evidence.broken.first() {
        Some(first) if !skip_broken => Err(ApiError::bad_request(
            format!(
                "{} ligne(s) inutilisable(s) ; la première, ligne {} : {}",
                evidence.broken.len(),
                first.line,
                first.fr
            ),
            format!("{} line(s) cannot be used; the first, line {}: {}", evidence.broken.len(), first.line, first.en),
        )
        .param(what)),
        _ => Ok(evidence),
    }
}

/// Write a report: profile first, total second, with intervals, coverage, hashes, and what would change the decision. What
/// fewer than ten end users stand behind is hidden. Nothing of it is kept.
#[utoipa::path(post, path = "/v1/eval/reports", tag = "Evaluation", security(("key" = [])), request_body = ReportForm,
    responses((status = 200, description = "The report in the form asked for"), (status = 400, description = "A grid or a table that will not do, by line")))]
async fn report(State(app): State<AppState>, who: Principal, Json(form): Json<ReportForm>) -> ApiResult<Response> {
    let grid = grid_said(&app, &who, form.organization_id, &form.grid).await?;
    let prompts = app.prompts.load_full();
    let work = tokio::task::spawn_blocking(move || written(&form, &grid, &prompts));
    let (kind, file) = work.await.map_err(ApiError::internal)??;
    Ok(([(header::CONTENT_TYPE, kind)], file).into_response())
}

/// The text of a grid that a reader says.
async fn grid_said(app: &App, who: &Principal, organization: Option<i64>, said: &str) -> ApiResult<String> {
    let organization = match (organization, reach(who)?) {
        (Some(id), _) if who.can_read_content(id) => Some(id),
        (Some(_), _) => return Err(ApiError::not_found()),
        (None, Reach::Only { organizations, .. }) if organizations.len() == 1 => organizations.first().copied(),
        (None, _) => None,
    };
    Ok(crate::evaluation::grid_text(&app.store, who.actor(), organization, said).await?.into_owned())
}

fn written(form: &ReportForm, grid: &str, prompts: &crate::prompts::Library) -> ApiResult<(&'static str, Vec<u8>)> {
    let grid = crate::evaluation::grid(grid)?;
    let mut files = Vec::new();
    let evidence = evidence("evidence", &grid, &table("evidence", &form.evidence, &mut files)?, form.skip_broken)?;
    let duels = form.duels.as_deref().map(|text| table("duels", text, &mut files)).transpose()?;
    let usage = form.usage.as_deref().map(|text| table("usage", text, &mut files)).transpose()?;
    let hash = |judge: &str| {
        let (id, version) = judge.split_once('@')?;
        prompts.get(id, Some(version), None).ok().map(|prompt| prompt.hash.clone())
    };
    let made = Report::new(Sources {
        grid: &grid,
        evidence: &evidence,
        duels: duels.as_ref(),
        usage: usage.as_ref(),
        level: checked(form.level)?,
        threshold: form.threshold,
        product: form.product.clone().map(|name| product::Ask { name, targets: form.targets.clone() }),
        no_end_users: form.no_end_users,
        provenance: Provenance {
            date: crate::evaluation::today().to_string(),
            program: format!("guichet {}", env!("CARGO_PKG_VERSION")),
            files,
            prompts: evidence.judges().into_iter().map(|judge| (judge.clone(), hash(&judge))).collect(),
            seeds: form.seeds.clone().into_iter().collect(),
        },
    })
    .map_err(refused)?;
    Ok(match form.form {
        Written::Html => ("text/html; charset=utf-8", made.html().into_bytes()),
        Written::Markdown => ("text/markdown; charset=utf-8", made.markdown().into_bytes()),
        Written::Json => ("application/json", serde_json::to_vec(&made).map_err(ApiError::internal)?),
        Written::Csv => ("text/csv; charset=utf-8", made.csv().map_err(refused)?),
        Written::Parquet => {
            ("application/vnd.apache.parquet", ::eval::parquet::write(&made.columns()).map_err(refused)?)
        }
    })
}

/// Whether a candidate may replace a baseline.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct GateForm {
    /// The grid by its name, `id@version`, or its whole text.
    grid: String,
    /// Whose grid that is; absent: the only organization that the caller reads, or everybody’s.
    #[serde(default)]
    organization_id: Option<i64>,
    /// Evidence of the baseline, CSV.
    baseline: String,
    /// Evidence of the candidate on the same items, CSV.
    candidate: String,
    /// Evidence where people and the judge scored the same items, CSV: a judge whose agreement with people is too little or
    /// unknown decides nothing. Absent: what the two others hold of it.
    #[serde(default)]
    agreement: Option<String>,
    /// Loss that is accepted on any criterion, in score from 0 to 1.
    #[serde(default = "margin")]
    #[schema(example = 0.05)]
    margin: f64,
    /// And on some, by their id.
    #[serde(default)]
    margins: BTreeMap<String, f64>,
    /// Criteria compared; none: all that have items.
    #[serde(default)]
    criteria: Vec<String>,
    /// Share of the baseline’s items that the candidate may have left without an answer.
    #[serde(default = "margin")]
    #[schema(example = 0.05)]
    unpaired: f64,
    #[serde(default = "level")]
    #[schema(example = 0.95)]
    level: f64,
    #[serde(default)]
    skip_broken: bool,
}

const fn margin() -> f64 {
    0.05
}

/// What a gate says, with the exit code that the command has.
#[derive(Serialize)]
struct GateSaid {
    exit_code: u8,
    #[serde(flatten)]
    gate: Gate,
    files: Vec<(String, String)>,
}

/// Non-inferiority on the items both answered: `pass`, `regression` or `inconclusive`.
#[utoipa::path(post, path = "/v1/eval/gate", tag = "Evaluation", security(("key" = [])), request_body = GateForm,
    responses((status = 200, description = "`verdict`, `exit_code` (0 pass, 1 regression, 2 inconclusive), `criteria`, `vetoes`, `fr`"),
        (status = 400, description = "A grid or a table that will not do, by line")))]
async fn gate(State(app): State<AppState>, who: Principal, Json(form): Json<GateForm>) -> ApiResult<Answer<GateSaid>> {
    let grid = grid_said(&app, &who, form.organization_id, &form.grid).await?;
    let work = tokio::task::spawn_blocking(move || {
        let grid = crate::evaluation::grid(&grid)?;
        let mut files = Vec::new();
        let mut read =
            |what: &'static str, text: &str| evidence(what, &grid, &table(what, text, &mut files)?, form.skip_broken);
        let (baseline, candidate) = (read("baseline", &form.baseline)?, read("candidate", &form.candidate)?);
        let agreement = form.agreement.as_deref().map(|text| read("agreement", text)).transpose()?;
        let ask = gate::Ask {
            margins: Margins { usual: form.margin, own: form.margins },
            criteria: form.criteria,
            level: checked(form.level)?,
            unpaired: form.unpaired,
        };
        let tables = gate::Tables { baseline: &baseline, candidate: &candidate, agreement: agreement.as_ref() };
        let gate = gate::compare(&grid, &tables, &ask).map_err(refused)?;
        Ok(GateSaid { exit_code: gate.verdict.exit_code(), gate, files })
    });
    work.await.map_err(ApiError::internal)?.map(Answer)
}
