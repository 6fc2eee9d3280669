//! The verbs: one grammar for `slipway <verb>` and `ssh platform <verb>`.
//!
//! A verb parses words, asks the API through a [`Client`] (over the network, or in this process for SSH) and prints.
//! It decides nothing that the API has to decide, so that both doors behave alike.

mod access;
mod apps;
mod buildpacks;
mod builds;
pub(crate) mod cli;
pub(crate) mod client;
mod config;
mod failure;
mod formation;
pub(crate) mod grammar;
mod here;
mod images;
mod keys;
mod login;
mod people;
mod pipelines;
mod processes;
mod releases;
mod rollback;
mod run;
pub(crate) mod saved;
pub(crate) mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod tokens;

pub(crate) use run::run_words;
