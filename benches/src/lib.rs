//! Owns the inputs that more than one program of this package works on.
//! Never part of what Longhaul ships.

pub mod chain;
