//! `slipway`: one binary for the server, the apps' router and the command line.

mod actions;
mod accept;
mod actions;
mod app;
mod commands;
mod config;
mod crypto;
mod db;
mod docker;
mod domain;
mod doors;
mod git;
mod lifecycle;
mod local;
mod pipeline;
mod platform;
mod queue;
mod registry;
mod ssh;
mod target;
mod telemetry;
mod transcript;
mod web;

fn main() {}
