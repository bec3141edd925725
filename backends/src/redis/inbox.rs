//! Owns putting a message into an instance's inbox.
//! Never reads one (`load` does) and never empties one: commits do.

use longhaul_shared::codec;
use longhaul_shared::limits;
use longhaul_shared::message::Envelope;
use longhaul_shared::port::{Posted, StoreError};

use super::create::status;
use super::error::unreadable;
use super::hub::Hub;
use super::script::{Call, Lua};

pub(super) static POST: Lua = Lua::new(include_str!("post.lua"));

impl Hub {
    /// See [`Store::post`](longhaul_shared::port::Store::post).
    pub(super) async fn post(&self, message: &Envelope) -> Result<Posted, StoreError> {
        let keys = self.keys_of(&message.instance).await?;
        let row = keys.row(&message.instance);
        let mut call = Call::new(&POST, &[&row, &keys.inbox(&message.instance), &keys.ready()]);
        call.arg(message.instance.as_str())
            .arg(&message.id.bytes())
            .arg(&codec::encode(message)[..])
            .arg(limits::INBOX_MESSAGES_MAX);
        let answer: Vec<String> = self.change(&row, call).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["accepted"] => Ok(Posted::Accepted),
            ["ended", code] => Ok(Posted::Ended(status(&row, code)?)),
            ["unknown"] => Ok(Posted::Unknown),
            ["full"] => Ok(Posted::Full),
            _ => Err(unreadable(&row, "the post script answered something unknown")),
        }
    }
}
