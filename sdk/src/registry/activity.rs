//! Owns the activities of a worker, by name, and the state that they share.
//! Never catches a panic or counts time: that is the host's.

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
use crate::context::{ActivityContext, ActivityInfo, Cancellation, StateMap};
use crate::contract::Activity;
use crate::error::{BoxError, error_type_of, failure_of};
use crate::value::{decode_failure, encode_failure, from_payload, to_payload};

/// An activity as its host sees it.
pub trait ActivityFunction: Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &FunctionName;

    /// Runs it once. An input that cannot be read and an output over its limit are failures not to be retried.
    fn invoke(&self, ctx: ActivityContext, input: Payload) -> BoxFuture<'static, Result<Payload, Failure>>;
}

/// The activities of a worker and the state that they share. Cheap to clone.
#[derive(Clone, Default)]
pub struct ActivityRegistry {
    by_name: BTreeMap<FunctionName, Arc<dyn ActivityFunction>>,
    state: StateMap,
}

impl ActivityRegistry {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same registry with a value that every activity can ask its context for, by its type.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }

    /// The same registry with one more activity. Its error may be any error, a text, or a boxed error.
    ///
    /// # Panics
    /// When the name is taken or invalid; [`try_register`](Self::try_register) says so instead.
    #[must_use]
    #[track_caller]
    pub fn register<I, O, E, F, Fut>(mut self, contract: Activity<I, O>, function: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        E: Into<BoxError> + 'static,
        F: Fn(ActivityContext, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        match self.try_register(contract, function) {
            Ok(()) => self,
            Err(error) => refuse(&error),
        }
    }

    /// Adds an activity.
    ///
    /// # Errors
    /// [`RegisterError`] names what is taken or invalid; the registry is unchanged then.
    pub fn try_register<I, O, E, F, Fut>(
        &mut self,
        contract: Activity<I, O>,
        function: F,
    ) -> Result<(), RegisterError>
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + Send + 'static,
        E: Into<BoxError> + 'static,
        F: Fn(ActivityContext, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        let name = checked_name("activity", contract.name())?;
        self.try_insert(Arc::new(Typed {
            name,
            function,
            types: PhantomData,
        }))
    }

    /// Adds an activity of any make.
    ///
    /// # Errors
    /// [`RegisterError::Duplicate`]; the registry is unchanged then.
    pub fn try_insert(&mut self, function: Arc<dyn ActivityFunction>) -> Result<(), RegisterError> {
        let name = function.name().clone();
        if self.by_name.contains_key(&name) {
            return Err(RegisterError::Duplicate {
                what: "activity",
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
    pub fn get(&self, name: &FunctionName) -> Option<Arc<dyn ActivityFunction>> {
        self.by_name.get(name).cloned()
    }

    /// The context of one run of one of these activities.
    #[must_use]
    pub fn context(&self, info: ActivityInfo, cancellation: Cancellation) -> ActivityContext {
        ActivityContext::new(info, self.state.clone(), cancellation)
    }
}

impl fmt::Debug for ActivityRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

struct Typed<I, O, E, F> {
    name: FunctionName,
    function: F,
    types: PhantomData<fn(I) -> (O, E)>,
}

impl<I, O, E, F, Fut> ActivityFunction for Typed<I, O, E, F>
where
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
    E: Into<BoxError> + 'static,
    F: Fn(ActivityContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, E>> + Send + 'static,
{
    fn name(&self) -> &FunctionName {
        &self.name
    }

    fn invoke(&self, ctx: ActivityContext, input: Payload) -> BoxFuture<'static, Result<Payload, Failure>> {
        let input = match from_payload(input) {
            Ok(input) => input,
            Err(error) => {
                return futures::future::ready(Err(decode_failure("the input", &error))).boxed();
            }
        };
        let returned = (self.function)(ctx, input);
        async move {
            match returned.await {
                Ok(output) => to_payload(&output).map_err(|error| encode_failure("the output", &error)),
                Err(error) => Err(failure_of(error.into(), error_type_of::<E>())),
            }
        }
        .boxed()
    }
}
