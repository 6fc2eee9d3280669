//! `/apps/{app}/dynos` and `/formation`: what runs, as the target sees it now.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use tracing::warn;
use uuid::Uuid;

use super::{render, shapes};
use crate::db::apps::App;
use crate::domain::names::ProcessType;
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
    Ok(Json(processes.into_iter().map(|process| dyno(process, &app)).collect()))
}

/// Read-only: how many of each type there are.
pub(in crate::web) async fn formation(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Formation>>, ApiError> {
    let mut types: BTreeMap<ProcessType, shapes::Formation> = BTreeMap::new();
    for process in running(&platform, &app).await? {
        let one = types.entry(process.process_type.clone()).or_insert_with(|| shapes::Formation {
            process_type: process.process_type.to_string(),
            quantity: 0,
            command: process.command,
            size: SIZE.to_owned(),
            app: render::app_named(&app),
        });
        one.quantity += 1;
    }
    Ok(Json(types.into_values().collect()))
}

/// There is one size of processes.
const SIZE: &str = "standard";

async fn running(platform: &Platform, app: &App) -> Result<Vec<ProcessStatus>, ApiError> {
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

fn dyno(process: ProcessStatus, app: &App) -> shapes::Dyno {
    shapes::Dyno {
        // Targets know no ids of ours; one that stays the same while the process does.
        id: Uuid::from_u128(id_of(app, &process)),
        name: process.name,
        process_type: process.process_type.to_string(),
        state: process.state,
        command: process.command,
        size: SIZE.to_owned(),
        restarts: process.restarts,
        release: shapes::DynoRelease { version: process.version },
        app: render::app_named(app),
        created_at: process.since,
        updated_at: process.since,
    }
}

fn id_of(app: &App, process: &ProcessStatus) -> u128 {
    use sha2::{Digest, Sha256};
    let hash =
        Sha256::digest(format!("{}|{}|{}|{}", app.id, process.name, process.version, process.restarts));
    hash.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}
