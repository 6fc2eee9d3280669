//! How many files this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the kernel's soft limit of 1024 to the hard one: a few hundred requests through the router, or the logs of a
/// thousand processes, would meet it.
pub(crate) fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!("The limit of open files stays as it is: {error}");
    }
}
