//! From words to a verb, from a verb to an exit status.

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::client::Client;
use super::failure::Failure;
use super::grammar::{Options, SshLine, Verb};
use super::terminal::Terminal;
use super::{
    access, apps, attached, buildpacks, builds, config, cron, drains, formation, here, hooks, images, keys,
    login, logs, people, pipelines, processes, releases, review_apps, rollback, tokens, webhooks,
};
use crate::domain::names::AppName;

/// What every verb works with.
pub(crate) struct Session {
    pub(super) client: Client,
    pub(super) terminal: Terminal,
    pub(super) options: Options,
    pub(super) door: Door,
}

/// Which door the words came through: files and git remotes are at hand on the command line only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    CommandLine,
    Ssh,
}

/// Runs the words of an `ssh platform <words>`; the exit status.
pub(crate) async fn run_words(words: &[String], client: Client, mut terminal: Terminal) -> u8 {
    match SshLine::try_parse_from(words) {
        Ok(line) => Session { client, terminal, options: line.options, door: Door::Ssh }.run(line.verb).await,
        Err(error) => explain(&error, "ssh platform", &mut terminal).await,
    }
}

/// Runs a verb that the command line has parsed; the exit status.
pub(crate) async fn run_cli(verb: Verb, options: Options, client: Client, terminal: Terminal) -> u8 {
    Session { client, terminal, options, door: Door::CommandLine }.run(verb).await
}

/// Says what is wrong with the words, with the nearest verb; help goes to the output and is no failure.
pub(crate) async fn explain(error: &clap::Error, prefix: &str, terminal: &mut Terminal) -> u8 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        drop(terminal.bytes(error.to_string().as_bytes()).await);
        return 0;
    }
    let failure = Failure::Usage(match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_verb(error, prefix),
        _ => error.to_string().trim_start_matches("error: ").trim_end().to_owned(),
    });
    terminal.complain(&failure.to_string()).await;
    failure.status()
}

fn unknown_verb(error: &clap::Error, prefix: &str) -> String {
    let word = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => word.chars().filter(|c| !c.is_control()).take(40).collect(),
        _ => String::new(),
    };
    let nearest = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::String(nearest)) => Some(nearest.clone()),
        Some(ContextValue::Strings(nearest)) => nearest.last().cloned(),
        _ => None,
    };
    let hint = nearest.map_or_else(
        || format!("`{prefix} help` lists the verbs"),
        |nearest| format!("did you mean `{nearest}`? `{prefix} help` lists the verbs"),
    );
    format!("`{word}` is not a verb: {hint}")
}

impl Session {
    async fn run(mut self, verb: Verb) -> u8 {
        match self.dispatch(verb).await {
            Ok(()) => 0,
            Err(failure) => {
                if !matches!(failure, Failure::OutputGone(_) | Failure::Exited(_)) {
                    self.terminal.complain(&failure.to_string()).await;
                }
                failure.status()
            }
        }
    }

    async fn dispatch(&mut self, verb: Verb) -> Result<(), Failure> {
        match verb {
            Verb::Whoami => people::whoami(self).await,
            Verb::Login(args) => login::login(self, args).await,
            Verb::Keys => keys::list(self).await,
            Verb::KeysAdd(args) => keys::add(self, args).await,
            Verb::KeysRemove { key } => keys::remove(self, &key).await,
            Verb::Apps => apps::list(self).await,
            Verb::AppsCreate(args) => apps::create(self, args).await,
            Verb::AppsInfo(args) => apps::info(self, args).await,
            Verb::AppsSet { settings } => apps::set(self, &settings).await,
            Verb::AppsAdopt(args) => apps::adopt(self, args).await,
            Verb::AppsDestroy(args) => apps::destroy(self, args).await,
            Verb::BuildpacksDockerfile => buildpacks::of_app(self).await,
            Verb::Releases(args) => releases::list(self, args).await,
            Verb::ReleasesInfo { release } => releases::info(self, release).await,
            Verb::ReleasesOutput(args) => releases::output(self, args).await,
            Verb::Rollback(args) => rollback::roll_back(self, args).await,
            Verb::ContainerRelease(args) => images::release(self, args).await,
            Verb::Pipelines => pipelines::list(self).await,
            Verb::PipelinesInfo { name } => pipelines::info(self, name).await,
            Verb::PipelinesCreate(args) => pipelines::create(self, args).await,
            Verb::PipelinesAdd(args) => pipelines::add(self, args).await,
            Verb::PipelinesRemove => pipelines::remove(self).await,
            Verb::PipelinesDestroy { name } => pipelines::destroy(self, &name).await,
            Verb::PipelinesPromote(args) => pipelines::promote(self, args).await,
            Verb::Builds(args) => builds::list(self, args).await,
            Verb::BuildsInfo { build } => builds::info(self, build).await,
            Verb::BuildsOutput(args) => builds::output(self, args).await,
            Verb::BuildsCancel { build } => builds::cancel(self, build).await,
            Verb::BuildsRetry(args) => builds::retry(self, args).await,
            Verb::Config => config::list(self).await,
            Verb::ConfigGet { name } => config::get(self, &name).await,
            Verb::ConfigSet { vars } => config::set(self, &vars).await,
            Verb::ConfigUnset { names } => config::unset(self, &names).await,
            Verb::Ps => processes::list(self).await,
            Verb::PsScale { types } => formation::scale(self, &types).await,
            Verb::PsAutoscale(args) => formation::autoscale(self, args).await,
            Verb::PsRestart { process } => formation::restart(self, process).await,
            Verb::PsStop { process } => formation::stop(self, &process).await,
            Verb::PsWait(args) => formation::wait(self, args).await,
            Verb::Logs(args) => logs::print(self, args).await,
            Verb::Drains => drains::list(self).await,
            Verb::DrainsAdd { url } => drains::add(self, url).await,
            Verb::DrainsRemove { drain } => drains::remove(self, &drain).await,
            Verb::Hooks(args) => hooks::list(self, args).await,
            Verb::HooksConnect(args) => hooks::connect(self, args).await,
            Verb::HooksInfo => hooks::info(self).await,
            Verb::HooksSet(args) => hooks::set(self, args).await,
            Verb::HooksAutomatic { state } => hooks::automatic(self, state).await,
            Verb::HooksChecks { state } => hooks::checks(self, state).await,
            Verb::HooksWatch { paths } => hooks::watch(self, paths).await,
            Verb::HooksSecretRotate => hooks::rotate(self).await,
            Verb::HooksDisconnect => hooks::disconnect(self).await,
            Verb::HooksCheck => hooks::check(self).await,
            Verb::HooksRedeliver { delivery } => hooks::redeliver(self, &delivery).await,
            Verb::ReviewApps => review_apps::list(self).await,
            Verb::ReviewAppsEnable(args) => review_apps::enable(self, args).await,
            Verb::ReviewAppsDisable => review_apps::disable(self).await,
            Verb::ReviewAppsApprove { number, commit } => review_apps::approve(self, number, commit).await,
            Verb::ReviewAppsRemove { number } => review_apps::remove(self, number).await,
            Verb::Webhooks => webhooks::list(self).await,
            Verb::WebhooksAdd(args) => webhooks::add(self, args).await,
            Verb::WebhooksUpdate(args) => webhooks::update(self, args).await,
            Verb::WebhooksRemove { webhook } => webhooks::remove(self, &webhook).await,
            Verb::WebhooksDeliveries(args) => webhooks::deliveries(self, args).await,
            Verb::WebhooksRedeliver { delivery } => webhooks::redeliver(self, &delivery).await,
            Verb::Run(args) => attached::run(self, args).await,
            Verb::RunDetached(args) => cron::run_detached(self, args).await,
            Verb::Cron => cron::list(self).await,
            Verb::CronHistory(args) => cron::history(self, args).await,
            Verb::CronRun { name } => cron::start(self, &name).await,
            Verb::RunList => attached::list(self).await,
            Verb::RunStop { name } => attached::stop(self, &name).await,
            Verb::PsExec(args) => attached::exec(self, args).await,
            Verb::Access(args) => access::list(self, args).await,
            Verb::AccessAdd(args) => access::add(self, args).await,
            Verb::AccessUpdate(args) => access::update(self, args).await,
            Verb::AccessRemove(args) => access::remove(self, args).await,
            Verb::Users => people::users(self).await,
            Verb::UsersCreate(args) => people::create_user(self, args).await,
            Verb::UsersUpdate(args) => people::update_user(self, args).await,
            Verb::UsersRemove { name } => people::remove_user(self, &name).await,
            Verb::Teams => people::teams(self).await,
            Verb::TeamsCreate { name } => people::create_team(self, &name).await,
            Verb::Authorizations => tokens::list(self).await,
            Verb::AuthorizationsCreate(args) => tokens::create(self, args).await,
            Verb::AuthorizationsRevoke { id } => tokens::revoke(self, &id).await,
        }
    }

    /// The app that the verb is about: named, `--app`, or the checkout's.
    pub(super) async fn app(&self, named: Option<AppName>) -> Result<AppName, Failure> {
        if let Some(app) = named.or_else(|| self.options.app.clone()) {
            return Ok(app);
        }
        if self.door == Door::CommandLine
            && let Some(app) = here::app_of_checkout().await
        {
            return Ok(app);
        }
        Err(Failure::refused(match self.door {
            Door::CommandLine => {
                "which app? Say --app <app>, or run this in a checkout with a git remote `platform`; `slipway apps` lists yours"
            }
            Door::Ssh => "which app? Say --app <app>; `ssh platform apps` lists yours",
        }))
    }

    /// How a verb is typed at this door, for hints.
    pub(super) fn typed(&self, verb: &str) -> String {
        match self.door {
            Door::CommandLine => format!("slipway {verb}"),
            Door::Ssh => format!("ssh platform {verb}"),
        }
    }
}
