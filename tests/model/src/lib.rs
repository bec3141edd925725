//! A model of the protocol that Longhaul rests on, and its exhaustive check.
//! Never shares code with what it models: it is the protocol written a second time, to be compared with the first.
//!
//! **What is modelled.** One instance with up to two tasks in one partition; a store and its scripts; a broker with a
//! control queue, a work queue and the marker of its epoch; two orchestrator workers, each with its lease, session,
//! gathered inputs, turn, relay and rebuild; an activity worker; a client that starts and perhaps terminates. A step
//! is what nobody can look into: a script, or what a worker does between two awaits. Every order of steps is tried.
//! ARCHITECTURE.md ("The model, step by step") names the function behind each.
//!
//! **What goes wrong.** Workers die; a lease runs out under a living owner; the answer to a commit is lost, or the
//! commit itself is late and comes after its copy; confirms are lost; the broker loses everything, with the confirms
//! it had sent taken up or not; connections end; handovers are cut short; the author's code cannot go on. Each as
//! often as [`Bounds`] say.
//!
//! **What is left out, and why.**
//! - *A second instance.* Instances share the lease, the outbox and the rebuild, which treats each by itself.
//! - *Timers and inline steps.* They are inputs that stay in the store until a commit takes them out, as the inbox does.
//! - *Turns in parts.* The store sees two commits, with a look in the ready set between them.
//! - *Time.* A lease runs out when it may; backoffs and the sweep's second are orders like any other.
//! - *Loss within the store.* What it answered it keeps; that is what its durability mode promises.
//! - *Several envelopes in one message.* Its acknowledgement waits for all of them, so each is like a message.
//! - *The answers to other scripts than the commit.* They may run twice, and whoever misses one does it again.
//!
//! **What it showed.** A rebuild asked the relay which work items it would publish anyway, and counted those that
//! waited for the broker's answer. If that answer had come from the broker that is gone, the task was lost. The relay
//! waits for such answers now ([`Broken::UnsentAfterAnswers`] is the code before). It also showed what [`EXECUTIONS`]
//! allows beyond one for each fault: after a loss of the broker, a work item that the relay publishes before the
//! rebuild begins is sent once more by it, and a handover interrupts a rebuild, which then begins anew.

mod vocabulary;

mod rule;

mod store;

mod broker;

mod bounds;

mod owner;

mod protocol;

mod promise;

mod check;

pub use self::bounds::{Bounds, Faults};
pub use self::check::{Figures, Violation, check, longest_run};
pub use self::promise::{
    ACK, CARRIED, ENDS, EXECUTIONS, HISTORY, NUMBER, ONE_OWNER, PARKED, REST, WITNESSES,
};
pub use self::protocol::{Action, Protocol, State, Worker};
pub use self::rule::Broken;
pub use self::vocabulary::{Event, Item, Message, Shape};
