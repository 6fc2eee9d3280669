//! The words of the verbs, the same for the command line and for SSH.

mod arguments;
mod hooks;

use clap::{Args, Parser, Subcommand};

use crate::domain::names::{AppName, ConfigKey};

pub(crate) use arguments::{
    AccessAdd, AccessRemove, AccessUpdate, AppsAdopt, AppsCreate, AppsDestroy, AuthorizationsCreate,
    Autoscaling, BuildsOutput, BuildsRetry, ContainerRelease, CronHistory, KeysAdd, Login, Logs, Newest,
    PipelinesAdd, Positional, Promote, PsExec, Reading, ReleasesOutput, Rollback, Run, RunDetached,
    TeamChoice, UsersCreate, UsersUpdate, Waiting,
};
pub(crate) use hooks::{
    HooksConnect, HooksSet, Ledger, OnOff, ReviewAppsEnable, WebhooksAdd, WebhooksUpdate,
};

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

    /// Print what a release phase wrote, and follow it to its end: of the newest release that has one, or for example v12
    #[command(name = "releases:output")]
    ReleasesOutput(ReleasesOutput),

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

    /// Cancel a build, or the release phase after it: the one that runs, or one by its number
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
    /// Print what the app's processes write, what the platform says of them, and the requests that were answered
    Logs(Logs),

    /// Run a command in a process of its own, with the app's code and config
    Run(Run),
    /// Run a command and leave it: its output goes to the app's log
    #[command(name = "run:detached")]
    RunDetached(RunDetached),
    /// List one-off processes that run
    #[command(name = "run:list")]
    RunList,
    /// End a one-off process, for example run.4821, or the run of an entry of cron: cron.clean
    #[command(name = "run:stop")]
    RunStop { name: String },
    /// Run a command in a process that runs already: a shell if none is named
    #[command(name = "ps:exec")]
    PsExec(PsExec),

    /// List what a clock starts: the entries of `cron` in app.json, with their next and last runs
    Cron,
    /// List runs of cron, newest first: of all entries, or of one
    #[command(name = "cron:history")]
    CronHistory(CronHistory),
    /// Run an entry of cron now
    #[command(name = "cron:run")]
    CronRun { name: String },

    /// List where the app's logs are sent
    Drains,
    /// Send the app's logs to a syslog server over TLS (syslog+tls://host:port) or to an HTTPS address
    #[command(name = "drains:add")]
    DrainsAdd { url: String },
    /// Send them there no longer: a drain by its address, token or id
    #[command(name = "drains:remove")]
    DrainsRemove { drain: String },

    /// List the web hooks that came for the app, newest first, and what each led to
    Hooks(Ledger),
    /// Have pushes to a repository elsewhere deploy the app: https://host/path, or git@host:path
    #[command(name = "hooks:connect")]
    HooksConnect(HooksConnect),
    /// Show which repository the app is connected to, and what to enter there
    #[command(name = "hooks:info")]
    HooksInfo,
    /// Change the branch that is followed, the token, or have the GitHub App in its place
    #[command(name = "hooks:set")]
    HooksSet(HooksSet),
    /// Let pushes there deploy by themselves, or not
    #[command(name = "hooks:automatic")]
    HooksAutomatic { state: OnOff },
    /// Wait until the checks of a commit at the host are good, or do not
    #[command(name = "hooks:checks")]
    HooksChecks { state: OnOff },
    /// Deploy only what changes these paths (services/api libs/*/src); without any, everything
    #[command(name = "hooks:watch")]
    HooksWatch {
        #[arg(value_name = "path")]
        paths: Vec<String>,
    },
    /// Make a new secret for the web hook; the old one counts for seven more days
    #[command(name = "hooks:secret:rotate")]
    HooksSecretRotate,
    /// End the connection; what runs goes on running
    #[command(name = "hooks:disconnect")]
    HooksDisconnect,
    /// Look at the branch now, and deploy its head if that was not done
    #[command(name = "hooks:check")]
    HooksCheck,
    /// Have a web hook worked on once more, by its id
    #[command(name = "hooks:redeliver")]
    HooksRedeliver { delivery: String },

    /// List the open pull requests of the connected repository, and their review apps
    #[command(name = "reviewapps")]
    ReviewApps,
    /// Have an app made for each pull request
    #[command(name = "reviewapps:enable")]
    ReviewAppsEnable(ReviewAppsEnable),
    /// Have none made, and remove those that there are
    #[command(name = "reviewapps:disable")]
    ReviewAppsDisable,
    /// Let a commit of a fork be built, after looking at it
    #[command(name = "reviewapps:approve")]
    ReviewAppsApprove { number: i64, commit: String },
    /// Remove the app of a pull request; the next push makes it again
    #[command(name = "reviewapps:remove")]
    ReviewAppsRemove { number: i64 },

    /// List whom the app tells of its builds and releases
    Webhooks,
    /// Have the app tell somebody of its builds and releases
    #[command(name = "webhooks:add")]
    WebhooksAdd(WebhooksAdd),
    /// Change whom a web hook tells, of what, or its secret, by id or address
    #[command(name = "webhooks:update")]
    WebhooksUpdate(WebhooksUpdate),
    /// Stop telling somebody, by id or address
    #[command(name = "webhooks:remove")]
    WebhooksRemove { webhook: String },
    /// List what was told, newest first, and how it was taken
    #[command(name = "webhooks:deliveries")]
    WebhooksDeliveries(Newest),
    /// Have something told once more, by the number of its delivery
    #[command(name = "webhooks:redeliver")]
    WebhooksRedeliver { delivery: String },

    /// List who has access to the app, or to a team
    Access(TeamChoice),
    /// Give somebody a role for the app: viewer, deployer or owner; with --team, for all apps of a team
    #[command(name = "access:add")]
    AccessAdd(AccessAdd),
    /// Change somebody's role for the app, or in a team
    #[command(name = "access:update")]
    AccessUpdate(AccessUpdate),
    /// Take somebody's role for the app away, or take them out of a team
    #[command(name = "access:remove")]
    AccessRemove(AccessRemove),

    /// List all users (admins)
    Users,
    /// Make a user and print their first token (admins)
    #[command(name = "users:create")]
    UsersCreate(UsersCreate),
    /// Change whether a user is an admin, or by which e-mail address they sign in (admins)
    #[command(name = "users:update")]
    UsersUpdate(UsersUpdate),
    /// Remove a user with their keys, tokens, sessions and roles (admins)
    #[command(name = "users:remove")]
    UsersRemove { name: String },
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
