//! The command line: parses the words, finds the server, runs the verb.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::sync::Mutex;

use clap::{Parser, Subcommand};

use super::buildpacks;
use super::grammar::{Options, Verb};
use super::run::{explain, run_cli};
use super::saved::{self, Remote};
use super::terminal::{Colours, Keys, Terminal};
use crate::app::admin::AdminArgs;
use crate::app::backup::{BackupArgs, RestoreArgs};
use crate::config::ServeArgs;
use crate::local::router;

#[derive(Debug, Parser)]
#[command(name = "slipway", version, about = "Slipway: `git push` deploys", arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) remote: Remote,
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `slipway` can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(Box<ServeArgs>),
    /// Route requests to apps; the server starts this by itself
    #[command(hide = true)]
    Router(Box<router::Settings>),
    /// Make an admin on the server's own machine and print their token
    Admin(Box<AdminArgs>),
    /// Write the whole platform into a file, on the server's own machine, while it runs
    Backup(Box<BackupArgs>),
    /// Make the platform anew from such a file
    Restore(Box<RestoreArgs>),
    /// Print every setting of the server, as docs/SETTINGS.md has it
    Settings,
    #[command(flatten)]
    Verb(Verb),
}

/// Parses the process' own words; what is wrong with them is said, and is the exit status.
pub(crate) async fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    match Cli::try_parse_from(words) {
        Ok(cli) => Ok(cli),
        Err(error) => Err(explain(&error, "slipway", &mut terminal()).await),
    }
}

/// Runs a verb over the network; the exit status.
pub(crate) async fn verb(remote: Remote, options: Options, verb: Verb) -> u8 {
    let mut terminal = terminal();
    if matches!(verb, Verb::BuildpacksDockerfile) && options.app.is_none() {
        return buildpacks::of_checkout(&mut terminal).await;
    }
    match saved::client(remote, &verb) {
        Ok(client) => run_cli(verb, options, client, terminal).await,
        Err(failure) => {
            terminal.complain(&failure.to_string()).await;
            failure.status()
        }
    }
}

/// The process' own streams.
fn terminal() -> Terminal {
    let watched = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    Terminal {
        input: Mutex::new(Box::new(tokio::io::stdin())),
        out: Box::new(tokio::io::stdout()),
        err: Box::new(tokio::io::stderr()),
        keys: Keys::Own,
        colours: if watched { Colours::Terminal } else { Colours::Never },
    }
}
