//! Which app is served by which backends, and how many requests each of those has in flight.
//!
//! Invariant: choosing a backend and counting the request happen under one lock, and a route is replaced under the
//! same lock. So once a backend has left its route and its count is zero, no request can reach it any more.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::domain::names::AppName;

/// Requests that one backend may have in flight; more are answered 503.
const MAX_IN_FLIGHT: usize = 1024;

/// The web processes of one app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// The release that the backends run; for people, the router does not judge it.
    pub(crate) version: i64,
    /// Empty: the app is known and has no web process.
    pub(crate) backends: Vec<SocketAddr>,
}

/// Why no backend could be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoBackend {
    NoSuchApp,
    NoWebProcess,
    AllTried,
    AllBusy,
}

/// The routes in force. Cloned handles share one table.
#[derive(Debug)]
pub(super) struct Table {
    file: PathBuf,
    state: Mutex<State>,
    /// One writer of the file at a time, so that an older table never lands on a newer one.
    saving: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    routes: BTreeMap<AppName, Entry>,
    /// Every backend that has a route or a request; retired ones stay findable until their last request ends.
    backends: HashMap<SocketAddr, Weak<Backend>>,
}

#[derive(Debug)]
struct Entry {
    route: Route,
    backends: Vec<Arc<Backend>>,
    next: usize,
}

#[derive(Debug)]
struct Backend {
    address: SocketAddr,
    in_flight: watch::Sender<usize>,
}

/// One request's claim on a backend; dropping it ends the claim.
#[derive(Debug)]
pub(super) struct Lease {
    backend: Arc<Backend>,
}

impl Table {
    /// Reads the table that was saved last. A file that cannot be read is an empty table: the server sets it again.
    pub(super) fn load(file: PathBuf) -> Self {
        let routes: BTreeMap<AppName, Route> = read(&file).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), error = %error, "Starting without routes: the saved ones are unreadable");
            BTreeMap::new()
        });
        let table = Self { file, state: Mutex::default(), saving: tokio::sync::Mutex::default() };
        for (app, route) in routes {
            table.lock().set(app, route);
        }
        table
    }

    /// Puts an app's route in force, then saves the table.
    pub(super) async fn set(&self, app: AppName, route: Route) -> std::io::Result<()> {
        self.lock().set(app, route);
        self.save().await
    }

    /// Forgets an app, then saves the table.
    pub(super) async fn remove(&self, app: &AppName) -> std::io::Result<()> {
        self.lock().routes.remove(app);
        self.save().await
    }

    /// Whether there is a route, with backends or without.
    pub(super) fn knows(&self, app: &AppName) -> bool {
        self.lock().routes.contains_key(app)
    }

    pub(super) fn routes(&self) -> BTreeMap<AppName, Route> {
        self.lock().routes.iter().map(|(app, entry)| (app.clone(), entry.route.clone())).collect()
    }

    /// Chooses the next backend in turn that is not in `tried`, and counts a request on it.
    pub(super) fn lease(&self, app: &AppName, tried: &[SocketAddr]) -> Result<Lease, NoBackend> {
        self.lock().lease(app, tried)
    }

    /// Requests that `address` has in flight, as soon as there are none, or else after `patience`.
    pub(super) async fn drained(&self, address: SocketAddr, patience: Duration) -> usize {
        let backend = self.lock().backends.get(&address).and_then(Weak::upgrade);
        let Some(backend) = backend else { return 0 };
        let mut count = backend.in_flight.subscribe();
        let idle = tokio::time::timeout(patience, count.wait_for(|count| *count == 0)).await.is_ok();
        if idle { 0 } else { *backend.in_flight.borrow() }
    }

    /// Writes the table beside the file and renames it over. Not synced: after a loss of power the server, which
    /// knows better, sets the routes again.
    async fn save(&self) -> std::io::Result<()> {
        let _one_at_a_time = self.saving.lock().await;
        let text = serde_json::to_vec_pretty(&self.routes()).map_err(std::io::Error::other)?;
        let fresh = self.file.with_extension("new");
        tokio::fs::write(&fresh, text).await?;
        tokio::fs::rename(&fresh, &self.file).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, app: AppName, route: Route) {
        self.backends.retain(|_, backend| backend.strong_count() > 0);
        let backends = route.backends.iter().map(|address| self.backend(*address)).collect();
        self.routes.insert(app, Entry { route, backends, next: 0 });
    }

    fn backend(&mut self, address: SocketAddr) -> Arc<Backend> {
        if let Some(backend) = self.backends.get(&address).and_then(Weak::upgrade) {
            return backend;
        }
        let backend = Arc::new(Backend { address, in_flight: watch::Sender::new(0) });
        self.backends.insert(address, Arc::downgrade(&backend));
        backend
    }

    fn lease(&mut self, app: &AppName, tried: &[SocketAddr]) -> Result<Lease, NoBackend> {
        let entry = self.routes.get_mut(app).ok_or(NoBackend::NoSuchApp)?;
        if entry.backends.is_empty() {
            return Err(NoBackend::NoWebProcess);
        }
        let first = entry.next;
        entry.next = (first + 1) % entry.backends.len();
        let mut failure = NoBackend::AllTried;
        for backend in entry.backends[first..].iter().chain(&entry.backends[..first]) {
            if tried.contains(&backend.address) {
                continue;
            }
            if *backend.in_flight.borrow() < MAX_IN_FLIGHT {
                backend.in_flight.send_modify(|count| *count += 1);
                return Ok(Lease { backend: Arc::clone(backend) });
            }
            failure = NoBackend::AllBusy;
        }
        Err(failure)
    }
}

impl Lease {
    pub(super) fn address(&self) -> SocketAddr {
        self.backend.address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.in_flight.send_modify(|count| *count -= 1);
    }
}

fn read(file: &Path) -> std::io::Result<BTreeMap<AppName, Route>> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map_err(std::io::Error::other),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn blog() -> AppName {
        "blog".parse().expect("a name")
    }

    async fn table(directory: &Path, ports: &[u16]) -> Table {
        let table = Table::load(directory.join("routes.json"));
        let route = Route { version: 1, backends: ports.iter().map(|port| address(*port)).collect() };
        table.set(blog(), route).await.expect("saves");
        table
    }

    #[tokio::test]
    async fn backends_take_turns_and_tried_ones_are_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let table = table(directory.path(), &[1, 2, 3]).await;
        let turns: Vec<u16> =
            (0..4).map(|_| table.lease(&blog(), &[]).expect("a backend").address().port()).collect();
        assert_eq!(turns, [1, 2, 3, 1]);
        let all = [address(1), address(2), address(3)];
        assert_eq!(table.lease(&blog(), &all[..2]).expect("the third").address(), address(3));
        assert_eq!(table.lease(&blog(), &all).expect_err("all tried"), NoBackend::AllTried);
    }

    #[tokio::test]
    async fn a_retired_backend_counts_as_drained_only_when_its_last_request_has_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let table = table(directory.path(), &[1]).await;
        let lease = table.lease(&blog(), &[]).expect("a backend");
        table.set(blog(), Route { version: 2, backends: vec![address(2)] }).await.expect("saves");
        assert_eq!(table.drained(address(1), Duration::from_millis(10)).await, 1);
        let waiting = table.drained(address(1), Duration::from_secs(10));
        let (left, ()) = tokio::join!(waiting, async { drop(lease) });
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn routes_come_back_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let before = table(directory.path(), &[7]).await;
        let after = Table::load(directory.path().join("routes.json"));
        assert_eq!(after.routes(), before.routes());
        after.remove(&blog()).await.expect("saves");
        assert!(Table::load(directory.path().join("routes.json")).routes().is_empty());
    }
}
