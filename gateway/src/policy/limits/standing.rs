//! What a caller sees of limits: the `x-ratelimit-*` headers, and the words of a refusal.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::rule::{Chain, Kind, Limit, Meter, Scope, Window};
use super::ticket::{Bite, Refused, Remaining, Standing};
use crate::config::limits::ALL_MODELS;
use crate::error::ApiError;

/// The limits that will bite next, as headers have them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RateHeaders {
    requests: Option<Figures>,
    tokens: Option<Figures>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Figures {
    limit: u64,
    remaining: u64,
    reset: Duration,
}

const NAMES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
];

impl From<&Standing> for RateHeaders {
    fn from(standing: &Standing) -> RateHeaders {
        let figures = |one: &Remaining| Figures { limit: one.max, remaining: one.left, reset: one.resets_in };
        RateHeaders { requests: standing.requests.as_ref().map(figures), tokens: standing.tokens.as_ref().map(figures) }
    }
}

impl RateHeaders {
    /// Those of the limit that refused.
    fn of_bite(kind: Kind, bite: &Bite) -> RateHeaders {
        let figures = Figures {
            limit: bite.max,
            remaining: bite.max.saturating_sub(bite.used),
            reset: bite.retry_after.unwrap_or(bite.resets_in),
        };
        match kind {
            Kind::Concurrent | Kind::Rate { meter: Meter::Requests, .. } => {
                RateHeaders { requests: Some(figures), tokens: None }
            }
            Kind::Rate { .. } => RateHeaders { requests: None, tokens: Some(figures) },
        }
    }

    pub fn write(&self, headers: &mut HeaderMap) {
        for ([limit, remaining, reset], figures) in NAMES.iter().zip([self.requests, self.tokens]) {
            let Some(figures) = figures else { continue };
            headers.insert(limit, HeaderValue::from(figures.limit));
            headers.insert(remaining, HeaderValue::from(figures.remaining));
            if let Ok(value) = HeaderValue::try_from(span(figures.reset)) {
                headers.insert(reset, value);
            }
        }
    }
}

/// A length of time as OpenAI writes it: `120ms`, `1s`, `6m0s`, `26h3m0s`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{}ms", time.subsec_millis()),
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The refusal of a store, in words. `zone` is that of daily and monthly limits.
pub fn refusal(refused: &Refused, chain: &Chain, zone: &TimeZone) -> (ApiError, RateHeaders) {
    let Refused::Limit(bite) = refused else {
        tracing::error!("request refused: Redis does not answer and `limits.when_store_down` is `closed`");
        return (ApiError::service_unavailable(), RateHeaders::default());
    };
    let Some(limit) = chain.limits.get(bite.limit) else {
        return (ApiError::internal("a limit that is not in its chain"), RateHeaders::default());
    };
    let kind = limit.id.kind;
    let code = if kind.is_calendar() { "quota_exceeded" } else { "rate_limit_exceeded" };
    let words = Words { limit, bite, zone };
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, words.french(), words.english());
    let error = match bite.retry_after {
        Some(after) => error.retry_after(after),
        // Nothing will make it fit: a client that tried again would be refused again.
        None => error.never_retry(),
    };
    (error, RateHeaders::of_bite(kind, bite))
}

struct Words<'a> {
    limit: &'a Limit,
    bite: &'a Bite,
    zone: &'a TimeZone,
}

impl Words<'_> {
    fn french(&self) -> String {
        let whose = match self.limit.id.scope {
            Scope::Organization(_) => "votre administration",
            Scope::Project(_) => "ce projet",
            Scope::Key(_) => "cette clé",
            Scope::Member(_) => "le membre qui a créé cette clé",
        };
        let (max, s) = (grouped(self.bite.max), if self.bite.max > 1 { "s" } else { "" });
        let what = match self.limit.id.kind {
            Kind::Concurrent => format!("{max} requête{s} à la fois"),
            Kind::Rate { meter, window } => {
                let meter = match meter {
                    Meter::Requests => format!("requête{s}"),
                    Meter::Input => format!("token{s} en entrée"),
                    Meter::Output => format!("token{s} en sortie"),
                    Meter::Tokens => format!("token{s}"),
                };
                let window = match window {
                    Window::Minute => "minute",
                    Window::Day => "jour",
                    Window::Month => "mois",
                };
                format!("{max} {meter} par {window}")
            }
        };
        let models = match &*self.limit.id.models {
            ALL_MODELS => String::new(),
            name => format!(" sur « {name} »"),
        };
        let (used, asked) = (grouped(self.bite.used), grouped(self.bite.asked));
        let state = match (self.bite.retry_after, self.limit.id.kind) {
            (None, _) => format!("Cette requête en demande {asked} à elle seule : réduisez-la, ou « max_tokens »."),
            (Some(_), Kind::Concurrent) => "Réessayez dès qu’une réponse est finie.".to_owned(),
            (Some(after), kind) => {
                let when = match self.moment(kind, after) {
                    Some(moment) => format!("le {moment}"),
                    None => format!("dans {} s", after.as_secs() + 1),
                };
                format!("Utilisé : {used} ; demandé : {asked}. Réessayez {when}.")
            }
        };
        format!("Limite atteinte : {what} pour {whose}{models}. {state}")
    }

    fn english(&self) -> String {
        let whose = match self.limit.id.scope {
            Scope::Organization(_) => "your organization",
            Scope::Project(_) => "this project",
            Scope::Key(_) => "this key",
            Scope::Member(_) => "the member who made this key",
        };
        let (max, s) = (grouped(self.bite.max), if self.bite.max > 1 { "s" } else { "" });
        let what = match self.limit.id.kind {
            Kind::Concurrent => format!("{max} request{s} at one time"),
            Kind::Rate { meter, window } => {
                let meter = match meter {
                    Meter::Requests => format!("request{s}"),
                    Meter::Input => format!("input token{s}"),
                    Meter::Output => format!("output token{s}"),
                    Meter::Tokens => format!("token{s}"),
                };
                format!("{max} {meter} per {}", window.word())
            }
        };
        let models = match &*self.limit.id.models {
            ALL_MODELS => String::new(),
            name => format!(" on “{name}”"),
        };
        let (used, asked) = (grouped(self.bite.used), grouped(self.bite.asked));
        let state = match (self.bite.retry_after, self.limit.id.kind) {
            (None, _) => format!("This request alone asks for {asked}: make it smaller, or its “max_tokens”."),
            (Some(_), Kind::Concurrent) => "Try again as soon as an answer has ended.".to_owned(),
            (Some(after), kind) => {
                let when = match self.moment(kind, after) {
                    Some(moment) => format!("on {moment}"),
                    None => format!("in {} s", after.as_secs() + 1),
                };
                format!("Used: {used}; asked: {asked}. Try again {when}.")
            }
        };
        format!("Limit reached: {what} for {whose}{models}. {state}")
    }

    /// `2026-11-26 00:00 (Europe/Paris)`, for what follows the calendar.
    fn moment(&self, kind: Kind, after: Duration) -> Option<String> {
        if !kind.is_calendar() {
            return None;
        }
        let at = Timestamp::now().checked_add(jiff::SignedDuration::try_from(after).ok()?).ok()?;
        // To the minute, upwards: at 23:59:59 the day has not begun.
        let at = at.round(jiff::TimestampRound::new().smallest(jiff::Unit::Minute).mode(jiff::RoundMode::HalfExpand));
        let zoned = at.ok()?.to_zoned_datetime(self.zone.clone());
        let name = self.zone.iana_name().unwrap_or("UTC");
        Some(format!("{} ({name})", zoned.strftime("%Y-%m-%d %H:%M")))
    }
}

/// `5 000 000`, with the narrow no-break space that both languages read.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::server::Language;
    use crate::policy::limits::rule::CounterId;

    fn chain(scope: Scope, models: &str, kind: Kind, max: u64) -> Chain {
        let id = CounterId { scope, models: models.into(), kind };
        Chain { organization: 1, project: 2, limits: [Limit { id, max, guarantees: None }].into() }
    }

    fn bite(max: u64, retry_after: Option<Duration>) -> Refused {
        let resets_in = Duration::from_secs(59);
        Refused::Limit(Bite { limit: 0, used: max - 1, max, asked: 300, retry_after, resets_in })
    }

    #[test]
    fn a_refusal_names_its_limit() {
        let minute = Kind::Rate { meter: Meter::Tokens, window: Window::Minute };
        let limits = chain(Scope::Organization(1), "*", minute, 10_000);
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let (error, headers) = refusal(&bite(10_000, Some(Duration::from_millis(11_500))), &limits, &zone);
        assert_eq!((error.status().as_u16(), error.reason()), (429, "rate_limit_exceeded"));
        assert_eq!(
            error.message(Language::Fr),
            "Limite atteinte : 10\u{202f}000 tokens par minute pour votre administration. Utilisé : 9\u{202f}999 ; demandé : 300. Réessayez dans 12 s."
        );
        let mut map = HeaderMap::new();
        headers.write(&mut map);
        assert_eq!(map["x-ratelimit-limit-tokens"], "10000");
        assert_eq!(map["x-ratelimit-remaining-tokens"], "1");
        assert_eq!(map["x-ratelimit-reset-tokens"], "11s");
        assert!(!map.contains_key("x-ratelimit-limit-requests"));
    }

    #[test]
    fn a_quota_says_when_it_comes_back_and_an_ask_that_never_fits_says_so() {
        let month = Kind::Rate { meter: Meter::Output, window: Window::Month };
        let limits = chain(Scope::Project(2), "large", month, 1_000);
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let (error, _) = refusal(&bite(1_000, Some(Duration::from_secs(86_400))), &limits, &zone);
        assert_eq!(error.reason(), "quota_exceeded");
        let english = error.message(Language::En);
        assert!(
            english.starts_with("Limit reached: 1\u{202f}000 output tokens per month for this project on “large”.")
        );
        assert!(english.contains("Try again on 2") && english.ends_with("(Europe/Paris)."), "{english}");
        let (never, _) = refusal(&bite(1_000, None), &limits, &zone);
        let response = never.respond(Language::Fr);
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert!(!response.headers().contains_key("retry-after"));
        assert!(never.message(Language::Fr).contains("à elle seule"));
    }

    #[test]
    fn times_are_written_as_openai_writes_them() {
        for (millis, text) in [(120, "120ms"), (1_000, "1s"), (360_000, "6m0s"), (93_780_000, "26h3m0s")] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }
}
