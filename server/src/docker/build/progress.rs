//! BuildKit's progress as lines that people read.
//!
//! A step is named once, when it starts, with a number; everything it says carries that number, because steps of
//! different stages run side by side:
//! ```text
//! #3 [2/4] RUN make
//! #3 cc -o hello hello.c
//! #3 DONE 1.2s
//! ```

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus};

use super::context::Sent;
use super::title::title;

/// Output without a newline is shown once there is this much of it.
const PARTIAL_LIMIT: usize = 4 * 1024;

/// Steps of the engine's own housekeeping that are only worth showing when they fail.
const QUIET: [&str; 4] = [
    "[internal] load build definition",
    "[internal] load .dockerignore",
    "[internal] settings cache mount permissions",
    "[internal] load remote build context",
];

/// Steps whose sub-tasks tell people nothing.
const TERSE: [&str; 2] = ["[internal]", "exporting to "];

/// Turns status messages into text, remembering which steps have been named.
pub(super) struct Progress {
    steps: HashMap<String, Step>,
    numbered: u32,
    sent: Arc<Sent>,
    failed: Option<FailedStep>,
}

/// The step that made the build fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedStep {
    /// `[2/4] RUN make`.
    pub(super) name: String,
    /// The engine's own words.
    pub(super) message: String,
}

#[derive(Default)]
struct Step {
    name: String,
    number: Option<u32>,
    ended: bool,
    partial: Vec<u8>,
    /// Sub-tasks already shown as completed.
    reported: Vec<String>,
}

impl Progress {
    pub(super) fn new(sent: Arc<Sent>) -> Self {
        Self { steps: HashMap::new(), numbered: 0, sent, failed: None }
    }

    /// The text that a message adds to the transcript; often none.
    pub(super) fn read(&mut self, status: &StatusResponse) -> String {
        let mut text = String::new();
        for vertex in &status.vertexes {
            self.begin(vertex, &mut text);
        }
        for task in &status.statuses {
            self.task(task, &mut text);
        }
        for log in &status.logs {
            self.log(log, &mut text);
        }
        for vertex in &status.vertexes {
            self.end(vertex, &mut text);
        }
        text
    }

    /// What has been said without a newline so far.
    pub(super) fn finish(&mut self) -> String {
        let mut text = String::new();
        for step in self.steps.values_mut() {
            flush(step, &mut text);
        }
        text
    }

    pub(super) fn failed(&self) -> Option<&FailedStep> {
        self.failed.as_ref()
    }

    fn begin(&mut self, vertex: &Vertex, text: &mut String) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        step.name.clone_from(&vertex.name);
        let begun = vertex.started.is_some() || vertex.cached || !vertex.error.is_empty();
        let quiet = vertex.error.is_empty() && QUIET.iter().any(|name| vertex.name.starts_with(name));
        if begun && !quiet && step.number.is_none() {
            self.numbered += 1;
            step.number = Some(self.numbered);
            for (at, line) in vertex.name.lines().enumerate() {
                // A step's name may hold a whole heredoc; its further lines are set apart.
                let gap = if at == 0 { "" } else { "  " };
                say(step, &format!("{gap}{}", title(line)), text);
            }
        }
    }

    fn task(&mut self, task: &VertexStatus, text: &mut String) {
        let Some(step) = self.steps.get_mut(&task.vertex) else { return };
        if task.completed.is_none() || step.number.is_none() || step.reported.contains(&task.id) {
            return;
        }
        step.reported.push(task.id.clone());
        if TERSE.iter().any(|name| step.name.starts_with(name)) {
            return;
        }
        let size = if task.total > 0 { format!(" {}", bytes(task.total)) } else { String::new() };
        say(step, &format!("{}{size}", task.id), text);
    }

    fn log(&mut self, log: &VertexLog, text: &mut String) {
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        step.partial.extend_from_slice(&log.msg);
        while let Some(end) = step.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = step.partial.drain(..=end).collect();
            say(step, &shown(&line[..end]), text);
        }
        if step.partial.len() > PARTIAL_LIMIT {
            flush(step, text);
        }
    }

    fn end(&mut self, vertex: &Vertex, text: &mut String) {
        let Some(completed) = &vertex.completed else { return };
        let Some(step) = self.steps.get_mut(&vertex.digest).filter(|step| !step.ended) else { return };
        step.ended = true;
        flush(step, text);
        if vertex.name.starts_with("[internal] load build context") {
            let (files, size) =
                (self.sent.files.load(Ordering::Relaxed), self.sent.bytes.load(Ordering::Relaxed));
            let noun = if files == 1 { "file" } else { "files" };
            say(step, &format!("sent {files} changed {noun}, {}", bytes(size as i64)), text);
        }
        if vertex.error.contains("context canceled") {
            say(step, "CANCELED", text);
        } else if !vertex.error.is_empty() {
            say(step, &format!("ERROR: {}", vertex.error), text);
            let failed = FailedStep { name: vertex.name.clone(), message: vertex.error.clone() };
            self.failed.get_or_insert(failed);
        } else if vertex.cached {
            say(step, "CACHED", text);
        } else if let Some(started) = &vertex.started {
            say(step, &format!("DONE {:.1}s", seconds(started, completed)), text);
        }
    }
}

fn say(step: &Step, line: &str, text: &mut String) {
    if let Some(number) = step.number {
        writeln!(text, "#{number} {line}").expect("invariant: writing to a string cannot fail");
    }
}

fn flush(step: &mut Step, text: &mut String) {
    if !step.partial.is_empty() {
        let line = std::mem::take(&mut step.partial);
        say(step, &shown(&line), text);
    }
}

/// What a terminal would show of a line in the end: progress bars draw over themselves after each `\r`.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line.rsplit(|byte| *byte == b'\r').find(|part| !part.is_empty()).unwrap_or_default();
    String::from_utf8_lossy(last).into_owned()
}

fn seconds(from: &Timestamp, to: &Timestamp) -> f64 {
    let seconds = (to.seconds - from.seconds) as f64;
    (seconds + f64::from(to.nanos - from.nanos) / 1e9).max(0.0)
}

fn bytes(size: i64) -> String {
    bytesize::ByteSize::b(size.try_into().unwrap_or_default()).display().si().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos })
    }

    fn vertex(digest: &str, name: &str) -> Vertex {
        Vertex { digest: digest.into(), name: name.into(), ..Vertex::default() }
    }

    fn log(digest: &str, message: &str) -> VertexLog {
        VertexLog { vertex: digest.into(), msg: message.into(), ..VertexLog::default() }
    }

    #[test]
    fn steps_that_run_side_by_side_can_be_told_apart() {
        let mut progress = Progress::new(Arc::default());
        let started = |digest: &str, name: &str| Vertex { started: at(10, 0), ..vertex(digest, name) };
        let mut text = progress.read(&StatusResponse {
            vertexes: vec![
                started("i", "[internal] load build definition from Dockerfile"),
                started("a", "[2/3] RUN make"),
                vertex("c", "[3/3] COPY . ."),
            ],
            ..StatusResponse::default()
        });
        text += &progress.read(&StatusResponse {
            vertexes: vec![started("b", "[other 1/1] RUN test")],
            logs: vec![log("a", "one\ntw"), log("b", " 10%\r 20%\r100%\r\n"), log("a", "o\nlast")],
            ..StatusResponse::default()
        });
        text += &progress.read(&StatusResponse {
            vertexes: vec![
                Vertex { completed: at(11, 250_000_000), ..started("a", "[2/3] RUN make") },
                Vertex {
                    completed: at(11, 0),
                    error: "exit code: 3".into(),
                    ..started("b", "[other 1/1] RUN test")
                },
                Vertex { cached: true, completed: at(11, 0), ..vertex("c", "[3/3] COPY . .") },
            ],
            ..StatusResponse::default()
        });
        insta::assert_snapshot!(text, @r"
        #1 [2/3] RUN make
        #2 [other 1/1] RUN test
        #1 one
        #2 100%
        #1 two
        #3 [3/3] COPY . .
        #1 last
        #1 DONE 1.2s
        #2 ERROR: exit code: 3
        #3 CACHED
        ");
        let failed = progress.failed().unwrap();
        assert_eq!((failed.name.as_str(), failed.message.as_str()), ("[other 1/1] RUN test", "exit code: 3"));
    }
}
