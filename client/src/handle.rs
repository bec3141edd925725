//! Owns the handle: one instance, together with what it returns.
//! Never keeps anything of the instance but its id: every question goes to the store.

use std::fmt;
use std::marker::PhantomData;

use longhaul_sdk::{Orchestration, Payload};
use longhaul_shared::id::InstanceId;
use longhaul_shared::instance::Status;

use crate::client::Client;

/// One instance whose orchestration returns an `O`. Cheap to clone; dropping it changes nothing.
pub struct Handle<O> {
    client: Client,
    id: InstanceId,
    repeated: Option<Status>,
    output: PhantomData<fn() -> O>,
}

impl Client {
    /// The handle of an instance by its id, whether there is one or not. Its output comes as a payload; say what
    /// it is with [`Handle::of`].
    ///
    /// ```
    /// use longhaul_client::{Client, InstanceId};
    /// use longhaul_sdk::Orchestration;
    ///
    /// pub const BACKUP: Orchestration<String, u64> = Orchestration::new("backup");
    ///
    /// async fn result_of(client: &Client, id: &str) -> Result<u64, Box<dyn std::error::Error>> {
    ///     Ok(client.handle(InstanceId::new(id)?).of(BACKUP).wait().await?)
    /// }
    /// ```
    #[must_use]
    pub fn handle(&self, id: InstanceId) -> Handle<Payload> {
        Handle::new(self.clone(), id, None)
    }
}

impl<O> Handle<O> {
    pub(crate) fn new(client: Client, id: InstanceId, repeated: Option<Status>) -> Self {
        Self {
            client,
            id,
            repeated,
            output: PhantomData,
        }
    }

    /// The instance's id.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Where the instance stood when the start that gave this handle turned out to have been accepted before;
    /// `None` when that start was the first, and for a handle that comes from no start.
    #[must_use]
    pub fn repeated(&self) -> Option<Status> {
        self.repeated
    }

    /// The same instance, read as one of this orchestration.
    #[must_use]
    pub fn of<I, P>(self, _contract: Orchestration<I, P>) -> Handle<P> {
        Handle::new(self.client, self.id, self.repeated)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

impl<O> Clone for Handle<O> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.id.clone(), self.repeated)
    }
}

impl<O> fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:?})", self.id)
    }
}
