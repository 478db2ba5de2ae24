//! Pseudonyms of end users: the same person in the same organization and month, nobody beyond.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hmac::{Hmac, Mac};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use sha2::Sha256;

use crate::store::{Database, StoreError, now};

/// One month's key, ready to use.
struct Month {
    /// Unix milliseconds, included.
    start: i64,
    /// Unix milliseconds, excluded.
    end: i64,
    mac: Hmac<Sha256>,
}

/// Makes pseudonyms from keys held in memory; the database is asked only when months change.
pub struct Pseudonyms {
    months: ArcSwap<Vec<Month>>,
}

impl fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonyms(…)")
    }
}

impl Pseudonyms {
    /// Reads, or makes, the keys of this month and of the next.
    pub async fn open(database: &Database) -> Result<Pseudonyms, StoreError> {
        let pseudonyms = Pseudonyms { months: ArcSwap::default() };
        pseudonyms.prepare(database).await?;
        Ok(pseudonyms)
    }

    /// Reads what is missing of this month's key and the next one's. To be called each minute; costs nothing while both
    /// are there.
    pub async fn prepare(&self, database: &Database) -> Result<(), StoreError> {
        self.prepare_at(database, now()).await
    }

    async fn prepare_at(&self, database: &Database, at: i64) -> Result<(), StoreError> {
        let bad = |error: &dyn fmt::Display| StoreError::Other(error.to_string());
        let first = month_of(at).ok_or_else(|| bad(&"the clock is out of range"))?;
        let second = next(first).ok_or_else(|| bad(&"the clock is out of range"))?;
        let third = next(second).ok_or_else(|| bad(&"the clock is out of range"))?;
        let wanted = [(first, second), (second, third)];
        let held = self.months.load();
        if held.len() == 2 && held.iter().zip(&wanted).all(|(month, (start, _))| Some(month.start) == millis(*start)) {
            return Ok(());
        }
        let mut months = Vec::with_capacity(2);
        for (start, end) in wanted {
            let secret = database.pseudonym_secret(&start.strftime("%Y-%m").to_string()).await?;
            let mac = Hmac::new_from_slice(secret.reveal().as_bytes()).map_err(|error| bad(&error))?;
            if let (Some(start), Some(end)) = (millis(start), millis(end)) {
                months.push(Month { start, end, mac });
            }
        }
        self.months.store(Arc::new(months));
        Ok(())
    }

    /// The pseudonym of `user` in an organization this month: 32 hexadecimal digits. `None` when the month's key is
    /// not held, which takes a database away for more than a month.
    pub fn pseudonym(&self, organization: i64, user: &str) -> Option<String> {
        self.pseudonym_at(organization, user, now())
    }

    fn pseudonym_at(&self, organization: i64, user: &str, at: i64) -> Option<String> {
        let months = self.months.load();
        let month = months.iter().find(|month| (month.start..month.end).contains(&at))?;
        written(month.mac.clone(), organization, user)
    }

    /// The pseudonym of `user` in an organization in a month (`2026-11`), from the database. `None` when the month's key is
    /// gone: nobody can tell any more whom its pseudonyms stand for.
    pub async fn past(
        database: &Database,
        month: &str,
        organization: i64,
        user: &str,
    ) -> Result<Option<String>, StoreError> {
        let Some(secret) = database.known_pseudonym_secret(month).await? else { return Ok(None) };
        let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes())
            .map_err(|error| StoreError::Other(error.to_string()))?;
        Ok(written(mac, organization, user))
    }
}

fn written(mut mac: Hmac<Sha256>, organization: i64, user: &str) -> Option<String> {
    mac.update(&organization.to_be_bytes());
    mac.update(user.as_bytes());
    let digest = mac.finalize().into_bytes();
    let mut text = String::with_capacity(32);
    for byte in digest.iter().take(16) {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16)?);
        }
    }
    Some(text)
}

fn month_of(at: i64) -> Option<Date> {
    let day = jiff::Timestamp::from_millisecond(at).ok()?.to_zoned_datetime(TimeZone::UTC).date();
    Some(date(day.year(), day.month(), 1))
}

fn next(month: Date) -> Option<Date> {
    month.checked_add(jiff::Span::new().months(1)).ok()
}

fn millis(day: Date) -> Option<i64> {
    day.to_zoned_datetime(TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite;

    /// 2026-11-24T00:00:00Z.
    const NOVEMBER: i64 = 1_795_478_400_000;
    const DAY: i64 = 86_400_000;

    #[tokio::test]
    async fn a_pseudonym_lasts_a_month_in_one_organization() {
        let (database, _folder) = sqlite().await;
        let one = Pseudonyms { months: ArcSwap::default() };
        assert_eq!(one.pseudonym_at(1, "camille", NOVEMBER), None);
        one.prepare_at(&database, NOVEMBER).await.unwrap();
        let name = one.pseudonym_at(1, "camille", NOVEMBER).unwrap();
        assert_eq!(name.len(), 32);
        assert!(name.bytes().all(|byte| byte.is_ascii_hexdigit()) && !name.contains("camille"));
        assert_eq!(one.pseudonym_at(1, "camille", NOVEMBER + 6 * DAY).as_ref(), Some(&name));
        assert_ne!(one.pseudonym_at(1, "dominique", NOVEMBER).as_ref(), Some(&name));
        assert_ne!(one.pseudonym_at(2, "camille", NOVEMBER).as_ref(), Some(&name));
        // The next month's key is there in advance; the one after is not.
        let december = one.pseudonym_at(1, "camille", NOVEMBER + 8 * DAY).unwrap();
        assert_ne!(december, name);
        assert_eq!(one.pseudonym_at(1, "camille", NOVEMBER + 60 * DAY), None);
        // Another replica, in December: the same key.
        let two = Pseudonyms { months: ArcSwap::default() };
        two.prepare_at(&database, NOVEMBER + 8 * DAY).await.unwrap();
        assert_eq!(two.pseudonym_at(1, "camille", NOVEMBER + 8 * DAY), Some(december));
        assert_eq!(two.pseudonym_at(1, "camille", NOVEMBER), None, "the past month's key is let go");
        assert!(!format!("{one:?}").contains("mac"));
    }
}
