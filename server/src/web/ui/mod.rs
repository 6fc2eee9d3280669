//! The web page for the people who run the platform: rendered on the server, below `/ui`.
//!
//! Invariants: every route states what it takes in the table of [`router`], and [`admission`] asks the one authorise
//! function, as for the API; no form is taken that a page of ours has not shown to this very browser; nothing that an
//! app, a commit or a log says reaches a page but as escaped text, and pages run no script but the one file of ours.

mod access;
mod account;
mod account_secrets;
mod activity;
mod admission;
mod apps;
mod assets;
mod bar;
mod builds;
mod chart;
mod colours;
mod compare;
mod cookie;
mod follow;
mod history;
mod hooks;
mod mark;
mod metrics;
mod openid;
mod page;
mod people;
mod question;
mod release;
mod review_apps;
pub(crate) mod router;
mod search;
mod sign_in;
mod storage;
mod system;
mod teams;
#[cfg(test)]
mod tests;
mod text;
mod webhooks;

use std::sync::Arc;

use axum::extract::FromRef;
use sqlx::PgPool;

pub(super) use page::trouble;

use super::Web;
use crate::openid::OpenId;
use crate::platform::Platform;
use sign_in::SignIns;

/// What the page's handlers may ask for.
#[derive(Clone)]
pub(super) struct Ui {
    web: Web,
    sign_ins: Arc<SignIns>,
    rendered: Arc<follow::Rendered>,
    /// The provider by which people may sign in, if there is one.
    openid: Option<Arc<OpenId>>,
}

impl FromRef<Ui> for Platform {
    fn from_ref(ui: &Ui) -> Self {
        ui.web.platform.clone()
    }
}

impl FromRef<Ui> for PgPool {
    fn from_ref(ui: &Ui) -> Self {
        ui.web.platform.pool.clone()
    }
}
