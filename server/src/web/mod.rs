//! The HTTP door: the API, and what every request passes on its way in.

pub(crate) mod api;
mod admission;
mod body;
mod error;
mod etag;
mod range;
mod request;
pub(crate) mod router;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::extract::FromRef;
use sqlx::PgPool;

pub(crate) use admission::InProcess;

use crate::actions::Platform;
use api::shapes::Doors;

/// What handlers may ask for; each takes the narrowest part.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) platform: Platform,
    pub(crate) doors: Arc<Doors>,
    /// Renders the metrics; `None` where no recorder is installed.
    pub(crate) metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
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
