//! `run` and `ps:exec`: a process elsewhere with this terminal, or these pipes, as its own.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use axum::http::Method;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::client::{ClientError, path};
use super::failure::Failure;
use super::grammar::{PsExec, Run};
use super::run::Session;
use super::socket::Socket;
use super::terminal::{Terminal, UseOfScreen};
use super::text::when;
use crate::target::attached::Screen;
use crate::web::api::runs::{ERRORS, OUTPUT};
use crate::web::api::shapes::{self, Sent, Told, Wish};

/// Bytes of input that are sent at a time.
const PIECE: usize = 32 * 1024;
/// How long a server that has said how it ended may take to close.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

pub(super) async fn run(session: &mut Session, args: Run) -> Result<(), Failure> {
    let wish = Wish {
        env: variables(&args.env)?,
        command: args.command,
        size: args.size,
        time_limit: args.time_limit.map(|limit| limit.as_secs()),
        ..Wish::default()
    };
    attach(session, wish, use_of_screen(args.no_tty)).await
}

pub(super) async fn exec(session: &mut Session, args: PsExec) -> Result<(), Failure> {
    let wish = Wish { process: Some(args.ps), command: args.command, ..Wish::default() };
    attach(session, wish, use_of_screen(args.no_tty)).await
}

/// `NAME=value` each.
pub(super) fn variables(pairs: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pairs = pairs.iter().map(|pair| {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::refused(format!("`{pair}` is not NAME=value: say --env NAME=value")))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn use_of_screen(no_tty: bool) -> UseOfScreen {
    if no_tty { UseOfScreen::None } else { UseOfScreen::Whole }
}

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let runs: Vec<shapes::Run> = session.client.get(&path(&["apps", app.as_str(), "runs"])).await?;
    if session.options.json {
        return session.terminal.json(&runs).await;
    }
    if runs.is_empty() {
        return session.terminal.line(format!("No one-off processes of {app} run.")).await;
    }
    session.terminal.heading(format!("One-off processes of {app}")).await?;
    let rows: Vec<[String; 5]> = runs
        .into_iter()
        .map(|run| {
            let command = run.command.unwrap_or_default();
            let user = if run.detached { format!("{} (detached)", run.user) } else { run.user };
            [run.name, format!("v{}", run.release.version), user, when(run.created_at), command]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn stop(session: &mut Session, name: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let address = path(&["apps", app.as_str(), "runs", name, "stop"]);
    let run: shapes::Run = session.client.send(Method::POST, &address, &serde_json::json!({})).await?;
    let command = run.command.unwrap_or_default();
    session.terminal.line(format!("Stopped {}, which ran `{command}` for {}", run.name, run.user)).await
}

async fn attach(session: &mut Session, mut wish: Wish, screen: UseOfScreen) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let mut socket = session.client.open(&path(&["apps", app.as_str(), "attach"])).await?;
    let told = {
        let taken = session.terminal.take_over(screen)?;
        wish.screen = taken.size();
        socket.send(text_of(&wish)).await.map_err(broken)?;
        let sizes = taken.screen.clone();
        carry(&mut session.terminal, socket, sizes).await?
        // The terminal is given back here, before anything is said on it.
    };
    match told {
        Told::Exited { status: 0 } => Ok(()),
        // A status is a byte for whoever waits for this process.
        Told::Exited { status } => Err(Failure::Exited(u8::try_from(status).unwrap_or(u8::MAX))),
        Told::Failed { message } => Err(Failure::Refused(message)),
    }
}

/// Carries both directions until the server says how it ended.
async fn carry(
    terminal: &mut Terminal,
    socket: Socket,
    sizes: Option<watch::Receiver<Option<Screen>>>,
) -> Result<Told, Failure> {
    let (sink, stream) = socket.split();
    let input = terminal.input.get_mut().unwrap_or_else(PoisonError::into_inner);
    let (out, err) = (&mut terminal.out, &mut terminal.err);
    tokio::select! {
        told = carry_output(stream, out, err) => told,
        never = carry_input(input, sink, sizes) => match never {},
    }
}

async fn carry_output(
    mut stream: SplitStream<Socket>,
    out: &mut (dyn tokio::io::AsyncWrite + Send + Sync + Unpin),
    err: &mut (dyn tokio::io::AsyncWrite + Send + Sync + Unpin),
) -> Result<Told, Failure> {
    while let Some(message) = stream.next().await {
        match message.map_err(broken)? {
            Message::Binary(piece) => {
                let (channel, bytes) = piece.split_first().unwrap_or((&OUTPUT, &[]));
                let stream: &mut (dyn tokio::io::AsyncWrite + Send + Sync + Unpin) =
                    if *channel == ERRORS { &mut *err } else { &mut *out };
                stream.write_all(bytes).await.map_err(Failure::OutputGone)?;
                stream.flush().await.map_err(Failure::OutputGone)?;
            }
            Message::Text(text) => {
                let told = serde_json::from_str(text.as_str());
                // The rest of the closing handshake is a courtesy.
                drop(tokio::time::timeout(CLOSE_WAIT, stream.next()).await);
                return told.map_err(|_| broken("the server's last word was not understood"));
            }
            _ => {}
        }
    }
    Err(broken("the server hung up; what was run may have been ended"))
}

/// Never ends: the process does.
async fn carry_input(
    input: &mut (dyn AsyncRead + Send + Unpin),
    mut sink: SplitSink<Socket, Message>,
    mut sizes: Option<watch::Receiver<Option<Screen>>>,
) -> std::convert::Infallible {
    let mut buffer = vec![0; PIECE];
    let mut open = true;
    loop {
        let message = tokio::select! {
            read = input.read(&mut buffer), if open => match read {
                Ok(length @ 1..) => Message::Binary(buffer[..length].to_vec().into()),
                Ok(0) | Err(_) => {
                    open = false;
                    text_of(&Sent::End)
                }
            },
            screen = resized(&mut sizes) => text_of(&Sent::Screen(screen)),
        };
        // That the server has gone is noticed by whoever reads from it.
        drop(sink.send(message).await);
    }
}

async fn resized(sizes: &mut Option<watch::Receiver<Option<Screen>>>) -> Screen {
    loop {
        let Some(changes) = sizes else { return std::future::pending().await };
        if changes.changed().await.is_err() {
            *sizes = None;
        } else if let Some(screen) = *changes.borrow_and_update() {
            return screen;
        }
    }
}

fn text_of(value: &impl serde::Serialize) -> Message {
    Message::text(serde_json::to_string(value).expect("invariant: the API's shapes are JSON"))
}

fn broken(why: impl ToString) -> Failure {
    Failure::Client(ClientError::Broken(why.to_string()))
}
