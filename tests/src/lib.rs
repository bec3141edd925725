//! What Longhaul's tests stand on: private servers, started and removed by the tests themselves.
//! It holds no test of its own: those are in `tests/`, one file a subject.

pub mod binaries;
pub mod servers;
