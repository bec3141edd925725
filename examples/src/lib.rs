//! Owns the sample orchestrations and activities that the worker binaries host: each small enough to read in one
//! sitting, each one idea. Never knows where it runs: it imports what authors import, nothing else.
//!
//! `contracts` is what a client, an orchestrator worker and an activity worker share; start there.

pub mod contracts;

pub mod hello;

pub mod backup;
pub mod files;

pub mod fan_out;
pub mod inline_steps;
pub mod journal;
pub mod mistakes;
pub mod reminder;

use longhaul_sdk::{ActivityRegistry, OrchestrationRegistry};

/// Every orchestration of this crate.
#[must_use]
pub fn orchestrations() -> OrchestrationRegistry {
    OrchestrationRegistry::new()
        .register(contracts::HELLO_SEQUENCE, hello::hello_sequence)
        .register(contracts::BACKUP, backup::backup)
        .register(contracts::SUM_OF_SQUARES, fan_out::sum_of_squares)
        .register(contracts::REMINDER, reminder::reminder)
        .register(contracts::INLINE_STEPS, inline_steps::inline_steps)
        .register(contracts::JOURNAL_CHAIN, journal::chain)
        .register(contracts::JOURNAL_FAN_OUT, journal::fan_out)
        .register(contracts::PANICKING, mistakes::panicking)
        .register(contracts::SPINNING, mistakes::spinning)
        .register(contracts::NOT_DURABLE, mistakes::not_durable)
        .register(contracts::MISSPELT_ACTIVITY, mistakes::misspelt_activity)
        .register(contracts::OVER_LIMIT, mistakes::over_limit)
}

/// Every activity of this crate.
#[must_use]
pub fn activities() -> ActivityRegistry {
    ActivityRegistry::new()
        .register(contracts::SAY_HELLO, hello::say_hello)
        .register(contracts::LIST_FILES, files::list_files)
        .register(contracts::COPY_FILE, files::copy_file)
        .register(contracts::SQUARE, fan_out::square)
        .register(contracts::WRITE_LINE, journal::write_line)
}
