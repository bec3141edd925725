//! Owns the name of every key, and the place where each is documented.
//! Never reads or writes one.
//!
//! `T` stands for the hash tag of a partition, `{<hub>:p<ppp>}`: all keys of a partition live in one slot.
//! Ids of executions are 32 hexadecimal digits in key names; in values and members ids are their 16 raw bytes.
//! Instance ids and start ids stand in key names as they are. Times are microseconds since 1970, as decimal text
//! in hashes and as scores in sorted sets (exact up to the year 2255).

use longhaul_shared::id::{ExecutionKey, HubName, InstanceId, MessageId, PartitionId, StartId};
use longhaul_shared::instance::Status;

/// The keys of one hub.
pub(super) struct Keys {
    hub: HubName,
}

impl Keys {
    pub(super) fn new(hub: HubName) -> Self {
        Self { hub }
    }

    /// `<hub>:meta`, hash: `p` partitions, `ep` broker epoch, `en` its nonce, `sv` schema version, `qt` queue type,
    /// `du` durability, `cr` when it was made, `rn` in which run of the server. Fixed but for `ep` and `en`.
    pub(super) fn meta(&self) -> String {
        format!("{}:meta", self.hub)
    }

    /// `<hub>:queues`, set: the task queues that were ever declared, but for the default one.
    pub(super) fn queues(&self) -> String {
        format!("{}:queues", self.hub)
    }

    /// `<hub>:workers`, zset: id of a live orchestrator worker, by the end of its life.
    pub(super) fn workers(&self) -> String {
        format!("{}:workers", self.hub)
    }

    /// `{<hub>:workers}:hosts`, hash: id of a live worker -> msgpack list of the orchestrations it hosts. The
    /// braces put it into the slot of `<hub>:workers`.
    pub(super) fn hosts(&self) -> String {
        format!("{{{}:workers}}:hosts", self.hub)
    }

    /// `<hub>:parked`, zset: id of a parked message, by the time it was parked.
    pub(super) fn parked(&self) -> String {
        format!("{}:parked", self.hub)
    }

    /// `{<hub>:parked}:body`, hash: id of a parked message -> msgpack `ParkedMessage`. In the slot of `<hub>:parked`.
    pub(super) fn parked_bodies(&self) -> String {
        format!("{{{}:parked}}:body", self.hub)
    }

    /// The keys of a partition.
    pub(super) fn partition(&self, partition: PartitionId) -> PartitionKeys {
        PartitionKeys {
            tag: format!("{{{}:p{partition}}}", self.hub),
        }
    }
}

/// The keys of one partition.
pub(super) struct PartitionKeys {
    tag: String,
}

impl PartitionKeys {
    /// `T:lease`, hash: `tk` token and `ow` owner and `xp` expiry and `co` 1 while the owner consumes (absent when
    /// nobody owns it); `n` how often it was taken, `ax` 1 if the owner before let it expire, `rb` the epoch and
    /// `rr` the run of the server last marked as rebuilt.
    pub(super) fn lease(&self) -> String {
        self.key("lease")
    }

    /// `T:i:<id>`, hash: an instance's row; fields in `row`.
    pub(super) fn row(&self, id: &InstanceId) -> String {
        self.instance("i", id)
    }

    /// `T:h:<id>:<execution>`, stream: one entry per commit that has events, id `<first event seq>-<count>`, field
    /// `e` = the events as [`encode_events`](longhaul_shared::history::encode_events) writes them.
    pub(super) fn history(&self, key: &ExecutionKey) -> String {
        format!("{}:h:{}:{}", self.tag, key.instance, key.execution)
    }

    /// `T:in:<id>`, hash: message id -> msgpack `Envelope`, unread.
    pub(super) fn inbox(&self, id: &InstanceId) -> String {
        self.instance("in", id)
    }

    /// `T:ready`, zset: instances with an unread inbox or a `Pending` row, or that asked to be looked at, by the
    /// time from which on.
    pub(super) fn ready(&self) -> String {
        self.key("ready")
    }

    /// `T:outbox`, hash: message id -> msgpack `Publication`, committed and not known to be confirmed.
    pub(super) fn outbox(&self) -> String {
        self.key("outbox")
    }

    /// `T:timers`, zset: execution (16 bytes), task (4 bytes, most significant first) and instance id, by due time.
    pub(super) fn timers(&self) -> String {
        self.key("timers")
    }

    /// `T:open`, zset: instances that are not terminal, by last change.
    pub(super) fn open(&self) -> String {
        self.key("open")
    }

    /// `T:ix:all`, zset: all instances, by the time they were accepted.
    pub(super) fn all(&self) -> String {
        self.key("ix:all")
    }

    /// `T:ix:st:<status code>`, zset: the instances in that status, by the time they were accepted.
    pub(super) fn in_status(&self, status: Status) -> String {
        format!("{}:ix:st:{}", self.tag, status.code())
    }

    /// `T:sid:<start id>`, hash: id of an instance that this start made and that was purged or replaced since ->
    /// its last status code. Gone [`START_ID_MEMORY`](longhaul_shared::limits::START_ID_MEMORY) after the last.
    pub(super) fn start_memory(&self, start: &StartId) -> String {
        format!("{}:sid:{start}", self.tag)
    }

    /// `T:wa:<work>`, hash: `n` how many attempts at a piece of work were counted, `k` the nonce of the last. Gone
    /// [`WORK_ATTEMPTS_MEMORY`](longhaul_shared::limits::WORK_ATTEMPTS_MEMORY) after the last.
    pub(super) fn work_attempts(&self, work: MessageId) -> String {
        format!("{}:wa:{work}", self.tag)
    }

    /// Channel `T:done`: the id of an instance that has just ended. A hint that may get lost.
    pub(super) fn done(&self) -> String {
        self.key("done")
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.tag)
    }

    fn instance(&self, kind: &str, id: &InstanceId) -> String {
        format!("{}:{kind}:{id}", self.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhaul_shared::id::ExecutionId;

    #[test]
    fn names_are_pinned() {
        let keys = Keys::new(HubName::new("shop").unwrap());
        let id = InstanceId::new("order/7 {x}").unwrap();
        let execution = ExecutionKey {
            instance: id.clone(),
            execution: ExecutionId::from_bits(0xfeed),
        };
        let p = keys.partition(PartitionId(7));
        let names = [
            keys.meta(),
            keys.queues(),
            keys.workers(),
            keys.hosts(),
            keys.parked(),
            keys.parked_bodies(),
            p.lease(),
            p.row(&id),
            p.history(&execution),
            p.inbox(&id),
            p.ready(),
            p.outbox(),
            p.timers(),
            p.open(),
            p.all(),
            p.in_status(Status::Completed),
            p.start_memory(&StartId::new("s-1").unwrap()),
            p.work_attempts(MessageId::from_bits(0xbeef)),
            p.done(),
        ];
        assert_eq!(
            names,
            [
                "shop:meta",
                "shop:queues",
                "shop:workers",
                "{shop:workers}:hosts",
                "shop:parked",
                "{shop:parked}:body",
                "{shop:p007}:lease",
                "{shop:p007}:i:order/7 {x}",
                "{shop:p007}:h:order/7 {x}:0000000000000000000000000000feed",
                "{shop:p007}:in:order/7 {x}",
                "{shop:p007}:ready",
                "{shop:p007}:outbox",
                "{shop:p007}:timers",
                "{shop:p007}:open",
                "{shop:p007}:ix:all",
                "{shop:p007}:ix:st:1",
                "{shop:p007}:sid:s-1",
                "{shop:p007}:wa:0000000000000000000000000000beef",
                "{shop:p007}:done",
            ]
        );
    }
}
