//! `/apps/{app}/buildpacks/dockerfile`: what the buildpack of the app's language writes.

use axum::extract::State;
use axum::{Extension, Json};

use super::shapes;
use crate::commands::buildpacks::written;
use crate::db::apps::App;
use crate::db::builds;
use crate::git::Oid;
use crate::pipeline::detect::{self, Terms};
use crate::pipeline::source::Source;
use crate::platform::Platform;
use crate::web::error::ApiError;

/// Of the commit that was pushed last, with this platform's settings.
pub(in crate::web) async fn dockerfile(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<shapes::WrittenDockerfile>, ApiError> {
    let mut conn = platform.pool.acquire().await?;
    let build = builds::latest_of(&mut conn, app.id).await?.ok_or_else(|| {
        ApiError::Conflict(format!(
            "nothing was pushed to {} yet: git push platform {}",
            app.name, app.deploy_branch
        ))
    })?;
    drop(conn);
    let repository = platform.repository(app.id).await.map_err(ApiError::Internal)?;
    let commit: Oid = build.commit.parse().map_err(|error| ApiError::Internal(anyhow::Error::new(error)))?;
    let terms = Terms::of(&platform, &app).await.map_err(ApiError::Internal)?;
    let (folder, limits) = (app.folder.clone(), platform.snapshot_limits());
    let reading = tokio::task::spawn_blocking(move || {
        let read = Source::of(&repository, commit, folder.as_deref(), &limits);
        let (source, _) = read.map_err(|error| error.to_string())?;
        written(&detect::inspect(&source, &terms)?.way)
    });
    let dockerfile =
        reading.await.map_err(|error| ApiError::Internal(error.into()))?.map_err(ApiError::Conflict)?;
    Ok(Json(shapes::WrittenDockerfile { commit: build.commit, dockerfile }))
}
