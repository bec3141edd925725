//! Owns the door between the engine and an author's orchestration.
//! Never knows the author's types: beyond this door everything is payloads.

use futures::future::BoxFuture;
use longhaul_shared::failure::Failure;
use longhaul_shared::id::FunctionName;
use longhaul_shared::payload::Payload;

use super::steps::Steps;

/// An orchestration as the engine sees it.
pub trait OrchestrationFunction: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &FunctionName;

    /// Begins one execution. The future MUST take the same steps whenever it is given the same results, and MUST
    /// await nothing but steps. It yields `Err` when the input cannot be read or the output is over its limit.
    fn start(&self, steps: Steps, input: Payload) -> BoxFuture<'static, Result<Payload, Failure>>;
}
