//! What single verbs take besides the options of all.

use clap::{Args, ValueEnum};

use crate::domain::access::Role;
use crate::domain::names::{AppName, ProcessType};
use crate::domain::pipeline::Stage;

#[derive(Debug, Clone, Args)]
pub(crate) struct Login {
    /// The server's address, for example https://platform.example.com
    pub(crate) url: Option<String>,
    /// Write the block into ~/.ssh/config instead of printing it
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct KeysAdd {
    /// A `.pub` file, a key (`ssh-ed25519 AAAA…`), or `-`
    #[arg(trailing_var_arg = true)]
    pub(crate) key: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AppsCreate {
    /// 3 to 30 lower-case letters, digits and dashes
    pub(crate) name: Option<AppName>,
    /// The team that it belongs to
    #[arg(short, long)]
    pub(crate) team: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Positional {
    #[arg(value_name = "app")]
    pub(crate) named: Option<AppName>,
}

#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("chosen").required(true).args(["deployment", "selector", "release"])))]
pub(crate) struct AppsAdopt {
    #[arg(value_name = "app")]
    pub(crate) named: Option<AppName>,
    /// Where the Deployments are
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// A Deployment by name; may be given several times
    #[arg(short, long)]
    pub(crate) deployment: Vec<String>,
    /// Deployments by labels, as kubectl's --selector
    #[arg(short = 'l', long)]
    pub(crate) selector: Option<String>,
    /// A container (or init container) whose image pushes move; may be given several times
    #[arg(short, long, required_unless_present = "release")]
    pub(crate) container: Vec<String>,
    /// Adopt nothing any more
    #[arg(long, conflicts_with = "container")]
    pub(crate) release: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AppsDestroy {
    #[arg(value_name = "app")]
    pub(crate) named: Option<AppName>,
    /// The app's name once more
    #[arg(short, long)]
    pub(crate) confirm: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Newest {
    /// How many
    #[arg(short = 'n', long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) num: u16,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BuildsOutput {
    /// The number; the newest if left out
    pub(crate) build: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReleasesOutput {
    /// For example v12; the newest that has a release phase if left out
    pub(crate) release: Option<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
}

/// Which stretch of a text is printed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reading {
    /// Begin at this byte of the text
    #[arg(long, default_value_t = 0)]
    pub(crate) offset: u64,
    /// Print what is there, and do not wait for more
    #[arg(long)]
    pub(crate) no_follow: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Rollback {
    /// For example v12
    pub(crate) release: Option<String>,
    /// Do not wait until it runs
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ContainerRelease {
    /// Each process type with its image; types that are not named go on as they are
    #[arg(required = true, value_name = "type=image")]
    pub(crate) images: Vec<String>,
    /// Do not wait until it runs
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PipelinesAdd {
    /// The pipeline
    pub(crate) name: String,
    /// review, development, staging or production
    #[arg(short, long)]
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Promote {
    /// Apps of the pipeline in place of all of the next stage, comma-separated
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) to: Vec<AppName>,
    /// Do not wait until it runs
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BuildsRetry {
    /// The number; the newest if left out
    pub(crate) build: Option<String>,
    /// Do not follow its output
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Autoscaling {
    /// For example web
    #[arg(value_name = "type")]
    pub(crate) process_type: ProcessType,
    /// Processes at least
    #[arg(long, required_unless_present = "off")]
    pub(crate) min: Option<u32>,
    /// Processes at most
    #[arg(long, required_unless_present = "off")]
    pub(crate) max: Option<u32>,
    /// How much of its CPUs a process is to use on average, in percent
    #[arg(long, default_value_t = 70)]
    pub(crate) cpu: u32,
    /// Keep the number that runs now
    #[arg(long, conflicts_with_all = ["min", "max", "cpu"])]
    pub(crate) off: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Waiting {
    /// Only processes of this type
    #[arg(short = 't', long = "type", value_name = "type")]
    pub(crate) process_type: Option<ProcessType>,
    /// How long at most: 90s, 10m
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) limit: std::time::Duration,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Logs {
    /// Go on printing what is written from now on
    #[arg(short, long)]
    pub(crate) tail: bool,
    /// How many lines from before now: 100, or with --since 1500, if left out
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u16).range(1..=1500))]
    pub(crate) num: Option<u16>,
    /// Only a process type (`web`), one process (`web.1`), `api` or `router`
    #[arg(short, long, alias = "dyno", short_alias = 'd', value_parser = process_name)]
    pub(crate) ps: Option<String>,
    /// Only what processes write (`app`), or what the platform says (`slipway`)
    #[arg(short, long, value_enum)]
    pub(crate) source: Option<SourceWord>,
    /// Only lines since then: 10m, 2h, or a time such as 2026-11-26T15:00:00Z
    #[arg(long, value_parser = since)]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceWord {
    App,
    #[value(alias = "heroku")]
    Slipway,
}

impl SourceWord {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Slipway => "slipway",
        }
    }
}

/// A process type, `web.1`, or the name of a pod.
fn process_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !text.is_empty() && text.len() <= 253 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("it is a process type such as `web`, or a process such as `web.1`".to_owned())
    }
}

/// Checked here, meant by the server's clock.
fn since(text: &str) -> Result<String, String> {
    let known = humantime::parse_duration(text).is_ok() || text.parse::<jiff::Timestamp>().is_ok();
    if known {
        Ok(text.to_owned())
    } else {
        Err("it is a span such as `10m`, or a time such as `2026-11-26T15:00:00Z`".to_owned())
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// A variable for this process alone; may be given several times
    #[arg(short, long, value_name = "NAME=value")]
    pub(crate) env: Vec<String>,
    /// The size of the process, as of `ps:scale`
    #[arg(short, long)]
    pub(crate) size: Option<String>,
    /// Pipes in place of a terminal
    #[arg(short = 'x', long)]
    pub(crate) no_tty: bool,
    /// How long it may run, for example 30m
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) time_limit: Option<std::time::Duration>,
    /// Words, one line for a shell, or a process type of the Procfile
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunDetached {
    /// A variable for this process alone; may be given several times
    #[arg(short, long, value_name = "NAME=value")]
    pub(crate) env: Vec<String>,
    /// The size of the process, as of `ps:scale`
    #[arg(short, long)]
    pub(crate) size: Option<String>,
    /// How long it may run, for example 30m
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) time_limit: Option<std::time::Duration>,
    /// Words, one line for a shell, or a process type of the Procfile
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CronHistory {
    /// An entry; all if left out
    pub(crate) name: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) num: u16,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PsExec {
    /// The process, for example web.1, or a type: its first
    #[arg(short, long, alias = "dyno", short_alias = 'd', default_value = "web")]
    pub(crate) ps: String,
    /// Pipes in place of a terminal
    #[arg(short = 'x', long)]
    pub(crate) no_tty: bool,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "sh")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TeamChoice {
    /// A team in place of the app
    #[arg(short, long)]
    pub(crate) team: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AccessAdd {
    pub(crate) user: String,
    #[arg(short, long, value_enum, default_value_t = RoleWord::Deployer)]
    pub(crate) role: RoleWord,
    #[command(flatten)]
    pub(crate) team: TeamChoice,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AccessUpdate {
    pub(crate) user: String,
    #[arg(short, long, value_enum)]
    pub(crate) role: RoleWord,
    #[command(flatten)]
    pub(crate) team: TeamChoice,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AccessRemove {
    pub(crate) user: String,
    #[command(flatten)]
    pub(crate) team: TeamChoice,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UsersCreate {
    pub(crate) name: String,
    /// May do everything
    #[arg(long)]
    pub(crate) admin: bool,
    /// The team that they join
    #[arg(short, long, default_value = "default")]
    pub(crate) team: String,
    #[arg(short, long, value_enum, default_value_t = RoleWord::Deployer)]
    pub(crate) role: RoleWord,
    /// Address by which an OpenID Connect provider names them
    #[arg(long)]
    pub(crate) email: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UsersUpdate {
    pub(crate) name: String,
    /// Address by which an OpenID Connect provider names them; an empty one takes it away
    #[arg(long, required_unless_present = "admin")]
    pub(crate) email: Option<String>,
    /// Whether they may do everything
    #[arg(long, value_name = "BOOL")]
    pub(crate) admin: Option<bool>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AuthorizationsCreate {
    /// What it is for
    #[arg(short, long, default_value = "")]
    pub(crate) description: String,
    /// When it ends: 30d, 12h; never if left out
    #[arg(short, long, value_parser = humantime::parse_duration)]
    pub(crate) expires_in: Option<std::time::Duration>,
}

/// Roles as words of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleWord {
    Viewer,
    Deployer,
    Owner,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Viewer => Self::Viewer,
            RoleWord::Deployer => Self::Deployer,
            RoleWord::Owner => Self::Owner,
        }
    }
}
