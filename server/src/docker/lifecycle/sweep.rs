//! What a server that was killed left in the engine, and caches that nobody needs any more.

use std::collections::HashMap;

use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use futures::future::join_all;

use super::spec;
use super::workshop::{remove_container, remove_volume};
use crate::docker::{Engine, EngineError};

impl Engine {
    /// Removes all containers and volumes of builds of `owner`; returns how many. For the start of a server, when none
    /// of them can be in use.
    pub(crate) async fn sweep_lifecycles(&self, owner: &str) -> Result<usize, EngineError> {
        self.agree().await.map_err(|source| self.unreachable(source))?;
        let filters = labelled(spec::OWNER, owner);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.api().list_containers(Some(options)).await.map_err(|error| self.explain(error))?;
        let containers: Vec<String> = listed.into_iter().filter_map(|container| container.id).collect();
        join_all(containers.iter().map(|id| remove_container(self.api(), id))).await;
        let volumes = self.remove_volumes(&filters).await?;
        Ok(containers.len() + volumes)
    }

    /// Removes the caches of an app that is no more, or that shall begin anew.
    pub(crate) async fn remove_lifecycle_cache(
        &self,
        owner: &str,
        cache_name: &str,
    ) -> Result<(), EngineError> {
        self.remove_volumes(&labelled(spec::CACHE, &spec::cache_label(owner, cache_name))).await.map(drop)
    }

    async fn remove_volumes(&self, filters: &HashMap<String, Vec<String>>) -> Result<usize, EngineError> {
        let options = ListVolumesOptionsBuilder::default().filters(filters).build();
        let listed = self.api().list_volumes(Some(options)).await.map_err(|error| self.explain(error))?;
        let names: Vec<String> =
            listed.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect();
        join_all(names.iter().map(|name| remove_volume(self.api(), name))).await;
        Ok(names.len())
    }
}

fn labelled(label: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{label}={value}")])])
}
