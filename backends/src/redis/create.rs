//! Owns the accepting of a start: the row, its places in the indexes and in the ready set, once per start id.
//! Never wakes anybody: the caller does, whatever the answer.

use longhaul_shared::id::StartId;
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::port::{Created, StoreError};

use super::error::unreadable;
use super::hub::Hub;
use super::row;
use super::script::{Call, Lua};

pub(super) static CREATE: Lua = Lua::new(include_str!("create.lua"));

impl Hub {
    /// See [`Store::create`](longhaul_shared::port::Store::create).
    pub(super) async fn create(&self, start: &StartInstance) -> Result<Created, StoreError> {
        let full = self.is_full().await?;
        let keys = self.keys_of(&start.id).await?;
        let row = keys.row(&start.id);
        let mut call = Call::new(
            &CREATE,
            &[
                &row,
                &keys.ready(),
                &keys.open(),
                &keys.all(),
                &keys.in_status(Status::Pending),
                &keys.start_memory(&start.start_id),
            ],
        );
        call.arg(start.id.as_str())
            .arg(start.start_id.as_str())
            .arg(u8::from(full));
        for (name, value) in row::of_start(start) {
            call.arg(name).arg(&value[..]);
        }
        let answer: Vec<String> = self.change(&row, call).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["new"] => Ok(Created::New),
            ["repeated", code] => Ok(Created::Repeated(status(&row, code)?)),
            ["taken", by, code] => Ok(Created::Taken {
                by: StartId::new(by).map_err(|error| unreadable(&row, error.to_string()))?,
                status: status(&row, code)?,
            }),
            ["full"] => Err(StoreError::Full {
                reason: "Redis uses over 80 % of its maxmemory".to_owned(),
            }),
            _ => Err(unreadable(&row, "the create script answered something unknown")),
        }
    }
}

/// A status as a script tells it.
pub(super) fn status(key: &str, code: &str) -> Result<Status, StoreError> {
    code.parse::<u8>()
        .map_err(|_| format!("status {code:?} is no number"))
        .and_then(Status::try_from)
        .map_err(|reason| unreadable(key, reason))
}
