//! One-off pods with somebody at their other end, and commands in pods that run already.
//!
//! A one-off pod carries the label [`RUN`] besides the app's and has no component, so that no Service selects it and the
//! formation and the app's log do not know it. It is deleted by whoever attached to it. `activeDeadlineSeconds` ends it where nobody is left to do so; one whose server
//! died is found by its label (`end_runs`).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, EnvVar, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status};
use kube::ResourceExt;
use kube::api::{AttachParams, AttachedProcess, DeleteParams, LogParams, PostParams, TerminalSize};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::KubernetesTarget;
use super::cluster::{Cluster, Fault, doing};
use super::trouble::{self, Kind};
use super::{evidence, live, objects, pod_spec};
use crate::domain::names::AppName;
use crate::target::attached::{AttachError, Ends, Inside, OneOff, Screen, Typed, Wrote};
use crate::target::{Adoption, Check, Command, Process};

/// The label of a one-off pod: its name, `run.4821`.
pub(super) const RUN: &str = "slipway.dev/run";
/// The name of the container of one-off pods.
const CONTAINER: &str = "run";
/// Between two looks at a pod that starts or ends.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a pod may take until it runs: a node may have to be added, and an image to be pulled.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How long the kubelet may take to say how a process ended that has closed its outputs.
const END_LIMIT: Duration = Duration::from_secs(30);
/// How long what was written before we attached may take to come by the stream too.
const OVERLAP_WAIT: Duration = Duration::from_millis(100);
/// What is read of a pod's log to find out what it wrote before we attached, in bytes.
const EARLY_BYTES: i64 = 256 * 1024;
/// What the kubelet calls a container whose command could not be started.
const START_FAILED: [&str; 2] = ["StartError", "ContainerCannotRun"];
/// Bytes of each stream that wait.
const BUFFER: usize = 64 * 1024;

impl KubernetesTarget {
    /// Runs a pod to its end; its exit status. It is on its way out when this returns, whatever the outcome.
    pub(crate) async fn run(
        &self,
        run: &OneOff<'_>,
        ends: Ends,
        stop: &CancellationToken,
    ) -> Result<i64, AttachError> {
        let pod = self.create_run(run).await?;
        let outcome = tokio::select! {
            outcome = self.attend(&pod, run, ends) => outcome,
            () = stop.cancelled() => Err(AttachError::Stopped),
            () = sleep(run.time_limit) => Err(AttachError::TimeLimit(run.time_limit)),
        };
        if let Err(fault) = delete(&self.cluster, &pod).await {
            tracing::warn!(pod, "A one-off pod could not be deleted; its deadline ends it: {fault}");
        }
        outcome
    }

    /// Runs a command in a pod that is there. The kubelet ends it with the connection if it reads its input or has a
    /// terminal.
    pub(crate) async fn exec(
        &self,
        app: &AppName,
        adopted: Option<&Adoption>,
        inside: &Inside<'_>,
        ends: Ends,
        stop: &CancellationToken,
    ) -> Result<i64, AttachError> {
        let (cluster, mut pods) =
            self.pods(app, adopted).await.map_err(|halt| AttachError::Unreachable(halt.to_string()))?;
        pods.retain(|found| is_running(&found.pod));
        let meant = |name: &str, process_type: &str| name == inside.process || process_type == inside.process;
        let pod = pods
            .into_iter()
            .find(|found| meant(&found.pod.name_any(), found.process_type.as_str()))
            .map(|found| found.pod)
            .ok_or_else(|| {
                let process = inside.process;
                AttachError::Refused(format!(
                    "no process `{process}` of {app} runs: `ps` lists those that do"
                ))
            })?;
        tokio::select! {
            outcome = exec_in(&cluster, &pod, inside, ends) => outcome,
            () = stop.cancelled() => Err(AttachError::Stopped),
            () = sleep(inside.time_limit) => Err(AttachError::TimeLimit(inside.time_limit)),
        }
    }

    /// Deletes one-off pods that nobody attends to any more: those of a server that has died.
    pub(crate) async fn end_runs(
        &self,
        is_attended: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), crate::target::RolloutError> {
        let selector = format!("{}={},{RUN}", objects::PLATFORM, self.platform);
        let kept = |pod: &Pod| objects::label(&pod.metadata, RUN).is_some_and(is_attended);
        for pod in self.cluster.list::<Pod>(&selector).await?.iter().filter(|pod| !kept(pod)) {
            delete(&self.cluster, &pod.name_any()).await?;
        }
        Ok(())
    }

    async fn create_run(&self, run: &OneOff<'_>) -> Result<String, AttachError> {
        let run_as = live::run_as(&self.cluster).await?;
        let process = process_of(run)?;
        let template = pod_spec::template(&self.platform, run.workload, &process, run_as);
        let name = format!("{}-{}", run.workload.app, run.name.replace('.', "-"));
        let mut labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        labels.remove(objects::COMPONENT);
        labels.insert(RUN.to_owned(), run.name.to_owned());
        let mut spec = template.spec.unwrap_or_default();
        spec.restart_policy = Some("Never".to_owned());
        spec.active_deadline_seconds = Some(pod_spec::whole_seconds(run.time_limit));
        // A shell leaves SIGTERM alone; nobody waits for it.
        spec.termination_grace_period_seconds = Some(1);
        for container in &mut spec.containers {
            container.stdin = Some(true);
            container.stdin_once = Some(true);
            container.tty = Some(run.screen.is_some());
            container.env.get_or_insert_default().extend(environment(run));
        }
        let pod = Pod {
            metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..Default::default() },
            spec: Some(spec),
            status: None,
        };
        let api = self.cluster.api::<Pod>();
        let params = PostParams::default();
        self.cluster.call(&doing::<Pod>("creating", &name), || api.create(&params, &pod)).await?;
        Ok(name)
    }

    async fn attend(&self, name: &str, run: &OneOff<'_>, ends: Ends) -> Result<i64, AttachError> {
        self.until_running(name).await?;
        let params = params(run.screen.is_some(), CONTAINER);
        match self.cluster.api::<Pod>().attach(name, &params).await {
            Ok(attached) => {
                let early = self.written_so_far(name).await;
                carry(attached, early, run.screen, ends).await;
            }
            // It was quicker than we: its log has all that it wrote.
            Err(_) => {
                self.until_ended(name).await?;
                drop(ends.wrote.send(Wrote::Output(self.written_so_far(name).await)).await);
            }
        }
        let ended = self.until_ended(name).await?;
        if ended.reason.as_deref() == Some("OOMKilled") {
            return Err(AttachError::Refused(
                "it used more memory than its size allows and was killed (exit status 137): choose a larger --size"
                    .to_owned(),
            ));
        }
        if ended.reason.as_deref().is_some_and(|reason| START_FAILED.contains(&reason)) {
            let why = ended.message.unwrap_or_default();
            return Err(AttachError::Refused(format!("the command could not be started: {why}")));
        }
        Ok(i64::from(ended.exit_code))
    }

    async fn until_running(&self, name: &str) -> Result<(), AttachError> {
        let end = Instant::now() + START_LIMIT;
        loop {
            let pod = self.pod(name).await?;
            if is_running(&pod) || ended(&pod).is_some() {
                return Ok(());
            }
            let late = Instant::now() >= end;
            let hopeless = |kind: Kind| {
                late || !matches!(kind, Kind::NotReady | Kind::Unschedulable | Kind::PullStalled)
            };
            match trouble::of_pod(&pod) {
                Some(trouble) if hopeless(trouble.kind) => {
                    return Err(AttachError::Refused(
                        evidence::describe(&self.cluster, "It", &trouble).await,
                    ));
                }
                None if late => {
                    let limit = humantime::format_duration(START_LIMIT);
                    return Err(AttachError::Refused(format!("its pod did not start within {limit}")));
                }
                _ => sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn until_ended(&self, name: &str) -> Result<ContainerStateTerminated, AttachError> {
        let end = Instant::now() + END_LIMIT;
        loop {
            if let Some(ended) = ended(&self.pod(name).await?) {
                return Ok(ended);
            }
            if Instant::now() >= end {
                return Err(AttachError::Unreachable("the cluster did not say how it ended".to_owned()));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn pod(&self, name: &str) -> Result<Pod, AttachError> {
        let found = self.cluster.get::<Pod>(name).await?;
        found.ok_or_else(|| AttachError::Refused("its pod was deleted".to_owned()))
    }

    async fn written_so_far(&self, name: &str) -> Bytes {
        let params = LogParams { limit_bytes: Some(EARLY_BYTES), ..Default::default() };
        let api = self.cluster.api::<Pod>();
        let log =
            self.cluster.call(&doing::<Pod>("reading the log of", name), || api.logs(name, &params)).await;
        log.ok().filter(|text| !evidence::is_gone(text.as_bytes())).unwrap_or_default().into()
    }
}

impl From<Fault> for AttachError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreachable { .. } => Self::Unreachable(fault.to_string()),
            Fault::Refused { .. } | Fault::Newer => Self::Refused(fault.to_string()),
        }
    }
}

/// As a process type of the app, but for what makes it one of many.
fn process_of(run: &OneOff<'_>) -> Result<Process, AttachError> {
    let like =
        run.like().ok_or_else(|| AttachError::Refused("the release has no process types".to_owned()))?;
    Ok(Process {
        name: CONTAINER.parse().expect("invariant: a process type"),
        command: Command::Argv(run.argv.clone()),
        port: None,
        check: Check::Uptime(Duration::ZERO),
        limits: run.limits.clone(),
        ..like.clone()
    })
}

fn environment(run: &OneOff<'_>) -> Vec<EnvVar> {
    let mut variables = vec![("DYNO", run.name), ("SLIPWAY_APP", run.workload.app.as_str())];
    variables.extend(run.environment.iter().map(|(key, value)| (key.as_str(), value.expose_secret())));
    variables.extend(run.screen.map(|_| ("TERM", "xterm-256color")));
    // Kubernetes replaces `$(NAME)` in values by itself.
    let value = |value: &str| Some(value.replace('$', "$$"));
    let variable =
        |(name, text): (&str, &str)| EnvVar { name: name.to_owned(), value: value(text), value_from: None };
    variables.into_iter().map(variable).collect()
}

fn params(tty: bool, container: &str) -> AttachParams {
    AttachParams {
        container: Some(container.to_owned()),
        stdin: true,
        stdout: true,
        // A terminal has one output; asking for two is refused.
        stderr: !tty,
        tty,
        max_stdin_buf_size: Some(BUFFER),
        max_stdout_buf_size: Some(BUFFER),
        max_stderr_buf_size: Some(BUFFER),
    }
}

async fn exec_in(cluster: &Cluster, pod: &Pod, inside: &Inside<'_>, ends: Ends) -> Result<i64, AttachError> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let container = containers.first().map_or("", |container| container.name.as_str());
    let params = params(inside.screen.is_some(), container);
    let mut attached = cluster
        .api::<Pod>()
        .exec(&pod.name_any(), inside.argv.clone(), &params)
        .await
        .map_err(|error| AttachError::Refused(format!("the cluster refused it: {error}")))?;
    let status = attached.take_status();
    carry(attached, Bytes::new(), inside.screen, ends).await;
    let status = match status {
        Some(status) => timeout(END_LIMIT, status).await.ok().flatten(),
        None => None,
    };
    let status =
        status.ok_or_else(|| AttachError::Unreachable("the cluster did not say how it ended".to_owned()))?;
    exit_status(&status).ok_or_else(|| {
        AttachError::Refused(status.message.unwrap_or_else(|| "the command could not be started".to_owned()))
    })
}

/// Of a `v1.Status` as the apiserver sends it at the end of an exec.
fn exit_status(status: &Status) -> Option<i64> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    code.message.as_ref()?.parse().ok()
}

/// Carries both directions until the process has closed its outputs, or its listener has gone. `early` is what its log
/// had when the streams were open: what they bring again is left out.
async fn carry(mut attached: AttachedProcess, early: Bytes, screen: Option<Screen>, ends: Ends) {
    let mut output = Stream::new(attached.stdout(), Wrote::Output);
    let mut errors = Stream::new(attached.stderr(), Wrote::Errors);
    let outputs = async {
        if !early.is_empty() {
            // Whatever stands in both comes within a moment, if it is to come at all.
            drop(timeout(OVERLAP_WAIT, async { tokio::join!(output.read(), errors.read()) }).await);
            let again = overlap(&early, &output.buffer).max(overlap(&early, &errors.buffer));
            let early = early.slice(..early.len() - again);
            if ends.wrote.send(Wrote::Output(early)).await.is_err() {
                return;
            }
        }
        tokio::join!(output.carry(&ends.wrote), errors.carry(&ends.wrote));
    };
    tokio::select! {
        () = outputs => {}
        never = carry_input(&mut attached, ends.typed, screen) => match never {},
    }
}

/// One output of a process.
struct Stream<R> {
    from: Option<R>,
    buffer: BytesMut,
    as_wrote: fn(Bytes) -> Wrote,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    fn new(from: Option<R>, as_wrote: fn(Bytes) -> Wrote) -> Self {
        Self { from, buffer: BytesMut::new(), as_wrote }
    }

    /// Waits for bytes; at the end of the stream there is none any more.
    async fn read(&mut self) {
        self.buffer.reserve(BUFFER);
        if let Some(from) = &mut self.from
            && !matches!(from.read_buf(&mut self.buffer).await, Ok(1..))
        {
            self.from = None;
        }
    }

    async fn carry(&mut self, wrote: &mpsc::Sender<Wrote>) {
        loop {
            let piece = self.buffer.split().freeze();
            if !piece.is_empty() && wrote.send((self.as_wrote)(piece)).await.is_err() {
                return;
            }
            if self.from.is_none() {
                return;
            }
            self.read().await;
        }
    }
}

/// How many bytes at the end of `early` the stream has brought again at its beginning.
fn overlap(early: &[u8], stream: &[u8]) -> usize {
    let most = early.len().min(stream.len());
    (0..=most).rev().find(|length| early.ends_with(&stream[..*length])).unwrap_or(0)
}

async fn carry_input(
    attached: &mut AttachedProcess,
    mut typed: mpsc::Receiver<Typed>,
    screen: Option<Screen>,
) -> std::convert::Infallible {
    let mut input = attached.stdin();
    let mut sizes = attached.terminal_size();
    let size = |screen: Screen| TerminalSize { width: screen.columns, height: screen.rows };
    if let (Some(sizes), Some(screen)) = (&mut sizes, screen) {
        drop(sizes.send(size(screen)).await);
    }
    while let Some(piece) = typed.recv().await {
        match piece {
            Typed::Resized(screen) => {
                if let Some(sizes) = &mut sizes {
                    drop(sizes.send(size(screen)).await);
                }
            }
            Typed::Bytes(bytes) => {
                // A process that reads no more has closed its end; it goes on all the same.
                if let Some(open) = &mut input
                    && open.write_all(&bytes).await.is_err()
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

async fn delete(cluster: &Cluster, name: &str) -> Result<(), Fault> {
    let api = cluster.api::<Pod>();
    let params = DeleteParams::default().grace_period(1);
    match cluster.call(&doing::<Pod>("deleting", name), || api.delete(name, &params)).await {
        Err(fault) if fault.is_missing() => Ok(()),
        other => other.map(drop),
    }
}

fn is_running(pod: &Pod) -> bool {
    let mut containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && containers.any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
}

fn ended(pod: &Pod) -> Option<ContainerStateTerminated> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.terminated.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_stream_brings_again_is_counted_once() {
        assert_eq!(overlap(b"hello $ ", b"$ "), 2);
        assert_eq!(overlap(b"hello $ ", b"hello $ more"), 8);
        assert_eq!(overlap(b"hello", b"world"), 0);
        assert_eq!(overlap(b"hello", b""), 0);
    }

    #[test]
    fn the_exit_status_of_a_command_is_among_the_causes() {
        let status = |text: serde_json::Value| serde_json::from_value::<Status>(text).expect("a status");
        let failed = serde_json::json!({ "status": "Failure", "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": "42" }] } });
        assert_eq!(exit_status(&status(failed)), Some(42));
        assert_eq!(exit_status(&status(serde_json::json!({ "status": "Success" }))), Some(0));
        assert_eq!(exit_status(&status(serde_json::json!({ "status": "Failure" }))), None);
    }
}
