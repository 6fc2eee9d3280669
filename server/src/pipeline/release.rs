//! The release: one transaction under the app lock.

use super::push::Pushed;
use super::{Line, Stop};
use crate::db::releases::{Code, NewRelease};
use crate::db::{app_lock, builds, releases};
use crate::domain::build::BuildStatus;
use crate::domain::ids::ReleaseId;

/// The release that an earlier attempt recorded: what is left is to roll it out.
pub(crate) async fn recorded(line: &Line) -> Result<Option<ReleaseId>, Stop> {
    let mut conn = line.platform.pool.acquire().await?;
    Ok(releases::of_build(&mut conn, line.build.id).await?.map(|release| release.id))
}

/// Records the release of a pushed image.
pub(crate) async fn record(line: &Line, pushed: Pushed) -> Result<ReleaseId, Stop> {
    let build = &line.build;
    let mut tx = line.platform.pool.begin().await?;
    let Some(app) = app_lock::lock(&mut tx, build.app_id).await? else { return Err(Stop::Canceled) };
    if app.released_build >= build.number {
        return Err(Stop::Superseded(
            "a newer build was released or a rollback was made while this one was on its way".to_owned(),
        ));
    }
    let code = Code {
        commit: build.commit.clone(),
        image: pushed.image,
        digest: pushed.digest,
        blueprint: pushed.blueprint,
    };
    let short = build.commit.get(..7).unwrap_or(&build.commit);
    let new = NewRelease {
        description: &format!("Deploy {short}"),
        trigger: &build.trigger,
        build_id: Some(build.id),
        code: Some(&code),
        config: &app.config,
        actor_id: build.actor_id,
        actor_name: &build.actor_name,
        rollback_of: None,
    };
    let (id, version) = releases::insert(&mut tx, &app, &new).await?;
    app.close_gate(&mut tx, build.number).await?;
    builds::end(&mut tx, build, BuildStatus::Succeeded, None).await?.or_stop()?;
    tx.commit().await?;
    line.transcript.step(format!("Launching v{version}")).await;
    Ok(id)
}
