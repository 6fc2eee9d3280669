//! The release: one transaction under the app lock.

use sqlx::PgConnection;

use super::push::Pushed;
use super::{Line, Stop};
use crate::db::builds::Build;
use crate::db::releases::{Code, NewRelease};
use crate::db::{app_lock, builds, releases};
use crate::domain::build::BuildStatus;
use crate::domain::ids::ReleaseId;

/// The release that an earlier attempt recorded: what is left is to roll it out.
pub(crate) async fn recorded(line: &Line) -> sqlx::Result<Option<ReleaseId>> {
    let mut conn = line.platform.pool.acquire().await?;
    Ok(releases::of_build(&mut conn, line.build.id).await?.map(|release| release.id))
}

/// Records the release of a pushed image.
pub(crate) async fn record(line: &Line, pushed: Pushed) -> Result<ReleaseId, Stop> {
    let build = &line.build;
    let mut tx = line.platform.pool.begin().await?;
    let Some(app) = app_lock::lock(&mut tx, build.app_id).await? else { return Err(Stop::Canceled) };
    // A COMMIT whose answer was lost: the release is there.
    if let Some(made) = releases::of_build(&mut tx, build.id).await? {
        return Ok(made.id);
    }
    if app.released_build >= build.number {
        return Err(overtaken(&mut tx, build).await?);
    }
    let code = Code {
        commit: Some(build.commit.clone()),
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

/// Refuses a build whose gate is closed already, before anything is built.
pub(crate) async fn refuse_if_overtaken(line: &Line) -> Result<(), Stop> {
    let mut tx = line.platform.pool.begin().await?;
    match app_lock::lock(&mut tx, line.build.app_id).await? {
        Some(app) if app.released_build >= line.build.number => Err(overtaken(&mut tx, &line.build).await?),
        Some(_) => Ok(()),
        None => Err(Stop::Canceled),
    }
}

/// The gate is closed: only what people release by hand (a rollback, a prebuilt image, a promotion) closes it for builds
/// that are still on their way.
async fn overtaken(conn: &mut PgConnection, build: &Build) -> sqlx::Result<Stop> {
    let by = releases::newest_by_hand_of(conn, build.app_id).await?.map_or_else(
        || "a newer release".to_owned(),
        |newer| format!("v{} ({} by {})", newer.version, newer.description, newer.actor_name),
    );
    Ok(Stop::Superseded(format!(
        "{by} was made after this push, so the push is not released over it; push again, or `builds:retry`, if it shall be"
    )))
}
