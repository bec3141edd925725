//! Owns the buckets of histograms: each unit has its own, and all histograms of a unit share them.
//! Never has fewer small ones for a "slow" metric: what is slow today is to be seen getting fast.

/// Spans of time, in seconds: from a millisecond to two hours.
pub const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
    7200.0,
];

/// Sizes, in bytes.
pub const BYTES: &[f64] = &[
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
];

/// Small numbers of things.
pub const COUNTS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0,
];

/// Lengths of histories, in events.
pub const EVENTS: &[f64] = &[1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0];
