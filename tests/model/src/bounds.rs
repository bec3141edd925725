//! Owns how far the model is explored: the work of the instance and how much may go wrong.
//! Never says what goes wrong: that is `protocol`.

use crate::vocabulary::Shape;

/// What is explored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bounds {
    /// The work of the instance.
    pub shape: Shape,
    /// Whether a client may terminate it.
    pub terminates: bool,
    /// How often each thing may happen.
    pub faults: Faults,
    /// How many of them may happen in one run, whichever.
    pub faults_in_all: u8,
    /// How many handovers in order there are.
    pub handovers: u8,
}

/// How often each thing may go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Faults {
    /// An orchestrator worker dies and starts anew.
    pub crashes: u8,
    /// The activity worker dies and starts anew.
    pub activity_crashes: u8,
    /// The answer to a commit does not come in time: it is lost, or the commit is late.
    pub late_commits: u8,
    /// A confirm is lost.
    pub lost_confirms: u8,
    /// The broker loses everything.
    pub wipes: u8,
    /// The lease of a living worker runs out.
    pub expiries: u8,
    /// A worker loses its connection to the broker.
    pub disconnects: u8,
    /// A handover takes too long and is cut short.
    pub cut_handovers: u8,
    /// The author's code cannot go on for a while.
    pub refusals: u8,
}

/// One kind of fault.
pub(crate) type Fault = fn(&mut Faults) -> &mut u8;

impl Bounds {
    /// Nothing goes wrong.
    #[must_use]
    pub const fn calm(shape: Shape) -> Self {
        Self {
            shape,
            terminates: false,
            faults: Faults::every(0),
            faults_in_all: 0,
            handovers: 0,
        }
    }

    /// These faults, so many in one run.
    #[must_use]
    pub const fn with(self, faults_in_all: u8, faults: Faults) -> Self {
        Self {
            faults,
            faults_in_all,
            ..self
        }
    }

    /// A client may terminate the instance.
    #[must_use]
    pub const fn terminated(self) -> Self {
        Self {
            terminates: true,
            ..self
        }
    }

    /// So many handovers in order.
    #[must_use]
    pub const fn handed_over(self, handovers: u8) -> Self {
        Self { handovers, ..self }
    }
}

impl Faults {
    /// Each fault so many times.
    #[must_use]
    pub const fn every(times: u8) -> Self {
        Self {
            crashes: times,
            activity_crashes: times,
            late_commits: times,
            lost_confirms: times,
            wipes: times,
            expiries: times,
            disconnects: times,
            cut_handovers: times,
            refusals: times,
        }
    }
}
