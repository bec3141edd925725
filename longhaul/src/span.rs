//! Owns spans of time as people type and read them at a terminal.
//! Never tells the time: both ends of an age come from the hub's clock.

use std::time::Duration;

use longhaul_shared::time::Timestamp;

/// Reads `250ms`, `30s`, `5m`, `2h`, `1d`. A number needs its unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit.trim() {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    millis
        .and_then(|millis| number.parse::<u64>().ok()?.checked_mul(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| "write a whole number with its unit (ms, s, m, h or d), such as 30s".to_owned())
}

/// How long ago something was, in its one or two largest units: `3m 20s`.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    shown(now.since(then))
}

/// A span in its one or two largest units.
pub(crate) fn shown(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, unit: char, small: u64, smaller: char| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{smaller}"),
    };
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, 'm', seconds % 60, 's'),
        3_600..86_400 => two(seconds / 3_600, 'h', seconds / 60 % 60, 'm'),
        _ => two(seconds / 86_400, 'd', seconds / 3_600 % 24, 'h'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_need_their_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("5 m", 300_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1w", "1.5s", "99999999999999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_show_their_largest_units() {
        let check = |seconds, text: &str| assert_eq!(shown(Duration::from_secs(seconds)), text);
        check(0, "0ms");
        check(59, "59s");
        check(200, "3m 20s");
        check(7_200, "2h");
        check(93_600, "1d 2h");
    }
}
