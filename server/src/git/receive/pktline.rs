//! pkt-lines: four hexadecimal digits of length, then the payload.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest payload of one packet.
pub(super) const LONGEST: usize = 65_516;

/// Ends a list.
pub(crate) const FLUSH: &[u8] = b"0000";

/// One packet as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Flush,
    Data(Vec<u8>),
}

/// Why no packet came.
#[derive(Debug, thiserror::Error)]
pub(super) enum PacketError {
    /// The stream ended, between packets or inside one.
    #[error("the stream ended")]
    Closed,
    #[error("the stream broke")]
    Broken(#[from] io::Error),
    #[error("this is not git's protocol")]
    Malformed,
}

/// Appends one packet. Longer payloads are the caller's to split.
pub(crate) fn push_packet(out: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(payload.len() <= LONGEST, "a packet holds at most {LONGEST} bytes");
    out.extend_from_slice(format!("{:04x}", payload.len() + 4).as_bytes());
    out.extend_from_slice(payload);
}

/// Reads exactly one packet: what follows is left in the stream.
pub(super) async fn read_packet(reader: &mut (impl AsyncRead + Unpin)) -> Result<Packet, PacketError> {
    let mut header = [0; 4];
    read_exact(reader, &mut header).await?;
    let length = parse_length(header).ok_or(PacketError::Malformed)?;
    if length == 0 {
        return Ok(Packet::Flush);
    }
    // 1 to 3 are the delimiters of protocol version 2, which has no push.
    let payload = length.checked_sub(4).filter(|size| *size <= LONGEST).ok_or(PacketError::Malformed)?;
    let mut data = vec![0; payload];
    read_exact(reader, &mut data).await?;
    Ok(Packet::Data(data))
}

async fn read_exact(reader: &mut (impl AsyncRead + Unpin), into: &mut [u8]) -> Result<(), PacketError> {
    match reader.read_exact(into).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(PacketError::Closed),
        Err(error) => Err(error.into()),
    }
}

fn parse_length(header: [u8; 4]) -> Option<usize> {
    // `from_str_radix` would take a sign.
    if !header.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(&header).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(payload in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let mut wire = Vec::new();
            push_packet(&mut wire, &payload);
            wire.extend_from_slice(FLUSH);
            let mut reader = wire.as_slice();
            prop_assert_eq!(block_on(read_packet(&mut reader)).unwrap(), Packet::Data(payload));
            prop_assert_eq!(block_on(read_packet(&mut reader)).unwrap(), Packet::Flush);
            prop_assert!(matches!(block_on(read_packet(&mut reader)), Err(PacketError::Closed)));
        }

        #[test]
        fn any_bytes_give_a_packet_or_an_error(wire in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = wire.as_slice();
            while block_on(read_packet(&mut reader)).is_ok() {}
        }
    }

    #[test]
    fn lengths_that_git_never_sends_are_refused() {
        for wire in ["0001", "0003", "+123", "xyz!", "fff1", "ffff"] {
            let outcome = block_on(read_packet(&mut wire.as_bytes()));
            assert!(matches!(outcome, Err(PacketError::Malformed)), "{wire}: {outcome:?}");
        }
    }
}
