//! Whose turn it is to move an app's processes.
//!
//! Invariant: at most one rollout touches an app at a time, and a newer release never waits for an older one to finish:
//! it interrupts it. The exception is a config change, which takes up the code of a push in flight: interrupting that
//! push would report it as rejected although its code goes live, so a config change waits for it.
//!
//! Who waits for how a release goes is woken, and then asks the database.
//!
//! The races: a newer release may announce itself before the older one has begun (the mark is kept, so the older one
//! finds itself overtaken at once), and an interrupted rollout may still be letting go (the turn is a lock, held until it
//! has).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedMutexGuard, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::domain::ids::AppId;

/// What made a release, as far as turns are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A push or a rollback: it brings its own code.
    Code,
    /// A config change: it keeps the code of the release before it.
    Config,
}

/// The turns of all apps.
#[derive(Debug, Default)]
pub(crate) struct Rollouts {
    apps: Mutex<HashMap<AppId, Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    newest: watch::Sender<Newest>,
    news: watch::Sender<()>,
}

/// The newest versions that have announced themselves.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    code: i64,
    config: i64,
}

impl Newest {
    fn overtakes(self, version: i64, kind: Kind) -> Option<i64> {
        let newest = match kind {
            Kind::Code => self.code,
            Kind::Config => self.code.max(self.config),
        };
        (newest > version).then_some(newest)
    }
}

/// The right to move an app's processes, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    version: i64,
    kind: Kind,
    newest: watch::Receiver<Newest>,
    _turn: OwnedMutexGuard<()>,
}

impl Rollouts {
    /// Interrupts what `version` overtakes, without waiting for anything.
    pub(crate) fn announce(&self, app: AppId, version: i64, kind: Kind) {
        self.slot(app).newest.send_modify(|newest| match kind {
            Kind::Code => newest.code = newest.code.max(version),
            Kind::Config => newest.config = newest.config.max(version),
        });
    }

    /// Announces `version` and waits until no other rollout touches the app.
    pub(crate) async fn enter(&self, app: AppId, version: i64, kind: Kind) -> Turn {
        self.announce(app, version, kind);
        let slot = self.slot(app);
        let turn = Arc::clone(&slot.turn).lock_owned().await;
        Turn { version, kind, newest: slot.newest.subscribe(), _turn: turn }
    }

    /// Waits until no rollout touches the app, to move its processes within the current release. Any release that is
    /// announced from then on overtakes it; one that was announced before has to be looked for in the database.
    pub(crate) async fn enter_beside(&self, app: AppId) -> Turn {
        let slot = self.slot(app);
        let turn = Arc::clone(&slot.turn).lock_owned().await;
        let newest = slot.newest.subscribe();
        let seen = *newest.borrow();
        Turn { version: seen.code.max(seen.config), kind: Kind::Config, newest, _turn: turn }
    }

    /// A release of the app has ended, or a phase of one has begun: call it once that is committed.
    pub(crate) fn tell(&self, app: AppId) {
        self.slot(app).news.send_replace(());
    }

    /// Changes whenever the app's releases have news; register before you read what they are.
    pub(crate) fn news(&self, app: AppId) -> watch::Receiver<()> {
        self.slot(app).news.subscribe()
    }

    fn slot(&self, app: AppId) -> Arc<Slot> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Slot {
            turn: Arc::default(),
            newest: watch::channel(Newest::default()).0,
            news: watch::channel(()).0,
        };
        Arc::clone(apps.entry(app).or_insert_with(|| Arc::new(new())))
    }
}

impl Turn {
    /// Lets `work` go on until it ends; once a newer release overtakes this one, by its token.
    pub(crate) async fn guard<T>(&self, interrupt: &CancellationToken, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let newer = tokio::select! {
            outcome = &mut work => return outcome,
            newer = self.overtaken() => newer,
        };
        info!("v{} is interrupted by v{newer}", self.version);
        interrupt.cancel();
        work.await
    }

    /// Waits until a newer release overtakes this one; its version.
    pub(crate) async fn overtaken(&self) -> i64 {
        let mut newest = self.newest.clone();
        let overtaken = newest.wait_for(|newest| newest.overtakes(self.version, self.kind).is_some()).await;
        match overtaken.ok().and_then(|newest| newest.overtakes(self.version, self.kind)) {
            Some(version) => version,
            // The slot is never dropped while a turn is held; without it nobody could overtake.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    async fn is_overtaken(turn: &Turn) -> bool {
        tokio::select! {
            biased;
            _ = turn.overtaken() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn a_rollback_overtakes_a_push_in_flight_and_gets_the_turn_when_it_lets_go() {
        let rollouts = Arc::new(Rollouts::default());
        let app = AppId::new();
        let push = rollouts.enter(app, 12, Kind::Code).await;
        assert!(!is_overtaken(&push).await);
        let next = tokio::spawn({
            let rollouts = Arc::clone(&rollouts);
            async move { rollouts.enter(app, 13, Kind::Code).await }
        });
        assert_eq!(tokio::time::timeout(LONG, push.overtaken()).await, Ok(13));
        assert!(!next.is_finished());
        drop(push);
        tokio::time::timeout(LONG, next).await.expect("in time").expect("no panic");
    }

    #[tokio::test]
    async fn who_was_overtaken_before_it_began_finds_out_at_once() {
        let rollouts = Rollouts::default();
        let app = AppId::new();
        rollouts.announce(app, 13, Kind::Code);
        let late = rollouts.enter(app, 12, Kind::Code).await;
        assert!(is_overtaken(&late).await);
    }

    #[tokio::test]
    async fn scaling_waits_for_a_rollout_and_only_a_later_release_overtakes_it() {
        let rollouts = Rollouts::default();
        let app = AppId::new();
        drop(rollouts.enter(app, 12, Kind::Code).await);
        let scaling = rollouts.enter_beside(app).await;
        assert!(!is_overtaken(&scaling).await, "by a release that is over");
        rollouts.announce(app, 13, Kind::Config);
        assert!(is_overtaken(&scaling).await);
        assert!(tokio::time::timeout(Duration::from_millis(20), rollouts.enter_beside(app)).await.is_err());
    }

    #[tokio::test]
    async fn a_config_change_waits_for_a_push_but_overtakes_another_config_change() {
        let rollouts = Rollouts::default();
        let app = AppId::new();
        let push = rollouts.enter(app, 12, Kind::Code).await;
        rollouts.announce(app, 13, Kind::Config);
        assert!(!is_overtaken(&push).await);
        drop(push);
        let config = rollouts.enter(app, 13, Kind::Config).await;
        rollouts.announce(app, 14, Kind::Config);
        assert!(is_overtaken(&config).await);
    }
}
