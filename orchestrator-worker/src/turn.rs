//! Owns the turn, the story of this program: load, execute, decide, commit, ack, relay, from top to bottom.
//! Never touches another instance, and never acknowledges an input before its commit is accepted.
//!
//! The order is the design. What a crash between two steps leaves behind is told at each step; the store's fence,
//! commit number and commit id make every step safe to run twice.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use longhaul_sdk::engine::Action;
use longhaul_shared::code::{self, Code};
use longhaul_shared::commit::{CommitOutcome, RowChange, TurnCommit};
use longhaul_shared::failure::Failure;
use longhaul_shared::history::{EventKind, HistoryEvent, Place, TaskScheduled};
use longhaul_shared::id::{CommitId, EventSeq, InstanceId, LeaseToken, PartitionId, TaskId};
use longhaul_shared::instance::WaitingFor;
use longhaul_shared::message::{Envelope, EnvelopeBody};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{HubClock, Ports, Step};
use longhaul_shared::time::Timestamp;
use longhaul_shared::{codec, limits};
use tracing::Instrument;

use crate::admit::{Admitted, admit};
use crate::committer::{Committer, Halted};
use crate::decide::{Draft, block, decide, opening};
use crate::executor::{Execution, Executor, Refused};
use crate::gather::{Input, Work};
use crate::leftovers::{drop_timers, forget_inputs_of_the_gone, park_strays};
use crate::metrics::{Metrics, TurnOutcome};
use crate::mutant::{Broken, is_broken};
use crate::read::{Unreadable, load, scheduled_events};
use crate::relay::{Relay, Unsent};
use crate::replay::Replays;
use crate::session::Session;
use crate::settings::Settings;
use crate::suspect::{Alone, Company, Presence, Vetted, vet};
use crate::tenure::Tenure;
use crate::trace::{self, inline_span, turn_span};
use crate::weight::history_bytes;

/// How often a turn is run again after a conflict before its instance rests.
const CONFLICTS_MAX: u32 = 5;
/// How long an instance rests that cannot be read, or whose commits all conflict.
const REST: Duration = Duration::from_secs(2);

/// What every turn of a worker works with.
pub(crate) struct Host {
    pub(crate) ports: Ports,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) committer: Committer,
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<HubClock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
    /// Bounds the histories being read and replayed at once.
    pub(crate) replays: Replays,
    /// Who may run beside whom.
    pub(crate) company: Company,
}

/// The end of a turn.
pub(crate) struct Turned {
    pub(crate) instance: InstanceId,
    pub(crate) partition: PartitionId,
    /// To be kept for the next turn; absent when the store knows more, or the instance has ended.
    pub(crate) session: Option<Session>,
    /// Inline steps to run now.
    pub(crate) inline: Vec<InlineStep>,
    /// Kept while the inline steps of a suspect run, but not for ever.
    pub(crate) alone: Option<Alone>,
    /// Timers among the inputs.
    pub(crate) timers: usize,
    /// The earliest timer that the turn has set.
    pub(crate) next_due: Option<Timestamp>,
    /// Whether the inputs were dealt with and acknowledged.
    pub(crate) settled: bool,
    /// Inputs to be given to the instance again.
    pub(crate) again: Vec<Input>,
    /// Whether the store said that the partition is somebody else's.
    pub(crate) fenced: bool,
}

/// An inline step, to be run once its scheduling is committed.
pub(crate) struct InlineStep {
    pub(crate) task: TaskId,
    pub(crate) run: BoxFuture<'static, Result<Payload, Failure>>,
}

/// Runs one turn of one instance of a partition held under this lease. With `resend`, its open tasks are sent
/// again, but for these.
///
/// # Cancel safety
/// Dropping the future leaves the inputs unacknowledged: they come again, to this worker or the next owner.
#[tracing::instrument(level = "debug", skip_all, fields(instance_id = %work.instance, partition = %work.partition))]
pub(crate) async fn turn(
    host: &Host,
    tenure: &Tenure,
    work: Work,
    session: Option<Session>,
    resend: Option<&Unsent>,
) -> Turned {
    let Work {
        instance,
        partition,
        inputs,
        since,
    } = work;
    let began = host.ports.runtime.now();
    host.metrics.turn_begins(inputs.len(), began.since(since));
    let mut turned = Turned {
        timers: inputs
            .iter()
            .filter(|input| matches!(input, Input::Timer { .. }))
            .count(),
        instance,
        partition,
        session: None,
        inline: Vec::new(),
        alone: None,
        next_due: None,
        settled: false,
        again: Vec::new(),
        fenced: false,
    };
    let outcome = take_turn(host, tenure, &mut turned, inputs, session, resend).await;
    let took = host.ports.runtime.now().since(began);
    host.metrics.turn_ended(outcome, took);
    turned
}

/// Tries until the turn is over, one way or another.
async fn take_turn(
    host: &Host,
    tenure: &Tenure,
    turned: &mut Turned,
    inputs: Vec<Input>,
    session: Option<Session>,
    resend: Option<&Unsent>,
) -> TurnOutcome {
    let mut warm = session;
    for _ in 0..CONFLICTS_MAX {
        match attempt(host, tenure, turned, &inputs, warm.take(), resend).await {
            Ok(Attempt::Settled) => {
                host.ports.runtime.reached(Step::TurnSettling);
                measure_lags(host, &inputs);
                settle(inputs);
                host.ports.runtime.reached(Step::TurnSettled);
                turned.settled = true;
                return TurnOutcome::Settled;
            }
            Ok(Attempt::Stale) => {
                host.relay.search(turned.partition, &tenure.token);
                if is_broken(Broken::SessionKeptAfterConflict) {
                    warm = turned.session.take();
                }
            }
            Ok(Attempt::Fenced) => {
                turned.fenced = true;
                return TurnOutcome::Fenced;
            }
            Err(Halted::Stopped) => return TurnOutcome::Halted,
            Err(Halted::Unreadable) => {
                host.metrics.turn_failed(code::HISTORY_UNREADABLE);
                return rest(host, turned, inputs).await;
            }
        }
    }
    tracing::error!(
        instance_id = %turned.instance,
        "{CONFLICTS_MAX} commits in a row conflicted although this worker owns the partition: does something else \
         write to the store? The instance rests for {REST:?}"
    );
    host.metrics.turn_conflicted();
    rest(host, turned, inputs).await
}

/// Waits before the instance is tried again, so that it does not keep its neighbours from their turns. Its timers
/// are in the store, where they are looked for again; a rebuild notices by itself.
async fn rest(host: &Host, turned: &mut Turned, mut inputs: Vec<Input>) -> TurnOutcome {
    host.ports.runtime.sleep(REST).await;
    inputs.retain(|input| !matches!(input, Input::Timer { .. } | Input::Resend(_)));
    turned.again = inputs;
    TurnOutcome::Rested
}

/// How late the timers were whose turn is committed.
fn measure_lags(host: &Host, inputs: &[Input]) {
    let now = host.clock.now();
    for input in inputs {
        if let Input::Timer { timer, .. } = input {
            host.metrics.timer_fired(now.since(timer.due));
        }
    }
}

/// How one attempt at a turn ended.
enum Attempt {
    /// Everything the inputs say is committed, known, in the inbox, or parked: they may be acknowledged.
    Settled,
    /// The session was behind the store: load and try again.
    Stale,
    /// The partition is somebody else's: nothing may be acknowledged.
    Fenced,
}

async fn attempt(
    host: &Host,
    tenure: &Tenure,
    turned: &mut Turned,
    inputs: &[Input],
    warm: Option<Session>,
    resend: Option<&Unsent>,
) -> Result<Attempt, Halted> {
    let token = &tenure.token;
    // 1. Load: the session of the last turn, or row and history; the inbox, if somebody said to look.
    let was_warm = warm.as_ref().is_some_and(Session::is_warm);
    let Some((mut session, inbox)) = open(
        host,
        tenure,
        &turned.instance.clone(),
        turned.partition,
        inputs,
        warm,
    )
    .await?
    else {
        forget_inputs_of_the_gone(&host.ports, &host.metrics, token, turned.partition, inputs).await;
        return Ok(Attempt::Settled);
    };

    // 2. Dedupe: what of all this is news?
    let mut admitted = admit(&mut session, inputs, &inbox, host.clock.now(), &host.settings);
    if let Some(unsent) = resend {
        admitted.resend_open(&session, unsent);
    }
    if was_warm && admitted.dropped > 0 {
        // Nothing is dropped on the word of memory alone: a store that has forgotten may want it.
        let loaded = load(&host.ports, &turned.instance, false).await?;
        if !loaded.is_some_and(|loaded| session.is_of(&loaded.row)) {
            return Ok(Attempt::Stale);
        }
    }
    host.metrics.duplicates_dropped(admitted.dropped);
    if !admitted.strays.is_empty() {
        if was_warm {
            return Ok(Attempt::Stale);
        }
        park_strays(&host.ports, &host.metrics, turned.partition, &mut admitted).await;
    }
    let stale = admitted.stale_timers.clone();
    drop_timers(&host.ports, token, turned.partition, stale).await;
    host.ports.runtime.reached(Step::TurnLoaded);

    let span = turn_span(&session);
    go_on(host, tenure, turned, session, admitted)
        .instrument(span)
        .await
}

/// The second half of an attempt, once it is known what is news.
async fn go_on(
    host: &Host,
    tenure: &Tenure,
    turned: &mut Turned,
    mut session: Session,
    mut admitted: Admitted,
) -> Result<Attempt, Halted> {
    let ran = std::mem::take(&mut admitted.ran);
    // 3. Execute: the author's code sees the new events and says what it wants. A crash here leaves no trace.
    let events = opening(&session, &admitted);
    let needs_code = admitted.terminate.is_none() && (!events.is_empty() || !admitted.run_inline.is_empty());
    let (past, replay) = (std::mem::take(&mut session.past), session.replay.take());
    let places = admitted.resend_places(&session);
    let resends = scheduled_events(&host.ports, &session.key, places, &past).await?;
    host.metrics.redispatched(resends.len() as u64);
    let token = &tenure.token;
    let mut actions = Vec::new();
    let mut presence = None;
    if needs_code {
        let ran = run_code(host, tenure, &mut session, past, events.clone()).await;
        // The past is gone; what is left of it is in the author's future.
        drop(replay);
        match ran {
            Ran::Wants(wanted, in_company) => (actions, presence) = (wanted, in_company),
            Ran::Blocked(blocked) => {
                return set_aside(host, token, turned, session, admitted, resends, blocked).await;
            }
            Ran::Fenced => return Ok(Attempt::Fenced),
            Ran::Gone => return Ok(Attempt::Stale),
        }
    }

    host.ports.runtime.reached(Step::TurnExecuted);

    // 4. Decide: what exactly will be written, in parts that a commit can hold. Nothing, if all were copies.
    let inline = take_inline(host, &mut session, &actions, &admitted);
    let retries = actions.iter().filter(|action| is_retry(action)).count();
    let parts = if !events.is_empty() || admitted.has_effects() {
        let runs_inline = !inline.is_empty() || !session.inline_running.is_empty();
        let draft = Draft {
            session: &session,
            token,
            admitted,
            opening: events,
            actions,
            resends,
            runs_inline,
        };
        decide(draft, || CommitId::from_bits(host.ports.runtime.random()))
    } else {
        Vec::new()
    };

    // 5. Commit, 6. relay: part after part. A crash between two parts leaves the instance in the ready set with
    // its turn open; a crash after a commit leaves its messages in the outbox. Either way nothing is lost.
    for part in parts {
        match commit_and_relay(host, turned, &mut session, part).await? {
            CommitOutcome::Applied | CommitOutcome::Duplicate => {}
            CommitOutcome::Conflict => return Ok(stale(turned, session)),
            CommitOutcome::Fenced => return Ok(Attempt::Fenced),
        }
    }
    session.times_blocked = 0;
    for (activity, took) in ran {
        host.relay.ran(&activity, took);
    }
    host.metrics.retried(retries as u64);

    // 7. The caller acknowledges the inputs, and runs the inline steps that history now knows.
    if !session.status.is_terminal() {
        session.inline_running.extend(inline.iter().map(|step| step.task));
        turned.inline = inline;
        if let Some(Presence::Alone(alone)) = presence {
            turned.alone = Some(alone);
        }
        turned.session = Some(session);
    }
    Ok(Attempt::Settled)
}

fn is_retry(action: &Action) -> bool {
    matches!(action, Action::ScheduleTask { attempt: 2.., .. })
}

/// The store knows more than the session, which is of no use any more.
fn stale(turned: &mut Turned, session: Session) -> Attempt {
    if is_broken(Broken::SessionKeptAfterConflict) {
        turned.session = Some(session);
    }
    Attempt::Stale
}

/// Commits one part and hands what it sends to the relay.
async fn commit_and_relay(
    host: &Host,
    turned: &mut Turned,
    session: &mut Session,
    mut part: TurnCommit,
) -> Result<CommitOutcome, Halted> {
    let token = part.token.clone();
    let events = part.events.clone();
    let row = part.row.clone();
    let (number, id) = (part.expected.next(), part.id);
    let sends = part.outbox_add.clone();
    let survived = part.survived;
    let earliest = part.timers_add.iter().map(|timer| timer.due).min();
    part.outbox_remove.clear();

    host.ports.runtime.reached(Step::TurnCommitting);
    let asked = host.ports.runtime.now();
    let outcome = host.committer.commit(part).await?;
    host.metrics.turn_committed(host.ports.runtime.now().since(asked));
    if matches!(outcome, CommitOutcome::Applied | CommitOutcome::Duplicate) {
        host.ports.runtime.reached(Step::TurnCommitted);
        measure_life(host, session, &events, &row);
        warn_of_long_history(host, session, events.len() as u64);
        session.committed(number, id, &events, &row);
        if survived {
            session.survived();
        }
        if outcome == CommitOutcome::Applied {
            host.relay.publish(turned.partition, &token, sends);
        } else {
            // It was in for a while: what it sends may have been found, published, confirmed and forgotten since.
            // What is left of it stands in the outbox; a copy in memory alone would die with this worker.
            host.relay.search(turned.partition, &token);
        }
        host.ports.runtime.reached(Step::TurnRelayed);
        turned.next_due = turned.next_due.into_iter().chain(earliest).min();
    }
    Ok(outcome)
}

/// The first and the last commit of an instance are its start and its end.
fn measure_life(host: &Host, session: &Session, events: &[HistoryEvent], row: &RowChange) {
    let starts = |event: &HistoryEvent| matches!(event.kind, EventKind::ExecutionStarted(_));
    if events.iter().any(starts) {
        host.metrics.started(&session.name);
    }
    if row.status.is_terminal() {
        let took = row.changed.since(session.created);
        let length = session.ledger.last_seq().0 + events.len() as u64;
        host.metrics.finished(&session.name, row.status, took, length);
        trace::ended(session, row);
    }
}

fn warn_of_long_history(host: &Host, session: &Session, new: u64) {
    let before = session.ledger.last_seq().0;
    if before < limits::HISTORY_EVENTS_WARN && before + new >= limits::HISTORY_EVENTS_WARN {
        host.metrics.history_grew_long();
        tracing::warn!(
            instance_id = %session.key.instance,
            events = before + new,
            "this history grows long; at {} events the instance fails: split its work over several instances",
            limits::HISTORY_EVENTS_MAX
        );
    }
}

/// The session to go on with and the unread inbox; `None` if there is no such instance or it has ended.
async fn open(
    host: &Host,
    tenure: &Tenure,
    instance: &InstanceId,
    partition: PartitionId,
    inputs: &[Input],
    warm: Option<Session>,
) -> Result<Option<(Session, Vec<Envelope>)>, Unreadable> {
    let must_look = inputs.iter().any(|input| match input {
        Input::Look => true,
        Input::Envelope(envelope, _) => matches!(envelope.body, EnvelopeBody::Wake {}),
        _ => false,
    });
    let times_blocked = warm.as_ref().map_or(0, |session| session.times_blocked);
    if let Some(session) = warm.filter(Session::is_warm) {
        if !must_look {
            host.metrics.session_was_warm();
            return Ok(Some((session, Vec::new())));
        }
        let Some(loaded) = load(&host.ports, instance, false).await? else {
            return Ok(None);
        };
        if session.is_of(&loaded.row) {
            host.metrics.session_was_warm();
            return Ok(Some((session, loaded.inbox)));
        }
    }
    let admission = host.replays.admit().await;
    let Some(loaded) = load(&host.ports, instance, true).await? else {
        return Ok(None);
    };
    let replay = admission.read(history_bytes(&loaded.history));
    host.metrics.session_was_cold();
    if loaded.row.status.is_terminal() {
        return Ok(None);
    }
    let mut session = Session::load(partition, tenure, loaded.row, loaded.history);
    session.times_blocked = times_blocked;
    session.replay = Some(replay);
    Ok(Some((session, loaded.inbox)))
}

/// Why an execution cannot go on, for the log and for its row.
struct Blocked {
    code: Code,
    message: String,
    waiting_for: WaitingFor,
}

/// What came of the wish to run an instance's code.
enum Ran {
    /// What it wants, and in whose company it ran.
    Wants(Vec<Action>, Option<Presence>),
    Blocked(Blocked),
    Fenced,
    Gone,
}

/// Has the author's code see the events, unless it has killed too many workers.
async fn run_code(
    host: &Host,
    tenure: &Tenure,
    session: &mut Session,
    past: Vec<HistoryEvent>,
    new: Vec<HistoryEvent>,
) -> Ran {
    // Code that is not here kills nobody.
    let vetted = match host.executor.is_hosted(&session.name) {
        true => vet(&host.ports, &host.company, tenure, session).await,
        false => Vetted::May(None),
    };
    match vetted {
        Vetted::May(presence) => match execute(host, session, past, new).await {
            Ok(actions) => Ran::Wants(actions, presence),
            Err(blocked) => Ran::Blocked(blocked),
        },
        Vetted::Stuck { attempts, now } => Ran::Blocked(stuck(host, session, attempts, now).await),
        Vetted::Fenced => Ran::Fenced,
        Vetted::Gone => Ran::Gone,
    }
}

/// Has the author's code see the events; its memory is gone if it refuses.
async fn execute(
    host: &Host,
    session: &mut Session,
    past: Vec<HistoryEvent>,
    new: Vec<HistoryEvent>,
) -> Result<Vec<Action>, Blocked> {
    let name = session.name.clone();
    if !host.executor.is_hosted(&name) {
        let code = code::ORCHESTRATION_NOT_HOSTED;
        let message = format!("[{code}] no worker that owns this partition hosts orchestration {name}");
        return Err(Blocked {
            code,
            message,
            waiting_for: WaitingFor::Orchestration { name },
        });
    }
    let warm = session.warm.take();
    let replays = warm.is_none().then_some(past.len());
    let asked = host.ports.runtime.now();
    let execution = Execution {
        key: session.key.clone(),
        name,
        warm,
        past,
        new,
    };
    let executed = host.executor.execute(execution).await;
    if let Some(events) = replays.filter(|events| *events > 0) {
        host.metrics
            .replayed(events, host.ports.runtime.now().since(asked));
    }
    match executed {
        Ok(executed) => {
            session.warm = executed.warm;
            Ok(executed.actions)
        }
        Err(Refused { code, message }) => {
            let waiting_for = WaitingFor::Paused {
                code: code.to_string(),
                message: message.clone(),
            };
            Err(Blocked {
                code,
                message,
                waiting_for,
            })
        }
    }
}

/// Parks an instance at which too many attempts are counted, unless that is done already, and says why.
async fn stuck(host: &Host, session: &mut Session, attempts: u32, now: bool) -> Blocked {
    let code = code::INSTANCE_STUCK;
    let (id, name) = (&session.key.instance, &session.name);
    let message = format!(
        "[{code}] {attempts} attempts to run instance {id} (orchestration {name}) were begun and none came to an end: \
         its worker died each time.\n\
         Look for an abort, a stack overflow or endless memory in it; then `longhaul parked requeue {id}`."
    );
    if now || !matches!(session.waiting_for, Some(WaitingFor::Stuck { .. })) {
        let (partition, instance) = (session.partition, session.key.instance.clone());
        let parked = codec::parked_instance(partition, instance, code, message.clone(), host.clock.now());
        host.ports.park(parked).await;
        host.metrics.instance_parked();
    }
    let waiting_for = WaitingFor::Stuck {
        code: code.to_string(),
        message: message.clone(),
        attempts,
    };
    Blocked {
        code,
        message,
        waiting_for,
    }
}

/// Keeps what came for later and says what the instance waits for; its history stays as it is.
async fn set_aside(
    host: &Host,
    token: &LeaseToken,
    turned: &mut Turned,
    mut session: Session,
    admitted: Admitted,
    resends: Vec<(EventSeq, TaskScheduled)>,
    blocked: Blocked,
) -> Result<Attempt, Halted> {
    session.times_blocked = session.times_blocked.saturating_add(1);
    session.warm = None;
    let is_stuck = matches!(blocked.waiting_for, WaitingFor::Stuck { .. });
    let (retry_after, what_next) = if is_stuck {
        let rest = host.settings.retry_max;
        (rest, "The instance is parked until it is requeued.".to_owned())
    } else {
        let delay = host.settings.retry_delay(session.times_blocked);
        let tried = format!(
            "The instance waits; it is tried again in {delay:?} and whenever a worker takes its partition over."
        );
        (delay, tried)
    };
    if session.waiting_for.as_ref() != Some(&blocked.waiting_for) {
        tracing::warn!(
            instance_id = %session.key.instance,
            orchestration = %session.name,
            "{}\n{what_next}",
            blocked.message
        );
    }
    host.metrics.turn_failed(blocked.code);
    let id = CommitId::from_bits(host.ports.runtime.random());
    let commit = block(
        &session,
        token,
        admitted,
        resends,
        blocked.waiting_for,
        retry_after,
        id,
    );
    match commit_and_relay(host, turned, &mut session, commit).await? {
        CommitOutcome::Applied | CommitOutcome::Duplicate => {
            // What is parked is read anew each time, so that a requeue is noticed.
            turned.session = (!is_stuck).then_some(session);
            Ok(Attempt::Settled)
        }
        CommitOutcome::Conflict => Ok(Attempt::Stale),
        CommitOutcome::Fenced => Ok(Attempt::Fenced),
    }
}

/// The bodies of the inline steps that this turn schedules, and of open ones that nobody runs. Those that the
/// author has dropped have none.
fn take_inline(
    host: &Host,
    session: &mut Session,
    actions: &[Action],
    admitted: &Admitted,
) -> Vec<InlineStep> {
    let Some(warm) = session.warm.as_mut() else {
        return Vec::new();
    };
    let scheduled = actions.iter().filter_map(|action| match action {
        Action::ScheduleTask {
            task,
            place: Place::Inline,
            ..
        } => Some(*task),
        _ => None,
    });
    let tasks = scheduled.chain(admitted.run_inline.iter().copied());
    let (key, from) = (&session.key, &session.trace);
    tasks
        .filter_map(|task| {
            let run = host.executor.take_inline(warm, task)?;
            let run = run.instrument(inline_span(key, from, task)).boxed();
            Some(InlineStep { task, run })
        })
        .collect()
}

/// Acknowledges everything: it is committed, known, in the inbox, or parked.
fn settle(inputs: Vec<Input>) {
    for input in inputs {
        if let Input::Envelope(_, receipt) | Input::Resend(receipt) = input {
            receipt.settle();
        }
    }
}
