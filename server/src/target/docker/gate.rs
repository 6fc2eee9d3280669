//! The health gate of one container: up and answering in time, or the reason why not, in words for its author.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bollard::query_parameters::{LogsOptionsBuilder, WaitContainerOptionsBuilder};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::create::Started;
use super::probe::Asked;
use super::{DockerTarget, listening};
use crate::domain::health::{Ask, Probe as Question};
use crate::domain::names::AppName;
use crate::target::Check;
use crate::target::failure::{self, Kind};

/// For one probe: a server that hangs on its first request is asked again.
const PROBE: Duration = Duration::from_secs(5);

/// For the engine's proxy to drop a connection that nobody in the container took. Only where the kernel's table of
/// sockets is out of sight.
const PROXY_DROPS: Duration = Duration::from_millis(150);

/// Lines of a crash log that are shown, and bytes of them.
const TAIL_LINES: &str = "20";
const TAIL_BYTES: usize = 8 * 1024;

/// For the engine to hand over that tail.
const TAIL_WAIT: Duration = Duration::from_secs(5);

/// Bytes of an unwelcome answer that are shown.
const ANSWER_BYTES: usize = 300;

/// What one probe found.
enum Probe {
    Healthy,
    NotListening,
    Answered(StatusCode, String),
    NoAnswer(String),
}

impl DockerTarget {
    /// Waits until the container is healthy. The error is a text for the user.
    pub(super) async fn gate(&self, app: &AppName, started: &Started) -> Result<(), String> {
        tokio::select! {
            biased;
            () = self.ended(&started.id) => Err(self.crash(started).await),
            healthy = self.checks(app, started) => healthy,
        }
    }

    async fn checks(&self, app: &AppName, started: &Started) -> Result<(), String> {
        self.check(app, started).await?;
        let checks = &started.process.checks;
        for (kind, question) in [("startup", &checks.startup), ("readiness", &checks.readiness)] {
            if let Some(question) = question {
                self.until_it_succeeds(app, started, (kind, question)).await?;
            }
        }
        Ok(())
    }

    /// A check of app.json, as often as it says.
    async fn until_it_succeeds(
        &self,
        app: &AppName,
        started: &Started,
        (kind, question): (&str, &Question),
    ) -> Result<(), String> {
        let delay = Duration::from_secs(match question.ask {
            Ask::Uptime(seconds) => u64::from(seconds) + u64::from(question.initial_delay),
            _ => question.initial_delay.into(),
        });
        tokio::time::sleep(delay.saturating_sub(started.at.elapsed())).await;
        if let Ask::Uptime(_) = question.ask {
            return self.still_up(started).await;
        }
        let asked = Asked { app, id: &started.id, port: started.process.port, address: started.address };
        let mut said = String::new();
        for attempt in 0..question.attempts {
            if attempt > 0 {
                tokio::time::sleep(Duration::from_secs(question.wait.into())).await;
            }
            match self.probe(asked, question).await {
                Ok(()) => return Ok(()),
                Err(instead) => said = instead,
            }
        }
        let times =
            if question.attempts == 1 { "once".to_owned() } else { format!("{} times", question.attempts) };
        let text = format!(
            "{} runs, and its {kind} check ({}) failed {times}: {said}.",
            started.slot,
            question.question()
        );
        Err(format!("{text}{}\n{}.", self.tail(&started.id).await, Kind::NotReady.next_step()))
    }

    async fn check(&self, app: &AppName, started: &Started) -> Result<(), String> {
        let (timeout, path) = match &started.process.check {
            Check::Uptime(uptime) => {
                tokio::time::sleep(*uptime).await;
                return self.still_up(started).await;
            }
            Check::Http { path, timeout } => (*timeout, Some(path.as_str())),
            Check::Tcp { timeout } => (*timeout, None),
        };
        let (Some(port), Some(address)) = (started.process.port, started.address) else { return Ok(()) };
        let began = Instant::now();
        let pid = self.pid(&started.id).await;
        loop {
            let probe = match (self.sees_listening(pid, &started.id, port).await, path) {
                (Some(false), _) => Probe::NotListening,
                (Some(true), None) => Probe::Healthy,
                (None, None) => accepts(address).await,
                (_, Some(path)) => ask(app, address, path).await,
            };
            if matches!(probe, Probe::Healthy) {
                return Ok(());
            }
            if began.elapsed() >= timeout {
                return Err(self.explain(started, probe).await);
            }
            tokio::time::sleep(pause(began.elapsed())).await;
        }
    }

    /// Whether something listens on the container's port, by one look.
    pub(super) async fn listens(&self, id: &str, address: SocketAddr, port: u16) -> bool {
        let pid = self.pid(id).await;
        match self.sees_listening(pid, id, port).await {
            Some(answer) => answer,
            None => matches!(accepts(address).await, Probe::Healthy),
        }
    }

    async fn sees_listening(&self, pid: Option<i64>, id: &str, port: u16) -> Option<bool> {
        Some(listening::reachable(&listening::sockets(pid?, id).await?, port))
    }

    async fn pid(&self, id: &str) -> Option<i64> {
        self.docker.inspect_container(id, None).await.ok()?.state?.pid.filter(|pid| *pid > 0)
    }

    /// Ends when the container does. If the engine goes away nothing is known: then the gate's timeout decides.
    async fn ended(&self, id: &str) {
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut exits = self.docker.wait_container(id, Some(options));
        match exits.next().await {
            Some(Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. })) => {}
            _ => std::future::pending().await,
        }
    }

    /// By one look: on a busy machine the news of an end comes late. An engine that does not answer is found out later.
    pub(super) async fn still_up(&self, started: &Started) -> Result<(), String> {
        match self.member(&started.id).await {
            Ok(Some(member)) if member.is_steady() => Ok(()),
            Ok(_) => Err(self.crash(started).await),
            Err(_) => Ok(()),
        }
    }

    /// Why it is not up any more.
    pub(super) async fn crash(&self, started: &Started) -> String {
        let state = self.docker.inspect_container(&started.id, None).await.ok().and_then(|found| found.state);
        let state = state.unwrap_or_default();
        let seconds = started.at.elapsed().as_secs_f64();
        let after = format!(" after {seconds:.1} s");
        let (kind, how) = match (state.oom_killed, state.exit_code, started.process.limits.memory) {
            (Some(true), _, limit) => (Kind::OutOfMemory, failure::out_of_memory(&after, limit)),
            (_, Some(code), _) => (Kind::of_exit(code), failure::ended(code, &after)),
            (_, None, _) => (Kind::Crash, format!("ended{after}")),
        };
        let (slot, tail) = (&started.slot, self.tail(&started.id).await);
        format!("{slot} {how}.{tail}\n{}.", kind.next_step())
    }

    async fn explain(&self, started: &Started, probe: Probe) -> String {
        let (slot, port) = (&started.slot, started.process.port.unwrap_or_default());
        let seconds = started.at.elapsed().as_secs();
        let text = match probe {
            Probe::Answered(status, body) => {
                let path = if let Check::Http { path, .. } = &started.process.check { path } else { "/" };
                format!(
                    "{slot} runs, and still answers GET {path} with {status} after {seconds} s:\n{}",
                    indented(&body)
                )
            }
            Probe::NoAnswer(reason) => {
                format!("{slot} listens on port {port} and gave no HTTP answer within {seconds} s: {reason}.")
            }
            Probe::Healthy | Probe::NotListening => format!(
                "{slot} runs, but nothing listens on port {port} after {seconds} s. It was told the port in PORT={port}.{}",
                self.ports_found(started, port).await
            ),
        };
        format!("{text}{}\n{}.", self.tail(&started.id).await, Kind::NotReady.next_step())
    }

    /// A sentence on where the process does listen.
    async fn ports_found(&self, started: &Started, port: u16) -> String {
        let Some(pid) = self.pid(&started.id).await else { return String::new() };
        let Some(sockets) = listening::sockets(pid, &started.id).await else { return String::new() };
        if sockets.is_empty() {
            return " It listens on no port at all: is it a server, and has it finished starting?".to_owned();
        }
        let list = sockets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if sockets.iter().any(|socket| socket.port() == port) {
            format!(
                " It listens on {list} only, where nobody outside of its container can reach it: listen on 0.0.0.0."
            )
        } else {
            format!(" It listens on {list}: read the port from the variable PORT.")
        }
    }

    /// The end of what the container wrote, with a line that introduces it.
    async fn tail(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(TAIL_LINES).build();
        let collected =
            self.docker.logs(id, Some(options)).try_fold(Vec::new(), |mut text, chunk| async move {
                text.extend_from_slice(&chunk.into_bytes());
                Ok(text)
            });
        let text =
            tokio::time::timeout(TAIL_WAIT, collected).await.ok().and_then(Result::ok).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL_BYTES)..]);
        if text.trim().is_empty() {
            "\nIt wrote nothing.".to_owned()
        } else {
            format!("\nThe end of its log:\n{}", indented(&text).trim_end())
        }
    }
}

/// Fast at first, for those who wait; slower for those who start slowly.
fn pause(waited: Duration) -> Duration {
    Duration::from_millis(match waited.as_secs() {
        0..2 => 15,
        2..10 => 100,
        _ => 400,
    })
}

fn indented(text: &str) -> String {
    text.trim_end().lines().fold(String::new(), |mut lines, line| {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "    {line}");
        lines
    })
}

/// The engine's proxy accepts for a container that does not, and hangs up at once.
async fn accepts(address: SocketAddr) -> Probe {
    let Ok(Ok(mut stream)) = tokio::time::timeout(PROBE, TcpStream::connect(address)).await else {
        return Probe::NotListening;
    };
    match tokio::time::timeout(PROXY_DROPS, stream.read(&mut [0; 1])).await {
        Ok(Ok(1..)) | Err(_) => Probe::Healthy,
        Ok(Ok(0) | Err(_)) => Probe::NotListening,
    }
}

async fn ask(app: &AppName, address: SocketAddr, path: &str) -> Probe {
    match tokio::time::timeout(PROBE, answer(app, address, path)).await {
        Ok(Ok((status, _))) if status.is_success() || status.is_redirection() => Probe::Healthy,
        Ok(Ok((status, body))) => Probe::Answered(status, body),
        Ok(Err(error)) => Probe::NoAnswer(error.to_string()),
        Err(_) => Probe::NoAnswer(format!("it took longer than {} s", PROBE.as_secs())),
    }
}

pub(super) async fn answer(
    app: &AppName,
    address: SocketAddr,
    path: &str,
) -> anyhow::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the exchange: the sender is dropped on return.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", format!("{app}.localhost"))
        .header("user-agent", "slipway-health-check")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok((status, String::new()));
    }
    let body = Limited::new(response.into_body(), 64 * 1024).collect().await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    Ok((status, String::from_utf8_lossy(&bytes[..bytes.len().min(ANSWER_BYTES)]).into_owned()))
}
