//! Owns the seam between host and author: a work item in, a result out.
//! Never reports or acknowledges: whatever runs the author's code, here or, one day, in another language, only
//! answers.

use async_trait::async_trait;
use longhaul_sdk::context::{ActivityContext, ActivityInfo, Cancellation};
use longhaul_sdk::registry::ActivityRegistry;
use longhaul_shared::failure::Failure;
use longhaul_shared::id::FunctionName;
use longhaul_shared::message::WorkItem;
use longhaul_shared::payload::Payload;

/// Runs activities.
#[async_trait]
pub trait Invoker: Send + Sync + 'static {
    /// The activities it hosts, ordered.
    fn hosts(&self) -> Vec<FunctionName>;

    /// Whether it hosts this one.
    fn is_hosted(&self, name: &FunctionName) -> bool;

    /// Runs the activity once. The host keeps the time and catches panics.
    ///
    /// # Errors
    /// The author's failure, as data.
    async fn invoke(&self, item: WorkItem, cancellation: Cancellation) -> Result<Payload, Failure>;
}

/// Runs the activities of a registry, in this process.
pub struct LocalInvoker {
    registry: ActivityRegistry,
}

impl LocalInvoker {
    /// An invoker of these activities.
    #[must_use]
    pub fn new(registry: ActivityRegistry) -> Self {
        Self { registry }
    }
}

#[async_trait]
impl Invoker for LocalInvoker {
    fn hosts(&self) -> Vec<FunctionName> {
        self.registry.names()
    }

    fn is_hosted(&self, name: &FunctionName) -> bool {
        self.registry.get(name).is_some()
    }

    async fn invoke(&self, item: WorkItem, cancellation: Cancellation) -> Result<Payload, Failure> {
        let Some(activity) = self.registry.get(&item.name) else {
            return Err(Failure::new(
                longhaul_shared::failure::FailureKind::Application,
                format!("activity {} is not hosted here", item.name),
            ));
        };
        let info = ActivityInfo {
            key: item.identity.key,
            task: item.identity.task,
            name: item.name,
            dispatch: item.dispatch,
            tags: item.tags,
            trace: item.trace,
        };
        let context: ActivityContext = self.registry.context(info, cancellation);
        activity.invoke(context, item.input).await
    }
}
