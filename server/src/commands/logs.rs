//! What an app's processes write, as Heroku prints it, over broken connections.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::TryStreamExt;
use url::form_urlencoded::Serializer;

use super::client::{ClientError, path};
use super::failure::Failure;
use super::grammar::Logs;
use super::run::{Door, Session};
use super::terminal::{Colours, printable};
use crate::domain::names::AppName;
use crate::web::api::shapes::{LogLine, Said};

/// How often a broken connection is made again before the verb gives up; each line that arrives starts the count anew.
const RECONNECTS: usize = 300;
/// Between two tries to connect again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Of processes, in turn: cyan, yellow, green, magenta, blue, and the same brighter.
const PROCESS_COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

pub(super) async fn print(session: &mut Session, args: Logs) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let mut reader = Reader { position: None, tries: 0 };
    loop {
        let broken = match reader.read(session, &app, &args).await? {
            Ok(()) if !args.tail => return Ok(()),
            // The server ends, and what serves SSH with it.
            _ if session.door == Door::Ssh => {
                return Err(Failure::refused(
                    "the server is about to restart: ask for the logs again in a moment",
                ));
            }
            Ok(()) => ClientError::Broken("the server has ended the stream".to_owned()),
            Err(broken) if !args.tail => return Err(broken.into()),
            Err(broken) => broken,
        };
        reader.tries += 1;
        if reader.tries > RECONNECTS {
            return Err(broken.into());
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Where reading stands: a connection that breaks is made again from there.
struct Reader {
    /// The id of the last line that was printed.
    position: Option<i64>,
    tries: usize,
}

impl Reader {
    /// Prints what comes; the inner error says that the connection broke and can be made again.
    async fn read(
        &mut self,
        session: &mut Session,
        app: &AppName,
        args: &Logs,
    ) -> Result<Result<(), ClientError>, Failure> {
        let mut text = match session.client.stream(&self.address(app, args)).await {
            Ok(text) => text,
            // While the server restarts, what stands before it may answer in its place.
            Err(refused @ (ClientError::Refused(_) | ClientError::Foreign { .. })) if self.tries == 0 => {
                return Err(refused.into());
            }
            Err(broken) => return Ok(Err(broken)),
        };
        let mut begun = Vec::new();
        loop {
            match text.try_next().await {
                Ok(Some(chunk)) => {
                    begun.extend_from_slice(&chunk);
                    let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                    let lines: Vec<u8> = begun.drain(..whole).collect();
                    self.print(session, &lines).await?;
                }
                Ok(None) => return Ok(Ok(())),
                Err(broken) => return Ok(Err(broken)),
            }
        }
    }

    async fn print(&mut self, session: &mut Session, lines: &[u8]) -> Result<(), Failure> {
        let mut out = String::new();
        for bytes in lines.split(|byte| *byte == b'\n').filter(|bytes| !bytes.is_empty()) {
            let line: LogLine = serde_json::from_slice(bytes)
                .map_err(|_| Failure::refused("the server sent something that is no line of a log"))?;
            self.position = self.position.max(Some(line.id));
            self.tries = 0;
            match line.said {
                None => {}
                Some(_) if session.options.json => {
                    out.push_str(&String::from_utf8_lossy(bytes));
                    out.push('\n');
                }
                Some(said) => write_line(&mut out, &said, session.terminal.colours),
            }
        }
        if out.is_empty() { Ok(()) } else { session.terminal.bytes(out.as_bytes()).await }
    }

    fn address(&self, app: &AppName, args: &Logs) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("format", "json");
        if let Some(position) = self.position {
            query.append_pair("after", &position.to_string());
        }
        if let Some(lines) = args.num {
            query.append_pair("lines", &lines.to_string());
        }
        let texts = [("ps", &args.ps), ("since", &args.since)];
        for (name, text) in texts.iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
            query.append_pair(name, text);
        }
        if let Some(source) = args.source {
            query.append_pair("source", source.as_str());
        }
        if args.tail {
            query.append_pair("follow", "1");
        }
        format!("{}?{}", path(&["apps", app.as_str(), "logs"]), query.finish())
    }
}

/// `2026-11-26T15:00:00.000000+00:00 app[web.1]: text`, with what stands before the text in the process' colour.
fn write_line(out: &mut String, said: &Said, colours: Colours) {
    let Said { at, source, process, message } = said;
    let at = at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00");
    let before = format!("{at} {source}[{process}]:");
    match colours {
        Colours::Never => out.push_str(&printable(&before)),
        Colours::Terminal => {
            out.push_str(&format!("\u{1b}[{}m{}\u{1b}[0m", colour(process), printable(&before)));
        }
    }
    out.push(' ');
    out.push_str(&printable(message));
    out.push('\n');
}

/// The same for the same process, whoever prints it.
fn colour(process: &str) -> u8 {
    let mut hasher = DefaultHasher::new();
    process.hash(&mut hasher);
    let turn = hasher.finish() % PROCESS_COLOURS.len() as u64;
    usize::try_from(turn).ok().and_then(|turn| PROCESS_COLOURS.get(turn)).copied().unwrap_or(36)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(process: &str, colours: Colours) -> String {
        let said = Said {
            at: "2026-11-26T15:00:00.000001Z".parse().expect("a time"),
            source: "app".to_owned(),
            process: process.to_owned(),
            message: "hello \u{1b}[31m".to_owned(),
        };
        let mut out = String::new();
        write_line(&mut out, &said, colours);
        out
    }

    #[test]
    fn lines_are_herokus() {
        assert_eq!(
            printed("web.1", Colours::Never),
            "2026-11-26T15:00:00.000001+00:00 app[web.1]: hello [31m\n"
        );
    }

    #[test]
    fn a_process_has_one_colour_and_most_have_their_own() {
        let plain = printed("web.1", Colours::Terminal);
        assert!(plain.starts_with("\u{1b}[") && plain.contains("app[web.1]:\u{1b}[0m hello"), "{plain:?}");
        assert_eq!(colour("web.1"), colour("web.1"));
        let several: std::collections::BTreeSet<u8> =
            (1..9).map(|number| colour(&format!("web.{number}"))).collect();
        assert!(several.len() > 2, "{several:?}");
    }
}
