//! Owns the start of an instance: written to the store first, then the workers are woken.
//! Never fails because the wake-up did: what the store has accepted will run.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::marker::PhantomData;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_sdk::{Orchestration, Payload};
use longhaul_shared::id::{ExecutionId, FunctionName, HubName, InstanceId, InvalidId, MessageId, StartId};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::limits;
use longhaul_shared::payload::EncodeError;
use longhaul_shared::port::{Created, StoreError};
use longhaul_shared::trace::TraceContext;
use serde::Serialize;

use crate::client::Client;
use crate::handle::Handle;
use crate::repeat::settled;
use crate::value::to_payload;

/// A start that happens when it is awaited. Dropped before that, it does nothing.
#[must_use = "a start does nothing until it is awaited"]
#[derive(Clone, Debug)]
pub struct StartCall<O> {
    client: Client,
    name: FunctionName,
    input: Result<Payload, EncodeError>,
    id: Option<String>,
    start_id: Option<String>,
    version: Option<String>,
    tags: BTreeMap<String, String>,
    trace: TraceContext,
    output: PhantomData<fn() -> O>,
}

/// Why an instance was not started, or is not known to be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// The id or the start id breaks the grammar.
    #[error("[LH1005] the instance cannot be started under this name")]
    InvalidId(#[from] InvalidId),
    /// Too many tags, or one that is too long.
    #[error(
        "[LH1004] at most {} tags are allowed, each key and value of at most {} bytes (TAGS_MAX, TAG_BYTES_MAX)",
        limits::TAGS_MAX,
        limits::TAG_BYTES_MAX
    )]
    Tags,
    /// The input cannot be encoded or is over its bound.
    #[error("the input cannot be sent")]
    Input(#[source] EncodeError),
    /// The instance id belongs to another start; nothing was changed.
    #[error("[LH1003] instance id {id} is taken by another start, {by}; that instance is {status}")]
    Taken {
        /// The id asked for.
        id: InstanceId,
        /// The start that has it.
        by: StartId,
        /// Where its instance stands.
        status: Status,
    },
    /// No answer came: it may have been started or not. Repeating it with the same id and start id is harmless.
    #[error(
        "[LH1501] it is not known whether instance {id} was started: start it again with this id and with start id {start_id}, which never starts a second one"
    )]
    Unsettled {
        /// The instance.
        id: InstanceId,
        /// The start id to repeat.
        start_id: StartId,
        /// Why no answer came.
        source: StoreError,
    },
    /// The store refused; nothing was started.
    #[error(transparent)]
    Store(StoreError),
}

impl Client {
    /// Starts an instance of an orchestration once the call is awaited.
    ///
    /// ```
    /// use longhaul_client::{Client, StartError};
    /// use longhaul_sdk::Orchestration;
    ///
    /// pub const BACKUP: Orchestration<String, u64> = Orchestration::new("backup");
    ///
    /// async fn start(client: &Client, request_id: &str) -> Result<(), StartError> {
    ///     let handle = client
    ///         .start(BACKUP, "/home".to_owned())
    ///         .id("nightly")
    ///         .start_id(request_id)
    ///         .tag("asked-by", "cron")
    ///         .await?;
    ///     println!("{} is on its way", handle.id());
    ///     Ok(())
    /// }
    /// ```
    pub fn start<I, O>(&self, contract: Orchestration<I, O>, input: I) -> StartCall<O>
    where
        I: Serialize + 'static,
    {
        self.call(contract.function_name(), to_payload(&input))
    }

    /// Starts an instance of the orchestration of this name once the call is awaited, untyped.
    pub fn start_by_name(&self, name: FunctionName, input: Payload) -> StartCall<Payload> {
        self.call(name, input.checked().map_err(EncodeError::TooLarge))
    }

    fn call<O>(&self, name: FunctionName, input: Result<Payload, EncodeError>) -> StartCall<O> {
        StartCall {
            client: self.clone(),
            name,
            input,
            id: None,
            start_id: None,
            version: None,
            tags: BTreeMap::new(),
            trace: TraceContext::default(),
            output: PhantomData,
        }
    }
}

impl<O> StartCall<O> {
    /// Sets the instance's id. Without it the id is made from the hub and the start id.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Names this start: repeating it under the same name never starts a second instance. Without it the name is
    /// a fresh random one.
    pub fn start_id(mut self, start_id: impl Into<String>) -> Self {
        self.start_id = Some(start_id.into());
        self
    }

    /// Asks for a version of the orchestration.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Tags the instance; the last value of a key counts.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Continues this trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = trace;
        self
    }

    fn checked(self) -> Result<(Client, StartInstance), StartError> {
        let runtime = &self.client.ports().runtime;
        let start_id = match self.start_id {
            Some(start_id) => StartId::new(start_id)?,
            None => StartId::new(format!("{:032x}", runtime.random()))?,
        };
        let id = match self.id {
            Some(id) => InstanceId::new(id)?,
            None => default_instance(self.client.hub(), &start_id)?,
        };
        let too_long = |(key, value): (&String, &String)| key.len().max(value.len()) > limits::TAG_BYTES_MAX;
        if self.tags.len() > limits::TAGS_MAX || self.tags.iter().any(too_long) {
            return Err(StartError::Tags);
        }
        let start = StartInstance {
            id,
            start_id,
            name: self.name,
            version: self.version,
            input: self.input.map_err(StartError::Input)?,
            tags: self.tags,
            trace: self.trace,
            execution: ExecutionId::from_bits(runtime.random()),
        };
        Ok((self.client, start))
    }

    async fn run(self) -> Result<Handle<O>, StartError> {
        let (client, start) = self.checked()?;
        let ports = client.ports();
        let id = start.id.clone();
        let created = settled(&ports.runtime, || ports.store.create(start.clone())).await;
        let repeated = match created {
            Ok(Created::New) => None,
            Ok(Created::Repeated(status)) => Some(status),
            Ok(Created::Taken { by, status }) => return Err(StartError::Taken { id, by, status }),
            Err(source @ StoreError::Unavailable { .. }) => {
                let start_id = start.start_id;
                return Err(StartError::Unsettled { id, start_id, source });
            }
            Err(error) => return Err(StartError::Store(error)),
        };
        client.wake(&id).await;
        Ok(Handle::new(client, id, repeated))
    }
}

/// # Cancel safety
/// Dropping the future leaves open whether the instance was started; the same start id asks again.
impl<O: 'static> IntoFuture for StartCall<O> {
    type Output = Result<Handle<O>, StartError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.run().boxed()
    }
}

/// The instance id of a start that names none: the same whenever it is repeated, through a client or the intake
/// queue, and another in another hub.
fn default_instance(hub: &HubName, start: &StartId) -> Result<InstanceId, InvalidId> {
    let digest = MessageId::of(&[b"instance", hub.as_str().as_bytes(), start.as_str().as_bytes()]);
    InstanceId::new(
        uuid::Builder::from_custom_bytes(digest.bytes())
            .into_uuid()
            .to_string(),
    )
}
