//! Releases of apps whose Deployments belong to somebody else: we move the image of named containers.
//!
//! Invariant: until the first release has succeeded, every patched Deployment carries the images that it had before our
//! first patch. So a first push that fails goes back too, also after a restart of the platform in the middle.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::KubernetesTarget;
use super::adopted_patch::{self, Images};
use super::adopted_set;
use super::cluster::{Cluster, Fault};
use super::fields;
use super::halt::{self, Halt};
use super::objects::{self, ADOPTED_BY, PREVIOUS_IMAGES, VERSION};
use super::rule::Pin;
use super::watch::{self, Patience, Watched};
use crate::domain::names::AppName;
use crate::target::{Adoption, RolloutError, Workload};
use crate::transcript::Transcript;

/// How long new pods have to stay up where the Deployment itself asks for less: without it an instant crash was a
/// success.
const SETTLE: Duration = Duration::from_secs(5);
/// Times that one patch is tried when the object changed between our look and our write.
const ATTEMPTS: usize = 8;

/// Where the images come from that a Deployment gets.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// A release's image for every named container.
    Release(&'a Workload),
    /// What the Deployment had before our first patch.
    Found,
}

/// One move of all adopted Deployments.
struct Move<'a> {
    cluster: Cluster,
    app: &'a str,
    containers: &'a [String],
    source: Source<'a>,
    /// The highest version over which we may write.
    fence: i64,
    /// Whether the images found are to be kept, as no release has succeeded yet.
    first: bool,
}

impl KubernetesTarget {
    pub(super) async fn roll_out_adopted(
        &self,
        next: &Workload,
        adoption: &Adoption,
        previous: Option<&Workload>,
        transcript: &Transcript,
    ) -> Result<(), RolloutError> {
        let cluster = self.cluster.in_namespace(&adoption.namespace);
        let found = adopted_set::find(&cluster, &adoption.deployments).await?;
        adopted_set::check(&cluster, &found, next, adoption)?;
        for deployment in &found {
            for owner in fields::image_owners(deployment, &adoption.containers) {
                transcript.warn(owner.warning(&deployment.name_any())).await;
            }
        }
        let forth = Move {
            cluster,
            app: next.app.as_str(),
            containers: &adoption.containers,
            source: Source::Release(next),
            fence: next.version,
            first: previous.is_none(),
        };
        let outcome = async {
            let watched = forth.patch_all(&found).await?;
            watch::until_done(&forth.cluster, &watched, &self.patience, transcript).await
        };
        match outcome.await {
            Ok(()) => Ok(forth.forget_found(&found).await?),
            Err(Halt::Fault(fault @ (Fault::Newer | Fault::Unreachable { .. }))) => Err(fault.into()),
            Err(failure) => {
                halt::tell_failure(transcript, &failure).await;
                let back = Move { source: previous.map_or(Source::Found, Source::Release), ..forth };
                Err(halt::after_going_back(&failure, self.move_back(&back, &found, transcript).await))
            }
        }
    }

    /// Takes our marks off the adopted Deployments of an app that is no more (or no longer has them), so that another app
    /// can adopt them. Their images stay.
    pub(crate) async fn let_go(&self, app: &AppName, adoption: &Adoption) -> Result<(), RolloutError> {
        let cluster = self.cluster.in_namespace(&adoption.namespace);
        let found = match adopted_set::find(&cluster, &adoption.deployments).await {
            Ok(found) => found,
            // Gone with their marks.
            Err(Halt::Failed(_)) => return Ok(()),
            Err(Halt::Fault(fault)) => return Err(fault.into()),
        };
        let ours = found
            .iter()
            .filter(|found| objects::annotation(&found.metadata, ADOPTED_BY) == Some(app.as_str()));
        for deployment in ours {
            unmark(&cluster, &deployment.name_any(), &[VERSION, ADOPTED_BY, PREVIOUS_IMAGES]).await?;
        }
        Ok(())
    }

    async fn move_back(
        &self,
        back: &Move<'_>,
        found: &[Deployment],
        transcript: &Transcript,
    ) -> Result<String, Halt> {
        let was = match back.source {
            Source::Release(previous) => format!("v{}", previous.version),
            Source::Found => "What was there before the first push".to_owned(),
        };
        // What was found has been patched since.
        let mut now = Vec::new();
        for deployment in found {
            now.extend(back.cluster.get::<Deployment>(&deployment.name_any()).await?);
        }
        let watched = back.patch_all(&now).await?;
        // The owner's old pods never went away or were healthy before; no need to watch them settle.
        let watched: Vec<_> =
            watched.into_iter().map(|one| Watched { settle: Duration::ZERO, ..one }).collect();
        let patience = Patience { total: self.patience.going_back, ..self.patience.clone() };
        match watch::until_done(&back.cluster, &watched, &patience, transcript).await {
            Ok(()) => Ok(format!("{was} runs again in all {} Deployments.", now.len())),
            Err(Halt::Fault(fault)) => Err(fault.into()),
            Err(Halt::Failed(why)) => Ok(format!("{was} was put back, but is not healthy either:\n{why}")),
        }
    }
}

impl Move<'_> {
    /// All patches are waited for even when one was refused: none may arrive after the way back has begun.
    async fn patch_all(&self, found: &[Deployment]) -> Result<Vec<Watched>, Halt> {
        let patches = join_all(found.iter().map(|deployment| self.patch(deployment.clone()))).await;
        Ok(patches.into_iter().collect::<Result<_, Fault>>()?)
    }

    async fn patch(&self, mut live: Deployment) -> Result<Watched, Fault> {
        let name = live.name_any();
        let mut moved = false;
        let mut attempt = 1;
        loop {
            if objects::version_of(&live.metadata) > self.fence {
                return Err(Fault::Newer);
            }
            let images = self.images(&live);
            let annotations = self.annotations(&live);
            let Some(patch) = adopted_patch::build(&live, &images, &annotations) else {
                return Ok(self.watched(&live, images, moved));
            };
            // The generation does not tell: a Deployment's rises with its annotations too.
            moved = adopted_patch::images(&live, self.containers) != images;
            match self.cluster.patch_json::<Deployment>(&name, &patch).await {
                Err(fault) if fault.is_conflict() && attempt < ATTEMPTS => {
                    live = self.cluster.get(&name).await?.ok_or(fault)?;
                }
                Err(fault) => return Err(fault),
                Ok(patched) => return Ok(self.watched(&patched, images, moved)),
            }
            attempt += 1;
        }
    }

    fn images(&self, live: &Deployment) -> Images {
        let now = adopted_patch::images(live, self.containers);
        match self.source {
            Source::Release(workload) => {
                now.into_keys().map(|container| (container, workload.image.clone())).collect()
            }
            Source::Found => found_images(live).unwrap_or(now),
        }
    }

    fn annotations(&self, live: &Deployment) -> Vec<(&'static str, Option<String>)> {
        match self.source {
            Source::Release(workload) => {
                let mut annotations = vec![
                    (VERSION, Some(workload.version.to_string())),
                    (ADOPTED_BY, Some(self.app.to_owned())),
                ];
                if self.first && found_images(live).is_none() {
                    let now = adopted_patch::images(live, self.containers);
                    annotations.push((PREVIOUS_IMAGES, serde_json::to_string(&now).ok()));
                }
                annotations
            }
            // As if we had never been there.
            Source::Found => vec![(VERSION, None), (ADOPTED_BY, None), (PREVIOUS_IMAGES, None)],
        }
    }

    /// The first release has succeeded: from now on there is a release to go back to.
    async fn forget_found(&self, found: &[Deployment]) -> Result<(), Fault> {
        for deployment in found {
            unmark(&self.cluster, &deployment.name_any(), &[PREVIOUS_IMAGES]).await?;
        }
        Ok(())
    }

    fn watched(&self, live: &Deployment, images: Images, moved: bool) -> Watched {
        let asks = live.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let asks = Duration::from_secs(u64::try_from(asks).unwrap_or(0));
        Watched {
            label: live.name_any(),
            deployment: live.name_any(),
            pin: Pin {
                // Where our marks were taken away the fence stays: nothing newer may be mistaken for it.
                version: self.fence,
                generation: live.metadata.generation.unwrap_or(0),
                images: images.into_iter().collect(),
            },
            start_limit: None,
            settle: if moved { SETTLE.saturating_sub(asks) } else { Duration::ZERO },
        }
    }
}

/// Removes annotations of ours; a Deployment that is gone has none.
async fn unmark(cluster: &Cluster, name: &str, keys: &[&str]) -> Result<(), Fault> {
    let annotations: Vec<_> = keys.iter().map(|key| (*key, None)).collect();
    let mut attempt = 1;
    while let Some(live) = cluster.get::<Deployment>(name).await? {
        let Some(patch) = adopted_patch::build(&live, &Images::new(), &annotations) else { break };
        match cluster.patch_json::<Deployment>(name, &patch).await {
            Err(fault) if fault.is_conflict() && attempt < ATTEMPTS => attempt += 1,
            other => return other.map(drop),
        }
    }
    Ok(())
}

fn found_images(live: &Deployment) -> Option<Images> {
    serde_json::from_str(objects::annotation(&live.metadata, PREVIOUS_IMAGES)?).ok()
}
