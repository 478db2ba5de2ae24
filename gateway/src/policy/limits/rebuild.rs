//! Days, months and the last minute, counted again from the usage records: after a restart, or when Redis was emptied.

use std::collections::HashSet;
use std::time::Duration;

use super::past::Past;
use super::plan::Payer;
use super::rule::Kind;
use crate::app::App;
use crate::config::limits::LimitStore;
use crate::store::StoreError;
use crate::store::past::{PastUse, Span};

/// Records younger than this are looked at second by second.
const RECENT: i64 = 10 * 60_000;
/// Longest wait for records of a previous run that are still in the journal.
const JOURNAL: Duration = Duration::from_secs(5);
/// Times an organization is tried while the database does not answer, and the pause between.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the past of every organization that has limits, when limits are counted in this process: nobody else remembers.
/// Returns those that were done.
pub async fn at_start(app: &App) -> HashSet<i64> {
    let mut done = HashSet::new();
    if app.config.load().limits.store != LimitStore::Memory {
        return done;
    }
    journal_is_stored(app).await;
    let organizations = match app.store.organization_ids().await {
        Ok(ids) => ids,
        Err(error) => {
            tracing::warn!(%error, "limits start from zero: the usage records cannot be read");
            return done;
        }
    };
    for organization in organizations {
        let payer = Payer { organization, project: 0, key: None, member: None };
        if !app.limits.may_limit(&payer) {
            continue;
        }
        match one(app, organization).await {
            Ok(()) => drop(done.insert(organization)),
            Err(error) => tracing::warn!(%error, organization, "what an organization used is counted later"),
        }
    }
    done
}

/// Counts the past of organizations as the store asks for it, until the gateway stops. `done` were counted already.
pub async fn on_demand(app: std::sync::Arc<App>, mut done: HashSet<i64>) {
    let Some(mut wanting) = app.limits.store.wanting() else { return };
    loop {
        let organization = tokio::select! {
            organization = wanting.recv() => organization,
            () = app.stop.cancelled() => return,
        };
        let Some(organization) = organization else { return };
        if done.remove(&organization) {
            continue;
        }
        for attempt in 1..=TRIES {
            match one(&app, organization).await {
                Ok(()) => break,
                Err(error) if attempt == TRIES => {
                    tracing::error!(%error, organization, "limits of an organization go on without its past");
                }
                Err(error) => {
                    tracing::debug!(%error, organization, "what an organization used cannot be read yet");
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = app.stop.cancelled() => return,
                    }
                }
            }
        }
    }
}

async fn one(app: &App, organization: i64) -> Result<(), StoreError> {
    let limits = &app.limits;
    let now = limits.time.clock.now().wall;
    let periods = limits.time.calendar.at(now);
    // Never together with what came since this process counts: the store tells them apart by their time.
    let recent = limits.since.min(now).saturating_sub(RECENT);
    let span = Span { month: periods.month.start, day: periods.day.start, recent };
    let used = app.store.past_use(organization, span).await?;
    let past: Vec<Past> = used.iter().flat_map(|one| of_one(app, organization, one)).collect();
    if !limits.store.preload(organization, &past).await {
        tracing::debug!(organization, "the past of an organization was counted by another replica");
    }
    Ok(())
}

/// What some requests weigh on each limit of their chain.
fn of_one(app: &App, organization: i64, used: &PastUse) -> Vec<Past> {
    let payer = Payer { organization, project: used.project_id.unwrap_or(0), key: used.key, member: used.made_by };
    // The client may have written an alias.
    let model =
        app.fleet.resolve(&used.model_asked, None).map_or_else(|_| used.model_asked.clone(), |m| m.id.to_string());
    let chain = app.limits.book().chain(&payer, Some(&model));
    let weigh = |kind: Kind| match kind {
        Kind::Concurrent => None,
        Kind::Rate { meter: super::rule::Meter::Requests, .. } => Some(used.requests),
        Kind::Rate { meter, .. } => Some(meter.of(used.tokens_in, used.tokens_out)),
    };
    let limits = chain.limits.iter();
    limits
        .filter_map(|limit| {
            let project = limit.guarantees.as_ref().map(|_| payer.project);
            Some(Past { id: limit.id.clone(), project, at: used.at, amount: weigh(limit.id.kind)? })
        })
        .collect()
}

/// Waits until what a previous run left in the journal is in the database, within reason.
async fn journal_is_stored(app: &App) {
    let waiting = async {
        while app.recorder.journal.stats().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(JOURNAL, waiting).await.is_err() {
        tracing::warn!("limits start without the last records: the database has not taken them yet");
    }
}
