//! Logs as a growing text: from any byte on, to what is there or to the end.

use std::time::Duration;

use futures::Stream;
use serde::Deserialize;
use tokio::sync::watch;

use crate::db::logs::LogId;
use crate::db::{batches, logs, releases};
use crate::domain::ids::{AppId, BatchId, ReleaseId};
use crate::domain::release::ReleaseStatus;
use crate::pipeline::log::Follower;
use crate::platform::Platform;
use crate::web::error::ApiError;

/// How often it is looked without news whether a release on its way has begun its next phase.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// From which byte of the sanitised text, and whether to stay until the last word.
#[derive(Debug, Deserialize)]
pub(in crate::web) struct OutputQuery {
    #[serde(default)]
    offset: i64,
    #[serde(default)]
    follow: String,
}

/// How long to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stay {
    ForWhatIsThere,
    ToTheEnd,
}

impl OutputQuery {
    pub(super) fn offset(&self) -> Result<i64, ApiError> {
        if self.offset < 0 {
            return Err(ApiError::InvalidParams("offset is a number of bytes, from 0".to_owned()));
        }
        Ok(self.offset)
    }

    pub(super) fn stay(&self) -> Stay {
        match self.follow.as_str() {
            "" | "0" | "false" => Stay::ForWhatIsThere,
            _ => Stay::ToTheEnd,
        }
    }
}

/// The logs of a release's phases as one text.
pub(super) struct PhaseOutput {
    platform: Platform,
    release: ReleaseId,
    /// Of the app's releases.
    news: watch::Receiver<()>,
    stay: Stay,
    /// Bytes to pass over still.
    skip: i64,
    /// Phases that were read to their end.
    done: Vec<BatchId>,
    reading: Option<(BatchId, Reading)>,
}

enum Reading {
    /// From this offset on.
    Stored(i64),
    Followed(Box<Follower>),
}

impl PhaseOutput {
    pub(super) fn new(
        platform: Platform,
        (app, release): (AppId, ReleaseId),
        offset: i64,
        stay: Stay,
    ) -> Self {
        let news = platform.rollouts.news(app);
        Self { platform, release, news, stay, skip: offset, done: Vec::new(), reading: None }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = sqlx::Result<Vec<u8>>> + Send {
        futures::stream::try_unfold(self, |mut output| async move {
            Ok(output.next().await?.map(|text| (text, output)))
        })
    }

    async fn next(&mut self) -> sqlx::Result<Option<Vec<u8>>> {
        loop {
            let Some((batch, reading)) = &mut self.reading else {
                if self.open_next().await? {
                    continue;
                }
                return Ok(None);
            };
            let text = match reading {
                Reading::Followed(follower) => follower.next().await?,
                Reading::Stored(offset) => {
                    let mut conn = self.platform.pool.acquire().await?;
                    let text = logs::read_from(&mut conn, LogId::Batch(*batch), *offset).await?;
                    *offset += i64::try_from(text.len()).unwrap_or(0);
                    Some(text).filter(|text| !text.is_empty())
                }
            };
            match text {
                Some(text) => return Ok(Some(text)),
                None => {
                    self.done.push(*batch);
                    self.reading = None;
                }
            }
        }
    }

    /// Opens the next phase, waiting for it if it may come; `false` if none will.
    async fn open_next(&mut self) -> sqlx::Result<bool> {
        loop {
            self.news.mark_unchanged();
            let mut conn = self.platform.pool.acquire().await?;
            // Asked before the phases: what is planned when it ends stands there already.
            let release = releases::by_id(&mut conn, self.release).await?;
            let phases = batches::phases_of(&mut conn, self.release).await?;
            if let Some(next) = phases.into_iter().find(|phase| !self.done.contains(&phase.id)) {
                let length = logs::length(&mut conn, LogId::Batch(next.id)).await?;
                if next.finished_at.is_some() && length <= self.skip {
                    self.skip -= length;
                    self.done.push(next.id);
                    continue;
                }
                let offset = std::mem::take(&mut self.skip);
                let reading = match self.stay {
                    Stay::ForWhatIsThere => Reading::Stored(offset),
                    Stay::ToTheEnd => {
                        let (pool, hub) = (self.platform.pool.clone(), &self.platform.logs);
                        Reading::Followed(Box::new(Follower::new(pool, hub, next.id, offset)))
                    }
                };
                self.reading = Some((next.id, reading));
                return Ok(true);
            }
            drop(conn);
            let on_its_way = release.is_some_and(|release| release.status == ReleaseStatus::Pending);
            if self.stay == Stay::ForWhatIsThere || !on_its_way {
                return Ok(false);
            }
            drop(tokio::time::timeout(LOOK_EVERY, self.news.changed()).await);
        }
    }
}
