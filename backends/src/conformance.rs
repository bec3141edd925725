//! Owns what every [`Store`](longhaul_shared::port::Store) and every [`Broker`](longhaul_shared::port::Broker)
//! must do, as tests that run on any of them.
//! Never knows which backend it runs on, and asserts nothing that the ports leave open.
//!
//! A backend registers with one line for each port; each test gets a fresh hub from the factory:
//! ```ignore
//! async fn hub() -> StoreSubject { StoreSubject::new(store, runtime) }
//! longhaul_backends::store_conformance!(hub);
//! ```
//! The crate that does needs `tokio` with `macros` and `rt-multi-thread`. One that runs the tests differently (a
//! simulation) writes `store_conformance!(run runner)`, where `runner` is a function that is given each test as a
//! closure from a subject to a future. A test that finds something wrong panics and says which promise is broken; a
//! wait ends by [`DEADLINE`].

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test suite fails by panicking"
)]

mod sample;
mod tasks;

pub mod broker;
pub mod store;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::port::{Broker, Runtime, Store};

/// How long a test waits for anything that must happen.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A backend under test, over a hub of its own that nobody has used.
pub struct Subject<P: ?Sized> {
    /// The port under test.
    pub port: Arc<P>,
    /// The clock by which the tests wait.
    pub runtime: Arc<dyn Runtime>,
    keep: Box<dyn Any + Send + Sync>,
}

/// A [`Store`] under test.
pub type StoreSubject = Subject<dyn Store>;

/// A [`Broker`] under test.
pub type BrokerSubject = Subject<dyn Broker>;

impl<P: ?Sized> Subject<P> {
    /// The backend behind `port`.
    #[must_use]
    pub fn new(port: Arc<P>, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            port,
            runtime,
            keep: Box::new(()),
        }
    }

    /// The same, with something that must live as long as the test: a directory, a server.
    #[must_use]
    pub fn keeping(self, keep: impl Any + Send + Sync) -> Self {
        Self {
            keep: Box::new((self.keep, keep)),
            ..self
        }
    }
}

/// Registers every test of the [`Store`] suite for the backend of this factory: the path of an `async fn()` that
/// returns a [`StoreSubject`]; or `run` and the path of a runner.
#[macro_export]
macro_rules! store_conformance {
    ($($how:tt)+) => {
        $crate::conformance_tests! { [$($how)+], StoreHub, store:
            hub {
                an_existing_hub_keeps_its_settings,
                one_of_many_makes_the_hub,
                a_pulse_tells_how_the_hub_stands,
                a_noted_queue_is_news_once,
                the_epoch_rises_only_from_the_one_seen,
                one_of_many_raises_the_epoch,
                time_never_goes_back,
            }
            create {
                a_start_becomes_a_pending_row,
                a_repeated_start_changes_nothing,
                a_repeated_start_is_known_after_the_end,
                another_start_finds_the_id_taken,
                one_of_many_starts_wins,
                one_start_sent_many_times_is_new_once,
            }
            commit {
                everything_is_applied_at_once,
                a_commit_without_events_counts,
                the_row_becomes_what_the_commit_says,
                a_repeated_commit_changes_nothing,
                an_unexpected_commit_conflicts,
                a_foreign_token_is_fenced,
                fencing_comes_before_everything,
                a_batch_is_judged_one_by_one,
                the_end_empties_inbox_and_sets,
            }
            race {
                many_commits_of_one_number_apply_once,
                two_owners_never_both_apply,
                instances_do_not_wait_for_each_other,
                commits_and_posts_lose_no_message,
            }
            history {
                every_kind_of_event_reads_back,
                pages_are_gap_free,
                a_page_begins_anywhere,
                nothing_lies_behind_the_end,
            }
            inbox {
                a_message_is_kept_until_it_is_dealt_with,
                every_kind_of_message_reads_back,
                a_copy_changes_nothing,
                nobody_is_written_to_who_cannot_read,
                an_inbox_is_bounded,
                one_message_posted_by_many_is_kept_once,
            }
            ready {
                a_start_is_ready,
                the_longest_waiting_comes_first,
                settled_leaves_the_ready_set,
                an_unread_inbox_keeps_it_ready,
                a_later_look_waits_for_its_time,
                a_message_makes_it_ready_at_once,
                only_the_partition_is_listed,
            }
            timers {
                due_timers_come_earliest_first,
                a_page_tells_when_the_next_is_due,
                a_timer_becomes_due_by_itself,
                never_early,
                setting_again_moves_a_timer,
                removed_timers_are_gone,
                dropping_needs_the_token,
            }
            outbox {
                messages_stay_until_confirmed,
                a_commit_confirms_messages_of_any_instance,
                forgetting_needs_the_token,
                pages_show_everything,
                a_page_survives_what_is_forgotten_meanwhile,
            }
            open {
                open_instances_are_listed_until_they_end,
                pages_show_every_open_instance,
            }
            lease {
                a_free_lease_is_granted_once,
                one_of_many_gets_the_lease,
                a_repeated_wish_is_granted_again,
                no_token_is_given_twice,
                a_lease_given_back_is_free,
                only_the_holder_gives_back,
                an_expired_lease_goes_to_another,
                renewal_keeps_a_lease,
                renewal_tells_what_is_lost,
                what_was_rebuilt_is_remembered,
                a_look_tells_who_holds_what,
                an_expired_lease_shows_its_last_holder,
                a_consuming_holder_can_be_replaced_early,
                an_early_wish_names_a_consuming_holder,
                one_of_many_takes_it_early,
            }
            workers {
                living_workers_are_listed_by_id,
                a_worker_that_is_silent_is_forgotten,
                a_worker_takes_itself_off_the_list,
            }
            wait {
                the_end_wakes_who_waits,
                an_ended_instance_is_told_at_once,
                an_open_instance_is_told_when_time_is_up,
                an_unknown_instance_is_not_waited_for,
                every_waiter_is_woken,
            }
            query {
                newest_come_first,
                a_summary_says_what_the_row_says,
                statuses_and_names_filter,
                pages_show_each_instance_once,
                newcomers_do_not_disturb_the_pages,
            }
            attempts {
                each_owner_counts_one_attempt,
                surviving_sets_the_attempts_back,
                other_commits_keep_the_attempts,
                what_rests_is_not_ready_with_an_unread_inbox,
                counting_needs_the_token_and_an_open_instance,
                a_requeue_sets_attempts_back_and_wakes,
                attempts_at_work_are_counted_until_forgotten,
                many_count_at_once,
            }
            parked {
                a_parked_message_reads_back,
                a_copy_is_kept_once,
                oldest_come_first,
                an_unparked_message_is_gone,
                parking_is_bounded,
            }
            insight {
                a_census_counts_instances_by_status,
                a_census_answers_in_the_order_asked,
                a_census_tells_what_is_overdue,
                a_census_counts_messages_and_timers,
                a_census_changes_nothing,
                who_lives_can_be_asked_by_anybody,
                a_store_tells_what_it_is,
            }
            load {
                answers_stand_in_the_order_asked,
                a_load_belongs_to_one_moment,
            }
            bounds {
                a_commit_of_many_actions_is_whole,
                a_commit_of_many_bytes_is_whole,
                awkward_ids_are_told_apart,
                long_texts_are_kept,
            }
        }
    };
}

/// Registers every test of the [`Broker`] suite for the backend of this factory: the path of an `async fn()`
/// that returns a [`BrokerSubject`].
#[macro_export]
macro_rules! broker_conformance {
    ($($how:tt)+) => {
        $crate::conformance_tests! { [$($how)+], BrokerHub, broker:
            publish {
                everything_about_a_message_arrives,
                any_body_arrives,
                answers_stand_in_the_order_of_the_batch,
                many_publishers_lose_nothing,
            }
            routing {
                what_cannot_be_routed_says_so,
                a_missing_queue_says_so,
                declaring_twice_keeps_the_messages,
                each_source_gets_its_own,
            }
            consume {
                no_more_than_prefetch_is_handed_out,
                an_ack_wakes_who_waits,
                a_dropped_wait_loses_nothing,
                a_wait_ends_when_a_message_comes,
                competing_consumers_share_the_work,
            }
            redelivery {
                what_is_not_acknowledged_comes_again,
                what_is_dropped_comes_again,
                what_is_acknowledged_does_not,
                a_stale_acker_has_no_effect,
                acks_in_any_order_count,
            }
            depth {
                consumers_are_counted,
                waiting_messages_are_counted,
                a_missing_queue_has_no_depth,
                a_broker_tells_how_it_stands,
            }
            epoch {
                a_marker_is_there_once_declared,
                a_withdrawn_marker_is_gone,
                asking_does_not_declare,
                the_generation_stands_while_nothing_breaks,
            }
        }
    };
}

/// What the two macros above have in common.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ([run $runner:path], $hub:ident, $suite:ident: $($module:ident { $($test:ident,)* })*) => {
        $(mod $module {
            use super::*;
            $(#[test]
            fn $test() {
                $runner(|subject| async move {
                    let hub = $crate::conformance::$suite::$hub::new(subject).await;
                    $crate::conformance::$suite::$module::$test(hub).await;
                });
            })*
        })*
    };
    ([$factory:path], $hub:ident, $suite:ident: $($module:ident { $($test:ident,)* })*) => {
        $(mod $module {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let hub = $crate::conformance::$suite::$hub::new($factory().await).await;
                $crate::conformance::$suite::$module::$test(hub).await;
            })*
        })*
    };
}

#[cfg(test)]
mod tests {
    /// A test that is written but not registered proves nothing.
    #[test]
    fn every_test_is_registered() {
        let registered = include_str!("conformance.rs");
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
        let mut seen = 0;
        for suite in ["store", "broker"] {
            for entry in std::fs::read_dir(dir.join(suite)).unwrap() {
                let path = entry.unwrap().path();
                let text = std::fs::read_to_string(&path).unwrap();
                let written = text.lines().filter_map(|line| line.strip_prefix("pub async fn "));
                for name in written.filter_map(|line| line.split('(').next()) {
                    let is_registered = registered.contains(&format!(" {name},\n"));
                    assert!(is_registered, "{name} in {} is not registered", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen > 100, "only {seen} tests were found");
    }
}
