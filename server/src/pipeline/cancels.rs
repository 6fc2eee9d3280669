//! Which builds can be canceled by this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::ids::BuildId;

/// The cancel tokens of running builds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancels {
    builds: Arc<Mutex<HashMap<BuildId, CancellationToken>>>,
}

/// A running build's entry; gone when it is dropped.
pub(crate) struct Registered {
    cancels: Cancels,
    build: BuildId,
    token: CancellationToken,
}

impl Cancels {
    pub(crate) fn register(&self, build: BuildId) -> Registered {
        let token = CancellationToken::new();
        self.builds.lock().unwrap_or_else(PoisonError::into_inner).insert(build, token.clone());
        Registered { cancels: self.clone(), build, token }
    }

    /// Stops the running step of the build, if it runs here.
    pub(crate) fn cancel(&self, build: BuildId) {
        if let Some(token) = self.builds.lock().unwrap_or_else(PoisonError::into_inner).get(&build) {
            token.cancel();
        }
    }
}

impl Registered {
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.cancels.builds.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.build);
    }
}
