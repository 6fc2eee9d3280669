//! One-off containers with somebody at their other end, and commands in containers that run already.
//!
//! A one-off container carries the label [`RUN`] and none of a process type: the formation does not know it. It has no
//! restart policy, and ends with whoever attached to it; one whose server died is found by its label (`end_runs`).

use std::collections::HashMap;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, InspectContainerOptions,
    ListContainersOptionsBuilder, ResizeContainerTTYOptionsBuilder, ResizeExecOptionsBuilder,
    StartContainerOptions, WaitContainerOptions,
};
use futures::{Stream, StreamExt};
use secrecy::ExposeSecret;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::create::{CreateError, is_missing_image};
use super::spec::{self, Slot};
use super::{DockerTarget, TargetError, engine};
use crate::domain::names::AppName;
use crate::target::attached::{AttachError, Ends, Inside, OneOff, Screen, Typed, Wrote};

/// The label of a one-off container: its name, `run.4821`.
pub(super) const RUN: &str = "dev.slipway.run";

impl DockerTarget {
    /// Runs a container to its end; its exit status. It is gone when this returns, whatever the outcome.
    pub(crate) async fn run(
        &self,
        run: &OneOff<'_>,
        ends: Ends,
        stop: &CancellationToken,
    ) -> Result<i64, AttachError> {
        let id = self.create_run(run, stop).await?;
        let outcome = tokio::select! {
            outcome = self.attach_and_start(&id, run, ends) => outcome,
            () = stop.cancelled() => Err(AttachError::Stopped),
            () = tokio::time::sleep(run.time_limit) => Err(AttachError::TimeLimit(run.time_limit)),
        };
        self.discard(&id).await;
        outcome
    }

    /// Runs a command in a container that is there. The engine cannot end it: who leaves closes its input and terminal.
    pub(crate) async fn exec(
        &self,
        app: &AppName,
        inside: &Inside<'_>,
        ends: Ends,
        stop: &CancellationToken,
    ) -> Result<i64, AttachError> {
        let id = self.container_named(app, inside.process).await?;
        tokio::select! {
            outcome = self.exec_in(&id, inside, ends) => outcome,
            () = stop.cancelled() => Err(AttachError::Stopped),
            () = tokio::time::sleep(inside.time_limit) => Err(AttachError::TimeLimit(inside.time_limit)),
        }
    }

    /// Ends one-off containers that nobody attends to any more: those of a server that has died.
    pub(crate) async fn end_runs(
        &self,
        is_attended: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), TargetError> {
        let labels = vec![format!("{}={}", spec::PLATFORM, self.settings.platform), RUN.to_owned()];
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found =
            self.docker.list_containers(Some(options)).await.map_err(engine("list its containers"))?;
        let kept = |labels: &HashMap<String, String>| labels.get(RUN).is_some_and(|name| is_attended(name));
        let strangers = found.into_iter().filter(|found| !found.labels.as_ref().is_some_and(kept));
        for id in strangers.filter_map(|container| container.id) {
            self.discard(&id).await;
        }
        Ok(())
    }

    async fn create_run(&self, run: &OneOff<'_>, stop: &CancellationToken) -> Result<String, AttachError> {
        let platform = &self.settings.platform;
        let name = format!("slipway-{}-{}-{platform}", run.workload.app, run.name);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let create = || self.docker.create_container(Some(options.clone()), self.run_body(run));
        let created = match create().await {
            Err(error) if is_missing_image(&error) => {
                self.pull(image(run), run.workload.pull.as_ref(), stop).await.map_err(pulled)?;
                create().await
            }
            other => other,
        };
        Ok(created.map_err(said)?.id)
    }

    fn run_body(&self, run: &OneOff<'_>) -> ContainerCreateBody {
        let labels = [
            (spec::PLATFORM, self.settings.platform.clone()),
            (spec::APP, run.workload.app.to_string()),
            (spec::VERSION, run.workload.version.to_string()),
            (RUN, run.name.to_owned()),
        ];
        let memory = run.limits.memory.and_then(|bytes| i64::try_from(bytes).ok());
        let without_init = self.shared.without_init.load(std::sync::atomic::Ordering::Relaxed);
        ContainerCreateBody {
            image: Some(image(run).to_owned()),
            entrypoint: Some(run.argv.clone()),
            cmd: Some(Vec::new()),
            env: Some(environment(run)),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            tty: Some(run.screen.is_some()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            // A shell leaves SIGTERM alone; nobody waits for it.
            stop_timeout: Some(0),
            host_config: Some(HostConfig {
                init: Some(!without_init),
                memory,
                memory_swap: memory,
                nano_cpus: run.limits.millicpu.map(|thousandths| i64::from(thousandths) * 1_000_000),
                pids_limit: Some(spec::PIDS),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// Attaches first, so that no word is lost.
    async fn attach_and_start(&self, id: &str, run: &OneOff<'_>, ends: Ends) -> Result<i64, AttachError> {
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.docker.attach_container(id, Some(options)).await.map_err(said)?;
        self.docker.start_container(id, None::<StartContainerOptions>).await.map_err(said)?;
        let process = Attached { docker: &self.docker, what: What::Container(id) };
        if let Some(screen) = run.screen {
            process.resize(screen).await;
        }
        tokio::select! {
            () = carry_output(attached.output, ends.wrote) => {}
            never = process.carry_input(ends.typed, attached.input) => match never {},
        }
        self.exit_status(id).await
    }

    async fn exit_status(&self, id: &str) -> Result<i64, AttachError> {
        let mut waited = self.docker.wait_container(id, None::<WaitContainerOptions>);
        let status = match waited.next().await {
            Some(Ok(ended)) => ended.status_code,
            Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(said(error)),
            None => return Err(AttachError::Unreachable("the engine did not say how it ended".to_owned())),
        };
        let described = self.docker.inspect_container(id, None::<InspectContainerOptions>).await;
        let out_of_memory =
            described.ok().and_then(|described| described.state?.oom_killed).unwrap_or_default();
        if out_of_memory {
            return Err(AttachError::Refused(
                "it used more memory than its size allows and was killed (exit status 137): choose a larger --size"
                    .to_owned(),
            ));
        }
        Ok(status)
    }

    /// The id of `web.1`; of a type's first process that runs.
    async fn container_named(&self, app: &AppName, process: &str) -> Result<String, AttachError> {
        let mut members = self
            .members(Some(app))
            .await
            .map_err(|error| AttachError::Unreachable(format!("{:#}", anyhow::Error::new(error))))?;
        members.retain(|member| member.is_running());
        members.sort_by(|a, b| {
            (&a.slot, std::cmp::Reverse(a.version)).cmp(&(&b.slot, std::cmp::Reverse(b.version)))
        });
        let meant = |slot: &Slot| slot.to_string() == process || slot.process.as_str() == process;
        members.into_iter().find(|member| meant(&member.slot)).map(|member| member.id).ok_or_else(|| {
            AttachError::Refused(format!("no process `{process}` of {app} runs: `ps` lists those that do"))
        })
    }

    async fn exec_in(&self, id: &str, inside: &Inside<'_>, ends: Ends) -> Result<i64, AttachError> {
        let wish = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(inside.screen.is_some()),
            cmd: Some(inside.argv.clone()),
            env: inside.screen.is_some().then(|| vec![TERM.to_owned()]),
            ..Default::default()
        };
        let exec = self.docker.create_exec(id, wish).await.map_err(said)?.id;
        let options = StartExecOptions { detach: false, tty: inside.screen.is_some(), output_capacity: None };
        let started = self.docker.start_exec(&exec, Some(options)).await.map_err(said)?;
        let StartExecResults::Attached { output, input } = started else {
            return Err(AttachError::Unreachable("the engine did not attach".to_owned()));
        };
        let process = Attached { docker: &self.docker, what: What::Exec(&exec) };
        if let Some(screen) = inside.screen {
            process.resize(screen).await;
        }
        tokio::select! {
            () = carry_output(output, ends.wrote) => {}
            never = process.carry_input(ends.typed, input) => match never {},
        }
        let ended = self.docker.inspect_exec(&exec).await.map_err(said)?;
        Ok(ended.exit_code.unwrap_or_default())
    }
}

/// Programs draw nothing without it.
const TERM: &str = "TERM=xterm-256color";

fn image<'a>(run: &'a OneOff<'_>) -> &'a str {
    run.like().map_or(&run.workload.image, |process| run.workload.image_of(process))
}

fn environment(run: &OneOff<'_>) -> Vec<String> {
    let config = run.workload.config.iter().chain(&run.environment);
    let mut variables: HashMap<&str, &str> =
        config.map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
    variables.insert("DYNO", run.name);
    variables.insert("SLIPWAY_APP", run.workload.app.as_str());
    let mut lines: Vec<String> = variables.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    lines.extend(run.screen.map(|_| TERM.to_owned()));
    lines
}

/// Ends with the process, or with its listener.
async fn carry_output(
    mut output: impl Stream<Item = Result<LogOutput, Error>> + Unpin,
    wrote: mpsc::Sender<Wrote>,
) {
    while let Some(Ok(piece)) = output.next().await {
        let piece = match piece {
            LogOutput::StdErr { message } => Wrote::Errors(message),
            LogOutput::StdOut { message } | LogOutput::Console { message } => Wrote::Output(message),
            LogOutput::StdIn { .. } => continue,
        };
        if wrote.send(piece).await.is_err() {
            return;
        }
    }
}

/// A process whose terminal and input are at our end.
struct Attached<'a> {
    docker: &'a Docker,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Container(&'a str),
    Exec(&'a str),
}

impl Attached<'_> {
    async fn resize(&self, screen: Screen) {
        let (w, h) = (i32::from(screen.columns), i32::from(screen.rows));
        let resized = match self.what {
            What::Container(id) => {
                let options = ResizeContainerTTYOptionsBuilder::default().w(w).h(h).build();
                self.docker.resize_container_tty(id, options).await
            }
            What::Exec(id) => {
                let options = ResizeExecOptionsBuilder::default().w(w).h(h).build();
                self.docker.resize_exec(id, options).await
            }
        };
        if let Err(error) = resized {
            // It may have ended meanwhile.
            tracing::debug!("A terminal was not resized: {error}");
        }
    }

    /// Never ends: the process does.
    async fn carry_input(
        &self,
        mut typed: mpsc::Receiver<Typed>,
        input: impl AsyncWrite,
    ) -> std::convert::Infallible {
        let mut input = Some(Box::pin(input));
        while let Some(piece) = typed.recv().await {
            match piece {
                Typed::Resized(screen) => self.resize(screen).await,
                Typed::Bytes(bytes) => {
                    // A process that reads no more has closed its end; it goes on all the same.
                    if let Some(open) = &mut input
                        && (open.write_all(&bytes).await.is_err() || open.flush().await.is_err())
                    {
                        input = None;
                    }
                }
                Typed::End => {
                    if let Some(mut open) = input.take() {
                        drop(open.shutdown().await);
                    }
                }
            }
        }
        std::future::pending().await
    }
}

fn said(error: Error) -> AttachError {
    match error {
        Error::DockerResponseServerError { message, .. } => {
            AttachError::Refused(format!("the Docker engine refused it: {message}"))
        }
        other => AttachError::Unreachable(other.to_string()),
    }
}

fn pulled(error: CreateError) -> AttachError {
    match error {
        CreateError::Stopped => AttachError::Stopped,
        CreateError::Unreachable(error) => AttachError::Unreachable(error.to_string()),
        other => AttachError::Refused(other.to_string()),
    }
}
