//! The validity of an X.509 certificate, which webpki checks but does not tell (RFC 5280 4.1.2.5).
//!
//! In: a DER certificate that webpki has parsed. Out: seconds since the epoch, or `None` for
//! anything unexpected.

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `notBefore` and `notAfter`.
pub(super) fn of(certificate: &[u8]) -> Option<(i64, i64)> {
    let (certificate, _) = expect(certificate, SEQUENCE)?;
    let (tbs, _) = expect(certificate, SEQUENCE)?;
    let rest = match expect(tbs, VERSION) {
        Some((_, rest)) => rest,
        None => tbs,
    };
    let (_serial, rest) = expect(rest, INTEGER)?;
    let (_signature, rest) = expect(rest, SEQUENCE)?;
    let (_issuer, rest) = expect(rest, SEQUENCE)?;
    let (validity, _) = expect(rest, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some((not_before, not_after))
}

fn expect(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |n, digit| n << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn time(der: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, content, rest) = element(der)?;
    let (year, content) = match tag {
        UTC_TIME => {
            let (year, content) = number(content, 2)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, content)
        }
        GENERALIZED_TIME => number(content, 4)?,
        _ => return None,
    };
    let (month, content) = number(content, 2)?;
    let (day, content) = number(content, 2)?;
    let (hour, content) = number(content, 2)?;
    let (minute, content) = number(content, 2)?;
    let (second, content) = number(content, 2)?;
    let plausible = content == b"Z"
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    let seconds = ((days_since_epoch(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    plausible.then_some((seconds, rest))
}

fn number(digits: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = digits.split_at_checked(count)?;
    digits
        .iter()
        .try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
        .map(|n| (n, rest))
}

/// Days from 1970-01-01 in the Gregorian calendar; years start in March, so that the leap day is
/// the last one.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_days_over_leap_years_and_centuries() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((1972, 2, 29), 789),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 23), 20_780),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days_since_epoch(date.0, date.1, date.2), days, "{date:?}");
        }
    }

    #[test]
    fn reads_both_time_forms() {
        let utc = b"\x17\x0d700101000000Z";
        let generalized = b"\x18\x0f20500101000000Z";
        assert_eq!(time(utc).map(|t| t.0), Some(0));
        assert_eq!(time(b"\x17\x0d491231235959Z").map(|t| t.0), Some(2_524_607_999));
        assert_eq!(time(generalized).map(|t| t.0), Some(2_524_608_000));
        assert_eq!(time(b"\x17\x0d701301000000Z"), None);
        assert_eq!(time(b"\x17\x0b7001010000Z"), None);
    }

    #[test]
    fn refuses_lengths_beyond_the_input() {
        assert_eq!(of(b"\x30\x84\xff\xff\xff\xff"), None);
        assert_eq!(of(b"\x30\x80"), None);
        assert_eq!(of(b""), None);
    }
}
