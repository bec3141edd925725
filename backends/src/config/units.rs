//! Owns spans and sizes as people write them: `250ms`, `30s`, `64 MiB`.
//! Never guesses a unit for a span: `30` alone has been both seconds and milliseconds to somebody.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const KIB: u64 = 1024;

/// `250ms`, `30s`, `1.5m`, `2h`, `1d`, with or without a space before the unit.
pub(super) fn span(text: &str) -> Option<Duration> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let span = Duration::try_from_secs_f64(decimal(number)? * seconds).ok()?;
    // A fraction of binary digits would make 0.3 s show as 299.999999 ms.
    Some(Duration::from_micros(
        u64::try_from((span.as_nanos() + 500) / 1_000).ok()?,
    ))
}

/// The number and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}

fn decimal(number: &str) -> Option<f64> {
    let starts_with_digit = number.starts_with(|c: char| c.is_ascii_digit());
    number.parse().ok().filter(|_| starts_with_digit)
}

/// A number of bytes. Written with `B`, `KiB`, `MiB`, `GiB` or no unit at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ByteSize(pub u64);

/// Why a text is no [`ByteSize`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of bytes such as 512 KiB or 64 MiB")]
pub struct InvalidByteSize(String);

impl FromStr for ByteSize {
    type Err = InvalidByteSize;

    fn from_str(text: &str) -> Result<Self, InvalidByteSize> {
        let (number, unit) = split(text);
        let factor = match unit {
            "" | "B" => Some(1),
            "KiB" => Some(KIB),
            "MiB" => Some(KIB * KIB),
            "GiB" => Some(KIB * KIB * KIB),
            _ => None,
        };
        let bytes = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| InvalidByteSize(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", KIB * KIB * KIB), ("MiB", KIB * KIB), ("KiB", KIB)];
        let fits = |&&(_, size): &&(&str, u64)| self.0 >= size && self.0.is_multiple_of(size);
        match units.iter().find(fits) {
            Some((unit, size)) => write!(f, "{} {unit}", self.0 / size),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_need_their_unit() {
        let check = |text, millis| assert_eq!(span(text), Some(Duration::from_millis(millis)), "{text}");
        check("250ms", 250);
        check("30s", 30_000);
        check(" 30 s", 30_000);
        check("0.3s", 300);
        check("1.5m", 90_000);
        check("2h", 7_200_000);
        check("1d", 86_400_000);
        for text in [
            "", "30", "s", "-1s", "1w", "1s1", "1.2.3s", ".5s", "1e3s", "infs", "1e400d",
        ] {
            assert_eq!(span(text), None, "{text}");
        }
        assert_eq!(span(&format!("{}d", "9".repeat(400))), None);
    }

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for (text, bytes) in [
            ("0 B", 0),
            ("1000 B", 1_000),
            ("512 KiB", 512 * 1024),
            ("64 MiB", 64 << 20),
            ("3 GiB", 3 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        assert_eq!("64MiB".parse(), Ok(ByteSize(64 << 20)));
        for text in ["", "64 MB", "MiB", "-1", "99999999999 GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
