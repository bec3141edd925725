//! Owns the names of the protocol's steps: the places between which a process can die.
//! Never decides what happens at one: the loops announce it, a [`Runtime`](super::Runtime) may act on it.

use std::fmt;

macro_rules! steps {
    ($($(#[doc = $meaning:literal])+ $Step:ident = $name:literal,)+) => {
        /// A step of the protocol that a loop has come to. What is said of each is true at that moment.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Step {
            $($(#[doc = $meaning])+ $Step,)+
        }

        impl Step {
            /// Every step there is, in the order of its story.
            pub const ALL: &[Self] = &[$(Self::$Step),+];

            /// Its name, as tests and logs say it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$Step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// A start message was received; nothing is in the store yet.
    IntakeReceived = "intake.received",
    /// Its instance is accepted; nobody was woken.
    IntakeCreated = "intake.created",
    /// The wake-up is on its way or lost; the start message is not acknowledged.
    IntakeWoken = "intake.woken",

    /// A partition was granted to this worker; it does not consume yet.
    LeaseGranted = "lease.granted",
    /// The turns of a partition to hand over are done; its lease is not given back yet.
    LeaseLeaving = "lease.leaving",

    /// A turn has its session and knows what is news.
    TurnLoaded = "turn.loaded",
    /// The author's code has said what it wants; nothing of it is written.
    TurnExecuted = "turn.executed",
    /// A part of a turn is about to be sent to the store.
    TurnCommitting = "turn.committing",
    /// A part of a turn is in the store; nobody has been told.
    TurnCommitted = "turn.committed",
    /// What it sends was handed to the relay.
    TurnRelayed = "turn.relayed",
    /// Every part is in the store; the inputs are not acknowledged.
    TurnSettling = "turn.settling",
    /// The inputs are acknowledged.
    TurnSettled = "turn.settled",

    /// Committed messages are about to be published.
    RelayPublishing = "relay.publishing",
    /// The broker has answered for them; they are in the outbox.
    RelayConfirmed = "relay.confirmed",
    /// Confirmed messages are about to be taken out of the outbox.
    RelayForgetting = "relay.forgetting",
    /// Confirmed messages were taken out of the outbox.
    RelayForgotten = "relay.forgotten",

    /// A work item was received.
    AttemptReceived = "attempt.received",
    /// The activity has run; its result is in this process only.
    AttemptInvoked = "attempt.invoked",
    /// Its report is about to be published.
    AttemptReporting = "attempt.reporting",
    /// The broker has confirmed the report; the work item is not acknowledged.
    AttemptReported = "attempt.reported",
    /// The work item is acknowledged.
    AttemptAcked = "attempt.acked",
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Step::ALL.iter().map(|step| step.as_str()).collect();
        assert_eq!(names.len(), Step::ALL.len());
        assert!(names.iter().all(|name| name.contains('.')));
    }
}
