//! Owns looking at instances: one, its history, many.
//! Never changes anything.

use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{EventSeq, ExecutionKey, HubName, InstanceId};
use longhaul_shared::instance::{InstanceRow, Status};
use longhaul_shared::port::{LoadRequest, LoadedInstance, Query, QueryPage, StoreError};

use crate::client::Client;
use crate::handle::Handle;

/// Events asked for at a time.
const HISTORY_PAGE: usize = 1_000;

/// Why an instance cannot be looked at, its history or what it waits for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LookError {
    /// There is no such instance.
    #[error("[LH1201] there is no instance {id} in hub {hub}")]
    Unknown {
        /// The id asked for.
        id: InstanceId,
        /// The hub it was looked for in.
        hub: HubName,
    },
    /// The store does not serve, or what it holds cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Client {
    /// Everything known of an instance but its history; `None` when there is no such instance.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &InstanceId) -> Result<Option<InstanceRow>, StoreError> {
        let loaded = self.loaded(id, false).await?;
        Ok(loaded.map(|instance| instance.row))
    }

    /// Reads an instance; `None` when there is no such instance.
    pub(crate) async fn loaded(
        &self,
        id: &InstanceId,
        history: bool,
    ) -> Result<Option<LoadedInstance>, StoreError> {
        let request = LoadRequest {
            id: id.clone(),
            history,
        };
        let loaded = self.ports().store.load(vec![request]).await.into_iter().next();
        Ok(loaded.transpose()?.flatten())
    }

    /// There is no such instance.
    pub(crate) fn unknown(&self, id: &InstanceId) -> LookError {
        LookError::Unknown {
            id: id.clone(),
            hub: self.hub().clone(),
        }
    }

    /// The history of an instance's current execution, as long as it was when the call began. The first event
    /// has the sequence number 1.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn history(&self, id: &InstanceId) -> Result<Vec<HistoryEvent>, LookError> {
        let row = self.get(id).await?;
        let row = row.ok_or_else(|| self.unknown(id))?;
        let key = ExecutionKey {
            instance: row.id,
            execution: row.execution,
        };
        let wanted = usize::try_from(row.last_seq.0).unwrap_or(usize::MAX);
        let mut events: Vec<HistoryEvent> = Vec::new();
        while events.len() < wanted {
            let after = EventSeq(events.len() as u64);
            let page = self.ports().store.history(&key, after, HISTORY_PAGE).await?;
            if page.is_empty() {
                break;
            }
            events.extend(page);
        }
        events.truncate(wanted);
        Ok(events)
    }

    /// Lists instances, newest first, page by page: [`QueryPage::next`] is the cursor of the next page.
    ///
    /// ```
    /// use longhaul_client::{Client, PageRequest, Query, Status, StoreError};
    ///
    /// async fn count_failed(client: &Client) -> Result<usize, StoreError> {
    ///     let mut query = Query {
    ///         statuses: vec![Status::Failed],
    ///         page: PageRequest { cursor: None, limit: 100 },
    ///         ..Query::default()
    ///     };
    ///     let mut failed = 0;
    ///     loop {
    ///         let page = client.list(query.clone()).await?;
    ///         failed += page.instances.len();
    ///         query.page.cursor = page.next;
    ///         if query.page.cursor.is_none() {
    ///             return Ok(failed);
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, query: Query) -> Result<QueryPage, StoreError> {
        self.ports().store.query(query).await
    }
}

impl<O> Handle<O> {
    /// Where the instance stands; `None` when there is no such instance.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn status(&self) -> Result<Option<Status>, StoreError> {
        let row = self.client().get(self.id()).await?;
        Ok(row.map(|row| row.status))
    }
}
