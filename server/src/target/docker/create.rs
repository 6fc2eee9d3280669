//! Makes and starts one container: the image is pulled if the engine lacks it, a port is found that is free.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StartContainerOptions,
};
use futures::TryStreamExt;
use rand::RngExt;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::DockerTarget;
use super::member::Standing;
use super::spec::{self, Init, Placement, Slot};
use crate::target::{Process, RegistryLogin, Workload};

/// Attempts to create and start one container; each failed one removes a cause (no image, name or port taken).
const ATTEMPTS: usize = 8;

/// Ports that are looked at for a free one.
const PORTS_LOOKED_AT: usize = 200;

/// For the engine to pull one image.
const PULL: Duration = Duration::from_secs(600);

/// Why a container does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum CreateError {
    #[error("the Docker engine did not answer: {0}")]
    Unreachable(Error),
    #[error("the Docker engine refused it: {0}")]
    Refused(String),
    #[error("the image {image} could not be pulled: {reason}")]
    Pull { image: String, reason: String },
    #[error("it is not wanted any more")]
    Stopped,
    #[error("no port of {first} to {last} is free on this machine")]
    NoPort { first: u16, last: u16 },
}

/// A container that was just started.
#[derive(Debug, Clone)]
pub(super) struct Started {
    pub(super) id: String,
    pub(super) slot: Slot,
    pub(super) process: Process,
    pub(super) address: Option<SocketAddr>,
    pub(super) at: Instant,
}

impl DockerTarget {
    /// Makes and starts the container of one place. What was made in vain is removed; `stop` ends a pull.
    pub(super) async fn start(
        &self,
        workload: &Workload,
        process: &Process,
        slot: &Slot,
        stop: &CancellationToken,
    ) -> Result<Started, CreateError> {
        let mut obstacle = CreateError::Refused("the container could not be created".to_owned());
        for _ in 0..ATTEMPTS {
            let placement = self.placement(process)?;
            match self.attempt(workload, process, slot, placement).await {
                Ok(started) => return Ok(started),
                Err(error) if is_missing_image(&error) => {
                    self.pull(workload.image_of(process), workload.pull.as_ref(), stop).await?
                }
                Err(error) => obstacle = self.overcome(workload, slot, error).await?,
            }
        }
        Err(obstacle)
    }

    /// Ends and removes a container at once, with its anonymous volumes.
    pub(super) async fn discard(&self, id: &str) {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            // 409: somebody else is removing it just now.
            Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
            Err(error) => tracing::warn!(container = id, error = %error, "A container could not be removed"),
        }
    }

    async fn attempt(
        &self,
        workload: &Workload,
        process: &Process,
        slot: &Slot,
        placement: Placement,
    ) -> Result<Started, Error> {
        let platform = &self.settings.platform;
        let name = spec::container_name(platform, workload, slot);
        let body = spec::container(platform, workload, process, slot, placement);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let id = self.docker.create_container(Some(options), body).await?.id;
        let at = Instant::now();
        if let Err(error) = self.docker.start_container(&id, None::<StartContainerOptions>).await {
            self.discard(&id).await;
            return Err(error);
        }
        let address = placement.host_port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(Started { id, slot: slot.clone(), process: process.clone(), address, at })
    }

    /// Removes what stood in the way, so that the next attempt may succeed; gives back what it was.
    async fn overcome(
        &self,
        workload: &Workload,
        slot: &Slot,
        error: Error,
    ) -> Result<CreateError, CreateError> {
        let Error::DockerResponseServerError { status_code, message } = error else {
            return Err(CreateError::Unreachable(error));
        };
        if status_code == 409 {
            self.free_name(&spec::container_name(&self.settings.platform, workload, slot)).await;
        } else if message.contains("docker-init") {
            tracing::warn!("This engine has no docker-init: processes run without an init");
            self.shared.without_init.store(true, Ordering::Relaxed);
        } else if !(message.contains("already allocated") || message.contains("address already in use")) {
            return Err(CreateError::Refused(message));
        }
        Ok(CreateError::Refused(message))
    }

    /// Of the same release and place. One that was in force answers its last requests, or serves until its successor is
    /// healthy: it is found by its labels, so it can go on under another name. Any other was left by a rollout that did
    /// not end.
    async fn free_name(&self, name: &str) {
        let holder = self.member(name).await.ok().flatten();
        let Some(holder) = holder.filter(|holder| holder.standing == Standing::Released) else {
            return self.discard(name).await;
        };
        let short = holder.id.get(..8).unwrap_or(&holder.id);
        let options = RenameContainerOptionsBuilder::default().name(&format!("{name}-{short}")).build();
        if let Err(error) = self.docker.rename_container(&holder.id, options).await {
            tracing::warn!(container = name, error = %error, "A container could not be renamed");
        }
    }

    fn placement(&self, process: &Process) -> Result<Placement, CreateError> {
        let without_init = self.shared.without_init.load(Ordering::Relaxed);
        let init = if without_init { Init::None } else { Init::Engine };
        let host_port = process.port.map(|_| self.free_port()).transpose()?;
        Ok(Placement { host_port, init })
    }

    /// Taken at random, so that containers that start at the same time rarely choose the same.
    fn free_port(&self) -> Result<u16, CreateError> {
        let ports = &self.settings.ports;
        let mut random = rand::rng();
        (0..PORTS_LOOKED_AT)
            .map(|_| random.random_range(ports.clone()))
            .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .ok_or(CreateError::NoPort { first: *ports.start(), last: *ports.end() })
    }

    async fn pull(
        &self,
        image: &str,
        login: Option<&RegistryLogin>,
        stop: &CancellationToken,
    ) -> Result<(), CreateError> {
        let failed = |reason: String| CreateError::Pull { image: image.to_owned(), reason };
        // The engine hands them to whatever registry the image names.
        let credentials = login.filter(|login| login.is_for(image)).map(|login| DockerCredentials {
            username: Some(login.username.clone()),
            password: Some(login.password.expose_secret().to_owned()),
            serveraddress: Some(login.host.clone()),
            ..Default::default()
        });
        let options = CreateImageOptionsBuilder::default().from_image(image).build();
        let pulled =
            self.docker.create_image(Some(options), None, credentials).try_for_each(|_| async { Ok(()) });
        let pulled = tokio::select! {
            pulled = tokio::time::timeout(PULL, pulled) => pulled,
            () = stop.cancelled() => return Err(CreateError::Stopped),
        };
        match pulled {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Error::DockerResponseServerError { message, .. })) => Err(failed(message)),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("it took longer than {} s", PULL.as_secs()))),
        }
    }
}

fn is_missing_image(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, message }
        if message.to_lowercase().contains("no such image"))
}
