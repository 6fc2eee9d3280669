//! The HTTP door: the API, git, and what every request passes on its way in.

mod admission;
pub(crate) mod api;
pub(crate) mod auth;
mod body;
pub(crate) mod caps;
pub(crate) mod certificate;
mod error;
mod etag;
pub(crate) mod git;
mod hooks;
mod newest;
mod openapi;
mod range;
mod request;
pub(crate) mod router;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod throttle;
pub(crate) mod tls;
pub(crate) mod ui;

use std::sync::Arc;

use axum::extract::FromRef;
use sqlx::PgPool;

pub(crate) use admission::InProcess;

use crate::platform::Platform;
use crate::telemetry::MetricsPage;
use api::shapes::Doors;
use auth::Gate;

/// What handlers may ask for; each takes the narrowest part.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) platform: Platform,
    pub(crate) doors: Arc<Doors>,
    /// Renders the metrics; `None` where no recorder is installed.
    pub(crate) metrics: Option<MetricsPage>,
    /// Finds out who asks.
    pub(crate) gate: Gate,
}

impl FromRef<Web> for Platform {
    fn from_ref(web: &Web) -> Self {
        web.platform.clone()
    }
}

impl FromRef<Web> for PgPool {
    fn from_ref(web: &Web) -> Self {
        web.platform.pool.clone()
    }
}

impl FromRef<Web> for Arc<Doors> {
    fn from_ref(web: &Web) -> Self {
        web.doors.clone()
    }
}
