//! Owns a turn to be decided, for the guard that counts its instructions (`benches/`): the parts of the loop that it
//! takes are nobody else's business. Never part of a worker.

use longhaul_sdk::engine::Action;
use longhaul_shared::history::Place;
use longhaul_shared::id::{
    CommitId, CommitNumber, EventSeq, ExecutionId, Fingerprint, FunctionName, InstanceId, InvalidId,
    LeaseToken, PartitionId, QueueName, StartId, TaskId,
};
use longhaul_shared::instance::{InstanceRow, Status};
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

use crate::admit::{Admitted, admit};
use crate::decide::{Draft, decide, opening};
use crate::session::Session;
use crate::settings::Settings;
use crate::tenure::Tenure;

/// The first turn of an instance whose code wants activities.
pub struct Decision {
    session: Session,
    token: LeaseToken,
    admitted: Admitted,
    actions: Vec<Action>,
}

impl Decision {
    /// One that wants so many.
    ///
    /// # Errors
    /// None: the ids are valid.
    pub fn of(width: u32) -> Result<Self, InvalidId> {
        let token = LeaseToken::from("1:guard");
        let tenure = Tenure {
            token: token.clone(),
            unclean_since: None,
        };
        let row = InstanceRow {
            id: InstanceId::new("an-instance-to-decide-for")?,
            name: FunctionName::new("fan_out")?,
            version: None,
            execution: ExecutionId::from_bits(1),
            status: Status::Pending,
            commit_number: CommitNumber(0),
            last_commit: None,
            last_seq: EventSeq(0),
            start_id: StartId::new("start")?,
            created: Timestamp::default(),
            changed: Timestamp::default(),
            input: Payload::unit(),
            output: None,
            failure: None,
            waiting_for: None,
            attempts: 0,
            tags: [].into(),
            trace: TraceContext::default(),
        };
        let mut session = Session::load(PartitionId(0), &tenure, row, Vec::new());
        let admitted = admit(&mut session, &[], &[], Timestamp::default(), &Settings::default());
        let wanted = (1..=width).map(|task| {
            Ok(Action::ScheduleTask {
                task: TaskId(task),
                name: FunctionName::new("square")?,
                place: Place::Queue(QueueName::default()),
                fingerprint: Fingerprint(u64::from(task)),
                input: Some(Payload::unit()),
                timeout: None,
                tags: [].into(),
                attempt: 1,
            })
        });
        let actions = wanted.collect::<Result<_, InvalidId>>()?;
        Ok(Self {
            session,
            token,
            admitted,
            actions,
        })
    }

    /// Decides it; how many messages its commits send.
    #[must_use]
    pub fn decide(self) -> usize {
        let opening = opening(&self.session, &self.admitted);
        let draft = Draft {
            session: &self.session,
            token: &self.token,
            admitted: self.admitted,
            opening,
            actions: self.actions,
            resends: Vec::new(),
            runs_inline: false,
        };
        let commits = decide(draft, || CommitId::from_bits(1));
        commits.iter().map(|commit| commit.outbox_add.len()).sum()
    }
}
