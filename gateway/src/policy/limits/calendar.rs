//! Days and months of a time zone, as ranges of milliseconds.

use std::fmt;

use arc_swap::ArcSwap;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// From its start until its end, and until the end of the one after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    pub start: i64,
    pub end: i64,
    pub next_end: i64,
}

impl Period {
    pub fn holds(self, at: i64) -> bool {
        (self.start..self.end).contains(&at)
    }
}

/// The day and the month of a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Periods {
    pub day: Period,
    pub month: Period,
}

/// The calendar of a time zone. Remembers the present day: asking again costs a comparison.
#[derive(Debug)]
pub struct Calendar {
    zone: TimeZone,
    present: ArcSwap<Periods>,
}

/// A name no time zone database holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownZone(pub String);

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no time zone of the IANA database, such as Europe/Paris", self.0)
    }
}

impl std::error::Error for UnknownZone {}

impl Calendar {
    /// The calendar of an IANA zone, such as `Europe/Paris`: the system's database, else the one compiled in.
    pub fn new(zone: &str) -> Result<Calendar, UnknownZone> {
        let zone = TimeZone::get(zone).map_err(|_| UnknownZone(zone.to_owned()))?;
        let present = periods(&zone, 0);
        Ok(Calendar { zone, present: ArcSwap::from_pointee(present) })
    }

    /// The day and month that hold this moment.
    pub fn at(&self, wall: i64) -> Periods {
        let present = **self.present.load();
        if present.day.holds(wall) {
            return present;
        }
        let fresh = periods(&self.zone, wall);
        self.present.store(std::sync::Arc::new(fresh));
        fresh
    }
}

const DAY: i64 = 86_400_000;

fn periods(zone: &TimeZone, wall: i64) -> Periods {
    let wall = wall.clamp(Timestamp::MIN.as_millisecond() + 800 * DAY, Timestamp::MAX.as_millisecond() - 800 * DAY);
    let today =
        Timestamp::from_millisecond(wall).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned_datetime(zone.clone()).date();
    let start = |day: Date| {
        // The first moment of the day: after midnight where the clocks skip it.
        let first = day.to_zoned_datetime(zone.clone()).and_then(|zoned| zoned.start_of_day());
        first.map_or(wall, |zoned| zoned.timestamp().as_millisecond())
    };
    let days = |n: i64| today.checked_add(n.days()).unwrap_or(today);
    let month = today.first_of_month();
    let months = |n: i64| month.checked_add(n.months()).unwrap_or(month);
    Periods {
        day: Period { start: start(today), end: start(days(1)), next_end: start(days(2)) },
        month: Period { start: start(month), end: start(months(1)), next_end: start(months(2)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_day_begins_at_midnight_in_paris() {
        let paris = Calendar::new("Europe/Paris").unwrap();
        let periods = paris.at(at("2026-07-01T21:59:59.999Z"));
        assert_eq!(periods.day.start, at("2026-06-30T22:00:00Z"));
        assert_eq!(periods.day.end, at("2026-07-01T22:00:00Z"));
        assert_eq!(periods.month.start, at("2026-06-30T22:00:00Z"));
        assert_eq!(periods.month.end, at("2026-07-31T22:00:00Z"));
        assert_eq!(paris.at(at("2026-07-01T22:00:00Z")).day.start, periods.day.end);
    }

    #[test]
    fn days_of_changed_clocks_are_shorter_and_longer() {
        let paris = Calendar::new("Europe/Paris").unwrap();
        let spring = paris.at(at("2026-03-29T12:00:00Z")).day;
        assert_eq!(spring.end - spring.start, 23 * HOUR);
        let autumn = paris.at(at("2026-10-25T12:00:00Z")).day;
        assert_eq!(autumn.end - autumn.start, 25 * HOUR);
        let march = paris.at(at("2026-03-29T12:00:00Z")).month;
        assert_eq!(march.end - march.start, 31 * 24 * HOUR - HOUR);
    }

    #[test]
    fn a_day_without_midnight_still_begins_and_ends() {
        // Clocks go from 23:59:59 to 01:00 in Cairo on the last Friday of April.
        let cairo = Calendar::new("Africa/Cairo").unwrap();
        let day = cairo.at(at("2026-04-24T12:00:00Z")).day;
        assert_eq!(day.end - day.start, 23 * HOUR);
        assert_eq!(cairo.at(day.start - 1).day.end, day.start);
    }

    #[test]
    fn periods_follow_each_other_without_a_gap() {
        let paris = Calendar::new("Europe/Paris").unwrap();
        let mut wall = at("2025-12-30T12:00:00Z");
        for _ in 0..800 {
            let periods = paris.at(wall);
            assert!(periods.day.holds(wall) && periods.month.holds(wall));
            let next = paris.at(periods.day.end);
            assert_eq!((next.day.start, next.day.end), (periods.day.end, periods.day.next_end));
            let next = paris.at(periods.month.end);
            assert_eq!((next.month.start, next.month.end), (periods.month.end, periods.month.next_end));
            wall = periods.day.end + 12 * HOUR;
        }
    }

    #[test]
    fn absurd_moments_and_names_are_borne() {
        let paris = Calendar::new("Europe/Paris").unwrap();
        for wall in [i64::MIN, i64::MAX, 0] {
            let day = paris.at(wall).day;
            assert!(day.start < day.end && day.end < day.next_end);
        }
        assert_eq!(Calendar::new("Europe/Lutece").unwrap_err(), UnknownZone("Europe/Lutece".to_owned()));
    }
}
