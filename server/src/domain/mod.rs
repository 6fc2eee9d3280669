//! The words of the platform, pure: no I/O, no async, no SQL.

pub(crate) mod access;
pub(crate) mod app_json;
pub(crate) mod batch;
pub(crate) mod blueprint;
pub(crate) mod build;
pub(crate) mod cron;
pub(crate) mod formation;
pub(crate) mod github_app;
pub(crate) mod health;
pub(crate) mod hook;
pub(crate) mod ids;
pub(crate) mod image;
pub(crate) mod latency;
pub(crate) mod names;
pub(crate) mod networks;
pub(crate) mod pipeline;
pub(crate) mod procfile;
pub(crate) mod public_key;
pub(crate) mod release;
pub(crate) mod review;
pub(crate) mod token;
pub(crate) mod webhook;
