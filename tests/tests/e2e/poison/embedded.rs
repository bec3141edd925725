//! Poison in a hub of one process: the whole process dies, and the next one counts.
