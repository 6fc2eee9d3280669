//! The command line's own terminal in the hands of a process elsewhere.

use std::io::{IsTerminal, stdin, stdout};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::failure::Failure;
use crate::target::attached::Screen;

/// A terminal that was taken over; it is given back with this.
pub(super) struct Taken {
    /// Its size as it is now; `None` where there is no terminal.
    pub(super) screen: Option<watch::Receiver<Option<Screen>>>,
    _own: Option<Own>,
}

struct Own {
    before: Termios,
    _watching: DropGuard,
}

impl Taken {
    /// There is no terminal, or it stays as it is.
    pub(super) fn nothing() -> Self {
        Self { screen: None, _own: None }
    }

    pub(super) fn over(screen: watch::Receiver<Option<Screen>>) -> Self {
        let there = screen.borrow().is_some();
        Self { screen: there.then_some(screen), _own: None }
    }

    /// The size that a process begins with.
    pub(super) fn size(&self) -> Option<Screen> {
        self.screen.as_ref().and_then(|screen| *screen.borrow())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Nothing is left to try if the terminal has gone.
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &self.before);
    }
}

/// Takes the process' own terminal if both ends of it are one: keys go to the process elsewhere, Ctrl-C too.
pub(super) fn take_own() -> Result<Taken, Failure> {
    if !(stdin().is_terminal() && stdout().is_terminal()) {
        return Ok(Taken::nothing());
    }
    let cannot = |error: &dyn std::error::Error| {
        Failure::refused(format!("the terminal cannot be used ({error}): try --no-tty"))
    };
    let before = tcgetattr(stdin()).map_err(|error| cannot(&error))?;
    let mut raw = before.clone();
    cfmakeraw(&mut raw);
    let mut changes = signal(SignalKind::window_change()).map_err(|error| cannot(&error))?;
    let (sender, screen) = watch::channel(Some(size()));
    tcsetattr(stdin(), SetArg::TCSANOW, &raw).map_err(|error| cannot(&error))?;
    let over = CancellationToken::new();
    let watching = over.clone().drop_guard();
    tokio::spawn(async move {
        while over.run_until_cancelled(changes.recv()).await.flatten().is_some() {
            sender.send_replace(Some(size()));
        }
    });
    Ok(Taken { screen: Some(screen), _own: Some(Own { before, _watching: watching }) })
}

/// What the terminal says, else what terminals once were.
fn size() -> Screen {
    let told = rustix::termios::tcgetwinsize(stdout()).ok();
    told.filter(|size| size.ws_col > 0)
        .map_or(Screen { columns: 80, rows: 24 }, |size| Screen { columns: size.ws_col, rows: size.ws_row })
}
