//! What Longhaul promises, seen from outside: the same behaviours in memory, on disk and on a fleet with real servers.
//! Never reaches into a worker: it starts instances, watches, breaks things, and reads what is recorded.
//!
//! `behaviours` is the list that every backend has to live up to; `doctor`, `intake`, `operations` and `recovery` are the
//! fleet's and the disk's own. After every test the oracle reads the history of every instance of the hub.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "the helpers of these tests may fail them, and say why"
)]

mod journal;
mod oracle;
mod site;

mod behaviours;
mod doctor;
mod intake;
mod operations;
mod poison;
mod recovery;

/// Every behaviour as a test of its own on every backend.
macro_rules! on_every_backend {
    ($($family:ident: $($behaviour:ident),+;)+) => {
        on_every_backend!(@on memory Memory $($family: $($behaviour),+;)+);
        on_every_backend!(@on disk Disk $($family: $($behaviour),+;)+);
        on_every_backend!(@on fleet Fleet $($family: $($behaviour),+;)+);
    };
    (@on $module:ident $backend:ident $($family:ident: $($behaviour:ident),+;)+) => {
        mod $module {
            use crate::behaviours;
            use crate::site::{Backend, Site};

            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let site = Site::start(Backend::$backend).await;
                    behaviours::$family::$behaviour(&site).await;
                    site.close().await;
                }
            )+)+
        }
    };
}

on_every_backend! {
    running:
        steps_run_one_after_the_other,
        a_thousand_activities_run_at_once,
        ten_thousand_activities_run_at_once,
        timers_are_never_early,
        inline_steps_run_without_a_queue,
        two_hundred_instances_get_their_own_answers;
    failing:
        a_failing_activity_is_tried_again,
        an_exhausted_retry_policy_fails_the_instance_with_the_reason,
        a_result_over_its_limit_fails_the_instance_naming_the_limit,
        an_activitys_result_over_its_limit_fails_the_task_naming_the_limit,
        an_input_that_cannot_be_read_fails_the_instance_naming_the_type;
    controlling:
        a_running_instance_is_terminated,
        a_pending_instance_is_terminated,
        the_same_start_twice_runs_once,
        another_start_of_a_taken_id_is_refused;
    waiting:
        an_unknown_orchestration_waits_visibly_and_runs_once_it_is_hosted,
        an_unknown_activity_waits_visibly_and_runs_once_it_is_hosted,
        a_panic_pauses_the_instance_and_no_other,
        awaiting_what_is_not_durable_pauses_the_instance_and_no_other;
    bytes:
        instance_ids_of_every_byte_are_refused_or_come_back,
        names_of_every_byte_are_refused_or_come_back,
        a_queue_and_an_activity_of_every_byte_that_fits_are_served;
    explaining:
        a_task_that_no_activity_worker_serves_is_told_with_its_queue,
        a_timer_is_told_with_the_time_at_which_it_is_due,
        a_paused_instance_and_one_without_orchestrator_workers_are_told_apart;
    copies:
        wakes_sent_twice_change_nothing,
        a_copy_of_a_result_is_dropped,
        a_result_of_an_unknown_task_is_parked_and_listed;
}
