//! The cookies of the page, and what forms are signed with.
//!
//! Invariant: over an encrypted connection only cookies with the prefix `__Host-` count, which no other host and no
//! page in the clear can set. Over the loopback, where nothing is encrypted, they go without prefix and `Secure`, for
//! not all browsers keep secure cookies there.

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

/// Which cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jar {
    /// Holds a session's secret.
    Session,
    /// Holds what the sign-in form is signed with, before there is a session.
    Form,
    /// Says which sign-in by a provider this browser has begun.
    Flow,
}

/// Whether the client's connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Encrypted,
    Loopback,
}

impl Jar {
    fn name(self, line: Line) -> &'static str {
        match (self, line) {
            (Self::Session, Line::Encrypted) => "__Host-slipway",
            (Self::Session, Line::Loopback) => "slipway",
            (Self::Form, Line::Encrypted) => "__Host-slipway-form",
            (Self::Form, Line::Loopback) => "slipway-form",
            (Self::Flow, Line::Encrypted) => "__Host-slipway-flow",
            (Self::Flow, Line::Loopback) => "slipway-flow",
        }
    }

    /// What the browser sent.
    pub(super) fn read(self, line: Line, headers: &HeaderMap) -> Option<String> {
        let name = self.name(line);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    }

    /// For the header `Set-Cookie`. `value` is ours: letters, digits and `_`.
    pub(super) fn set(self, line: Line, value: &str) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}={value}; {}", self.name(line), attributes(line))).ok()
    }

    pub(super) fn clear(self, line: Line) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}=; Max-Age=0; {}", self.name(line), attributes(line))).ok()
    }
}

/// Links from elsewhere lead in; forms from elsewhere do not.
fn attributes(line: Line) -> &'static str {
    match line {
        Line::Encrypted => "Path=/; Secure; HttpOnly; SameSite=Lax",
        Line::Loopback => "Path=/; HttpOnly; SameSite=Lax",
    }
}

/// What the forms of a browser carry: nobody makes it who has not its cookie, and it does not give the cookie away.
pub(super) fn signature(cookie: &str) -> String {
    hex::encode(Sha256::digest(format!("forms of {cookie}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_only_a_cookie_that_no_other_host_can_set_counts() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; slipway=weak"));
        assert_eq!(Jar::Session.read(Line::Encrypted, &headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-slipway=strong"));
        assert_eq!(Jar::Session.read(Line::Encrypted, &headers).as_deref(), Some("strong"));
        assert_eq!(Jar::Session.read(Line::Loopback, &headers).as_deref(), Some("weak"));
        let set = Jar::Session.set(Line::Encrypted, "x").unwrap();
        assert_eq!(set, "__Host-slipway=x; Path=/; Secure; HttpOnly; SameSite=Lax");
    }
}
