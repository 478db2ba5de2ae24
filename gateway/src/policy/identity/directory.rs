//! Keys in memory: a request whose key is known asks the database nothing.
//!
//! Every change of identity raises the directory's version in the database. [`Directory::refresh`] polls it, and when
//! it has risen reads again what is cached, so that a revocation reaches every replica without emptying the cache.
//! When the database is down, known keys go on.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use quick_cache::sync::Cache;

use super::Principal;
use super::failures::Failures;
use crate::config::Config;
use crate::error::{ApiError, ApiResult};
use crate::policy::key::{ApiKey, KeyHash, KeyId, Presented};
use crate::store::principals::Known;
use crate::store::{Database, StoreError, now};

/// Keys held in memory at most; the least used leave.
const CAPACITY: usize = 20_000;

/// Keys read in advance at start.
const WARM: i64 = 2_000;

/// Keys read again in one query.
const CHUNK: usize = 500;

/// Longest wait for the database when a key is not known.
const LOOK_UP: Duration = Duration::from_secs(2);

/// After the database failed, unknown keys are not looked up for this long, in milliseconds.
const PAUSE: i64 = 500;

#[derive(Debug)]
struct Entry {
    hash: KeyHash,
    principal: Principal,
}

/// The keys this process knows.
pub struct Directory {
    database: Database,
    cache: Cache<KeyId, Arc<Entry>>,
    /// Version of the directory that the cache is at least as new as. Held while an entry goes in, so that none read
    /// before a change can slip in after the change was taken into account.
    seen: RwLock<i64>,
    refreshing: tokio::sync::Mutex<()>,
    paused_until: AtomicI64,
    failures: ArcSwap<Failures>,
}

impl Directory {
    pub fn new(database: Database, config: &Config) -> Directory {
        Directory {
            database,
            cache: Cache::new(CAPACITY),
            seen: RwLock::new(0),
            refreshing: tokio::sync::Mutex::new(()),
            paused_until: AtomicI64::new(0),
            failures: ArcSwap::from_pointee(Failures::new(config.gates.failed_authentications)),
        }
    }

    /// Takes new settings. Counts of failures start afresh only if theirs changed.
    pub fn reload(&self, config: &Config) {
        let rate = config.gates.failed_authentications;
        if self.failures.load().rate() != rate {
            self.failures.store(Arc::new(Failures::new(rate)));
        }
    }

    /// Reads the newest keys in advance, so that they open even if the database goes away. Returns how many.
    pub async fn warm(&self) -> Result<usize, StoreError> {
        let _one = self.refreshing.lock().await;
        let version = self.database.directory_version().await?;
        let known = self.database.newest_principals(WARM).await?;
        let count = known.len();
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        *seen = version;
        for (id, known) in known {
            self.cache.insert(id, entry(known));
        }
        Ok(count)
    }

    /// Who sends this `Authorization` header. The same refusal for a key that is absent, unknown, expired or revoked;
    /// 429 for an address that fails too often; 503 when the key is not known and the database does not answer.
    pub async fn authenticate(&self, authorization: Option<&HeaderValue>, client: IpAddr) -> ApiResult<Principal> {
        let Some(authorization) = authorization else { return Err(ApiError::invalid_api_key()) };
        let Some(presented) = bearer(authorization.as_bytes()).and_then(ApiKey::parse) else {
            return Err(self.failed(client));
        };
        let entry = match self.cache.get(&presented.id) {
            Some(entry) => Some(entry),
            None => {
                if let Some(wait) = self.failures.load().blocked(client) {
                    return Err(too_many(wait));
                }
                // Boxed: a connection has room for what each of its requests needs, and few need this.
                Box::pin(self.look_up(presented)).await?
            }
        };
        match entry {
            Some(entry) if entry.hash.same(&presented.hash) && !entry.principal.is_expired(now()) => {
                Ok(entry.principal.clone())
            }
            _ => Err(self.failed(client)),
        }
    }

    fn failed(&self, client: IpAddr) -> ApiError {
        match self.failures.load().count(client) {
            Ok(()) => ApiError::invalid_api_key(),
            Err(wait) => too_many(wait),
        }
    }

    /// One reading of the database for all requests that wait for the same key.
    async fn look_up(&self, presented: Presented) -> ApiResult<Option<Arc<Entry>>> {
        let guard = match self.cache.get_value_or_guard_async(&presented.id).await {
            Ok(entry) => return Ok(Some(entry)),
            Err(guard) => guard,
        };
        if now() < self.paused_until.load(Ordering::Relaxed) {
            return Err(ApiError::service_unavailable());
        }
        for _ in 0..3 {
            let reading = self.database.principals(std::slice::from_ref(&presented.id));
            let found = match tokio::time::timeout(LOOK_UP, reading).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => return Err(self.pause(error)),
                Err(_) => return Err(self.pause(StoreError::Unavailable("no answer in time".to_owned()))),
            };
            let Some((_, known)) = found.into_iter().next() else { return Ok(None) };
            // A wrong secret must not bring a key into memory, where it would push out another.
            if !known.hash.same(&presented.hash) {
                return Ok(None);
            }
            let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
            if known.version >= *seen {
                let entry = entry(known);
                // The error says the entry was removed meanwhile; this request was let in before that.
                let _ = guard.insert(Arc::clone(&entry));
                return Ok(Some(entry));
            }
        }
        // A version that keeps going back is a database that was put back from a copy; the next refresh sees it.
        Err(ApiError::service_unavailable())
    }

    fn pause(&self, error: StoreError) -> ApiError {
        if error.is_unavailable() {
            self.paused_until.store(now().saturating_add(PAUSE), Ordering::Relaxed);
        }
        error.into()
    }

    /// Takes into account what changed in the directory, here or on another replica. Returns whether something did.
    /// To be called each second, and after each change made by this process, which it makes effective at once.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let _one = self.refreshing.lock().await;
        let version = self.database.directory_version().await?;
        let before = {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *seen, version)
        };
        if version == before {
            return Ok(false);
        }
        let ids: Vec<KeyId> = self.cache.iter().map(|(id, _)| id).collect();
        for chunk in ids.chunks(CHUNK) {
            let found = match self.database.principals(chunk).await {
                Ok(found) => found,
                Err(error) => {
                    // Not done: the next refresh must start over.
                    *self.seen.write().unwrap_or_else(PoisonError::into_inner) = before;
                    return Err(error);
                }
            };
            let mut found: HashMap<KeyId, Known> = found.into_iter().collect();
            for id in chunk {
                match found.remove(id) {
                    // The error says it left the cache meanwhile: it need not come back.
                    Some(known) => drop(self.cache.replace(*id, entry(known), true)),
                    None => drop(self.cache.remove(id)),
                }
            }
        }
        Ok(true)
    }

    /// Gives back memory of addresses that no longer fail. To be called each minute.
    pub fn tidy(&self) {
        self.failures.load().tidy();
    }

    /// Keys in memory.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}

fn entry(known: Known) -> Arc<Entry> {
    Arc::new(Entry { hash: known.hash, principal: known.principal })
}

fn too_many(wait: Duration) -> ApiError {
    ApiError::rate_limited(
        "Trop d’échecs d’authentification depuis cette adresse ; patientez.",
        "Too many failed authentications from this address; please wait.",
        wait,
    )
}

/// The key of `Bearer KEY`; the word in any case, as HTTP has it.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = header.split_at_checked(7)?;
    (scheme[..6].eq_ignore_ascii_case(b"bearer") && scheme[6] == b' ').then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_is_read_in_any_case() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER   abc "), Some(&b"abc"[..]));
        for wrong in [&b""[..], b"Bearer", b"Basic abc", b"Bearerabc", b"abc"] {
            assert_eq!(bearer(wrong).filter(|key| !key.is_empty()), None);
        }
    }
}
