//! The containers and volumes of one build.
//!
//! Invariant: a name is noted before the engine hears of it. A build that is given up between the request and its
//! answer still removes what the engine makes of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use futures::future::join_all;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::{LifecycleError, spec};
use crate::docker::Engine;

/// How long clearing up may hold a build's end back; what it leaves the next start of the server finds.
const CLEARING: Duration = Duration::from_secs(20);

pub(super) struct Workshop {
    engine: Engine,
    id: String,
    owner: String,
    made: Arc<Mutex<Made>>,
    /// Removals that nobody waits for yet.
    dismissals: TaskTracker,
    is_clear: AtomicBool,
}

#[derive(Default)]
struct Made {
    containers: Vec<String>,
    volumes: Vec<String>,
    /// Nothing is made any more.
    closed: bool,
}

impl Workshop {
    pub(super) fn new(engine: &Engine, owner: &str) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self {
            engine: engine.clone(),
            id,
            owner: owner.to_owned(),
            made: Arc::default(),
            dismissals: TaskTracker::new(),
            is_clear: AtomicBool::default(),
        }
    }

    /// The name of a volume of this build.
    pub(super) fn volume(&self, name: &str) -> String {
        format!("slipway-build-{}-{name}", self.id)
    }

    pub(super) fn labels(&self) -> HashMap<String, String> {
        HashMap::from([(spec::OWNER.to_owned(), self.owner.clone())])
    }

    /// Makes a container; its name comes back.
    pub(super) async fn container(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, LifecycleError> {
        let name = format!("slipway-build-{}-{name}", self.id);
        let body = ContainerCreateBody { labels: Some(self.labels()), ..body };
        let volumes = [self.volume(spec::LAYERS_VOLUME), self.volume(spec::SOURCE_VOLUME)];
        let (docker, made, noted) = (self.engine.api().clone(), Arc::clone(&self.made), name.clone());
        // In a task of its own, which is not given up with the build: clearing up waits for it.
        let making = tokio::spawn(async move {
            let mut made = made.lock().await;
            if made.closed {
                return Ok(None);
            }
            made.containers.push(noted.clone());
            made.volumes = volumes.into();
            let options = CreateContainerOptionsBuilder::default().name(&noted).build();
            docker.create_container(Some(options), body).await.map(Some)
        });
        match making.await {
            Ok(Ok(Some(_))) => Ok(name),
            Ok(Ok(None)) => Err(LifecycleError::Cancelled),
            Ok(Err(error)) => Err(self.engine.explain(error).into()),
            Err(panic) => Err(LifecycleError::EngineLost(panic.into())),
        }
    }

    /// Removes a container that is needed no more, beside what goes on: when a build is given up, little is left to do.
    pub(super) async fn dismiss(&self, name: String) {
        self.made.lock().await.containers.retain(|made| *made != name);
        let docker = self.engine.api().clone();
        self.dismissals.spawn(async move { remove_container(&docker, &name).await });
    }

    /// Removes everything, and makes nothing any more.
    pub(super) async fn clear(&self) {
        let clearing = clear(self.engine.api().clone(), Arc::clone(&self.made), self.dismissals.clone());
        match tokio::time::timeout(CLEARING, clearing).await {
            Ok(()) => self.is_clear.store(true, Ordering::Relaxed),
            Err(_) => tracing::warn!(build = self.id, "The engine did not remove what a build left in time"),
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if self.is_clear.load(Ordering::Relaxed) {
            return;
        }
        // Without a runtime the process is ending; the next one sweeps.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (made, dismissals) = (Arc::clone(&self.made), self.dismissals.clone());
            runtime.spawn(clear(self.engine.api().clone(), made, dismissals));
        }
    }
}

async fn clear(docker: Docker, made: Arc<Mutex<Made>>, dismissals: TaskTracker) {
    let mut made = made.lock().await;
    made.closed = true;
    dismissals.close();
    let removals = join_all(made.containers.iter().map(|name| remove_container(&docker, name)));
    tokio::join!(removals, dismissals.wait());
    join_all(made.volumes.iter().map(|name| remove_volume(&docker, name))).await;
}

/// Ends and removes a container at once.
pub(super) async fn remove_container(docker: &Docker, name: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        // 409: somebody else is removing it just now.
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
        Err(error) => tracing::warn!(container = name, error = %error, "A container could not be removed"),
    }
}

pub(super) async fn remove_volume(docker: &Docker, name: &str) {
    match docker.remove_volume(name, None::<RemoveVolumeOptions>).await {
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => tracing::warn!(volume = name, error = %error, "A volume could not be removed"),
    }
}
