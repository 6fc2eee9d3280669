//! `slipway`: one binary for the server, the apps' router and the command line.

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

use std::process::ExitCode;

use commands::cli::{self, Command};

#[tokio::main]
async fn main() -> ExitCode {
    // Fails only if a provider is installed already, and this is the first thing that runs.
    drop(rustls::crypto::ring::default_provider().install_default());
    let cli = match cli::parse(std::env::args_os()).await {
        Ok(cli) => cli,
        Err(status) => return status.into(),
    };
    match cli.command {
        Command::Serve(args) => report(app::serve(*args).await.map(|ended| ended.exit_code())),
        Command::Router(settings) => report(local::router::run(*settings).await.map(|()| ExitCode::SUCCESS)),
        Command::Admin(args) => report(app::admin::run(*args).await.map(|()| ExitCode::SUCCESS)),
        Command::Settings => {
            print!("{}", config::settings_page());
            ExitCode::SUCCESS
        }
        Command::Verb(verb) => cli::verb(cli.remote, cli.options, verb).await.into(),
    }
}

/// What could not start, or ended badly, is said in one line.
fn report<E: Into<anyhow::Error>>(outcome: Result<ExitCode, E>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("slipway: {:#}", error.into());
        ExitCode::FAILURE
    })
}
