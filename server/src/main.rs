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
mod drains;
mod events;
mod git;
mod hooks;
mod journal;
mod lifecycle;
mod local;
mod openid;
mod passwords;
mod pipeline;
mod platform;
mod queue;
mod registry;
mod reports;
mod ssh;
mod target;
mod telemetry;
mod transcript;
mod web;
mod webhooks;

use std::process::ExitCode;

use commands::cli::{self, Command};

/// A build goes through many layers of futures, which a debug build keeps on the stack.
const STACK_BYTES: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build();
    match runtime {
        Ok(runtime) => {
            let status = runtime.block_on(run());
            // A thread that waits for the terminal's next key would keep the process here until somebody presses it.
            runtime.shutdown_background();
            status
        }
        Err(error) => report(Err(error)),
    }
}

async fn run() -> ExitCode {
    // Fails only if a provider is installed already, and this is the first thing that runs.
    drop(rustls::crypto::ring::default_provider().install_default());
    let cli = match cli::parse(std::env::args_os()).await {
        Ok(cli) => cli,
        Err(status) => return status.into(),
    };
    match cli.command {
        Command::Serve(args) => report(app::serve(*args).await.map(|ended| ended.exit_code())),
        Command::Router(settings) => report(route(*settings).await),
        Command::Admin(args) => report(app::admin::run(*args).await.map(|()| ExitCode::SUCCESS)),
        Command::Backup(args) => report(app::backup::backup(*args).await.map(|()| ExitCode::SUCCESS)),
        Command::Restore(args) => report(app::backup::restore(*args).await.map(|()| ExitCode::SUCCESS)),
        Command::Settings => {
            print!("{}", config::settings_page());
            ExitCode::SUCCESS
        }
        Command::Verb(verb) => cli::verb(cli.remote, cli.options, verb).await.into(),
    }
}

/// The apps' router: a process of its own.
async fn route(settings: local::router::Settings) -> anyhow::Result<ExitCode> {
    telemetry::start_logs(config::LogFormat::Human, "info")?;
    local::router::run(settings).await?;
    Ok(ExitCode::SUCCESS)
}

/// What could not start, or ended badly, is said in one line.
fn report<E: Into<anyhow::Error>>(outcome: Result<ExitCode, E>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("slipway: {:#}", error.into());
        ExitCode::FAILURE
    })
}
