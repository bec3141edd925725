//! A worker that dies at each named step of the protocol, on real servers: nothing is lost, little is done twice.
//! Never leaves a step out: the list of the tests is compared with the protocol's own.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use longhaul_shared::port::Step;
use longhaul_tests::binaries::READY;
use longhaul_tests::servers::Servers;

use super::load::Load;
use crate::site::{DEADLINE, Kind, Site, Tuning};

/// What `abort` makes of a process; the crash point calls it.
const SIGABRT: i32 = 6;
/// Long enough for everything to go out that was said before the step: an acknowledgement that came too early.
const LINGER: Duration = Duration::from_millis(100);
const INSTANCES: u64 = 16;
const FOREIGN_INSTANCES: u64 = 6;

/// Short times, since there are many steps.
fn quick() -> Tuning {
    let mut tuning = Tuning::default();
    tuning.orchestrator.lease_ttl = Duration::from_secs(3);
    tuning.orchestrator.lease_renew = Duration::from_secs(1);
    tuning.orchestrator.early_connected = Duration::from_secs(1);
    tuning
}

/// Who comes to a step.
fn who(step: Step) -> Kind {
    match step {
        Step::AttemptReceived
        | Step::AttemptInvoked
        | Step::AttemptReporting
        | Step::AttemptReported
        | Step::AttemptAcked => Kind::Activity,
        _ => Kind::Orchestrator,
    }
}

/// The how manyth time is the last: not the first where the worker comes there often, so that its work is under way.
fn times(step: Step) -> u32 {
    match step {
        Step::LeaseLeaving | Step::RelayForgetting | Step::RelayForgotten => 1,
        Step::LeaseGranted | Step::IntakeReceived | Step::IntakeCreated | Step::IntakeWoken => 2,
        Step::RelayPublishing | Step::RelayConfirmed | Step::AttemptReporting => 3,
        Step::AttemptReceived | Step::AttemptInvoked | Step::AttemptReported | Step::AttemptAcked => 11,
        // Behind the first turns, whose wake-ups nobody needs: in a turn that results have given.
        _ => 40,
    }
}

/// A fleet of two workers a kind, one of which dies at this step while it works.
async fn dies_at(step: Step, linger: Duration) {
    let servers = Servers::shared().unwrap();
    let site = Site::on_servers(servers.redis_url.to_owned(), servers.amqp_url.to_owned(), quick()).await;
    // Accepted before there is anybody to work on it: the first worker has its hands full.
    let mut load = Load::of(&site, INSTANCES).await;
    let (kind, other) = match who(step) {
        Kind::Orchestrator => (Kind::Orchestrator, Kind::Activity),
        Kind::Activity => (Kind::Activity, Kind::Orchestrator),
    };
    site.add(other).await;
    site.add(other).await;
    let mut doomed = site.doomed(kind, step, times(step), linger);
    let has_begun = "the doomed worker works or is dead";
    site.wait_until(has_begun, DEADLINE, async || {
        (doomed.said().contains(READY) || doomed.has_ended()).then_some(())
    })
    .await;
    site.add(kind).await;
    load.foreign(&site, "foreign", FOREIGN_INSTANCES).await;
    if step == Step::LeaseLeaving {
        // It hands over what newcomers should own, but by chance they should own nothing of it.
        site.add(kind).await;
        site.add(kind).await;
        // However long that takes, it leaves in the middle of work.
        let mut round = 0;
        let has_left = "the doomed worker hands a partition over";
        site.wait_until(has_left, DEADLINE, async || {
            if !load.is_unfinished() {
                round += 1;
                load.more(&site, &format!("round-{round}"), 2).await;
            }
            doomed.has_ended().then_some(())
        })
        .await;
        load.more(&site, "after", 1).await;
    }
    let (status, said) = doomed.ends(DEADLINE);
    assert!(load.is_unfinished(), "all work was done before the worker died");
    assert_eq!(status.signal(), Some(SIGABRT), "{status}: {said}");
    assert!(said.contains(&format!("crash point {step} reached")), "{said}");
    load.completes(&site, 1).await;
    site.close().await;
}

macro_rules! every_step_of_the_protocol {
    ($($test:ident = $step:ident,)+) => {
        mod nothing_is_lost_when_a_worker_dies_at {
            use super::{Duration, Step, dies_at};

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                dies_at(Step::$step, Duration::ZERO).await;
            })+
        }

        mod nothing_is_lost_when_a_worker_stands_still_and_dies_at {
            use super::{LINGER, Step, dies_at};

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                dies_at(Step::$step, LINGER).await;
            })+
        }

        #[test]
        fn every_step_has_its_test() {
            assert_eq!([$(Step::$step),+], Step::ALL);
        }
    };
}

#[test]
fn no_default_feature_makes_a_program_that_dies_on_order() {
    for manifest in [
        include_str!("../../../../backends/Cargo.toml"),
        include_str!("../../../../orchestrator-worker/Cargo.toml"),
        include_str!("../../../../activity-worker/Cargo.toml"),
    ] {
        let orders = manifest.lines().filter(|line| line.contains("crash-points"));
        let orders: Vec<_> = orders.map(|line| line.split(" = ").next()).collect();
        assert_eq!(orders, [Some("crash-points")], "no other feature may name it");
    }
}

every_step_of_the_protocol! {
    intake_received = IntakeReceived,
    intake_created = IntakeCreated,
    intake_woken = IntakeWoken,
    lease_granted = LeaseGranted,
    lease_leaving = LeaseLeaving,
    turn_loaded = TurnLoaded,
    turn_executed = TurnExecuted,
    turn_committing = TurnCommitting,
    turn_committed = TurnCommitted,
    turn_relayed = TurnRelayed,
    turn_settling = TurnSettling,
    turn_settled = TurnSettled,
    relay_publishing = RelayPublishing,
    relay_confirmed = RelayConfirmed,
    relay_forgetting = RelayForgetting,
    relay_forgotten = RelayForgotten,
    attempt_received = AttemptReceived,
    attempt_invoked = AttemptInvoked,
    attempt_reporting = AttemptReporting,
    attempt_reported = AttemptReported,
    attempt_acked = AttemptAcked,
}
