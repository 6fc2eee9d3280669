//! `/apps/{app}/dynos`: what runs, as the target sees it now.

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use tracing::warn;

use super::{derived_id, render, shapes};
use crate::db::apps::App;
use crate::db::formation;
use crate::domain::formation::{USUAL_SIZE, scaling_of};
use crate::platform::Platform;
use crate::target::{ProcessStatus, Whose};
use crate::web::error::ApiError;

/// How long the engine or the cluster may take to say what runs.
const TARGET_TIMEOUT: Duration = Duration::from_secs(15);

pub(in crate::web) async fn dynos(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Dyno>>, ApiError> {
    let processes = running(&platform, &app).await?;
    let formation = formation::of(&mut *platform.pool.acquire().await?, app.id).await?;
    let sized = |process: ProcessStatus| {
        let size = scaling_of(&formation, &process.process_type).size;
        dyno(process, &app, size.unwrap_or_else(|| USUAL_SIZE.to_owned()))
    };
    Ok(Json(processes.into_iter().map(sized).collect()))
}

pub(super) async fn running(platform: &Platform, app: &App) -> Result<Vec<ProcessStatus>, ApiError> {
    let asked = platform.target.processes(whose(app));
    match tokio::time::timeout(TARGET_TIMEOUT, asked).await {
        Ok(Ok(processes)) => Ok(processes),
        Ok(Err(error)) => Err(away(&error)),
        Err(late) => Err(away(&late.into())),
    }
}

fn whose(app: &App) -> Whose<'_> {
    Whose { app: &app.name, adopted: app.adoption.as_ref() }
}

fn away(error: &anyhow::Error) -> ApiError {
    warn!("The target did not say what runs: {error:#}");
    ApiError::Unavailable(
        "where the apps run (the engine, or the cluster) does not answer: nothing is known of the processes now; try again in a moment"
            .to_owned(),
    )
}

fn dyno(process: ProcessStatus, app: &App, size: String) -> shapes::Dyno {
    shapes::Dyno {
        // Targets know no ids of ours; one that stays the same while the process does.
        id: derived_id(&[
            &app.id.to_string(),
            &process.name,
            &process.version.to_string(),
            &process.restarts.to_string(),
        ]),
        name: process.name,
        process_type: process.process_type.to_string(),
        state: process.state,
        command: process.command,
        size,
        restarts: process.restarts,
        release: shapes::DynoRelease { version: process.version },
        app: render::app_named(app),
        created_at: process.since,
        updated_at: process.since,
    }
}
