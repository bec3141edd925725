//! Visits every state that the protocol can reach within small bounds, and breaks each of its rules on purpose.
//! Never starts a server. The figures are printed: `cargo test -p longhaul-model -- --nocapture`.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "figures and counterexamples are what these tests are for"
)]

use std::time::{Duration, Instant};

use longhaul_model::{
    ACK, Bounds, Broken, CARRIED, ENDS, EXECUTIONS, Faults, HISTORY, NUMBER, ONE_OWNER, Protocol, REST,
    Shape, Violation, WITNESSES, check, longest_run,
};

/// Far more than any of these needs: a machine that is busy should not fail a test.
const AT_MOST: Duration = Duration::from_secs(150);
const NONE: Faults = Faults::every(0);
const LATE_AND_LOST: Faults = Faults {
    late_commits: 1,
    wipes: 1,
    ..NONE
};
/// What is not kept when something gets lost, the first to be noticed at least.
const LOST: &[&str] = &[ACK, CARRIED, REST, ENDS];

fn explore(name: &str, bounds: Bounds) -> Vec<&'static str> {
    let started = Instant::now();
    let protocol = Protocol { bounds, broken: None };
    match check(&protocol, 2, AT_MOST) {
        Ok(figures) => {
            println!("{name}: {figures}, {:.1?}", started.elapsed());
            figures.seen
        }
        Err(violation) => panic!("{name}: {violation}"),
    }
}

#[test]
fn without_faults_an_instance_ends_in_every_order_also_when_it_is_terminated_and_handed_over() {
    let sequence = Bounds::calm(Shape::Sequence(2));
    explore(
        "sequence of two, terminated, handed over",
        sequence.terminated().handed_over(1),
    );
    explore(
        "two at once, handed over",
        Bounds::calm(Shape::FanOut(2)).handed_over(1),
    );
}

#[test]
fn any_one_fault_loses_nothing_and_applies_nothing_twice() {
    let bounds = Bounds::calm(Shape::Sequence(1)).with(1, Faults::every(1));
    let mut seen = explore("one task, any one fault", bounds);
    let faults = Faults { crashes: 1, ..NONE };
    seen.extend(explore(
        "sequence of two, a crash",
        Bounds::calm(Shape::Sequence(2)).with(1, faults),
    ));
    for witness in WITNESSES {
        assert!(seen.contains(&witness), "never seen: {witness}");
    }
}

#[test]
fn faults_that_help_each_other_lose_nothing_and_apply_nothing_twice() {
    let one = Bounds::calm(Shape::Sequence(1));
    let crashes = Faults {
        crashes: 1,
        activity_crashes: 1,
        ..NONE
    };
    explore("one task, both kinds of worker crash", one.with(2, crashes));
    let late = Faults {
        late_commits: 1,
        expiries: 1,
        ..NONE
    };
    explore(
        "one task, a late commit and a lease that runs out",
        one.with(2, late),
    );
    let late = Faults {
        late_commits: 2,
        ..NONE
    };
    explore(
        "sequence of two, two late commits",
        Bounds::calm(Shape::Sequence(2)).with(2, late),
    );
    explore(
        "one task, a late commit and a loss of the broker",
        one.with(2, LATE_AND_LOST),
    );
    let cut = Faults {
        cut_handovers: 1,
        lost_confirms: 1,
        ..NONE
    };
    explore(
        "one task, a handover cut short and a lost confirm",
        one.handed_over(1).with(2, cut),
    );
    let refusals = Faults { refusals: 2, ..NONE };
    explore(
        "one task, code that cannot go on, a terminate",
        one.terminated().with(2, refusals),
    );
}

#[test]
fn no_run_goes_on_for_ever() {
    for bounds in [
        Bounds::calm(Shape::Sequence(2)).terminated().handed_over(1),
        Bounds::calm(Shape::Sequence(1)).with(1, Faults::every(1)),
    ] {
        match longest_run(&Protocol { bounds, broken: None }) {
            Ok(steps) => println!("the longest run has {steps} steps"),
            Err(violation) => panic!("{violation}"),
        }
    }
}

/// Breaks a rule; the checker has to find one of these promises broken.
fn notices(broken: Broken, bounds: Bounds, promises: &[&str]) {
    let protocol = Protocol {
        bounds,
        broken: Some(broken),
    };
    // One thread, so that the way to it is the shortest.
    let violation = match check(&protocol, 1, AT_MOST) {
        Ok(figures) => panic!("{broken:?} was not noticed: {figures}"),
        Err(violation) => violation,
    };
    println!("{broken:?}: {violation}");
    let Violation { promise, path } = *violation;
    assert!(
        promises.contains(&promise),
        "{broken:?} broke another promise: {promise}"
    );
    assert!(!path.is_empty());
}

#[test]
fn each_rule_that_is_broken_is_noticed() {
    let one = Bounds::calm(Shape::Sequence(1));
    let with = |faults: Faults| one.with(1, faults);
    let crash = with(Faults { crashes: 1, ..NONE });
    let wipe = with(Faults { wipes: 1, ..NONE });
    let expiry = with(Faults { expiries: 1, ..NONE });
    let late = Bounds::calm(Shape::Sequence(2)).with(
        1,
        Faults {
            late_commits: 1,
            ..NONE
        },
    );
    for broken in Broken::ALL {
        let (bounds, promises): (Bounds, &[&str]) = match broken {
            Broken::AckAfterCommit => (crash, LOST),
            Broken::Fence => (expiry, &[ONE_OWNER]),
            Broken::CommitNumber => (late, &[NUMBER, HISTORY]),
            Broken::Outbox => (crash, LOST),
            Broken::SearchAfterRepeat => (one.with(2, LATE_AND_LOST), LOST),
            Broken::OutboxSearch => (crash, LOST),
            Broken::ForgetAfterConfirm => (crash, LOST),
            Broken::Dedupe => (
                with(Faults {
                    activity_crashes: 1,
                    ..NONE
                }),
                &[HISTORY],
            ),
            Broken::Sweep => (one, LOST),
            Broken::EpochCheck => (wipe, LOST),
            Broken::MarkerNonce => (one.with(2, Faults { wipes: 2, ..NONE }), LOST),
            Broken::MarkAfterResend => (
                one.with(
                    2,
                    Faults {
                        wipes: 1,
                        crashes: 1,
                        ..NONE
                    },
                ),
                LOST,
            ),
            Broken::UnsentAfterAnswers => (wipe, LOST),
            Broken::ResendOnEvidence => (one.terminated(), &[EXECUTIONS]),
            Broken::AckAfterReport => (
                with(Faults {
                    activity_crashes: 1,
                    ..NONE
                }),
                LOST,
            ),
            Broken::KeepAnswers => (with(Faults { refusals: 1, ..NONE }), LOST),
            Broken::Drain => (one.handed_over(1), &[EXECUTIONS]),
        };
        notices(broken, bounds, promises);
    }
}
