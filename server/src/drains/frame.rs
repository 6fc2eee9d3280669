//! Lines as syslog messages (RFC 5424), each with its length before it (RFC 6587): what Heroku's drains send.

use std::fmt::Write;
use std::sync::Arc;

use crate::journal::{Line, Source};

/// Priorities, as Heroku has them: local7.info for apps, local3.info for the router, syslog.notice for the platform.
const APP: u8 = 190;
const ROUTER: u8 = 158;
const PLATFORM: u8 = 45;

/// `78 <190>1 2026-11-26T15:00:00.000000+00:00 d.… app web.1 - - hello` for each line.
pub(super) fn frames(lines: &[Arc<Line>], token: &str) -> String {
    let (mut all, mut one) = (String::new(), String::new());
    for line in lines {
        one.clear();
        let entry = &line.entry;
        let priority = match (entry.source, entry.kind.as_str()) {
            (Source::App, _) => APP,
            (Source::Slipway, "router") => ROUTER,
            (Source::Slipway, _) => PLATFORM,
        };
        let at = entry.at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00");
        let (source, process) = (entry.source.as_str(), &entry.process);
        // Writing to a string cannot fail.
        let _ = writeln!(one, "<{priority}>1 {at} {token} {source} {process} - - {}", entry.text);
        let _ = write!(all, "{} {one}", one.len());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Entry;

    #[test]
    fn a_frame_is_a_length_and_a_message() {
        let entry = Entry {
            at: "2026-11-26T15:00:00.5Z".parse().expect("a time"),
            source: Source::App,
            process: "web.1".to_owned(),
            kind: "web".to_owned(),
            cursor: String::new(),
            text: "grüße".to_owned(),
        };
        let router = Entry {
            source: Source::Slipway,
            process: "router".into(),
            kind: "router".into(),
            text: "at=info".into(),
            ..entry.clone()
        };
        let lines = [entry, router].map(|entry| Arc::new(Line { id: 1, entry }));
        assert_eq!(
            frames(&lines, "d.1"),
            "66 <190>1 2026-11-26T15:00:00.500000+00:00 d.1 app web.1 - - grüße\n\
             71 <158>1 2026-11-26T15:00:00.500000+00:00 d.1 slipway router - - at=info\n"
        );
    }
}
