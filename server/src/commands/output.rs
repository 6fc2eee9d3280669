//! Texts that grow while they are read: a connection that breaks is made again where it broke.

use std::time::Duration;

use futures::TryStreamExt;

use super::client::ClientError;
use super::failure::Failure;
use super::grammar::Reading;
use super::run::Session;

/// How often a broken connection is made again before the verb gives up; each byte that arrives starts the count anew.
const RECONNECTS: usize = 5;
/// Between two tries to connect again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Prints the text at `path`.
pub(super) async fn print(session: &mut Session, path: &str, reading: &Reading) -> Result<(), Failure> {
    let mut reader = Reader { offset: reading.offset, tries: 0 };
    let follow = if reading.no_follow { "" } else { "&follow=1" };
    while let Err(broken) = reader.read(session, path, follow).await? {
        reader.tries += 1;
        if reader.tries > RECONNECTS {
            return Err(broken.into());
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    Ok(())
}

/// Where reading stands.
struct Reader {
    offset: u64,
    tries: usize,
}

impl Reader {
    /// Prints what comes; the inner error says that the connection broke and can be made again.
    async fn read(
        &mut self,
        session: &mut Session,
        path: &str,
        follow: &str,
    ) -> Result<Result<(), ClientError>, Failure> {
        let address = format!("{path}?offset={}{follow}", self.offset);
        let mut text = match session.client.stream(&address).await {
            Ok(text) => text,
            Err(refused @ (ClientError::Refused(_) | ClientError::Foreign { .. })) => {
                return Err(refused.into());
            }
            Err(broken) => return Ok(Err(broken)),
        };
        loop {
            match text.try_next().await {
                Ok(Some(chunk)) => {
                    self.tries = 0;
                    self.offset += u64::try_from(chunk.len()).unwrap_or(0);
                    session.terminal.bytes(&chunk).await?;
                }
                Ok(None) => return Ok(Ok(())),
                Err(broken) => return Ok(Err(broken)),
            }
        }
    }
}
