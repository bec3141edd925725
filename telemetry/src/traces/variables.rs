//! Owns how the variables `OTEL_*` are read.
//! Never knows what they mean.

/// What a variable of the process's environment says; `None` if that is nothing.
pub(super) fn said(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
