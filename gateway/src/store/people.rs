//! Monthly active end users of organizations, beside their accounts, and counts that products attest.

use serde::Serialize;
use sqlx::Row;

use super::page::Reach;
use super::sql::Sql;
use super::time::Time;
use super::{Change, Database, StoreError};

/// Share of requests that must name their end user for the count to mean something, in percent.
pub const MEASURABLE: i64 = 90;

/// A month of the calendar in UTC, as pseudonyms have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Month {
    /// `2026-11`.
    pub name: String,
    /// Unix milliseconds, `end` excluded.
    pub start: i64,
    pub end: i64,
}

impl Month {
    pub fn parse(text: &str) -> Option<Month> {
        let day: jiff::civil::Date = format!("{text}-01").parse().ok()?;
        if text.len() != 7 {
            return None;
        }
        Month::of(day)
    }

    fn of(day: jiff::civil::Date) -> Option<Month> {
        use jiff::ToSpan;
        let first = day.first_of_month();
        let at = |day: jiff::civil::Date| {
            day.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_millisecond())
        };
        let end = at(first.checked_add(1.month()).ok()?)?;
        Some(Month { name: first.strftime("%Y-%m").to_string(), start: at(first)?, end })
    }

    /// The month that holds a moment, Unix milliseconds.
    pub fn holding(at: i64) -> Option<Month> {
        let at = jiff::Timestamp::from_millisecond(at).ok()?;
        Month::of(at.to_zoned_datetime(jiff::tz::TimeZone::UTC).date())
    }

    /// The months that a range touches, `end` excluded, oldest first; at most 24.
    pub fn touched(start: i64, end: i64) -> Vec<Month> {
        let mut months: Vec<Month> = Vec::new();
        let mut at = end.saturating_sub(1);
        while let Some(month) = Month::holding(at).filter(|_| at >= start && months.len() < 24) {
            at = month.start - 1;
            months.push(month);
        }
        months.reverse();
        months
    }
}

/// One organization in one month.
#[derive(Clone, PartialEq, Debug, Serialize, utoipa::ToSchema)]
pub struct ActiveUsers {
    pub organization_id: i64,
    pub organization: Option<String>,
    /// `2026-11`, in UTC.
    #[schema(example = "2026-11")]
    pub month: String,
    /// Members who are not disabled, now.
    pub accounts: i64,
    /// Requests that were not refused.
    pub requests: i64,
    /// Of them, those that named an end user, from 0 to 1; null without requests.
    pub identified_share: Option<f64>,
    /// Distinct pseudonyms; null where less than 90 % of the requests named an end user.
    pub active_end_users: Option<i64>,
    /// `mesuré`, or `non mesurable` where `active_end_users` is null.
    #[schema(example = "mesuré")]
    pub measure: &'static str,
    /// Counts that products attest for themselves.
    pub attested: Vec<Attested>,
}

/// A count of monthly active users, as its product attests it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, utoipa::ToSchema)]
pub struct Attested {
    pub project_id: i64,
    pub project: Option<String>,
    #[schema(example = "2026-11")]
    pub month: String,
    pub users: i64,
    /// Who says so, and how they counted.
    #[schema(example = "Docs, sessions of ProConnect")]
    pub source: String,
    /// Unix seconds.
    #[schema(value_type = i64)]
    pub attested: Time,
}

impl Database {
    /// Active end users of each organization that called in a month, or that a count was attested for.
    pub async fn active_users(
        &self,
        reach: &Reach,
        organization: Option<i64>,
        month: &Month,
    ) -> Result<Vec<ActiveUsers>, StoreError> {
        let mut sql = Sql::new(
            "SELECT b.*, o.name AS organization, (SELECT COUNT(*) FROM members m WHERE m.organization_id = \
             b.organization_id AND m.disabled_at IS NULL) AS accounts FROM (SELECT t.organization_id, COUNT(*) AS \
             requests, COUNT(t.end_user) AS identified, COUNT(DISTINCT t.end_user) AS people \
             FROM usage_records t WHERE t.outcome <> 'refused' AND t.started_at >= ",
        );
        sql.bind(month.start).push(" AND t.started_at < ").bind(month.end);
        reach.narrow(&mut sql, "t.organization_id", Some("t.project_id"));
        if let Some(id) = organization {
            sql.push(" AND t.organization_id = ").bind(id);
        }
        sql.push(" GROUP BY t.organization_id) b LEFT JOIN organizations o ON o.id = b.organization_id");
        let mut attested = self.attested_users(reach, organization, month).await?;
        let mut all: Vec<ActiveUsers> = Vec::new();
        for row in &sql.fetch(self.pool()).await? {
            let organization_id: i64 = row.try_get("organization_id")?;
            let (requests, identified): (i64, i64) = (row.try_get("requests")?, row.try_get("identified")?);
            let measurable = requests > 0 && identified * 100 >= requests * MEASURABLE;
            let people: i64 = row.try_get("people")?;
            let (own, others) = attested.into_iter().partition(|(id, _, _, _)| *id == organization_id);
            attested = others;
            let own: Vec<(i64, Option<String>, i64, Attested)> = own;
            all.push(ActiveUsers {
                organization_id,
                organization: row.try_get("organization")?,
                month: month.name.clone(),
                accounts: row.try_get("accounts")?,
                requests,
                identified_share: (requests > 0).then(|| identified as f64 / requests as f64),
                active_end_users: measurable.then_some(people),
                measure: if measurable { "mesuré" } else { "non mesurable" },
                attested: own.into_iter().map(|(_, _, _, one)| one).collect(),
            });
        }
        for (organization_id, name, accounts, one) in attested {
            match all.iter_mut().find(|known| known.organization_id == organization_id) {
                Some(known) => known.attested.push(one),
                None => all.push(ActiveUsers {
                    organization_id,
                    organization: name,
                    month: month.name.clone(),
                    accounts,
                    requests: 0,
                    identified_share: None,
                    active_end_users: None,
                    measure: "non mesurable",
                    attested: vec![one],
                }),
            }
        }
        for (organization_id, name, counts) in self.frozen_users(reach, organization, month).await? {
            let accounts: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM members WHERE organization_id = $1 AND disabled_at IS NULL")
                    .bind(organization_id)
                    .fetch_one(self.pool())
                    .await?;
            let [requests, identified, people] = counts;
            let measurable = requests > 0 && identified * 100 >= requests * MEASURABLE;
            let before = all.iter().position(|known| known.organization_id == organization_id);
            let attested = before.map(|at| all.swap_remove(at).attested).unwrap_or_default();
            all.push(ActiveUsers {
                organization_id,
                organization: name,
                month: month.name.clone(),
                accounts,
                requests,
                identified_share: (requests > 0).then(|| identified as f64 / requests as f64),
                active_end_users: measurable.then_some(people),
                measure: if measurable { "mesuré" } else { "non mesurable" },
                attested,
            });
        }
        all.sort_by_key(|one| one.organization_id);
        Ok(all)
    }

    /// Counts of a month noted before its records or its pseudonyms began to go: requests, of them identified, people.
    async fn frozen_users(
        &self,
        reach: &Reach,
        organization: Option<i64>,
        month: &Month,
    ) -> Result<Vec<(i64, Option<String>, [i64; 3])>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.organization_id, o.name AS organization, t.requests, t.identified, t.users FROM monthly_users t \
             LEFT JOIN organizations o ON o.id = t.organization_id WHERE t.month = ",
        );
        sql.bind(month.name.as_str());
        // What a project's people see is counted from its own records.
        reach.narrow(&mut sql, "t.organization_id", None);
        if let Some(id) = organization {
            sql.push(" AND t.organization_id = ").bind(id);
        }
        let rows = sql.fetch(self.pool()).await?;
        let read = rows.iter().map(|row| {
            let counts = [row.try_get("requests")?, row.try_get("identified")?, row.try_get("users")?];
            Ok((row.try_get("organization_id")?, row.try_get("organization")?, counts))
        });
        Ok(read.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Attested counts of a month, with the organization, its name and its accounts.
    async fn attested_users(
        &self,
        reach: &Reach,
        organization: Option<i64>,
        month: &Month,
    ) -> Result<Vec<(i64, Option<String>, i64, Attested)>, StoreError> {
        let mut sql = Sql::new(
            "SELECT t.organization_id, o.name AS organization, t.project_id, p.name AS project, t.users, t.source, \
             t.attested_at, (SELECT COUNT(*) FROM members m WHERE m.organization_id = t.organization_id \
             AND m.disabled_at IS NULL) AS accounts FROM attested_users t \
             LEFT JOIN organizations o ON o.id = t.organization_id LEFT JOIN projects p ON p.id = t.project_id \
             WHERE t.month = ",
        );
        sql.bind(month.name.as_str());
        reach.narrow(&mut sql, "t.organization_id", Some("t.project_id"));
        if let Some(id) = organization {
            sql.push(" AND t.organization_id = ").bind(id);
        }
        sql.push(" ORDER BY t.project_id");
        let rows = sql.fetch(self.pool()).await?;
        let read = rows.iter().map(|row| {
            let one = Attested {
                project_id: row.try_get("project_id")?,
                project: row.try_get("project")?,
                month: month.name.clone(),
                users: row.try_get("users")?,
                source: row.try_get("source")?,
                attested: Time(row.try_get("attested_at")?),
            };
            Ok((row.try_get("organization_id")?, row.try_get("organization")?, row.try_get("accounts")?, one))
        });
        Ok(read.collect::<Result<_, sqlx::Error>>()?)
    }
}

impl Change {
    /// Imports a count that a product attests; one of the same month is replaced, and both are in the audit trail.
    pub async fn attest_users(
        &mut self,
        project: i64,
        month: &Month,
        users: i64,
        source: &str,
    ) -> Result<Attested, StoreError> {
        let project = self.project(project).await?;
        let source = super::organizations::tidy_name(source).map_err(|_| {
            StoreError::invalid(
                "source",
                "Dites en 1 à 200 caractères qui atteste ce compte, et comment il est fait.",
                "Say in 1 to 200 characters who attests this count, and how it is made.",
            )
        })?;
        if users < 0 || month.start > self.at {
            return Err(StoreError::invalid(
                "users",
                "Un compte est positif ou nul, et son mois a commencé.",
                "A count is zero or more, and its month has begun.",
            ));
        }
        let mut sql = Sql::new("SELECT t.users, t.source, t.attested_at FROM attested_users t WHERE t.project_id = ");
        sql.bind(project.id).push(" AND t.month = ").bind(month.name.as_str());
        let one = |users, source, at| Attested {
            project_id: project.id,
            project: Some(project.name.clone()),
            month: month.name.clone(),
            users,
            source,
            attested: Time(at),
        };
        let before = match sql.fetch(&mut *self.tx).await?.first() {
            Some(row) => Some(one(row.try_get("users")?, row.try_get("source")?, row.try_get("attested_at")?)),
            None => None,
        };
        sqlx::query(
            "INSERT INTO attested_users (project_id, month, organization_id, users, source, attested_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project_id, month) DO UPDATE SET users = excluded.users, \
             source = excluded.source, attested_at = excluded.attested_at",
        )
        .bind(project.id)
        .bind(month.name.as_str())
        .bind(project.organization_id)
        .bind(users)
        .bind(source.as_str())
        .bind(self.at)
        .execute(&mut *self.tx)
        .await?;
        let after = one(users, source, self.at);
        let object = format!("project:{}", project.id);
        self.audit(Some(project.organization_id), "users.attest", object, before.as_ref(), Some(&after)).await?;
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_utc() {
        let month = Month::parse("2026-12").unwrap();
        assert_eq!((month.end - month.start) / 86_400_000, 31);
        assert_eq!(Month::holding(month.end - 1), Some(month.clone()));
        assert_eq!(Month::holding(month.end).unwrap().name, "2027-01");
        let names = |start, end| Month::touched(start, end).into_iter().map(|m| m.name).collect::<Vec<_>>();
        assert_eq!(names(month.start, month.end), ["2026-12"]);
        assert_eq!(names(month.start - 1, month.end + 1), ["2026-11", "2026-12", "2027-01"]);
        assert_eq!(names(0, month.end).len(), 24);
        for wrong in ["", "2026", "2026-13", "2026-1", "2026-12-01", "x"] {
            assert_eq!(Month::parse(wrong), None, "{wrong}");
        }
    }
}
