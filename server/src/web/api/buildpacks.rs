//! `/apps/{app}/buildpacks/dockerfile`: what the buildpack of the app's language writes.

use axum::extract::State;
use axum::{Extension, Json};

use super::shapes;
use crate::db::apps::App;
use crate::db::builds;
use crate::git::Oid;
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
    let commit: Oid = build.commit.parse().map_err(|error| ApiError::Internal(anyhow::Error::new(error)))?;
    let detected = platform.inspect(&app, commit).await?;
    let dockerfile = detected.way.written().map_err(ApiError::Conflict)?.to_owned();
    Ok(Json(shapes::WrittenDockerfile { commit: build.commit, dockerfile }))
}
