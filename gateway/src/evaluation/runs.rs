//! Experiments and judgings at work, beside requests and behind them: a run at a time in each process, a few calls at once,
//! each in the tier that waits, paid for by a project, sent only where the class of the data may go. A run whose process
//! died is taken up by another where it stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::ask::{Answer, Ask, Estimate};
use super::case::{Case, Question};
use super::dataset::items;
use super::experiment::{SystemPrompt, Trials};
use crate::app::{App, AppState};
use crate::config::DataClass;
use crate::config::model::ModelType;
use crate::config::server::Language;
use crate::errand::{Errand, Errands};
use crate::error::{ApiError, ApiResult};
use crate::fleet::body::chat_body;
use crate::fleet::{Call, Deployment, NotAnAnswer, Tier};
use crate::openai::{Head, Usage};
use crate::policy::identity::{Principal, ProjectKey};
use crate::policy::limits::Output;
use crate::prompts::Cleaning;
use crate::recorder::Endpoint;
use crate::store::datasets::StoredDataset;
use crate::store::page::Reach;
use crate::store::projects::Project;
use crate::store::runs::{Run, RunKind};
use crate::store::{now, projects};

/// Requests of one run at most.
pub const MOST: usize = 20_000;
/// Calls at once.
const AT_ONCE: usize = 4;
/// How long a process that says nothing is believed to work, and how often it says so.
const LEASE: Duration = Duration::from_secs(60);
const SAYS: Duration = Duration::from_secs(15);
/// How often runs of other processes that died are looked for.
const EVERY: Duration = Duration::from_secs(5);
/// Tries of one call, and the longest wait before another.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_secs(10);
/// Answers read at once.
const PAGE: i64 = 1_000;

/// An experiment that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentAsk {
    #[schema(example = 1)]
    pub dataset_id: i64,
    /// Who pays: a project of the dataset’s organization.
    pub project_id: i64,
    /// Models of the gateway.
    #[schema(example = json!(["mistral-small"]))]
    pub models: Vec<String>,
    /// System prompts; none: items are asked as they are.
    #[serde(default)]
    pub prompts: Vec<SystemPrompt>,
    /// Times each item is asked, 1 to 100.
    #[serde(default = "once")]
    pub repeats: u32,
    #[serde(default)]
    pub temperature: f64,
    /// Tokens of an answer at most.
    #[serde(default = "tokens")]
    pub max_tokens: u32,
    /// Only say what it would send and cost.
    #[serde(default, skip_serializing)]
    pub dry_run: bool,
}

/// A judging that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgingAsk {
    /// Experiment whose answers are judged.
    #[serde(default)]
    pub experiment_id: Option<i64>,
    /// Or a dataset whose items hold their answers: records of a sample do.
    #[serde(default)]
    pub dataset_id: Option<i64>,
    /// Who pays: a project of the dataset’s organization.
    pub project_id: i64,
    /// The grid by its name, `id@version`, or its whole text.
    pub grid: String,
    #[serde(flatten)]
    pub question: Question,
    /// Tokens of a judge’s answer at most.
    #[serde(default = "tokens")]
    pub max_tokens: u32,
    /// Only say what it would send and cost.
    #[serde(default, skip_serializing)]
    pub dry_run: bool,
}

const fn once() -> u32 {
    1
}

const fn tokens() -> u32 {
    512
}

/// What a run does, ready to be done.
pub struct Planned {
    pub asks: Vec<Ask>,
    pub method: Value,
    max_tokens: u32,
}

impl Planned {
    fn new(asks: Vec<Ask>, method: Value, max_tokens: u32) -> ApiResult<Planned> {
        if asks.is_empty() || asks.len() > MOST {
            let count = asks.len();
            return Err(ApiError::bad_request(
                format!("{count} requêtes : un essai en a de 1 à {MOST}."),
                format!("{count} requests: a run has 1 to {MOST}."),
            ));
        }
        Ok(Planned { asks, method, max_tokens })
    }

    /// What is left to send, at the catalogue's prices.
    pub fn estimate(&self, app: &App, organization: Option<&str>) -> Estimate {
        Estimate::of(&self.asks, 0, self.max_tokens, |model| {
            let model = app.fleet.resolve(model, organization).ok()?;
            Some((model.costs.input, model.costs.output))
        })
    }
}

/// The requests of an experiment.
pub async fn experiment(app: &App, dataset: &StoredDataset, ask: &ExperimentAsk) -> ApiResult<Planned> {
    let wrong = |param: &'static str, french: &'static str, english: &'static str| {
        ApiError::bad_request(french, english).param(param)
    };
    if !(1..=100).contains(&ask.repeats) {
        return Err(wrong("repeats", "« repeats » va de 1 à 100.", "“repeats” goes from 1 to 100."));
    }
    if !(0.0..=2.0).contains(&ask.temperature) {
        return Err(wrong("temperature", "« temperature » va de 0 à 2.", "“temperature” goes from 0 to 2."));
    }
    if ask.models.is_empty() {
        return Err(wrong("models", "Dites au moins un modèle.", "Say at least one model."));
    }
    let held = items(&app.store, dataset).await?;
    let trials =
        Trials { models: &ask.models, prompts: &ask.prompts, repeats: ask.repeats, temperature: ask.temperature };
    let prompts = ask.prompts.iter().map(|prompt| (prompt.name.clone(), json!(sha(prompt.text.as_bytes()))));
    let method = json!({"dataset": dataset.hash, "prompts": prompts.collect::<serde_json::Map<_, _>>()});
    Planned::new(trials.asks(&held.items), method, ask.max_tokens)
}

/// The case of a judging, and its requests.
pub async fn judging(app: &App, dataset: &StoredDataset, ask: &JudgingAsk) -> ApiResult<(Case, Planned)> {
    let case = case(app, dataset, ask).await?;
    let method = json!({"dataset": dataset.hash, "judging": case.method().map_err(refused)?});
    let planned = Planned::new(case.asks().map_err(refused)?, method, ask.max_tokens)?;
    Ok((case, planned))
}

/// The case of a judging, as what is still there makes it.
pub async fn case(app: &App, dataset: &StoredDataset, ask: &JudgingAsk) -> ApiResult<Case> {
    let grid = super::grid(&ask.grid)?;
    let held = items(&app.store, dataset).await?;
    let answers = match ask.experiment_id {
        Some(id) => Some(answers(app, id).await?),
        None => None,
    };
    let family = |model: &str| app.fleet.resolve(model, None).ok().and_then(|model| model.family.clone());
    Case::new((grid, app.prompts.load_full()), ask.question.clone(), &held, answers.as_deref(), &family)
        .map_err(refused)
}

/// All answers of a run.
pub async fn answers(app: &App, run: i64) -> ApiResult<Vec<Answer>> {
    let mut all: Vec<Answer> = Vec::new();
    loop {
        let after = all.last().map(|answer| answer.key.clone()).unwrap_or_default();
        let page = app.store.answers(run, &after, PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// What the library will not say, as a fault of the request.
pub fn refused(refusal: ::eval::Refusal) -> ApiError {
    ApiError::bad_request(refusal.fr, refusal.en)
}

fn sha(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    crate::store::chain::hex(&Sha256::digest(bytes))
}

/// Takes up runs one after the other until the gateway stops.
pub async fn run(app: AppState) {
    let owner = uuid::Uuid::now_v7().to_string();
    loop {
        match app.store.claim_run(&owner, until()).await {
            Ok(Some(id)) => {
                work(&app, &owner, id).await;
                if !app.stop.is_cancelled() {
                    continue;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "experiments cannot be looked for"),
        }
        tokio::select! {
            () = app.runs.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            () = app.stop.cancelled() => return,
        }
    }
}

fn until() -> i64 {
    now() + i64::try_from(LEASE.as_millis()).unwrap_or(0)
}

/// How a run left this process.
enum Left {
    Done,
    /// The gateway stops: another process, or this one when it is back, goes on.
    Free,
    /// Stopped, or taken by another.
    Lost,
}

async fn work(app: &AppState, owner: &str, id: i64) {
    let ended = match all(app, owner, id).await {
        Ok(Left::Done) => app.store.end_run(id, "done", None).await,
        Ok(Left::Free) => app.store.end_run(id, "running", None).await,
        Ok(Left::Lost) => Ok(()),
        // The lease runs out, and somebody tries again.
        Err(error) if error.status().is_server_error() => {
            tracing::warn!(run = id, reason = error.reason(), "an experiment or a judging waits");
            Ok(())
        }
        Err(error) => {
            let reason = json!({"fr": error.message(Language::Fr), "en": error.message(Language::En)}).to_string();
            app.store.end_run(id, "stopped", Some(&reason)).await
        }
    };
    if let Err(error) = ended {
        tracing::warn!(%error, run = id, "the end of a run could not be noted; it will be taken up again");
    }
}

/// What a run needs besides its requests.
struct Ground {
    who: Principal,
    class: DataClass,
    max_tokens: u32,
    sampled: bool,
}

async fn all(app: &AppState, owner: &str, id: i64) -> ApiResult<Left> {
    let Some(run) = app.store.run(&Reach::Everything, None, id).await? else { return Ok(Left::Lost) };
    let (planned, ground) = prepared(app, &run).await?;
    let done: std::collections::HashSet<String> =
        answers(app, id).await?.into_iter().filter(|answer| answer.text.is_some()).map(|answer| answer.key).collect();
    let mut left: Vec<Ask> = planned.asks.into_iter().filter(|ask| !done.contains(&ask.key)).collect();
    left.reverse();
    let (ground, mut running, mut said) = (Arc::new(ground), JoinSet::new(), Instant::now());
    loop {
        while running.len() < AT_ONCE {
            let Some(ask) = left.pop() else { break };
            running.spawn(one(app.clone(), ground.clone(), ask));
        }
        if running.is_empty() {
            return Ok(Left::Done);
        }
        let answer = tokio::select! {
            answer = running.join_next() => answer,
            () = tokio::time::sleep(SAYS) => None,
            // Calls under way are dropped with the set: their engines stop, and they are asked again.
            () = app.stop.cancelled() => return Ok(Left::Free),
        };
        if let Some(answer) = answer {
            let answer = answer.map_err(ApiError::internal)?;
            let record = ground.sampled.then(|| answer.about("item").to_owned());
            app.store.put_answer(id, record.as_deref(), &answer).await?;
        }
        if said.elapsed() >= SAYS {
            said = Instant::now();
            if !app.store.hold_run(id, owner, until()).await? {
                return Ok(Left::Lost);
            }
        }
    }
}

async fn prepared(app: &AppState, run: &Run) -> ApiResult<(Planned, Ground)> {
    let reach = Reach::organization(run.organization_id);
    let dataset = app.store.dataset(&reach, run.dataset_id).await?.ok_or_else(ApiError::not_found)?;
    let project = app.store.project(run.project_id).await?.ok_or_else(ApiError::not_found)?;
    let planned = match run.kind {
        RunKind::Experiment => experiment(app, &dataset, &read(run)?).await?,
        RunKind::Judging => judging(app, &dataset, &read(run)?).await?.1,
    };
    let class = dataset.data_class.max(project.data_class);
    let ground = Ground {
        who: payer(&project, class),
        class,
        max_tokens: planned.max_tokens,
        sampled: dataset.sample_id.is_some(),
    };
    Ok((planned, ground))
}

/// What was asked of a run.
pub fn read<T: serde::de::DeserializeOwned>(run: &Run) -> ApiResult<T> {
    serde_json::from_str(run.asked.get()).map_err(ApiError::internal)
}

/// Who pays for a run: its project, under a name that records know it by.
fn payer(project: &projects::Project, class: DataClass) -> Principal {
    let project = ProjectKey {
        organization_id: project.organization_id,
        organization: project.organization.clone(),
        project_id: project.id,
        project: project.name.clone(),
        data_class: class,
        cleaning: Cleaning::default(),
        made_by: None,
        // What is evaluated is not evaluated again.
        notice: None,
    };
    Principal::of_task("evalua", project)
}

/// Refuses a run over what some model of it may not be sent, before anything is.
///
/// # Errors
/// 404 for a model that the organization does not see, 422 for one of another type, 403 where the class may not go.
pub fn cleared(app: &App, dataset: &StoredDataset, project: &Project, asks: &[Ask]) -> ApiResult<()> {
    let class = dataset.data_class.max(project.data_class);
    let who = payer(project, class);
    let models: std::collections::BTreeSet<&str> = asks.iter().map(|ask| ask.model.as_str()).collect();
    for name in models {
        let model = app.fleet.resolve(name, who.organization_name())?;
        if !matches!(model.kind, ModelType::Chat | ModelType::Vision) {
            return Err(ApiError::model_wrong_type(name, ModelType::Chat.public()));
        }
        if !model.allows(class) {
            return Err(ApiError::sovereignty());
        }
    }
    Ok(())
}

async fn one(app: AppState, ground: Arc<Ground>, ask: Ask) -> Answer {
    let began = Instant::now();
    let mut outcome = Err(String::new());
    for attempt in 1..=TRIES {
        let error = match sent(&app, &ground, &ask).await {
            Ok(answer) => {
                outcome = Ok(answer);
                break;
            }
            Err(error) => error,
        };
        outcome = Err(error.message(Language::En).to_owned());
        let again = error.after().is_some() || error.status().is_server_error();
        if !again || attempt == TRIES {
            break;
        }
        tokio::time::sleep(error.after().unwrap_or(Duration::from_millis(500)).min(WAIT)).await;
    }
    Answer::read(ask, outcome, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

async fn sent(app: &App, ground: &Ground, ask: &Ask) -> ApiResult<Value> {
    let errands = Errands::new(app.fleet.clone(), app.limits.clone(), app.recorder.clone());
    let model = app.fleet.resolve(&ask.model, ground.who.organization_name())?;
    let mut request = json!({"model": &*model.id, "messages": ask.messages, "max_tokens": ground.max_tokens});
    if let Some(request) = request.as_object_mut() {
        request.extend(ask.settings.clone());
    }
    let body = Bytes::from(request.to_string());
    let text = body.clone();
    let head = Head::parse(&text)?;
    let build = |deployment: &Deployment| -> ApiResult<Bytes> { chat_body(&body, &head, None, deployment) };
    let errand = Errand {
        who: &ground.who,
        class: ground.class,
        model: &model,
        call: Call::Chat,
        endpoint: Endpoint::ChatCompletions,
        tier: Tier::Flex,
        output: Output::of(&head).map_err(ApiError::from)?,
        body: &body,
        build: &build,
    };
    let read = |answer: Bytes| -> Result<(Value, Option<Usage>), NotAnAnswer> {
        let answer: Value = serde_json::from_slice(&answer).map_err(|_| NotAnAnswer)?;
        let usage = serde_json::value::to_raw_value(&answer["usage"]).ok().and_then(|raw| Usage::parse(&raw));
        Ok((answer, usage))
    };
    Ok(errands.run(&errand, read).await?.value)
}
