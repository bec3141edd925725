//! Owns the stable error codes: number, what it means, what to do. `longhaul explain` and `docs/errors/` read them.
//! Never builds an error: the error types carry their code in their text, beside the facts.

use std::fmt;

/// A stable error code, shown as `LH` and four digits. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Code {
    number: u16,
    title: &'static str,
    fix: &'static str,
}

impl Code {
    /// What it means, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.title
    }

    /// What to do about it.
    #[must_use]
    pub const fn fix(self) -> &'static str {
        self.fix
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LH{:04}", self.number)
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal, $fix:literal;)*) => {
        $(#[doc = $title]
        pub const $name: Code = Code { number: $number, title: $title, fix: $fix };)*

        /// Every code there is, by number.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    START_UNREADABLE = 1001, "a start message cannot be read",
        "Publish it again as docs/protocol.md shows: JSON or msgpack, with the matching content_type.";
    START_WITHOUT_ID = 1002, "a start message has neither a message_id nor an id of its own",
        "Publish it again with the AMQP property message_id (any unique text up to 255 bytes): it makes a redelivery harmless.";
    START_ID_TAKEN = 1003, "another start already took this instance id",
        "Choose another instance id, or read the existing instance with `longhaul show ID`.";
    START_TOO_LARGE = 1004, "a start message is over its bound",
        "Store the data elsewhere and pass a reference.";
    START_NAME_INVALID = 1005, "a start message names something that is not a valid name or id",
        "Follow the grammar in docs/protocol.md, and start it again.";
    NONDETERMINISM = 1100, "an orchestration's code no longer matches its history",
        "Deploy the code that wrote the history, or terminate the instance; orchestrations must take the same steps on every replay.";
    NOT_DURABLE = 1101, "an orchestration awaited something that is not durable",
        "Inside an orchestration await only ctx.activity, ctx.timer, ctx.run and combinations of them; do I/O in an activity or in ctx.run.";
    ORCHESTRATION_PANICKED = 1102, "an orchestration panicked",
        "Deploy corrected code: the instance goes on from its history. Or terminate it.";
    ORCHESTRATION_STALLED = 1103, "an orchestration ran without awaiting for too long",
        "Look for a loop without await or for heavy computation; move the work into an activity.";
    UNKNOWN_EVENT = 1104, "a history holds an event that this version does not know",
        "Upgrade the orchestrator workers to at least the version that wrote it.";
    PAYLOAD_TOO_LARGE = 1105, "a payload is over PAYLOAD_BYTES_MAX",
        "Store the data elsewhere and pass a reference.";
    TURN_TOO_LARGE = 1106, "one turn takes more than TURN_ACTIONS_MAX actions",
        "Fan out in batches: await some of the results before the next steps are built.";
    HISTORY_TOO_LONG = 1107, "an execution's history is at HISTORY_EVENTS_MAX",
        "Split the work over several instances.";
    ORCHESTRATION_NOT_HOSTED = 1108, "no orchestrator worker hosts this orchestration",
        "Deploy an orchestrator worker that registers it; the instance starts by itself then.";
    HISTORY_UNREADABLE = 1109, "an instance's history cannot be read",
        "Something other than Longhaul wrote to its keys, or data was damaged: restore the store from a backup.";
    INSTANCE_STUCK = 1110, "an instance was parked: whoever runs it dies",
        "Find out why from the log of a worker that died (abort, stack overflow, out of memory), deploy corrected code, then `longhaul parked requeue ID`. Or terminate it.";
    INSTANCE_UNKNOWN = 1201, "there is no instance of this id",
        "Check the id and the hub with `longhaul list`.";
    INSTANCE_ENDED = 1202, "the instance has already ended",
        "Read how with `longhaul show ID`.";
    INBOX_FULL = 1203, "the instance's inbox is full",
        "Wait until it has read its messages, then send again.";
    ACTIVITY_NOT_HOSTED = 1301, "no activity worker of the queue hosts this activity",
        "Deploy an activity worker that registers it on that queue; the task is sent again by itself.";
    ACTIVITY_KILLS = 1302, "an activity task was parked: whoever runs it dies",
        "Find out why from the log of an activity worker that died (abort, stack overflow, out of memory), deploy corrected code, then `longhaul parked requeue ID`. Or terminate the instance.";
    ACTIVITY_NEVER_RETURNS = 1303, "an activity task was parked: none of its runs came to an end in time",
        "Give the activity timeouts of its own, or raise activity.attempt_max; then `longhaul parked requeue ID`. Or terminate the instance.";
    ACTIVITY_BLOCKS = 1304, "an activity keeps its thread for itself",
        "Do blocking work and heavy computation in tokio::task::spawn_blocking: an activity that never awaits holds up its neighbours, and cannot be cancelled.";
    BROKER_UNREACHABLE = 1401, "RabbitMQ cannot be reached",
        "Check the amqp url, that the server runs, and that the credentials may use the virtual host.";
    MESSAGE_UNREADABLE = 1402, "a message cannot be read",
        "Something else publishes to this queue, or it was damaged: see `longhaul parked list`.";
    MESSAGE_TOO_NEW = 1403, "a newer version wrote this message",
        "Upgrade the readers before the writers; then `longhaul parked requeue ID`.";
    RESULT_UNKNOWN = 1404, "a result names a task that its instance never scheduled",
        "A store lost a commit it had accepted, or the message is forged; the task is run again if it is still wanted.";
    STORE_UNREACHABLE = 1501, "Redis cannot be reached",
        "Check the redis url, that the server runs, and that the credentials are right.";
    STORE_UNSAFE = 1502, "Redis could lose or evict what it accepted",
        "Set appendonly yes, appendfsync always and maxmemory-policy noeviction; or set redis.allow_unsafe to true where losing data is acceptable.";
    STORE_FULL = 1503, "Redis is full",
        "Give it more memory (maxmemory); running work goes on, new starts are refused until then.";
    HUB_MISMATCH = 1504, "the hub was made with other settings or by a version out of range",
        "Use the hub's own settings, another hub name, or a matching version.";
    STORE_IN_USE = 1505, "another process uses the data directory",
        "Stop that process, or use another directory: an embedded hub lives in one process.";
    CONFIG_INVALID = 1601, "the configuration is not valid",
        "The message names the key and the nearest known one.";
    TLS_UNUSABLE = 1602, "TLS is not agreed on: a certificate is not accepted, or a file of one is not usable",
        "The message says which and why: correct tls_ca, tls_cert and tls_key, the host in the url, or the server's certificate.";
    LISTEN_FAILED = 1603, "the metrics cannot be shown at the address",
        "Say another address, or stop what uses it; nothing (`--orchestrator.listen=`, `--activity.listen=`) shows them nowhere.";
}

/// The code of this text, e.g. `LH1100` or `1100`.
#[must_use]
pub fn find(text: &str) -> Option<Code> {
    let digits = text.trim().trim_start_matches("LH").trim_start_matches("lh");
    let number: u16 = digits.parse().ok()?;
    ALL.iter().copied().find(|code| code.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_are_found_by_their_text() {
        assert!(ALL.windows(2).all(|pair| pair[0].number < pair[1].number));
        for code in ALL {
            assert_eq!(find(&code.to_string()), Some(*code));
        }
        assert_eq!(find("LH9999"), None);
    }
}
