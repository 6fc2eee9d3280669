//! The repository of a pretended host, which git fetches from over HTTPS: git's own `http-backend` serves it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::checkout::Checkout;
use crate::hub_app::HubApp;
use crate::parts::Setting;
use crate::person::Said;
use crate::tls::Reply;

/// Whose it is, and what it is called.
pub(crate) const NAME: &str = "ada/blog";

#[derive(Debug, Clone)]
pub(crate) struct Forge {
    root: PathBuf,
    doorkeeper: Doorkeeper,
}

/// Who is let in to fetch.
#[derive(Debug, Clone)]
pub(crate) enum Doorkeeper {
    Token(String),
    App(HubApp),
}

impl Forge {
    /// Makes a bare repository in a folder; who fetches from it shows a token as the password.
    pub(crate) fn new(folder: &Path, doorkeeper: Doorkeeper) -> Self {
        let forge = Self { root: folder.join("repositories"), doorkeeper };
        let made = Command::new("git")
            .args(["init", "--quiet", "--bare", "--initial-branch=main"])
            .arg(forge.path())
            .output()
            .expect("git");
        Said::of(&made).ok();
        forge
    }

    fn path(&self) -> PathBuf {
        self.root.join(format!("{NAME}.git"))
    }

    /// Pushes from a checkout, as its owner.
    pub(crate) fn push(&self, checkout: &Checkout, words: &[&str]) {
        let mut git = checkout.command();
        git.args(["push", "--quiet"]).arg(self.path()).args(words);
        Said::of(&git.output().expect("git")).ok();
    }

    /// Answers git; `None` if the request is not one of its.
    pub(crate) fn answer(&self, head: &str, body: &[u8]) -> Option<Reply> {
        let mut words = head.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !path.starts_with(&format!("/{NAME}.git/")) {
            return None;
        }
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
        };
        let sent =
            header("authorization").strip_prefix("Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
        let sent = sent.and_then(|sent| String::from_utf8(sent).ok()).unwrap_or_default();
        let lets_in = match (&self.doorkeeper, sent.split_once(':')) {
            (_, None) => false,
            (Doorkeeper::Token(token), Some((_, password))) => password == token,
            (Doorkeeper::App(app), Some((user, token))) => {
                user == "x-access-token" && app.lets_in(token, "contents", "read") == Some(true)
            }
        };
        if !lets_in {
            let ask = ("WWW-Authenticate".to_owned(), "Basic realm=\"git\"".to_owned());
            return Some(Reply { status: 401, headers: vec![ask], body: Vec::new() });
        }
        let mut child = Command::new("git")
            .arg("http-backend")
            .env_clear()
            .env("PATH", Setting::Path.get().unwrap_or_default())
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git http-backend");
        child.stdin.take().expect("a pipe").write_all(body).expect("the request is small");
        let output = child.wait_with_output().expect("git http-backend").stdout;
        Some(of_cgi(&output))
    }
}

/// What a CGI program has printed: headers, an empty line, the body.
fn of_cgi(output: &[u8]) -> Reply {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("headers end");
    let text = String::from_utf8_lossy(&output[..end]);
    let headers = text.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let status = headers.iter().find(|(name, _)| name == "Status");
    let status = status.and_then(|(_, value)| value.split(' ').next()?.parse().ok()).unwrap_or(200);
    Reply { status, headers, body: output[end + 4..].to_vec() }
}
