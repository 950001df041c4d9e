//! The time of day for answers and log lines, formatted once a second.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub struct Clock {
    second: Cell<u64>,
    texts: RefCell<Texts>,
}

#[derive(Debug, Default)]
struct Texts {
    http: String,
    rfc3339: String,
    local: String,
}

// === impl Clock ===

impl Clock {
    pub fn new() -> Self {
        Self { second: Cell::new(u64::MAX), texts: RefCell::default() }
    }

    /// Appends the value of `Date` (RFC 9110 5.6.7).
    pub fn http_date(&self, out: &mut impl Extend<u8>) {
        self.now();
        out.extend(self.texts.borrow().http.bytes());
    }

    /// Appends the time in UTC with milliseconds (RFC 3339).
    pub fn rfc3339(&self, out: &mut Vec<u8>) {
        let millis = self.now().subsec_millis();
        out.extend_from_slice(self.texts.borrow().rfc3339.as_bytes());
        let digit = |n: u32| b'0' + (n % 10) as u8;
        out.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
        out.push(b'Z');
    }

    /// Appends the time in UTC as Apache and nginx log it, without brackets.
    pub fn local(&self, out: &mut Vec<u8>) {
        self.now();
        out.extend_from_slice(self.texts.borrow().local.as_bytes());
    }

    fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second.replace(now.as_secs()) != now.as_secs() {
            let mut texts = self.texts.borrow_mut();
            texts.http = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now.as_secs()));
            texts.rfc3339 = rfc3339(now.as_secs());
            texts.local = local(&texts.http);
        }
        now
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// `Mon, 23 Nov 2026 23:00:00 GMT` as `23/Nov/2026:23:00:00 +0000`.
fn local(http: &str) -> String {
    let words: Vec<&str> = http.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [_, day, month, year, time, _] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => String::new(),
    }
}

/// Seconds since 1970 as `2026-11-23T23:00:00`, in the proleptic Gregorian calendar.
fn rfc3339(seconds: u64) -> String {
    let (day, time) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March put the leap day at the end; 719,468 days lead to 0000-03-01.
    let day = day + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_an_http_date_of_now() {
        let mut date = Vec::new();
        Clock::new().http_date(&mut date);
        let parsed = httpdate::parse_http_date(std::str::from_utf8(&date).unwrap()).unwrap();
        assert!(parsed.elapsed().unwrap() < Duration::from_secs(60));
    }

    #[test]
    fn local_time_is_that_of_other_logs() {
        assert_eq!(local("Mon, 23 Nov 2026 23:00:00 GMT"), "23/Nov/2026:23:00:00 +0000");
    }

    #[test]
    fn formats_days_at_the_edges_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
