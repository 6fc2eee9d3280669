//! The harness of the end-to-end stories: a whole platform of its own, real people with real git, and the apps that
//! they push.
//!
//! Invariant: nothing that a story started outlives it. A [`Platform`] that is dropped stops its server, and fails the
//! story if jobs, containers or processes are left; a guard outside the test's process ends them even after a kill.
//!
//! What it needs stands in tests/README.md. A story whose needs are missing prints `skipped: …` and passes, unless
//! SLIPWAY_REQUIRE_ALL=1.

mod app;
mod attached;
mod browser;
mod checkout;
mod cluster;
mod engine;
mod forge;
mod gitea;
mod guard;
mod http;
mod hub;
mod hub_app;
mod lab;
mod oidc;
mod openapi;
mod own_engine;
mod parts;
mod person;
mod platform;
mod proxy;
mod pushing;
mod receiver;
mod second;
mod server;
mod services;
mod sink;
mod tls;
mod traffic;
mod wait;

pub use app::App;
pub use attached::Attached;
pub use browser::{Browser, Theme};
pub use checkout::{Checkout, Door};
pub use cluster::Cluster;
pub use engine::Engine;
pub use gitea::{Gitea, Hosted};
pub use http::Answer;
pub use hub::{Deployment, Hub};
pub use hub_app::HubApp;
pub use lab::{Lab, Told};
pub use oidc::Provider;
pub use own_engine::OwnEngine;
pub use parts::{Setting, engine_or_skip, skip, slipway};
pub use person::{Person, Said};
pub use platform::{Platform, Start};
pub use proxy::{Behind, Proxy};
pub use pushing::{Push, Pushing};
pub use receiver::{Received, Receiver};
pub use second::SecondServer;
pub use server::Server;
pub use services::Service;
pub use sink::{Sink, Speaks};
pub use traffic::{Counts, Traffic};
pub use wait::{LONG, SHORT, until, wait_for};
