//! One request from its admission to its end: the guard that makes sure it is recorded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capture::Draft;
use super::{Admission, Outcome, Record, Recorder, Text};
use crate::error::{ApiError, ApiResult};
use crate::fleet::Trail;
use crate::openai::Usage;
use crate::policy::limits::rule::Used;
use crate::policy::limits::{Outturn, Reservation};
use crate::telemetry::{Finished, RequestLabels};

/// How a request ended, as far as its answer tells.
#[derive(Debug, Default)]
pub struct End {
    pub status: u16,
    pub error_code: Option<&'static str>,
    pub finish_reason: Option<Text>,
    /// What the engine counted.
    pub usage: Option<Usage>,
    /// What we count when it did not.
    pub estimate: Usage,
    /// Bytes of text that the engine wrote.
    pub text_bytes: u64,
}

/// An admitted request. Whatever happens to it, dropping it writes its record.
#[derive(Debug)]
pub struct Turn {
    recorder: Arc<Recorder>,
    /// A draft that says `interrupted` until the end says otherwise. `None` once handed over or written.
    draft: Option<Box<Record>>,
    started: Instant,
    first_token: Option<Duration>,
    /// Estimate of the input in tokens, spent once an engine is called.
    input_estimate: u64,
    journaled: bool,
    /// What is held of the caller's limits until the end.
    reservation: Option<Reservation>,
    pub trail: Trail,
    /// What is noted of the content, of a project that agreed to it.
    pub content: Option<Box<Draft>>,
}

impl Turn {
    pub(super) fn new(recorder: Arc<Recorder>, admission: Admission, started: Instant, journaled: bool) -> Turn {
        let input_estimate = u64::try_from(admission.tokens_in).unwrap_or(0);
        Turn {
            recorder,
            draft: Some(Box::new(Record::interrupted(admission))),
            started,
            first_token: None,
            input_estimate,
            journaled,
            reservation: None,
            trail: Trail::default(),
            content: None,
        }
    }

    pub fn id(&self) -> &str {
        self.draft.as_ref().map_or("", |draft| &draft.id)
    }

    /// Id of the named prompt.
    pub fn prompt_id(&self) -> Option<&str> {
        self.draft.as_ref()?.prompt_id.as_deref()
    }

    pub fn input_estimate(&self) -> u64 {
        self.input_estimate
    }

    /// Takes over what is held for this request, and what it will read as counted for that.
    pub fn reserved(&mut self, reservation: Reservation, input: u64) {
        self.reservation = Some(reservation);
        self.input_estimate = input;
    }

    /// Notes the class of its data, where what it reads is of a higher one than its project.
    pub fn classed(&mut self, class: crate::config::DataClass) {
        if let Some(draft) = &mut self.draft {
            draft.data_class = class.as_str().into();
        }
    }

    /// Notes the named prompt that was rendered.
    pub fn prompted(&mut self, id: &str, version: &str, hash: &str) {
        if let Some(draft) = &mut self.draft {
            draft.prompt_id = Some(id.into());
            draft.prompt_version = Some(version.into());
            draft.prompt_hash = Some(hash.into());
        }
    }

    /// Notes the parameters of generation.
    pub fn parameters(&mut self, json: Option<String>) {
        if let Some(draft) = &mut self.draft {
            draft.parameters = json.map(Text::from);
        }
    }

    /// The first piece of the answer is there.
    pub fn first_token(&mut self) {
        if self.first_token.is_none() {
            self.first_token = Some(self.started.elapsed());
        }
    }

    /// Moves the guard into the answer's body; what is left behind writes nothing.
    pub fn hand_over(&mut self) -> Turn {
        Turn {
            recorder: self.recorder.clone(),
            draft: self.draft.take(),
            started: self.started,
            first_token: self.first_token,
            input_estimate: self.input_estimate,
            journaled: self.journaled,
            reservation: self.reservation.take(),
            trail: std::mem::take(&mut self.trail),
            content: self.content.take(),
        }
    }

    /// The whole answer was relayed.
    pub fn succeed(mut self, end: End) {
        self.write(Outcome::Success, end);
    }

    /// The engine died after the first byte.
    pub fn cut(mut self, code: &'static str, mut end: End) {
        end.error_code = Some(code);
        self.write(Outcome::Cut, end);
    }

    /// The client went away in the middle.
    pub fn abandon(mut self, end: End) {
        self.write(Outcome::ClientGone, end);
    }

    /// The request was refused, or failed before the first byte.
    pub fn fail(mut self, error: &ApiError) {
        let status = error.status();
        let outcome = if status.is_server_error() { Outcome::Error } else { Outcome::Refused };
        self.write(outcome, End { status: status.as_u16(), error_code: Some(error.reason()), ..End::default() });
    }

    fn write(&mut self, outcome: Outcome, end: End) {
        let Some(mut record) = self.draft.take() else { return };
        let duration = self.started.elapsed();
        let asked_an_engine = self.trail.attempts > 0;
        let measured = end.usage.is_some();
        let usage = end.usage.unwrap_or(end.estimate);
        // A refusal costs nothing; a failure or a departure after the engine was called is counted as an estimate.
        let failed = matches!(outcome, Outcome::Error | Outcome::Refused);
        record.tokens_in = if !measured && (failed || !asked_an_engine) { 0 } else { count(usage.input) };
        record.tokens_out = count(usage.output);
        record.tokens_cached = usage.cached.map(count);
        record.tokens_reasoning = usage.reasoning.map(count);
        record.tokens_estimated = !measured && record.tokens_in + record.tokens_out > 0;
        record.first_token_ms = self.first_token.map(millis);
        record.duration_ms = millis(duration);
        record.status = i64::from(end.status);
        record.outcome = outcome;
        record.error_code = end.error_code.map(Text::const_new);
        record.finish_reason = end.finish_reason;
        record.attempts = i64::from(self.trail.attempts);
        if let Some(reservation) = self.reservation.take() {
            // A failure of the gateway or of its engines costs the caller nothing, not even a request.
            if asked_an_engine && outcome != Outcome::Error {
                reservation.settle(&Outturn {
                    model: self.trail.model.as_ref().map(|model| &*model.id),
                    measured,
                    whole: outcome == Outcome::Success,
                    used: Used { input: usage_of(record.tokens_in), output: usage_of(record.tokens_out) },
                    text_bytes: end.text_bytes,
                });
            } else {
                reservation.release();
            }
        }
        if let Some(deployment) = &self.trail.deployment {
            record.deployment = Some(Text::from(&*deployment.name));
            record.hosting = Some(Text::from(&*deployment.hosting_text));
        }
        if let Some(model) = &self.trail.model {
            record.model_served = Some(Text::from(&*model.id));
            if let Some(impact) = &model.impact {
                let (energy, carbon) = impact.of(usage_of(record.tokens_in), usage_of(record.tokens_out));
                record.energy_wh = Some(energy);
                record.carbon_g = Some(carbon);
                record.impact_method = Some(Text::from(&*impact.method));
            }
        }
        self.recorder.telemetry.finished(Finished {
            labels: RequestLabels {
                endpoint: record.endpoint.as_str(),
                model: self.trail.model.as_ref().map(|model| model.id.clone()),
                deployment: self.trail.deployment.as_ref().map(|deployment| deployment.name.clone()),
                status: end.status,
                outcome: outcome.as_str(),
            },
            duration,
            first_token: self.first_token,
            input: usage_of(record.tokens_in),
            output: usage_of(record.tokens_out),
            energy_wh: record.energy_wh,
        });
        if let Some(content) = self.content.take() {
            content.close(&record);
        }
        if self.journaled
            && let Err(refused) = self.recorder.journal.end(&record)
        {
            tracing::error!(id = %record.id, %refused, "the end of a request could not be recorded");
        }
    }
}

impl Drop for Turn {
    /// The last resort: the handler was dropped because the client left, or it panicked.
    fn drop(&mut self) {
        if self.draft.is_none() {
            return;
        }
        if std::thread::panicking() {
            self.write(Outcome::Error, End { status: 500, error_code: Some("internal_error"), ..End::default() });
        } else {
            let estimate = Usage { input: self.input_estimate, ..Usage::default() };
            self.write(Outcome::ClientGone, End { status: CLIENT_GONE, estimate, ..End::default() });
        }
    }
}

impl Recorder {
    /// Lets a request in, once the journal has room for its end.
    ///
    /// # Errors
    /// 503 when the journal is full and the configuration says to refuse.
    pub fn admit(self: &Arc<Self>, admission: Admission, started: Instant) -> ApiResult<Turn> {
        match self.journal.admit(&admission) {
            Ok(()) => Ok(Turn::new(self.clone(), admission, started, true)),
            Err(_) if self.serves_when_full() => {
                self.telemetry.unrecorded.inc();
                Ok(Turn::new(self.clone(), admission, started, false))
            }
            Err(refused) => {
                tracing::error!(%refused, "request refused: it could not be recorded");
                Err(ApiError::service_unavailable())
            }
        }
    }
}

/// The status noted for a client that left before its answer (nginx's 499).
pub const CLIENT_GONE: u16 = 499;

fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

fn usage_of(tokens: i64) -> u64 {
    u64::try_from(tokens).unwrap_or(0)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
