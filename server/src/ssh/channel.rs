//! A channel from its opening to its end: waits for the order, runs it, reports its exit status.
//!
//! The session loop must never wait long for us: it answers keepalives and notices that the client has gone. So what
//! is not read is thrown away, except git's input, where waiting is the point (a pack faster than the disk).

use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use russh::server::Handle;
use russh::{ChannelId, ChannelReadHalf};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::streams::{OUTPUT_BUFFER, Speaker, Voice, chunks, verb_input};
use crate::domain::names::AppName;
use crate::doors::{
    Exchange, GitRequest, GitService, GitStreams, KeyProof, Lookup, Output, RawLine, Services, Terminal,
    VerbRequest,
};

/// How long the end of a channel may take to reach the session.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(10);
/// Exit status of a command that was not understood or not allowed, as git's own is for a fatal error.
const REFUSED: u8 = 128;
/// Exit status after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;
/// Exit status when it is our fault.
const BROKEN: u8 = 70;

/// A channel's two directions, and the news that the client has closed it or gone.
pub(super) struct Line {
    pub(super) id: ChannelId,
    pub(super) input: ChannelReadHalf,
    pub(super) handle: Handle,
    pub(super) closed: CancellationToken,
    /// Cancelled by us when the work has ended: the connection is free for the next channel.
    pub(super) finished: CancellationToken,
}

pub(super) struct Order {
    pub(super) task: Task,
    /// Of the key that the client has proved to have.
    pub(super) fingerprint: String,
    pub(super) address: IpAddr,
    pub(super) protocol: Option<String>,
    pub(super) terminal: Terminal,
    pub(super) raw_line: RawLine,
    pub(super) services: Services,
}

pub(super) enum Task {
    Git { service: GitService, app: AppName },
    Verb(Vec<String>),
    Greeting,
    Refuse(String),
}

/// Serves one channel. Ends when the work has ended, whether or not the client is still there.
pub(super) async fn serve(mut line: Line, order: oneshot::Receiver<Order>, deadline: Duration) {
    let (id, handle, closed) = (line.id, line.handle.clone(), line.closed.clone());
    let finished = line.finished.clone().drop_guard();
    let status = match wait_for_order(&mut line, order, deadline).await {
        None => None,
        Some(order) => match AssertUnwindSafe(carry_out(line, order)).catch_unwind().await {
            Ok(status) => Some(status),
            Err(_) => {
                error!("The work of an SSH channel panicked");
                Some(BROKEN)
            }
        },
    };
    // Before the client can hear of the end and open the next.
    drop(finished);
    let farewell = async {
        if let Some(status) = status {
            handle.exit_status_request(id, u32::from(status)).await?;
        }
        handle.eof(id).await?;
        handle.close(id).await
    };
    if !closed.is_cancelled() {
        // Fails only when the session has ended, and then nobody is left to tell.
        drop(timeout(FAREWELL_DEADLINE, farewell).await);
    }
}

/// Reads past what comes before the command, so that nothing piles up.
async fn wait_for_order(
    line: &mut Line,
    mut order: oneshot::Receiver<Order>,
    deadline: Duration,
) -> Option<Order> {
    let deadline = sleep(deadline);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            biased;
            order = &mut order => return order.ok(),
            () = line.closed.cancelled() => return None,
            () = &mut deadline => {
                debug!("SSH client opened a channel and named no command before the deadline");
                return None;
            }
            message = line.input.wait() => { message?; }
        }
    }
}

async fn carry_out(line: Line, order: Order) -> u8 {
    let speaker = Speaker { handle: line.handle.clone(), id: line.id, closed: line.closed.clone() };
    let (terminal, raw_line) = (order.terminal, order.raw_line.clone());
    let (near_output, far_output) = duplex(OUTPUT_BUFFER);
    let (near_errors, far_errors) = duplex(OUTPUT_BUFFER);
    let pumps = async {
        tokio::join!(
            speaker.speak(far_output, Voice::Output, terminal, &raw_line),
            speaker.speak(far_errors, Voice::Errors, terminal, &raw_line)
        );
    };
    let work = work(line, order, near_output, near_errors);
    let (status, ()) = tokio::join!(work, pumps);
    status
}

async fn work(line: Line, order: Order, mut output: DuplexStream, mut errors: DuplexStream) -> u8 {
    let Order { task, fingerprint, address, protocol, terminal, raw_line, services } = order;
    // A connection may last for days: who was removed since, or lost a right, has it no more.
    let principal = match services.owner_of_key(&fingerprint, KeyProof::Verified).await {
        Lookup::Known(principal) => principal,
        Lookup::Unknown => return refuse(&mut errors, GONE).await,
        Lookup::Unavailable => return refuse(&mut errors, NOT_NOW).await,
    };
    let argv = match task {
        Task::Refuse(text) => return refuse(&mut errors, &text).await,
        Task::Git { service, app } => {
            let exchange = Exchange::Whole;
            let request = GitRequest { principal, app, service, exchange, protocol, address };
            return match services.open_repository(request).await {
                Err(refused) => refuse(&mut errors, &refused.text).await,
                Ok(work) => {
                    let input =
                        Box::new(StreamReader::new(chunks(line.input).map(Ok::<_, io::Error>).boxed()));
                    work(GitStreams { input, output: Box::new(output) }).await
                }
            };
        }
        Task::Greeting => {
            let text = format!(
                "Hello {}, this is Slipway. There is no shell here, but there are verbs:\n\n",
                principal.name
            );
            // A client that has gone is noticed by the verb.
            drop(output.write_all(text.as_bytes()).await);
            vec!["help".to_owned()]
        }
        Task::Verb(argv) => argv,
    };
    let interrupted = line.closed.child_token();
    let (input, feed) = verb_input(line.input, terminal, raw_line.clone(), interrupted.clone());
    let (output, errors): (Output, Output) = (Box::new(output), Box::new(errors));
    let verb = (services.verb)(VerbRequest {
        principal,
        argv,
        address,
        terminal,
        line: raw_line,
        input: Box::new(input),
        output,
        errors,
    });
    tokio::select! {
        biased;
        status = verb => status,
        () = interrupted.cancelled() => INTERRUPTED,
        never = feed => match never {},
    }
}

/// What is said to a connection whose key counts no more.
const GONE: &str = "your key was removed since you have connected";
const NOT_NOW: &str = "your key cannot be looked up at the moment: try again in a minute";

/// Grammar of all refusals at this door; git shows it as it comes.
async fn refuse(errors: &mut DuplexStream, text: &str) -> u8 {
    drop(errors.write_all(format!("slipway: {text}\n").as_bytes()).await);
    REFUSED
}
