//! Waiting: for a fact, by asking for it again and again, with an end. The one place where the tests sleep.

use std::time::{Duration, Instant};

/// For what takes a moment: a row, an answer, a process that ends.
pub const SHORT: Duration = Duration::from_secs(20);
/// For what takes a build and a rollout on a busy machine.
pub const LONG: Duration = Duration::from_secs(120);

const PAUSE: Duration = Duration::from_millis(40);

/// Asks until there is an answer; fails the story with `what` after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        pause();
    }
}

/// [`wait_for`] something to be true.
pub fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    wait_for(what, limit, || is_so().then_some(()));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two questions; nothing relies on its length"
)]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}
