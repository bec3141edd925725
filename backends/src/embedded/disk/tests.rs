//! Owns what only a disk can do wrong.
