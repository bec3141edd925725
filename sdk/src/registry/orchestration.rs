//! Owns the orchestrations of a worker, by name.
//! Never knows the engine's ways: it only turns typed functions into those the engine can start.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_shared::failure::Failure;
use longhaul_shared::id::FunctionName;
use longhaul_shared::payload::Payload;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{RegisterError, checked_name, refuse};
use crate::context::OrchestrationContext;
use crate::contract::Orchestration;
use crate::engine::{OrchestrationFunction, Steps};
use crate::error::OrchestrationError;
use crate::value::{decode_failure, encode_failure, from_payload, to_payload};

/// The orchestrations of a worker. Cheap to clone.
#[derive(Clone, Default)]
pub struct OrchestrationRegistry {
    by_name: BTreeMap<FunctionName, Arc<dyn OrchestrationFunction>>,
}

impl OrchestrationRegistry {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same registry with one more orchestration.
    ///
    /// # Panics
    /// When the name is taken or invalid; [`try_register`](Self::try_register) says so instead.
    #[must_use]
    #[track_caller]
    pub fn register<I, O, F, Fut>(mut self, contract: Orchestration<I, O>, function: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        F: Fn(OrchestrationContext, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, OrchestrationError>> + Send + 'static,
    {
        match self.try_register(contract, function) {
            Ok(()) => self,
            Err(error) => refuse(&error),
        }
    }

    /// Adds an orchestration.
    ///
    /// # Errors
    /// [`RegisterError`] names what is taken or invalid; the registry is unchanged then.
    pub fn try_register<I, O, F, Fut>(
        &mut self,
        contract: Orchestration<I, O>,
        function: F,
    ) -> Result<(), RegisterError>
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        F: Fn(OrchestrationContext, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, OrchestrationError>> + Send + 'static,
    {
        let name = checked_name("orchestration", contract.name())?;
        self.try_insert(Arc::new(Typed {
            name,
            function,
            types: PhantomData,
        }))
    }

    /// Adds an orchestration of any make, e.g. one that another language runs.
    ///
    /// # Errors
    /// [`RegisterError::Duplicate`]; the registry is unchanged then.
    pub fn try_insert(&mut self, function: Arc<dyn OrchestrationFunction>) -> Result<(), RegisterError> {
        let name = function.name().clone();
        if self.by_name.contains_key(&name) {
            return Err(RegisterError::Duplicate {
                what: "orchestration",
                name,
            });
        }
        self.by_name.insert(name, function);
        Ok(())
    }

    /// The names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<FunctionName> {
        self.by_name.keys().cloned().collect()
    }

    /// The function of this name.
    #[must_use]
    pub fn get(&self, name: &FunctionName) -> Option<Arc<dyn OrchestrationFunction>> {
        self.by_name.get(name).cloned()
    }
}

impl fmt::Debug for OrchestrationRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

struct Typed<I, O, F> {
    name: FunctionName,
    function: F,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F, Fut> OrchestrationFunction for Typed<I, O, F>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    F: Fn(OrchestrationContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, OrchestrationError>> + Send + 'static,
{
    fn name(&self) -> &FunctionName {
        &self.name
    }

    fn start(&self, steps: Steps, input: Payload) -> BoxFuture<'static, Result<Payload, Failure>> {
        let input = match from_payload(input) {
            Ok(input) => input,
            Err(error) => {
                return futures::future::ready(Err(decode_failure("the input", &error))).boxed();
            }
        };
        let returned = (self.function)(OrchestrationContext::new(steps), input);
        async move {
            match returned.await {
                Ok(output) => to_payload(&output).map_err(|error| encode_failure("the output", &error)),
                Err(error) => Err(error.into_failure()),
            }
        }
        .boxed()
    }
}
