//! Owns the guess which key was meant.
//! Never guesses far: a wrong hint costs more than none.

use super::key::Key;

const SIMILARITY_MIN: f64 = 0.6;

/// The key nearest to what was written, if any is near.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a Key>) -> Option<&'a Key> {
    let written = written.to_lowercase().replace('-', "_");
    known
        .map(|key| (similarity(&written, key.name), key))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .map(|(_, key)| key)
}

/// From 0 to 1. The right key in the wrong section, or in none, is near as well.
fn similarity(written: &str, key: &str) -> f64 {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let whole = strsim::normalized_damerau_levenshtein(written, key);
    let end = strsim::normalized_damerau_levenshtein(&last(written), &last(key));
    whole.max(0.9 * end)
}
