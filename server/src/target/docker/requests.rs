//! Reads the requests that the router has answered into the apps' logs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::DockerTarget;
use crate::domain::names::AppName;
use crate::journal::{Entry, Journals, ROUTER_RING, Source, clean};
use crate::local::router::{Answered, Heard};

/// How long the router may let us wait for a request.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Between two questions, so that many requests come at once.
const PAUSE: Duration = Duration::from_millis(50);
/// Before a router that went away is asked again.
const AWAY: Duration = Duration::from_secs(1);

/// How the router is called in a log.
const ROUTER: &str = "router";

impl DockerTarget {
    /// Reads on until `stop`.
    pub(super) async fn collect_requests(&self, journals: &Journals, stop: &CancellationToken) {
        let (mut router, mut after) = (String::new(), 0);
        let mut stored = Stored::default();
        loop {
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                heard = self.router.requests(&router, after, LONGEST_WAIT) => heard,
            };
            let pause = match heard {
                Ok(heard) => {
                    if heard.router != router {
                        (router, after) = (heard.router.clone(), 0);
                        stored = Stored::default();
                    }
                    after = heard.requests.last().map_or(after, |last| last.number);
                    self.store(journals, &mut stored, heard).await;
                    PAUSE
                }
                Err(error) => {
                    tracing::debug!("The router does not tell its requests: {error}");
                    AWAY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn store(&self, journals: &Journals, stored: &mut Stored, heard: Heard) {
        let mut entries: BTreeMap<AppName, Vec<Entry>> = BTreeMap::new();
        for answered in heard.requests {
            if stored.is_new(journals, &heard.router, &answered).await {
                let took = Duration::from_millis(answered.millis);
                self.count_requests(&answered.app, |traffic| traffic.add(answered.status, took));
                let app = answered.app.clone();
                entries.entry(app).or_default().push(self.entry(&heard.router, answered));
            }
        }
        for (app, count) in heard.dropped {
            self.count_requests(&app, |traffic| traffic.requests += count);
            let text = format!("Error L10 (Output buffer overflow) -> {count} requests are not told here");
            entries.entry(app).or_default().push(said(Timestamp::now(), String::new(), text));
        }
        for (app, entries) in entries {
            journals.app(&app).append(ROUTER_RING, entries).await;
        }
    }

    fn entry(&self, router: &str, answered: Answered) -> Entry {
        let Answered { number, at, backend, before, after, .. } = answered;
        // One that has gone since the server began is not known by its address.
        let name = |address| self.process_at(address).unwrap_or_else(|| "web".to_owned());
        let process = backend.map(name).unwrap_or_default();
        said(at, format!("{router}:{number}"), format!("{before} dyno={process} {after}"))
    }
}

fn said(at: Timestamp, cursor: String, text: String) -> Entry {
    Entry {
        at,
        source: Source::Slipway,
        process: ROUTER.to_owned(),
        kind: ROUTER.to_owned(),
        cursor,
        text: clean(&text).into_owned(),
    }
}

/// How far each app's requests are stored already, which a server that begins has to look up.
#[derive(Default)]
struct Stored {
    apps: HashMap<AppName, u64>,
}

impl Stored {
    async fn is_new(&mut self, journals: &Journals, router: &str, answered: &Answered) -> bool {
        let stored = match self.apps.get(&answered.app) {
            Some(stored) => *stored,
            None => {
                let cursor = journals.app(&answered.app).resume(ROUTER_RING).await.cursor;
                let of_this = cursor.split_once(':').filter(|(whose, _)| *whose == router);
                let stored = of_this.and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
                self.apps.insert(answered.app.clone(), stored);
                stored
            }
        };
        answered.number > stored
    }
}
