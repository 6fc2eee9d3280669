//! The verbs: one grammar for `slipway <verb>` and `ssh platform <verb>`.
//!
//! A verb parses words, asks the API through a [`Client`] (over the network, or in this process for SSH) and prints.
//! It decides nothing that the API has to decide, so that both doors behave alike.

mod access;
mod apps;
mod attached;
mod buildpacks;
mod builds;
pub(crate) mod cli;
pub(crate) mod client;
mod config;
mod cron;
mod drains;
mod failure;
mod formation;
pub(crate) mod grammar;
mod here;
mod hooks;
mod images;
mod keyboard;
mod keys;
mod login;
mod logs;
mod output;
mod people;
mod pipelines;
mod processes;
mod releases;
mod review_apps;
mod rollback;
mod run;
pub(crate) mod saved;
mod socket;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod webhooks;

pub(crate) use run::run_words;
