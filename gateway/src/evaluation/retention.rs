//! What goes by itself: contents, old records, keys of months.

use std::time::Duration;

use crate::app::AppState;
use crate::config::Config;
use crate::config::evaluation;
use crate::store::now;
use crate::store::retention::Keep;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(300);

/// How long things are kept, by a configuration, seen at a moment in Unix milliseconds. Content that is there goes in its
/// time also when evaluation was turned off.
pub fn keep(config: &Config, now: i64) -> Keep {
    let millis = |span: crate::config::Span| i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX);
    let content = config.evaluation.as_ref().map_or(evaluation::KEEP, |settings| settings.keep);
    Keep { content: millis(content), usage: millis(config.records.keep), now }
}

/// Takes away what is past its time, at once and then every few minutes, until the gateway stops.
pub async fn run(app: AppState) {
    loop {
        let keep = keep(&app.config.load(), now());
        match app.store.purge(keep, false).await {
            Ok(purged) if purged.is_empty() => {}
            Ok(purged) => tracing::info!(
                contents = purged.contents,
                comments = purged.comments,
                usage_records = purged.usage_records,
                evaluation_records = purged.evaluation_records,
                months = purged.months.len(),
                "what was past its time is gone"
            ),
            Err(error) => tracing::warn!(%error, "what is past its time could not be taken away; again in a while"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = app.stop.cancelled() => return,
        }
    }
}
