//! What operators do to a fleet that works: back it up and restore it, replace its workers by those of another version.
//! Never stops the load for it, unless the operation itself does.

mod backup;
mod upgrade;
