//! The first thing that a pushing client reads: the refs, what we understand, and where our own history ends.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::pktline::{FLUSH, push_packet};
use super::reply::WRITE_DEADLINE;
use super::shallow;
use crate::git::command::CommandError;
use crate::git::oid::Oid;
use crate::git::repository::Repository;

/// `object-format` keeps SHA-256 clients away; there is no `ofs-delta` negotiation beyond the word itself.
const CAPABILITIES: &str = concat!(
    "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options ",
    "object-format=sha1 agent=slipway/",
    env!("CARGO_PKG_VERSION")
);

/// The newest pins whose commits the client is told of, so that a push after a failed build sends only what changed.
const PINS_OFFERED: usize = 16;

/// Why the refs could not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdvertiseError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("the list of shallow commits could not be read")]
    Shallow(#[source] io::Error),
    #[error("the client left before it had seen the refs")]
    Vanished(#[source] io::Error),
}

/// Shows branches and tags. The builds' pins are hidden: their commits are offered without a name.
pub(crate) async fn advertise(
    repository: &Repository,
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<(), AdvertiseError> {
    let boundary = shallow::read(repository.path()).await.map_err(AdvertiseError::Shallow)?;
    let refs = match shallow::asks_for_whole_history(repository.path()).await {
        true => Vec::new(),
        false => repository.visible_refs().await?,
    };
    // A client that sees a commit holds back what lies behind it, which is what a shallow history lacks.
    let pins = if boundary.is_empty() { repository.pins().await? } else { Vec::new() };
    let message = render(&refs, &pins, &boundary);
    let send = async {
        writer.write_all(&message).await?;
        writer.flush().await
    };
    let sent = timeout(WRITE_DEADLINE, send).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    sent.map_err(AdvertiseError::Vanished)
}

fn render(refs: &[(String, Oid)], pins: &[(String, Oid)], boundary: &[Oid]) -> Vec<u8> {
    let named = refs.iter().map(|(name, oid)| (name.as_str(), *oid));
    let known = |oid: &Oid| refs.iter().any(|(_, shown)| shown == oid);
    let offered = pins.iter().map(|(_, oid)| *oid).filter(|oid| !known(oid)).take(PINS_OFFERED);
    let mut lines: Vec<_> = named.chain(offered.map(|oid| (".have", oid))).collect();
    if lines.is_empty() {
        lines.push(("capabilities^{}", Oid::ZERO));
    }
    let mut message = Vec::new();
    for (index, (name, oid)) in lines.into_iter().enumerate() {
        let capabilities = if index == 0 { format!("\0{CAPABILITIES}") } else { String::new() };
        push_packet(&mut message, format!("{oid} {name}{capabilities}\n").as_bytes());
    }
    for oid in boundary {
        push_packet(&mut message, format!("shallow {oid}\n").as_bytes());
    }
    message.extend_from_slice(FLUSH);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_repository_still_names_its_capabilities() {
        let message = String::from_utf8(render(&[], &[], &[])).unwrap();
        let zero = Oid::ZERO;
        assert!(message.contains(&format!("{zero} capabilities^{{}}\0report-status ")), "{message}");
        assert!(message.ends_with("\n0000"));
    }

    #[test]
    fn pins_are_offered_without_their_names() {
        let a: Oid = "a".repeat(40).parse().unwrap();
        let b: Oid = "b".repeat(40).parse().unwrap();
        let refs = [("refs/heads/main".to_owned(), a)];
        let pins = [("refs/builds/2".to_owned(), b), ("refs/builds/1".to_owned(), a)];
        let message = String::from_utf8(render(&refs, &pins, &[])).unwrap();
        assert!(!message.contains("refs/builds"));
        assert_eq!(message.matches(".have").count(), 1);
    }
}
