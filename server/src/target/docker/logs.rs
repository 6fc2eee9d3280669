//! What the processes of an app write, as one stream in order of time.

use std::collections::{HashMap, HashSet};

use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, LogsOptions, LogsOptionsBuilder};
use futures::stream::BoxStream;
use futures::{StreamExt, future, stream};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::spec;
use super::{DockerTarget, TargetError};
use crate::domain::names::AppName;
use crate::target::{Follow, LogLine, LogQuery};

/// Lines that may wait for a slow reader; then the engine waits.
const BACKLOG: usize = 256;

/// The largest number of old lines that is read, whatever is asked for.
const MOST_LINES: usize = 10_000;

/// A container whose lines are read.
#[derive(Debug, Clone)]
struct Source {
    id: String,
    /// `web.1`.
    process: String,
    /// Lines up to here were told already.
    after: Timestamp,
}

impl DockerTarget {
    /// The last `query.lines` lines, and, followed, all that come: also those of processes that start later. A stream
    /// that follows ends when its reader drops it or the engine goes away.
    pub(crate) async fn logs(
        &self,
        app: &AppName,
        query: LogQuery,
    ) -> Result<BoxStream<'static, LogLine>, TargetError> {
        let now = Timestamp::now();
        let mut sources: Vec<Source> = self
            .members(Some(app))
            .await?
            .into_iter()
            .filter(|member| {
                query.process_type.as_ref().is_none_or(|process| *process == member.slot.process)
            })
            .map(|member| Source { id: member.id, process: member.slot.to_string(), after: now })
            .collect();
        let old = self.old_lines(&mut sources, query.lines.min(MOST_LINES)).await;
        if query.follow == Follow::No {
            return Ok(stream::iter(old).boxed());
        }
        let (sender, receiver) = mpsc::channel(BACKLOG);
        tokio::spawn(self.clone().follow(sources, self.starts(app, &query, now), sender));
        Ok(stream::iter(old).chain(ReceiverStream::new(receiver)).boxed())
    }

    /// The last lines of all together. Moves each source's `after` to the last of its own.
    async fn old_lines(&self, sources: &mut [Source], lines: usize) -> Vec<LogLine> {
        let tail = lines.to_string();
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).tail(&tail).build();
        let reads = sources.iter().map(|source| self.lines(source, options.clone()).collect::<Vec<_>>());
        let each = future::join_all(reads).await;
        for (source, lines) in sources.iter_mut().zip(&each) {
            source.after = lines.last().map_or(source.after, |line| line.at);
        }
        let mut all: Vec<LogLine> = each.into_iter().flatten().collect();
        all.sort_by_key(|line| line.at);
        all.split_off(all.len().saturating_sub(lines))
    }

    fn lines(&self, source: &Source, options: LogsOptions) -> BoxStream<'static, LogLine> {
        let process = source.process.clone();
        self.docker
            .logs(&source.id, Some(options))
            // A container that was removed meanwhile has no more lines.
            .take_while(|chunk| future::ready(chunk.is_ok()))
            .filter_map(move |chunk| {
                future::ready(chunk.ok().and_then(|chunk| line(&process, &chunk.into_bytes())))
            })
            .boxed()
    }

    /// Reads every source to its end, and again when it starts again; new ones from their start.
    async fn follow(
        self,
        sources: Vec<Source>,
        mut starts: BoxStream<'static, Source>,
        sender: mpsc::Sender<LogLine>,
    ) {
        let mut reading = JoinSet::new();
        let mut read: HashMap<String, Timestamp> = HashMap::new();
        let mut active: HashSet<String> = HashSet::new();
        let mut next = sources;
        loop {
            for mut source in std::mem::take(&mut next) {
                source.after = read.get(&source.id).copied().unwrap_or(source.after);
                if active.insert(source.id.clone()) {
                    reading.spawn(self.clone().read(source, sender.clone()));
                }
            }
            tokio::select! {
                () = sender.closed() => return,
                started = starts.next() => match started {
                    Some(source) => next.push(source),
                    None => return,
                },
                Some(Ok(source)) = reading.join_next() => {
                    active.remove(&source.id);
                    read.insert(source.id.clone(), source.after);
                    // Started again before its old lines were read to the end.
                    if self.member(&source.id).await.ok().flatten().is_some_and(|member| member.is_running()) {
                        next.push(source);
                    }
                }
            }
        }
    }

    /// Tells the lines of one run of a container; gives the source back with the last of them marked.
    async fn read(self, mut source: Source, sender: mpsc::Sender<LogLine>) -> Source {
        let since = i32::try_from(source.after.as_second()).unwrap_or(0);
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(true)
            .since(since)
            .build();
        let mut lines = self.lines(&source, options);
        while let Some(line) = lines.next().await {
            // `since` is in whole seconds.
            if line.at > source.after {
                source.after = line.at;
                if sender.send(line).await.is_err() {
                    break;
                }
            }
        }
        source
    }

    /// The app's containers as they start, from `since` on.
    fn starts(&self, app: &AppName, query: &LogQuery, since: Timestamp) -> BoxStream<'static, Source> {
        let mut labels =
            vec![format!("{}={}", spec::PLATFORM, self.settings.platform), format!("{}={app}", spec::APP)];
        labels.extend(query.process_type.iter().map(|process| format!("{}={process}", spec::PROCESS)));
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("event".to_owned(), vec!["start".to_owned()]),
            ("label".to_owned(), labels),
        ]);
        let options =
            EventsOptionsBuilder::default().filters(&filters).since(&since.as_second().to_string()).build();
        self.docker
            .events(Some(options))
            .take_while(|event| future::ready(event.is_ok()))
            .filter_map(move |event| future::ready(event.ok().and_then(|event| started(event, since))))
            .boxed()
    }
}

fn started(event: EventMessage, since: Timestamp) -> Option<Source> {
    let actor = event.actor?;
    let labels = actor.attributes?;
    let process = format!("{}.{}", labels.get(spec::PROCESS)?, labels.get(spec::NUMBER)?);
    Some(Source { id: actor.id?, process, after: since })
}

/// `2026-11-21T10:00:00.123456789Z text`.
fn line(process: &str, bytes: &[u8]) -> Option<LogLine> {
    let text = String::from_utf8_lossy(bytes);
    let (at, text) = text.split_once(' ')?;
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    Some(LogLine { at: at.parse().ok()?, process: process.to_owned(), text })
}
