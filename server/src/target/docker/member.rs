//! A container of this platform, as the engine describes it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, RestartPolicyNameEnum,
};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use futures::{StreamExt, TryStreamExt, stream};

use super::spec::{self, Slot};
use super::{DockerTarget, TargetError, engine, locked};
use crate::domain::names::{AppName, ProcessType};
use crate::target::ProcessStatus;

/// Containers that are inspected at a time.
const INSPECTED_AT_ONCE: usize = 16;

/// Whether a container has passed its health gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    OnTrial,
    Released,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) app: AppName,
    pub(super) slot: Slot,
    pub(super) version: i64,
    pub(super) spec: String,
    /// Where the host reaches it; `None` for types without a port.
    pub(super) address: Option<SocketAddr>,
    /// The port that it was told.
    pub(super) port: Option<u16>,
    pub(super) standing: Standing,
    pub(super) status: ContainerStateStatusEnum,
    pub(super) created: jiff::Timestamp,
    since: jiff::Timestamp,
    pub(super) restarts: u32,
    pub(super) command: String,
}

impl DockerTarget {
    /// This platform's containers, of one app or of all; those that are being retired left out.
    pub(super) async fn members(&self, app: Option<&AppName>) -> Result<Vec<Member>, TargetError> {
        let mut labels = vec![format!("{}={}", spec::PLATFORM, self.settings.platform)];
        labels.extend(app.map(|app| format!("{}={app}", spec::APP)));
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed =
            self.docker.list_containers(Some(options)).await.map_err(engine("list its containers"))?;
        let ids = listed.into_iter().filter_map(|container| container.id);
        let members: Vec<Option<Member>> = stream::iter(ids)
            .map(|id| async move { self.member(&id).await })
            .buffered(INSPECTED_AT_ONCE)
            .try_collect()
            .await?;
        let retiring = locked(&self.shared.retiring);
        Ok(members.into_iter().flatten().filter(|member| !retiring.contains(&member.id)).collect())
    }

    /// One container; `None` if it is gone, or not labelled as ours are.
    pub(super) async fn member(&self, id: &str) -> Result<Option<Member>, TargetError> {
        match self.docker.inspect_container(id, None::<InspectContainerOptions>).await {
            Ok(described) => Ok(Member::read(described)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(source) => Err(TargetError::Engine { doing: "describe a container", source }),
        }
    }
}

impl Member {
    pub(super) fn is_running(&self) -> bool {
        self.status == ContainerStateStatusEnum::RUNNING
    }

    /// Past its health gate.
    pub(super) fn is_released(&self) -> bool {
        self.standing == Standing::Released
    }

    /// Up, and without a crash so far.
    pub(super) fn is_steady(&self) -> bool {
        self.is_running() && self.restarts == 0
    }

    /// The engine is about to start it again by itself.
    pub(super) fn is_restarting(&self) -> bool {
        self.status == ContainerStateStatusEnum::RESTARTING
    }

    pub(super) fn into_status(self) -> ProcessStatus {
        ProcessStatus {
            name: self.slot.to_string(),
            state: self.state_word().to_owned(),
            process_type: self.slot.process,
            version: self.version,
            restarts: self.restarts,
            since: self.since,
            command: self.command,
        }
    }

    fn state_word(&self) -> &'static str {
        use ContainerStateStatusEnum as Status;
        match (self.status, self.standing) {
            (Status::RUNNING, Standing::Released) => "up",
            (Status::RUNNING | Status::CREATED, _) => "starting",
            (Status::PAUSED | Status::REMOVING | Status::STOPPING, _) => "down",
            _ => "crashed",
        }
    }

    fn read(described: ContainerInspectResponse) -> Option<Self> {
        let labels = described.config.as_ref()?.labels.as_ref()?;
        let label = |name: &str| labels.get(name);
        let process: ProcessType = label(spec::PROCESS)?.parse().ok()?;
        let state = described.state.as_ref()?;
        let created = described.created.as_ref().and_then(|at| at.to_rfc3339().parse().ok());
        Some(Self {
            id: described.id.clone()?,
            app: label(spec::APP)?.parse().ok()?,
            slot: Slot { process, number: label(spec::NUMBER)?.parse().ok()? },
            version: label(spec::VERSION)?.parse().ok()?,
            spec: label(spec::SPEC)?.clone(),
            address: address(&described),
            port: port(&described),
            standing: standing(&described),
            status: state.status.unwrap_or(ContainerStateStatusEnum::DEAD),
            created: created.unwrap_or(jiff::Timestamp::UNIX_EPOCH),
            since: since(state),
            restarts: described.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            command: command(&described),
        })
    }
}

/// From the settings, not the state: it is known of a stopped container too.
fn address(described: &ContainerInspectResponse) -> Option<SocketAddr> {
    let bindings = described.host_config.as_ref()?.port_bindings.as_ref()?;
    let binding = bindings.values().flatten().flatten().next()?;
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, binding.host_port.as_ref()?.parse().ok()?)))
}

/// `8080/tcp`: the container's side of what is published.
fn port(described: &ContainerInspectResponse) -> Option<u16> {
    let bindings = described.host_config.as_ref()?.port_bindings.as_ref()?;
    bindings.keys().next()?.trim_end_matches("/tcp").parse().ok()
}

fn standing(described: &ContainerInspectResponse) -> Standing {
    let policy = described.host_config.as_ref().and_then(|host| host.restart_policy.as_ref()?.name);
    match policy {
        Some(RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED) => Standing::Released,
        _ => Standing::OnTrial,
    }
}

fn since(state: &ContainerState) -> jiff::Timestamp {
    let running = state.running.unwrap_or(false) && !state.restarting.unwrap_or(false);
    let text = if running { &state.started_at } else { &state.finished_at };
    text.as_deref().and_then(|text| text.parse().ok()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// What it runs, as its author wrote it: without the shell round a Procfile line.
fn command(described: &ContainerInspectResponse) -> String {
    let args = described.args.as_deref().unwrap_or_default();
    match (described.path.as_deref(), args) {
        (Some("/bin/sh" | "sh"), [flag, line]) if flag == "-c" => line.clone(),
        (path, args) => path.into_iter().chain(args.iter().map(String::as_str)).collect::<Vec<_>>().join(" "),
    }
}
