//! Reads one run of one container into its app's log.

use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::happening::Speaker;
use crate::journal::{AppJournal, Entry, Resume, Source, clean};

/// Lines that are stored at a time, if so many are there.
const BATCH: usize = 512;
/// Lines that are read of a container that nobody has read yet.
const FIRST_LINES: &str = "10000";
/// An engine that ends a stream at once is not asked again sooner.
const SHORTEST: Duration = Duration::from_millis(500);

/// Reads until the container ends, the engine hangs up, or `stop`; gives the container's id back.
pub(super) async fn read(
    docker: Docker,
    journal: Arc<AppJournal>,
    id: String,
    speaker: Speaker,
    stop: CancellationToken,
) -> String {
    let began = Instant::now();
    let mut resume = journal.resume(&id).await;
    let mut chunks = docker.logs(&id, Some(options(&resume))).ready_chunks(BATCH).boxed();
    let mut found = false;
    loop {
        // Not cut in the middle of storing: the next reader goes by what is stored.
        let chunk = tokio::select! {
            () = stop.cancelled() => break,
            chunk = chunks.next() => chunk,
        };
        let Some(chunk) = chunk else { break };
        let broken = chunk.iter().any(Result::is_err);
        let lines = chunk.into_iter().filter_map(Result::ok).map(|output| output.into_bytes());
        let lines = lines.filter_map(|bytes| entry(&speaker, &bytes));
        let new: Vec<Entry> = lines.filter(|entry| resume.is_new(entry)).collect();
        found |= !new.is_empty();
        journal.append(&id, new).await;
        if broken {
            break;
        }
    }
    journal.rest(&id).await;
    if !found {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep_until(began + SHORTEST) => {}
        }
    }
    id
}

fn options(resume: &Resume) -> LogsOptions {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).follow(true);
    match resume.since.and_then(|since| i32::try_from(since.as_second()).ok()) {
        Some(since) => options.since(since).build(),
        None => options.tail(FIRST_LINES).build(),
    }
}

/// `2026-11-21T10:00:00.123456789Z text`.
fn entry(speaker: &Speaker, bytes: &[u8]) -> Option<Entry> {
    let text = String::from_utf8_lossy(bytes);
    let (at, text) = text.split_once(' ').unwrap_or((text.trim_end(), ""));
    Some(Entry {
        at: at.parse::<Timestamp>().ok()?,
        source: Source::App,
        process: speaker.process.clone(),
        kind: speaker.kind.clone(),
        cursor: String::new(),
        text: clean(text.trim_end_matches(['\n', '\r'])).into_owned(),
    })
}
