//! What the command line remembers: the server's address and a token, in a file for its owner only.

use std::io::Write;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::client::Client;
use super::failure::Failure;
use super::grammar::Verb;

/// Where the server is and who asks, as flags or environment variables.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Remote {
    /// The server's address; else the one of `slipway login`
    #[arg(id = "server-url", long = "url", global = true, env = "SLIPWAY_URL", value_name = "URL")]
    url: Option<Url>,
    /// An API token; else the one of `slipway login`
    #[arg(long, global = true, env = "SLIPWAY_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    url: String,
    token: String,
}

impl Saved {
    fn url(&self) -> Result<Url, Failure> {
        address(&self.url)
    }
}

/// A client of the server that the user means. `login` asks for a token; the others use the one that it remembered.
pub(crate) fn client(remote: Remote, verb: &Verb) -> Result<Client, Failure> {
    match verb {
        Verb::Login(login) => {
            let given = login.url.as_deref().map(address).transpose()?.or(remote.url);
            sign_in(given, remote.token)
        }
        _ => remembered(remote),
    }
}

fn remembered(remote: Remote) -> Result<Client, Failure> {
    let (url, token) = match (remote.url, remote.token) {
        (Some(url), Some(token)) => (url, token),
        (url, token) => {
            let saved = read()?;
            // A token goes to no other server than the one that it was made by.
            let saved_url = saved.url()?;
            if token.is_none() && url.as_ref().is_some_and(|url| url.origin() != saved_url.origin()) {
                return Err(Failure::refused(
                    "SLIPWAY_URL names another server than `slipway login` did: set SLIPWAY_TOKEN too, or sign in there",
                ));
            }
            (url.unwrap_or(saved_url), token.unwrap_or(saved.token))
        }
    };
    Ok(Client::http(url, SecretString::from(token))?)
}

fn sign_in(url: Option<Url>, token: Option<String>) -> Result<Client, Failure> {
    let url = match url {
        Some(url) => url,
        None => read()
            .and_then(|saved| saved.url())
            .map_err(|_| Failure::refused("which server? `slipway login https://platform.example.com`"))?,
    };
    let token = match token {
        Some(token) => token,
        None => ask_for_token(&url)?,
    };
    if token.is_empty() {
        return Err(Failure::refused(
            "no token came in: an admin's `users:create` prints the first one, `authorizations:create` makes more",
        ));
    }
    Ok(Client::http(url, SecretString::from(token))?)
}

fn address(text: &str) -> Result<Url, Failure> {
    let url =
        text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Failure::refused(format!("`{text}` is not an address such as https://platform.example.com"))
    })
}

/// Reads a line from the terminal without showing it, or from a pipe.
fn ask_for_token(url: &Url) -> Result<String, Failure> {
    let input = std::io::stdin();
    let hidden = hide_typing(&input);
    if hidden.is_some() {
        eprint!("Token for {}: ", url.origin().ascii_serialization());
    }
    let mut line = String::new();
    let read = input.read_line(&mut line);
    if let Some(before) = hidden {
        // A terminal that has gone needs no echo.
        let _echo = nix::sys::termios::tcsetattr(&input, nix::sys::termios::SetArg::TCSANOW, &before);
        eprintln!();
    }
    read.map_err(|error| Failure::refused(format!("the token could not be read: {error}")))?;
    Ok(line.trim().to_owned())
}

/// How the terminal was set before; `None` if the input is none.
fn hide_typing(input: &std::io::Stdin) -> Option<nix::sys::termios::Termios> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let before = tcgetattr(input).ok()?;
    let mut hidden = before.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(input, SetArg::TCSANOW, &hidden).ok()?;
    Some(before)
}

fn read() -> Result<Saved, Failure> {
    let file = folder()?.join("login.json");
    let text = std::fs::read(&file).map_err(|_| {
        Failure::refused("you are not signed in: `slipway login https://platform.example.com`, or set SLIPWAY_URL and SLIPWAY_TOKEN")
    })?;
    serde_json::from_slice(&text).map_err(|_| {
        Failure::refused(format!("{} is damaged: `slipway login` writes it anew", file.display()))
    })
}

/// Keeps the address and the token of a client that the server has let in.
pub(super) fn remember(client: &Client) -> Result<(), Failure> {
    let Some((url, token)) = client.credentials() else { return Ok(()) };
    let saved = Saved { url: url.to_string(), token: token.expose_secret().to_owned() };
    let text = serde_json::to_string(&saved).expect("invariant: two strings are JSON");
    write_private(&folder()?.join("login.json"), &text)
}

/// Replaces a file at once, readable by its owner only.
pub(super) fn write_private(file: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut draft = tempfile::Builder::new().prefix(".slipway").tempfile_in(folder)?;
        draft.write_all(text.as_bytes())?;
        draft.persist(file).map(drop).map_err(|error| error.error)
    };
    write().map_err(|error: std::io::Error| {
        Failure::refused(format!("{} cannot be written: {error}", file.display()))
    })
}

/// `$XDG_CONFIG_HOME/slipway` or `~/.config/slipway`.
pub(super) fn folder() -> Result<PathBuf, Failure> {
    /// Where the user keeps settings.
    #[derive(clap::Parser)]
    struct Folder {
        #[arg(long, env = "XDG_CONFIG_HOME")]
        xdg: Option<PathBuf>,
    }
    let set = <Folder as clap::Parser>::try_parse_from(["slipway"]).ok().and_then(|folder| folder.xdg);
    match set.filter(|folder| folder.is_absolute()) {
        Some(folder) => Ok(folder.join("slipway")),
        None => Ok(home()?.join(".config/slipway")),
    }
}

pub(super) fn home() -> Result<PathBuf, Failure> {
    std::env::home_dir().ok_or_else(|| {
        Failure::refused("there is no home folder: set HOME, or SLIPWAY_URL and SLIPWAY_TOKEN")
    })
}
