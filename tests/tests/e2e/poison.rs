//! What kills whoever runs it, or never ends: it is parked with its reason, and its neighbours go on.
//! Never kills the test: the processes that die are this test binary, started once more for one test.

mod activities;
mod embedded;
mod host;
mod orchestrations;
mod samples;
