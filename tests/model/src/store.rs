//! Owns the model of the store: what Redis holds of one partition with one instance, and the scripts that change it.
//! Never fails: an answer that does not come is the network's doing, in `protocol`.
//!
//! Each function here is one script: atomic, and safe to run twice.

use crate::rule::Broken;
use crate::vocabulary::{Epoch, Event, Item, Message, Token, put, take};

/// What the store holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Store {
    pub(crate) created: bool,
    pub(crate) history: Vec<Event>,
    pub(crate) number: u8,
    pub(crate) last_commit: Option<CommitId>,
    pub(crate) inbox: Vec<Message>,
    pub(crate) ready: bool,
    pub(crate) outbox: Vec<Item>,
    pub(crate) lease: Option<Token>,
    pub(crate) expired: bool,
    pub(crate) taken: u8,
    pub(crate) rebuilt: u8,
    pub(crate) epoch: Epoch,
    /// Ghost: how many commits were applied.
    pub(crate) applied: u8,
    /// Ghost: a commit was applied that was not the owner's.
    pub(crate) foreign: bool,
}

/// Names a commit. The real one is random; a token and a number name each commit as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct CommitId {
    pub(crate) token: Token,
    pub(crate) number: u8,
}

/// A turn's commit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Commit {
    pub(crate) id: CommitId,
    /// Expected commit number, and events.
    pub(crate) number: u8,
    pub(crate) length: usize,
    pub(crate) events: Vec<Event>,
    pub(crate) inbox_remove: Vec<Message>,
    pub(crate) inbox_add: Vec<Message>,
    pub(crate) outbox_remove: Vec<Item>,
    pub(crate) outbox_add: Vec<Item>,
    /// To be looked at again, else settle.
    pub(crate) look_again: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Applied,
    Duplicate,
    Conflict,
    Fenced,
}

impl Store {
    pub(crate) fn is_ended(&self) -> bool {
        self.history.contains(&Event::Ended)
    }

    /// `create.lua`
    pub(crate) fn create(&mut self) {
        self.created = true;
        self.ready = true;
    }

    /// `post.lua`
    pub(crate) fn post(&mut self, message: Message) {
        if self.created && !self.is_ended() && !self.inbox.contains(&message) {
            put(&mut self.inbox, message);
            self.ready = true;
        }
    }

    /// `commit.lua`
    pub(crate) fn commit(&mut self, commit: &Commit, broken: Option<Broken>) -> Outcome {
        let is_owner = self.lease == Some(commit.id.token);
        if !is_owner && broken != Some(Broken::Fence) {
            return Outcome::Fenced;
        }
        if self.last_commit == Some(commit.id) {
            return Outcome::Duplicate;
        }
        let is_expected = self.number == commit.number && self.history.len() == commit.length;
        if !is_expected && broken != Some(Broken::CommitNumber) || self.is_ended() {
            return Outcome::Conflict;
        }
        self.foreign |= !is_owner;
        self.applied += 1;
        self.number = commit.number + 1;
        self.last_commit = Some(commit.id);
        self.history.extend(&commit.events);
        for item in &commit.outbox_remove {
            take(&mut self.outbox, item);
        }
        if broken != Some(Broken::Outbox) {
            for item in &commit.outbox_add {
                put(&mut self.outbox, *item);
            }
        }
        if self.is_ended() {
            self.inbox.clear();
            self.ready = false;
            return Outcome::Applied;
        }
        for message in &commit.inbox_remove {
            take(&mut self.inbox, message);
        }
        for message in &commit.inbox_add {
            if broken != Some(Broken::KeepAnswers) && !self.inbox.contains(message) {
                put(&mut self.inbox, *message);
            }
        }
        self.ready = commit.look_again || !self.inbox.is_empty();
        Outcome::Applied
    }

    /// `forget.lua`
    pub(crate) fn forget(&mut self, token: Token, items: &[Item]) {
        if self.lease == Some(token) {
            for item in items {
                take(&mut self.outbox, item);
            }
        }
    }

    /// `acquire.lua`, when the lease is free or has run out.
    pub(crate) fn acquire(&mut self) -> Token {
        self.taken += 1;
        self.lease = Some(self.taken);
        self.expired = false;
        self.taken
    }

    /// `release.lua`
    pub(crate) fn release(&mut self, token: Token) {
        if self.lease == Some(token) {
            self.lease = None;
            self.expired = false;
        }
    }

    /// `advance_epoch.lua`
    pub(crate) fn advance_epoch(&mut self, seen: Epoch, next: Epoch) -> Epoch {
        if self.epoch == seen {
            self.epoch = next;
        }
        self.epoch
    }

    /// `mark_rebuilt.lua`
    pub(crate) fn mark_rebuilt(&mut self, token: Token, epoch: u8) {
        if self.lease == Some(token) {
            self.rebuilt = self.rebuilt.max(epoch);
        }
    }
}
