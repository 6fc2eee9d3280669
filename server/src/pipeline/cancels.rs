//! What can be canceled by this process: builds, and the release phases of releases.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The cancel tokens of what runs.
#[derive(Debug, Clone)]
pub(crate) struct Cancels<Id> {
    running: Arc<Mutex<HashMap<Id, CancellationToken>>>,
}

/// The entry of what runs; gone when it is dropped.
pub(crate) struct Registered<Id: Eq + Hash> {
    cancels: Cancels<Id>,
    id: Id,
    token: CancellationToken,
}

impl<Id> Default for Cancels<Id> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<Id: Eq + Hash + Copy> Cancels<Id> {
    pub(crate) fn register(&self, id: Id) -> Registered<Id> {
        let token = CancellationToken::new();
        self.locked().insert(id, token.clone());
        Registered { cancels: Cancels { running: Arc::clone(&self.running) }, id, token }
    }

    /// Stops the step that runs, if it runs here.
    pub(crate) fn cancel(&self, id: Id) {
        if let Some(token) = self.locked().get(&id) {
            token.cancel();
        }
    }
}

impl<Id: Eq + Hash> Cancels<Id> {
    fn locked(&self) -> MutexGuard<'_, HashMap<Id, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Id: Eq + Hash> Registered<Id> {
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl<Id: Eq + Hash> Drop for Registered<Id> {
    fn drop(&mut self) {
        self.cancels.locked().remove(&self.id);
    }
}
