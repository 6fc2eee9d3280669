//! Start and graceful shutdown.
//!
//! Invariant: every task of the server is spawned through one `Lifecycle`, so that `ended` returns only when none is
//! left or the last deadline has passed. `soft` means: take nothing new, finish what is in hand. `hard` means: drop
//! what is in hand now. The first SIGTERM or SIGINT cancels `soft`; the end of the grace time, or a second signal,
//! cancels `hard`.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};

/// How long tasks may take to notice `hard` before the process ends without them.
const HARD_DEADLINE: Duration = Duration::from_secs(5);

/// The switches of shutdown, and the tasks that heed them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifecycle {
    pub(crate) soft: CancellationToken,
    pub(crate) hard: CancellationToken,
    tracker: TaskTracker,
    fault: Arc<OnceLock<&'static str>>,
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Asked to, and everything in hand was finished.
    Gracefully,
    /// Asked to, and something had to be dropped.
    Cut,
    /// By itself: this essential task panicked or returned early.
    Fault(&'static str),
}

impl Ended {
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Gracefully | Self::Cut => ExitCode::SUCCESS,
            Self::Fault(_) => ExitCode::FAILURE,
        }
    }
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Runs a task whose panic harms only itself: a connection, a job.
    pub(crate) fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let work = AssertUnwindSafe(work).catch_unwind().instrument(info_span!("task", name));
        self.tracker.spawn(async move {
            if work.await.is_err() {
                error!(task = name, "A task panicked; everything else goes on");
            }
        });
    }

    /// Runs a task without which the server is none: its panic, or its return before shutdown, starts shutdown.
    pub(crate) fn spawn_essential(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let work = AssertUnwindSafe(work).catch_unwind().instrument(info_span!("task", name));
        let lifecycle = self.clone();
        self.tracker.spawn(async move {
            let outcome = work.await;
            if outcome.is_ok() && lifecycle.soft.is_cancelled() {
                return;
            }
            match outcome {
                Ok(()) => error!(task = name, "An essential task returned; the server shuts down"),
                Err(_) => error!(task = name, "An essential task panicked; the server shuts down"),
            }
            // Only the first fault is the cause.
            let _ = lifecycle.fault.set(name);
            lifecycle.soft.cancel();
        });
    }

    /// Waits for the end: `soft` by a signal, by a fault or by whoever cancels it, then up to `grace` for the tasks.
    pub(crate) async fn ended(&self, grace: Duration) -> std::io::Result<Ended> {
        let signals = futures::stream::unfold(Signals::new()?, async |mut signals| {
            let name = signals.next().await;
            Some((name, signals))
        });
        Ok(self.ended_by(std::pin::pin!(signals), Deadlines { grace, hard: HARD_DEADLINE }).await)
    }

    async fn ended_by(
        &self,
        mut signals: impl Stream<Item = &'static str> + Unpin,
        deadlines: Deadlines,
    ) -> Ended {
        let Deadlines { grace, hard } = deadlines;
        tokio::select! {
            Some(name) = signals.next() => {
                info!("{name}: finishing what is in hand, for at most {}", humantime::format_duration(grace));
            }
            () = self.soft.cancelled() => {}
        }
        self.soft.cancel();
        self.tracker.close();
        let finished = tokio::select! {
            () = self.tracker.wait() => true,
            () = self.hard.cancelled() => false,
            Some(name) = signals.next() => { warn!("{name} again: dropping what is in hand"); false }
            () = tokio::time::sleep(grace) => { warn!("The grace time is over: dropping what is in hand"); false }
        };
        self.hard.cancel();
        if !finished && tokio::time::timeout(hard, self.tracker.wait()).await.is_err() {
            warn!(tasks = self.tracker.len(), "Tasks are left that did not notice the shutdown");
        }
        match self.fault.get() {
            Some(task) => Ended::Fault(task),
            None if finished => Ended::Gracefully,
            None => Ended::Cut,
        }
    }
}

struct Deadlines {
    grace: Duration,
    hard: Duration,
}

/// The two signals that ask a server to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::pending;

    use super::*;

    /// Far longer than any of these tests may take.
    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(20);

    async fn ended(lifecycle: &Lifecycle, grace: Duration, hard: Duration) -> Ended {
        lifecycle.ended_by(pending(), Deadlines { grace, hard }).await
    }

    #[tokio::test]
    async fn what_is_in_hand_is_finished_in_the_grace_time() {
        let lifecycle = Lifecycle::new();
        let (done, finished) = tokio::sync::oneshot::channel();
        let soft = lifecycle.soft.clone();
        lifecycle.spawn("worker", async move {
            soft.cancelled().await;
            tokio::task::yield_now().await;
            done.send("finished").unwrap();
        });
        lifecycle.soft.cancel();
        assert_eq!(ended(&lifecycle, LONG, LONG).await, Ended::Gracefully);
        assert_eq!(finished.await.unwrap(), "finished");
    }

    #[tokio::test]
    async fn what_outlives_the_grace_time_is_told_to_drop_its_work() {
        let lifecycle = Lifecycle::new();
        let hard = lifecycle.hard.clone();
        lifecycle.spawn("stubborn", async move { hard.cancelled().await });
        lifecycle.soft.cancel();
        assert_eq!(ended(&lifecycle, SHORT, LONG).await, Ended::Cut);
    }

    #[tokio::test]
    async fn a_task_that_notices_nothing_does_not_keep_the_process_alive() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("deaf", std::future::pending());
        lifecycle.soft.cancel();
        assert_eq!(ended(&lifecycle, SHORT, SHORT).await, Ended::Cut);
    }

    #[tokio::test]
    async fn a_panic_in_an_essential_task_ends_the_server_and_is_named() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_essential("door", async { panic!("on purpose") });
        assert_eq!(ended(&lifecycle, LONG, LONG).await, Ended::Fault("door"));
    }

    #[tokio::test]
    async fn an_essential_task_that_returns_early_ends_the_server_too() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn_essential("door", async {});
        assert_eq!(ended(&lifecycle, LONG, LONG).await, Ended::Fault("door"));
    }

    #[tokio::test]
    async fn a_panic_in_a_connection_harms_nothing_else() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("connection", async { panic!("on purpose") });
        let soft = lifecycle.soft.clone();
        lifecycle.spawn("neighbour", async move { soft.cancelled().await });
        tokio::task::yield_now().await;
        assert!(!lifecycle.soft.is_cancelled());
        lifecycle.soft.cancel();
        assert_eq!(ended(&lifecycle, LONG, LONG).await, Ended::Gracefully);
    }

    #[tokio::test]
    async fn the_second_signal_is_hard() {
        let lifecycle = Lifecycle::new();
        let hard = lifecycle.hard.clone();
        lifecycle.spawn("stubborn", async move { hard.cancelled().await });
        let signals = futures::stream::iter(["SIGTERM", "SIGINT"]);
        let deadlines = Deadlines { grace: LONG, hard: LONG };
        assert_eq!(lifecycle.ended_by(signals, deadlines).await, Ended::Cut);
    }

    /// The only test with a real signal: it reaches all listeners of the process.
    #[tokio::test]
    async fn sigterm_asks_for_the_soft_end() {
        let lifecycle = Lifecycle::new();
        let soft = lifecycle.soft.clone();
        lifecycle.spawn_essential("door", async move { soft.cancelled().await });
        let waiter = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { lifecycle.ended(LONG).await.unwrap() }
        });
        // On this one-threaded runtime the waiter listens once it has been given its turn.
        tokio::task::yield_now().await;
        nix::sys::signal::raise(nix::sys::signal::SIGTERM).unwrap();
        assert_eq!(waiter.await.unwrap(), Ended::Gracefully);
    }
}
