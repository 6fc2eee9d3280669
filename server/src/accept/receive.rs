//! One push, step by step: read, check, accept, follow, report.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use tokio::io::AsyncWriteExt;
use tracing::{info, warn};

use super::dry_run;
use super::policy::{Options, Ruling, rule};
use super::verdict::{self, Verdict};
use crate::actions::ActionError;
use crate::actions::builds::{Accepted, Trigger, Wish};
use crate::db::apps::App;
use crate::db::builds::{self, Build};
use crate::domain::access::Principal;
use crate::domain::build::BuildStatus;
use crate::doors::{Exchange, GitStreams, Input, Output};
use crate::git::receive::{
    self, Command, Fault, PackError, ReceiveLimits, RefOutcome, RefResult, Reply, Request, RequestError,
    all_or_nothing,
};
use crate::git::{RefUpdate, Repository};
use crate::local::disk;
use crate::pipeline::log::Follower;
use crate::platform::Platform;

/// How long a follower waits for a database that is away before it lets go of the build, which goes on.
const DATABASE_PATIENCE: usize = 60;
/// Between two looks.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// Who pushes to what.
pub(super) struct Push {
    pub(super) platform: Arc<Platform>,
    pub(super) app: App,
    pub(super) repository: Repository,
    pub(super) principal: Principal,
}

/// Speaks git's push protocol to its end.
///
/// # Errors
/// The client left or does not speak the protocol; whatever was accepted goes on.
pub(super) async fn serve(push: &Push, exchange: Exchange, streams: GitStreams) -> anyhow::Result<()> {
    let GitStreams { mut input, mut output } = streams;
    if exchange != Exchange::Rpc {
        receive::advertise(&push.repository, &mut output).await?;
    }
    if exchange == Exchange::Advertise {
        return Ok(());
    }
    let limits = push.limits();
    let request = match receive::read_request(&push.repository, &mut input, &limits).await {
        Ok(None) => return Ok(output.shutdown().await?),
        Ok(Some(request)) => request,
        Err(RequestError::Refused { request, problem }) => {
            Reply::new(output, &request).refuse(&request, &problem.to_string()).await?;
            receive::linger(&mut input).await;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut reply = Reply::new(output, &request);
    if let Err(full) = disk::check(push.platform.data_dir(), push.platform.settings.limits.watermark()) {
        reply.refuse(&request, &full.to_string()).await?;
        receive::linger(&mut input).await;
        return Ok(());
    }
    // The pack is taken even if every ref is going to be refused: a client that is not listened to shows no reason.
    match receive::take_pack(&push.repository, &request, &mut input, &mut reply, &limits).await {
        Ok(quarantine) => quarantine.migrate().await.context("moving the pack into the repository")?,
        Err(error) => return refuse_pack(reply, &request, error, &mut input).await,
    }
    push.decide(&request, reply).await
}

async fn refuse_pack(
    reply: Reply<Output>,
    request: &Request,
    error: PackError,
    input: &mut Input,
) -> anyhow::Result<()> {
    let sentence = match error.fault() {
        Fault::Connection => return Err(error.into()),
        Fault::Pusher => error.to_string(),
        Fault::Platform => {
            let said = format!("{error}: nothing was accepted; the platform's log has the cause");
            warn!("The pack was not taken: {:#}", anyhow::Error::new(error));
            said
        }
    };
    let results =
        request.commands.iter().map(|command| RefResult::refused(&command.name, &sentence)).collect();
    reply.report(Err(sentence.clone()), results).await?;
    receive::linger(input).await;
    Ok(())
}

impl Push {
    fn limits(&self) -> ReceiveLimits {
        let limits = &self.platform.settings.limits;
        ReceiveLimits {
            max_pack_bytes: limits.pack_bytes,
            refs: limits.refs as usize,
            options: limits.push_options as usize,
            ..ReceiveLimits::default()
        }
    }

    /// Rules on every ref, moves the tags, deploys the branch.
    async fn decide(&self, request: &Request, mut reply: Reply<Output>) -> anyhow::Result<()> {
        let options = Options::parse(&request.options);
        if !options.unknown.is_empty() {
            let names = options.unknown.join(", ");
            let known = Options::KNOWN;
            say(
                &mut reply,
                &format!(
                    " !     Push options that are not known here are ignored: {names}. Known: {known}\n"
                ),
            )
            .await?;
        }
        let rulings: Vec<Ruling> =
            request.commands.iter().map(|command| rule(command, &self.app.deploy_branch)).collect();
        let planned = request.commands.iter().zip(&rulings).map(|(command, ruling)| match ruling {
            Ruling::Refuse(reason) => RefResult::refused(&command.name, reason),
            Ruling::Move if options.dry_run => {
                RefResult::refused(&command.name, "dry run: nothing was moved")
            }
            Ruling::Deploy | Ruling::Move => RefResult::moved(&command.name),
        });
        let mut results = all_or_nothing(request, planned.collect());
        // Tags do not wait for the build, unless all refs are to move or none.
        if !request.capabilities.atomic {
            self.move_tags(request, &rulings, &mut results).await;
        }
        for ((command, ruling), result) in request.commands.iter().zip(&rulings).zip(&mut results) {
            if !result.is_refused() && *ruling == Ruling::Deploy {
                result.outcome = self.deploy(command, &options, &mut reply).await?;
            }
        }
        if request.capabilities.atomic {
            results = all_or_nothing(request, results);
            self.move_tags(request, &rulings, &mut results).await;
        }
        reply.report(Ok(()), results).await?;
        Ok(())
    }

    async fn move_tags(&self, request: &Request, rulings: &[Ruling], results: &mut [RefResult]) {
        for ((command, ruling), result) in request.commands.iter().zip(rulings).zip(results) {
            if !result.is_refused() && *ruling == Ruling::Move {
                result.outcome = self.move_tag(command).await;
            }
        }
    }

    async fn move_tag(&self, command: &Command) -> RefOutcome {
        let update = RefUpdate { name: command.name.clone(), new: command.new, expected: command.old };
        match self.repository.update_refs(&[update]).await {
            Ok(()) => RefOutcome::Moved,
            Err(error) => RefOutcome::Refused(error.to_string()),
        }
    }

    async fn deploy(
        &self,
        command: &Command,
        options: &Options,
        reply: &mut Reply<Output>,
    ) -> anyhow::Result<RefOutcome> {
        if options.dry_run {
            return self.dry_run(command, reply).await;
        }
        let accepted = match self.accept(command, options).await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!("The push was not accepted: {error:#}");
                return Ok(RefOutcome::Refused(format!("not accepted: {}", error.said())));
            }
        };
        info!(build.number = accepted.number, commit = %command.new, "Accepted a push");
        if options.cancel_running {
            self.cancel_running(&accepted, reply).await?;
        }
        if let Some(old) = accepted.superseded {
            say(reply, &format!("-----> Build {old} was waiting; this one takes its place\n")).await?;
        }
        if options.detach {
            let app = &self.app.name;
            let number = accepted.number;
            say(
                reply,
                &format!("-----> Build {number} is accepted; to watch it: builds:output {number} -a {app}\n"),
            )
            .await?;
            return Ok(elsewhere(&accepted, command));
        }
        self.follow(&accepted, command, reply).await
    }

    async fn accept(&self, command: &Command, options: &Options) -> Result<Accepted, ActionError> {
        let internal = |error: anyhow::Error| ActionError::Internal(error);
        let commit =
            self.repository.commit_info(command.new).await.map_err(|error| internal(error.into()))?;
        let forced = !command.creates()
            && !self
                .repository
                .is_ancestor(command.old, command.new)
                .await
                .map_err(|error| internal(error.into()))?;
        let wish = Wish {
            trigger: Trigger::Push,
            commit,
            branch_was: (!command.creates()).then_some(command.old),
            forced,
            detached: options.detach,
            no_cache: options.no_cache,
        };
        self.platform.accept(&self.app, (&self.principal).into(), &self.repository, &wish).await
    }

    async fn cancel_running(&self, accepted: &Accepted, reply: &mut Reply<Output>) -> anyhow::Result<()> {
        match self.platform.cancel_before(&self.app, &self.principal, accepted.number).await {
            Ok(Some(build)) => say(reply, &format!("-----> Canceled build {}\n", build.number)).await,
            Ok(None) => Ok(()),
            Err(error) => {
                say(reply, &format!(" !     The running build was not canceled: {}\n", error.said())).await
            }
        }
    }

    /// Hands the log on until it is closed; then how it ended.
    async fn follow(
        &self,
        accepted: &Accepted,
        command: &Command,
        reply: &mut Reply<Output>,
    ) -> anyhow::Result<RefOutcome> {
        self.say_who_is_before(accepted, reply).await?;
        let mut follower = Follower::new(self.platform.pool.clone(), &self.platform.logs, accepted.build, 0);
        let mut failures = 0;
        loop {
            match reply.keep_alive_while(follower.next()).await? {
                Ok(Some(text)) => {
                    failures = 0;
                    reply.log(&text).await?;
                }
                Ok(None) => break,
                Err(error) if failures < DATABASE_PATIENCE => {
                    warn!("Could not read the build's log: {error}");
                    failures += 1;
                    reply.keep_alive_while(tokio::time::sleep(DATABASE_PAUSE)).await?;
                }
                Err(_) => {
                    let number = accepted.number;
                    say(
                        reply,
                        &format!(
                            " !     The platform's database is away; build {number} goes on by itself\n"
                        ),
                    )
                    .await?;
                    return Ok(elsewhere(accepted, command));
                }
            }
        }
        let ask = || async {
            let mut conn = self.platform.pool.acquire().await?;
            verdict::of(&mut conn, accepted.build).await
        };
        let patience = ConstantBuilder::new().with_delay(DATABASE_PAUSE).with_max_times(DATABASE_PATIENCE);
        Ok(match reply.keep_alive_while(ask.retry(patience)).await? {
            Ok(Verdict::Live) => self.moved(command).await,
            Ok(Verdict::Pending) => elsewhere(accepted, command),
            Ok(Verdict::Refused(reason)) => RefOutcome::Refused(reason),
            Err(error) => {
                warn!("Could not read how the build ended: {error}");
                RefOutcome::Refused(format!(
                    "the platform's database is away: `builds` tells how build {} ended",
                    accepted.number
                ))
            }
        })
    }

    async fn say_who_is_before(&self, accepted: &Accepted, reply: &mut Reply<Output>) -> anyhow::Result<()> {
        let look = async {
            let mut conn = self.platform.pool.acquire().await?;
            builds::in_hand_before(&mut conn, self.app.id, accepted.number).await
        };
        // Only a courtesy: a database that is away for a moment must not cost the pusher the log.
        let Ok(Some(before)) = look.await else { return Ok(()) };
        match what_it_is_at(&before) {
            Some(at) => {
                let (number, by) = (before.number, &before.actor_name);
                say(reply, &format!("-----> Waiting: build {number} by {by} is {at}\n")).await
            }
            None => Ok(()),
        }
    }

    async fn moved(&self, command: &Command) -> RefOutcome {
        let forced = !command.creates()
            && self.repository.is_ancestor(command.old, command.new).await.is_ok_and(|descends| !descends);
        if forced { RefOutcome::Forced { old: command.old, new: command.new } } else { RefOutcome::Moved }
    }

    /// Says what would be built, and refuses, so that the same commit can be pushed for real.
    async fn dry_run(&self, command: &Command, reply: &mut Reply<Output>) -> anyhow::Result<RefOutcome> {
        let told = dry_run::told(self.platform.inspect(&self.app, command.new).await);
        say(reply, &told.text).await?;
        Ok(RefOutcome::Refused(told.reason))
    }
}

/// What a build whose log is open is at; `None` if it is as good as over.
fn what_it_is_at(build: &Build) -> Option<&'static str> {
    match build.status {
        // The reason of a build that goes on is who has canceled it.
        BuildStatus::Building if build.reason.is_some() => Some("being canceled"),
        BuildStatus::Queued | BuildStatus::Building => {
            Some("running (`-o cancel-running` would have canceled it)")
        }
        BuildStatus::Pushing => Some("being pushed to the registry"),
        BuildStatus::Succeeded => Some("being rolled out"),
        BuildStatus::Failed | BuildStatus::Errored | BuildStatus::Canceled | BuildStatus::Superseded => None,
    }
}

fn elsewhere(accepted: &Accepted, command: &Command) -> RefOutcome {
    RefOutcome::Elsewhere { name: crate::actions::builds::pin(accepted.number), new: command.new }
}

async fn say(reply: &mut Reply<Output>, text: &str) -> anyhow::Result<()> {
    Ok(reply.log(text.as_bytes()).await?)
}
