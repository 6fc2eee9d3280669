//! The words of the verbs, the same for the command line and for SSH.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::access::Role;
use crate::domain::names::{AppName, ConfigKey, ProcessType};
use crate::domain::pipeline::Stage;

/// What `ssh platform …` takes.
#[derive(Debug, Parser)]
#[command(
    name = "platform",
    about = "Slipway: `git push` deploys",
    no_binary_name = true,
    disable_version_flag = true,
    subcommand_required = true,
    arg_required_else_help = true,
    override_usage = "ssh platform <verb> [--app <app>] …"
)]
pub(super) struct SshLine {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The app. In a checkout, the app of the git remote `platform` if left out
    #[arg(short, long, global = true)]
    pub(crate) app: Option<AppName>,
    /// Print JSON, as the API has it
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Say who you are to the platform
    Whoami,
    /// Print how to make `platform` a host of SSH (and sign in, on the command line)
    Login(Login),

    /// List your SSH keys
    Keys,
    /// Add an SSH key: a file, the key itself, or `-` for standard input
    #[command(name = "keys:add")]
    KeysAdd(KeysAdd),
    /// Remove an SSH key by its fingerprint, comment or id
    #[command(name = "keys:remove")]
    KeysRemove { key: String },

    /// List the apps that you can reach
    Apps,
    /// Make an app; without a name it gets one
    #[command(name = "apps:create", visible_alias = "create")]
    AppsCreate(AppsCreate),
    /// Show an app and its settings
    #[command(name = "apps:info", visible_alias = "info")]
    AppsInfo(Positional),
    /// Change settings: deploy-branch=main folder=apps/web dockerfile=deploy/Dockerfile buildpack=python
    /// builder=<image> health=/healthz (an empty value: as usual)
    #[command(name = "apps:set")]
    AppsSet {
        #[arg(required = true, value_name = "setting=value")]
        settings: Vec<String>,
    },
    /// Let pushes move Deployments that exist already
    #[command(name = "apps:adopt")]
    AppsAdopt(AppsAdopt),
    /// Destroy an app with its releases, builds and config vars
    #[command(name = "apps:destroy", visible_alias = "destroy")]
    AppsDestroy(AppsDestroy),

    /// Print the Dockerfile that a buildpack writes: for an app's last push, or (without --app, on the command line)
    /// for the HEAD of the checkout
    #[command(name = "buildpacks:dockerfile")]
    BuildpacksDockerfile,

    /// List releases, newest first
    Releases(Newest),
    /// Show a release: the current one, or for example v12
    #[command(name = "releases:info")]
    ReleasesInfo { release: Option<String> },

    /// Go back to an earlier release, code and config: the one before the current, or for example v12
    #[command(visible_alias = "releases:rollback")]
    Rollback(Rollback),

    /// Release images that were built elsewhere, by the digests that they have now: web=registry.example.com/blog:1.2
    #[command(name = "container:release")]
    ContainerRelease(ContainerRelease),

    /// List pipelines
    Pipelines,
    /// Show the apps of a pipeline: the named one, or the app's
    #[command(name = "pipelines:info")]
    PipelinesInfo { name: Option<String> },
    /// Make a pipeline with the app in it
    #[command(name = "pipelines:create")]
    PipelinesCreate(PipelinesAdd),
    /// Add the app to a pipeline, or move it to another stage
    #[command(name = "pipelines:add")]
    PipelinesAdd(PipelinesAdd),
    /// Take the app out of its pipeline
    #[command(name = "pipelines:remove")]
    PipelinesRemove,
    /// Destroy a pipeline; its apps stay
    #[command(name = "pipelines:destroy")]
    PipelinesDestroy { name: String },
    /// Release what the app runs in the next stage of its pipeline, without building it again
    #[command(name = "pipelines:promote")]
    PipelinesPromote(Promote),

    /// List builds, newest first
    Builds(Newest),
    /// Show a build: the newest, or one by its number
    #[command(name = "builds:info")]
    BuildsInfo { build: Option<String> },
    /// Print what a build wrote, and follow it to its end
    #[command(name = "builds:output")]
    BuildsOutput(BuildsOutput),

    /// Cancel a build: the one that runs, or one by its number
    #[command(name = "builds:cancel")]
    BuildsCancel { build: Option<String> },
    /// Build the commit of a build again: the newest, or one by its number
    #[command(name = "builds:retry")]
    BuildsRetry(BuildsRetry),

    /// List config vars with their values
    Config,
    /// Print the value of one config var
    #[command(name = "config:get")]
    ConfigGet { name: ConfigKey },
    /// Set config vars, which makes a release
    #[command(name = "config:set")]
    ConfigSet {
        #[arg(required = true, value_name = "NAME=value")]
        vars: Vec<String>,
    },
    /// Unset config vars, which makes a release
    #[command(name = "config:unset", visible_alias = "config:remove")]
    ConfigUnset {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<ConfigKey>,
    },

    /// List the app's processes
    Ps,
    /// Set how many processes run, and of which size: web=3 worker=1 web=2:large; without words, print it
    #[command(name = "ps:scale", alias = "scale")]
    PsScale {
        #[arg(value_name = "type=quantity[:size]")]
        types: Vec<String>,
    },
    /// Let a cluster choose how many processes run, by their CPUs
    #[command(name = "ps:autoscale")]
    PsAutoscale(Autoscaling),
    /// Replace processes by fresh ones, without a failed request: all, a type (web) or one by its name (web.1)
    #[command(name = "ps:restart", alias = "restart")]
    PsRestart { process: Option<String> },
    /// Stop the processes of a type (worker) or one by its name (worker.1)
    #[command(name = "ps:stop", alias = "stop", alias = "ps:kill")]
    PsStop { process: String },
    /// Wait until the current release runs on all processes
    #[command(name = "ps:wait")]
    PsWait(Waiting),
    /// Print what the app's processes write
    Logs(Logs),

    /// List who has access to the app, or to a team
    Access(TeamChoice),
    /// Give somebody a role in the app's team: viewer, deployer or owner
    #[command(name = "access:add")]
    AccessAdd(AccessAdd),
    /// Take somebody out of the app's team
    #[command(name = "access:remove")]
    AccessRemove(AccessRemove),

    /// List all users (admins)
    Users,
    /// Make a user and print their first token (admins)
    #[command(name = "users:create")]
    UsersCreate(UsersCreate),
    /// List teams
    Teams,
    /// Make a team (admins)
    #[command(name = "teams:create")]
    TeamsCreate { name: String },

    /// List your API tokens
    #[command(visible_alias = "tokens")]
    Authorizations,
    /// Make an API token; it is printed once
    #[command(name = "authorizations:create", visible_alias = "tokens:create")]
    AuthorizationsCreate(AuthorizationsCreate),
    /// End an API token by its id
    #[command(name = "authorizations:revoke", visible_alias = "tokens:revoke")]
    AuthorizationsRevoke { id: String },
}

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
    /// How many lines from before now
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1500))]
    pub(crate) num: u16,
    /// Only processes of this type
    #[arg(short, long, alias = "dyno", short_alias = 'd')]
    pub(crate) ps: Option<ProcessType>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TeamChoice {
    /// A team in place of the app's
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
