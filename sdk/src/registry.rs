//! Owns the two registries: which function stands behind which name, on a worker.
//! Never calls one: the engine and the activity host do.

mod activity;
mod orchestration;

pub use activity::{ActivityFunction, ActivityRegistry};
pub use orchestration::OrchestrationRegistry;

pub use crate::engine::OrchestrationFunction;

use longhaul_shared::id::{FunctionName, InvalidId};

/// Why a function could not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The name is taken.
    #[error("the {what} {name:?} is registered twice: give one of them another name")]
    Duplicate {
        /// `activity` or `orchestration`.
        what: &'static str,
        /// The name.
        name: FunctionName,
    },
    /// The name breaks the grammar of names.
    #[error("the {what} name {name:?} is not valid")]
    InvalidName {
        /// `activity` or `orchestration`.
        what: &'static str,
        /// The text.
        name: String,
        /// Which rule it breaks.
        source: InvalidId,
    },
}

fn checked_name(what: &'static str, name: &str) -> Result<FunctionName, RegisterError> {
    FunctionName::new(name).map_err(|source| RegisterError::InvalidName {
        what,
        name: name.to_owned(),
        source,
    })
}

/// A worker that cannot tell what it hosts must not start.
#[expect(
    clippy::panic,
    reason = "documented: builder style panics at start-up, try_register does not"
)]
#[track_caller]
fn refuse(error: &RegisterError) -> ! {
    panic!("{error}")
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use longhaul_shared::failure::{Failure, FailureKind};
    use longhaul_shared::limits;
    use longhaul_shared::payload::Payload;

    use super::*;
    use crate::contract::{Activity, Orchestration};
    use crate::testing::activity_context;
    use crate::{ActivityContext, BoxError, OrchestrationContext};

    const ECHO: Activity<String, String> = Activity::new("echo");

    async fn echo(_ctx: ActivityContext, text: String) -> Result<String, BoxError> {
        Ok(text)
    }

    fn invoke(registry: &ActivityRegistry, input: Payload) -> Result<Payload, Box<Failure>> {
        let name = ECHO.function_name();
        let ctx = activity_context(registry, &name);
        block_on(registry.get(&name).unwrap().invoke(ctx, input)).map_err(Box::new)
    }

    #[test]
    fn a_name_registered_twice_is_an_error_that_names_it() {
        let mut activities = ActivityRegistry::new().register(ECHO, echo);
        let error = activities.try_register(ECHO, echo).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the activity \"echo\" is registered twice"),
            "{error}"
        );

        let same = |_: OrchestrationContext, (): ()| async { Ok(()) };
        let contract = Orchestration::<(), ()>::new("echo");
        let mut orchestrations = OrchestrationRegistry::new().register(contract, same);
        let error = orchestrations.try_register(contract, same).unwrap_err();
        assert!(
            error.to_string().contains("the orchestration \"echo\""),
            "{error}"
        );
    }

    #[test]
    fn names_are_sorted() {
        const LATER: Activity<String, String> = Activity::new("zip");
        const EARLIER: Activity<String, String> = Activity::new("add");
        let registry = ActivityRegistry::new()
            .register(LATER, echo)
            .register(EARLIER, echo)
            .register(ECHO, echo);
        let names = registry.names();
        assert_eq!(
            names.iter().map(FunctionName::as_str).collect::<Vec<_>>(),
            ["add", "echo", "zip"]
        );
        assert!(registry.get(&FunctionName::new("none").unwrap()).is_none());
    }

    #[test]
    fn an_activity_reads_its_input_in_either_encoding() {
        let registry = ActivityRegistry::new().register(ECHO, echo);
        for input in [Payload::encode("hi").unwrap(), Payload::json("\"hi\"").unwrap()] {
            assert_eq!(
                invoke(&registry, input).unwrap().decode::<String>().unwrap(),
                "hi"
            );
        }
    }

    #[test]
    fn values_that_do_not_fit_are_failures_not_to_be_retried() {
        let registry = ActivityRegistry::new().register(ECHO, echo);
        let failure = invoke(&registry, Payload::unit()).unwrap_err();
        assert_eq!(
            (&failure.kind, failure.non_retriable),
            (&FailureKind::Undecodable, true)
        );
        assert!(failure.message.contains("String"), "{failure}");

        let double = |_: ActivityContext, text: String| async move { Ok::<_, BoxError>(text.repeat(2)) };
        let registry = ActivityRegistry::new().register(ECHO, double);
        let half = "x".repeat(limits::PAYLOAD_BYTES_MAX / 2 + 1);
        let failure = invoke(&registry, Payload::encode(&half).unwrap()).unwrap_err();
        assert_eq!(
            (&failure.kind, failure.non_retriable),
            (&FailureKind::OverLimit, true)
        );
    }

    #[test]
    fn an_error_keeps_its_type_unless_it_is_boxed() {
        let parse =
            |_: ActivityContext, text: String| async move { text.parse::<u32>().map(|n| n.to_string()) };
        let failure = invoke(
            &ActivityRegistry::new().register(ECHO, parse),
            Payload::encode("x").unwrap(),
        );
        assert_eq!(failure.unwrap_err().error_type, "core::num::error::ParseIntError");

        let boxed = |_: ActivityContext, _: String| async move { Err::<String, BoxError>("no".into()) };
        let failure = invoke(
            &ActivityRegistry::new().register(ECHO, boxed),
            Payload::encode("x").unwrap(),
        );
        let failure = failure.unwrap_err();
        assert_eq!(
            (failure.error_type.as_str(), failure.message.as_str()),
            ("", "no")
        );

        let any = |_: ActivityContext, _: String| async move { Err::<String, _>(anyhow::anyhow!("no")) };
        let failure = invoke(
            &ActivityRegistry::new().register(ECHO, any),
            Payload::encode("x").unwrap(),
        );
        assert_eq!(failure.unwrap_err().to_string(), "no");
    }
}
