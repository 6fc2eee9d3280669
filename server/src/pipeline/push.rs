//! The image goes to the registry, and its digest is stored once the registry has confirmed it.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use serde_json::Value;
use tracing::warn;

use super::build::Image;
use super::{Again, Line, Stop};
use crate::db::builds::{self, Made};
use crate::docker::push::{PushError, PushRequest};
use crate::registry::RegistryError;

/// Tries of whatever failed for a passing reason: the push, and each question to the registry.
const TRIES: usize = 4;
/// Before the second try; doubled from there.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// An image in the registry.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// `repository:tag`, without the registry's host.
    pub(crate) image: String,
    pub(crate) digest: String,
    pub(crate) blueprint: Value,
}

pub(crate) async fn to_registry(line: &Line, image: Image) -> Result<Pushed, Stop> {
    let mut conn = line.platform.pool.acquire().await?;
    if builds::begin_pushing(&mut conn, &line.build).await? == crate::db::jobs::Fenced::Lost {
        let canceled = builds::cancel_requested(&mut conn, line.build.id).await?;
        return Err(if canceled { Stop::Canceled } else { Stop::LeaseLost });
    }
    drop(conn);
    // Who follows sees the state too.
    line.platform.logs.wake(line.build.id);
    let (digest, blueprint, reuse_key) = match image {
        Image::InRegistry { digest, blueprint, reuse_key } => {
            tag_existing(line, &digest).await?;
            (digest, blueprint, reuse_key)
        }
        Image::Built { id, blueprint, reuse_key } => (push(line, &id).await?, blueprint, reuse_key),
    };
    let made = Made { digest: &digest, blueprint: &blueprint, reuse_key: reuse_key.as_deref() };
    let mut conn = line.platform.pool.acquire().await?;
    builds::store_digest(&mut conn, &line.build, &made).await?.or_stop()?;
    Ok(Pushed { image: format!("{}:{}", line.repository(), line.tag()), digest, blueprint })
}

/// Every build has its tag, also one that reuses an image.
async fn tag_existing(line: &Line, digest: &str) -> Result<(), Stop> {
    let (registry, repository, tag) = (&line.platform.registry, line.repository(), line.tag());
    let tagged = (|| registry.tag(&repository, digest, &tag)).retry(pauses());
    tagged.when(RegistryError::is_temporary).await.map_err(unanswered)
}

async fn push(line: &Line, id: &str) -> Result<String, Stop> {
    let platform = &line.platform;
    let repository = platform.registry.push_repository(&line.repository());
    line.transcript.step(format!("Pushing {repository}:{}", line.tag())).await;
    let request = PushRequest {
        image: id.to_owned(),
        repository,
        tag: line.tag(),
        login: platform.registry.login().cloned(),
        cancel: line.cancel.clone(),
    };
    let pushed = (|| platform.engine.push(&request, &line.transcript))
        .retry(pauses())
        .when(PushError::is_temporary)
        .notify(|error, pause| warn!("The image will be pushed again in {} ms: {error}", pause.as_millis()))
        .await
        .map_err(stop)?;
    verify(line, &pushed).await?;
    line.transcript.detail(format!("digest {pushed}")).await;
    Ok(pushed)
}

/// The registry must have what the engine says that it pushed: an acknowledgement proves nothing.
async fn verify(line: &Line, digest: &str) -> Result<(), Stop> {
    let (registry, repository, tag) = (&line.platform.registry, line.repository(), line.tag());
    let asked = (|| registry.digest_of(&repository, &tag)).retry(pauses());
    let found = asked.when(RegistryError::is_temporary).await.map_err(unanswered)?;
    if found.as_deref() == Some(digest) {
        return Ok(());
    }
    Err(Stop::Errored {
        sentence: "the registry does not have the image that was pushed to it".to_owned(),
        error: anyhow::anyhow!("the engine pushed {digest}, the registry has {found:?}"),
        again: Again::Yes,
    })
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::new().with_jitter().with_min_delay(FIRST_PAUSE).with_max_times(TRIES - 1)
}

fn unanswered(error: RegistryError) -> Stop {
    Stop::Errored { sentence: error.to_string(), error: error.into(), again: Again::Yes }
}

fn stop(error: PushError) -> Stop {
    match error {
        PushError::Cancelled => Stop::Canceled,
        error => Stop::Errored { sentence: error.to_string(), error: error.into(), again: Again::Yes },
    }
}
