//! The requests that were answered, until the server has taken them for the apps' logs.
//!
//! Invariant: no request waits for a reader. What is over the bounds is dropped, and how much that was is told. What the
//! server has taken is forgotten only when it asks for what comes after it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::domain::names::AppName;

/// Lines that wait for the server, of all apps.
const WAITING: usize = 10_000;
/// Lines of one app in one second; more are counted only.
const A_SECOND: u32 = 1_000;
/// Lines that are handed over at a time.
const BATCH: usize = 1_000;

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) number: u64,
    pub(crate) app: AppName,
    pub(crate) at: Timestamp,
    /// Which of the app's processes it went to; `None` if to none.
    pub(crate) backend: Option<SocketAddr>,
    /// What stands before the name of the process, and behind it.
    pub(crate) before: String,
    pub(crate) after: String,
    /// Its HTTP status, and how long the answer took in milliseconds; 0 from a router of an earlier release.
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) millis: u64,
}

/// What the server is told.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// Numbers begin anew with each router.
    pub(crate) router: String,
    pub(crate) requests: Vec<Answered>,
    /// Requests that were dropped since the last answer.
    pub(crate) dropped: BTreeMap<AppName, u64>,
}

/// The requests that wait.
#[derive(Debug)]
pub(super) struct Requests {
    router: String,
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    waiting: VecDeque<Answered>,
    dropped: BTreeMap<AppName, u64>,
    /// The second that is counted, and how many lines of each app it has.
    second: i64,
    lately: HashMap<AppName, u32>,
}

impl Requests {
    pub(super) fn new() -> Self {
        let router = uuid::Uuid::now_v7().simple().to_string();
        Self { router, state: Mutex::default(), newest: watch::Sender::new(0) }
    }

    /// Adds a line; its number is given here.
    pub(super) fn add(&self, answered: Answered) {
        let mut state = self.lock();
        if state.too_many(&answered) {
            *state.dropped.entry(answered.app).or_default() += 1;
            return;
        }
        state.last += 1;
        let number = state.last;
        state.waiting.push_back(Answered { number, ..answered });
        if state.waiting.len() > WAITING
            && let Some(oldest) = state.waiting.pop_front()
        {
            *state.dropped.entry(oldest.app).or_default() += 1;
        }
        drop(state);
        self.newest.send_replace(number);
    }

    /// Lines after a number that this router has given, as soon as there are any, or after `patience`. Those up to the
    /// number are stored and forgotten here.
    pub(super) async fn after(&self, router: &str, number: u64, patience: Duration) -> Heard {
        let number = if router == self.router { number } else { 0 };
        let mut newest = self.newest.subscribe();
        self.lock().forget(number);
        // Nothing new, in time, is an answer too.
        drop(tokio::time::timeout(patience, newest.wait_for(|newest| *newest > number)).await);
        let mut state = self.lock();
        let waiting = state.waiting.iter().filter(|one| one.number > number);
        let requests = waiting.take(BATCH).cloned().collect();
        Heard { router: self.router.clone(), requests, dropped: std::mem::take(&mut state.dropped) }
    }

    /// Takes everything, for the router that has taken over.
    pub(super) fn take(&self) -> Vec<Answered> {
        std::mem::take(&mut self.lock().waiting).into()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn too_many(&mut self, answered: &Answered) -> bool {
        let second = answered.at.as_second();
        if self.second != second {
            self.second = second;
            self.lately.clear();
        }
        let lately = self.lately.entry(answered.app.clone()).or_default();
        *lately += 1;
        *lately > A_SECOND
    }

    fn forget(&mut self, number: u64) {
        while self.waiting.front().is_some_and(|one| one.number <= number) {
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(app: &str, second: i64) -> Answered {
        let at = Timestamp::from_second(second).expect("a time");
        let app = app.parse().expect("a name");
        Answered {
            number: 0,
            app,
            at,
            backend: None,
            before: String::new(),
            after: String::new(),
            status: 200,
            millis: 1,
        }
    }

    #[tokio::test]
    async fn what_was_taken_is_told_again_until_more_is_asked_for() {
        let requests = Requests::new();
        (0..3).for_each(|second| requests.add(answered("blog", second)));
        let numbers = |heard: &Heard| heard.requests.iter().map(|one| one.number).collect::<Vec<_>>();
        let first = requests.after("another router", 2, Duration::ZERO).await;
        assert_eq!(numbers(&first), [1, 2, 3]);
        assert_eq!(numbers(&requests.after("", 0, Duration::ZERO).await), [1, 2, 3]);
        assert_eq!(numbers(&requests.after(&first.router, 2, Duration::ZERO).await), [3]);
        assert_eq!(requests.take().len(), 1);
    }

    #[tokio::test]
    async fn what_is_over_the_bounds_is_counted_by_app() {
        let requests = Requests::new();
        (0..1_500).for_each(|_| requests.add(answered("loud", 1)));
        requests.add(answered("quiet", 1));
        (0..WAITING as i64).for_each(|second| requests.add(answered("blog", second + 2)));
        let heard = requests.after("", 0, Duration::ZERO).await;
        let dropped = |app: &str| heard.dropped.get(&app.parse().expect("a name")).copied();
        assert_eq!((dropped("loud"), dropped("quiet"), dropped("blog")), (Some(1_500), Some(1), None));
        assert_eq!(heard.requests.len(), BATCH);
        assert!(requests.after("", 0, Duration::ZERO).await.dropped.is_empty());
    }
}
