//! What each app takes on the platform's disks, and clearing away old logs of builds, for admins.

use std::path::{Path, PathBuf};

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use bytesize::ByteSize;
use serde::Deserialize;
use serde_json::json;

use super::admission::Visitor;
use super::page::{Failure, Frame, Here, show};
use crate::db::storage::{self, Logs};
use crate::db::{apps, audit};
use crate::platform::Platform;
use crate::web::error::ApiError;

/// Builds of an app whose logs are kept, if nobody says another number.
const USUAL: i64 = 100;
/// The current release's build is among the newest in nearly all cases: its log stays.
const LEAST: i64 = 10;
/// Builds whose logs are cleared away at a time.
const AT_A_TIME: i64 = 200;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    keep: String,
    #[serde(default)]
    done: String,
}

#[derive(Template)]
#[template(path = "storage.html")]
struct Page {
    frame: Frame,
    apps: Vec<App>,
    keep: i64,
    least: i64,
    /// What would go: logs, and how much text.
    old: i64,
    old_size: String,
}

struct App {
    name: String,
    repository: String,
    logs: i64,
    size: String,
    old: i64,
    old_size: String,
}

pub(super) async fn page(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Query(wish): Query<Wish>,
) -> Result<Response, Failure> {
    let keep = number(&wish.keep)?;
    let logs = storage::logs(&mut *platform.pool.acquire().await?, keep).await?;
    let folders: Vec<PathBuf> = logs.iter().map(|logs| platform.repository_path(logs.app)).collect();
    let sizes = tokio::task::spawn_blocking(move || folders.iter().map(|folder| bytes_in(folder)).collect());
    let sizes: Vec<u64> = sizes.await.map_err(|error| ApiError::Internal(error.into()))?;
    let old = |of: fn(&Logs) -> i64| logs.iter().map(of).sum::<i64>();
    show(&Page {
        frame: Frame::new(&visitor, Here::System, "Storage")
            .noting((wish.done == "cleared").then_some("The old logs are gone.")),
        keep,
        least: LEAST,
        old: old(|logs| logs.old_builds),
        old_size: size(old(|logs| logs.old_bytes)),
        apps: logs.into_iter().zip(sizes).map(|(logs, repository)| App::new(logs, repository)).collect(),
    })
}

impl App {
    fn new(logs: Logs, repository: u64) -> Self {
        Self {
            name: logs.name,
            repository: ByteSize(repository).display().iec().to_string(),
            logs: logs.builds,
            size: size(logs.bytes),
            old: logs.old_builds,
            old_size: size(logs.old_bytes),
        }
    }
}

fn size(bytes: i64) -> String {
    ByteSize(u64::try_from(bytes).unwrap_or(0)).display().iec().to_string()
}

fn number(keep: &str) -> Result<i64, ApiError> {
    match keep.trim() {
        "" => Ok(USUAL),
        keep => keep.parse().ok().filter(|keep| *keep >= LEAST).ok_or_else(|| {
            ApiError::InvalidParams(format!("the logs of at least {LEAST} builds of each app are kept"))
        }),
    }
}

/// Bytes of the files below a folder; what cannot be read counts as nothing. Links are not followed.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(if metadata.is_dir() { bytes_in(&entry.path()) } else { metadata.len() })
    });
    bytes.sum()
}

/// Which logs go: those that the page before has shown, and what has become old since.
pub(super) async fn clear(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Form(wish): Form<Wish>,
) -> Result<Response, Failure> {
    let keep = number(&wish.keep)?;
    let apps = apps::all(&mut *platform.pool.acquire().await?).await?;
    for app in apps {
        loop {
            let mut tx = platform.pool.begin().await?;
            let cleared = storage::clear(&mut tx, app.id, keep, AT_A_TIME).await?;
            if cleared == 0 {
                break;
            }
            let detail = json!({ "logs": cleared, "kept": keep });
            let of = Some((app.id, &app.name));
            audit::note(&mut tx, &visitor.principal, of, "builds:clear-logs", detail).await?;
            tx.commit().await?;
        }
    }
    Ok(Redirect::to(&format!("/ui/system/storage?keep={keep}&done=cleared")).into_response())
}
