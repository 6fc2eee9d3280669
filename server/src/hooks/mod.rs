//! Repositories elsewhere: web hooks that tell of a push there, and the build here that follows from it.
//!
//! Invariants:
//! - A delivery is answered with 2xx when its row in the inbox is committed, and not before. All else is a job's.
//! - A delivery only says that the branch may have moved. What is built is the head that the repository itself has when
//!   the job looks, fetched from the app's own setting; so deliveries that come twice, late or in another order lead to
//!   one build of the newest head.
//! - The build and the verdict of the delivery that led to it are one transaction.
//!
//! One delivery of an app is judged at a time (the job's lane). Not fixed on purpose: a host that shows an older head to
//! a later question (a replica that lags) has that one built; the next delivery, or the search, sets it right.

pub(crate) mod address;
pub(crate) mod connect;
pub(crate) mod github_app;
mod judge;
pub(crate) mod outgoing;
mod pages;
pub(crate) mod payload;
mod pull;
mod reach;
pub(crate) mod receive;
pub(crate) mod review;
pub(crate) mod search;
mod secrets;
pub(crate) mod signature;
mod watch;

pub(crate) use judge::judge;
pub(crate) use pages::commit_page;
pub(crate) use reach::token_of;

use serde_json::Value;

use crate::db::deliveries;
use crate::db::jobs::NewJob;
use crate::domain::ids::{AppId, DeliveryId};

/// The kind of job that judges a delivery.
pub(crate) const DELIVERY: &str = "delivery";

/// A job with its lane, owned until it is enqueued.
pub(crate) struct Planned {
    lane: String,
    payload: Value,
}

/// Deliveries of one app are judged one after another.
pub(crate) fn job(app: AppId, delivery: DeliveryId) -> Planned {
    Planned { lane: format!("delivery:{app}"), payload: deliveries::payload(delivery) }
}

impl Planned {
    pub(crate) fn as_new(&self) -> NewJob<'_> {
        NewJob { kind: DELIVERY, lane: &self.lane, payload: self.payload.clone() }
    }
}
