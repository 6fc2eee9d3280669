//! On which ports a container's processes listen, as the kernel tells it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Sockets of Docker's own resolver inside of a container.
const ENGINE_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// The state of a listening socket in the kernel's table.
const LISTEN: &str = "0A";

/// Listening sockets in the network of process `pid`, which belongs to the container `id`. `None` if this server
/// does not see the engine's processes (it runs in a container itself, or on another machine).
pub(super) async fn sockets(pid: i64, id: &str) -> Option<Vec<SocketAddr>> {
    // Process ids of another namespace mean other processes here: the control group names the container.
    let groups = tokio::fs::read_to_string(format!("/proc/{pid}/cgroup")).await.ok()?;
    if !groups.contains(id) {
        return None;
    }
    let mut table = tokio::fs::read_to_string(format!("/proc/{pid}/net/tcp")).await.ok()?;
    // Missing where IPv6 is off.
    table.push_str(&tokio::fs::read_to_string(format!("/proc/{pid}/net/tcp6")).await.unwrap_or_default());
    Some(listening(&table))
}

/// Whether one of them can be reached from outside of the container on `port`.
pub(super) fn reachable(sockets: &[SocketAddr], port: u16) -> bool {
    sockets.iter().any(|socket| socket.port() == port && !socket.ip().is_loopback())
}

fn listening(table: &str) -> Vec<SocketAddr> {
    let mut sockets: Vec<SocketAddr> = table.lines().filter_map(socket).collect();
    sockets.retain(|socket| socket.ip() != ENGINE_RESOLVER);
    sockets.sort();
    sockets.dedup();
    sockets
}

/// `0: 0100007F:1F90 00000000:0000 0A …`: slot, local address, remote address, state.
fn socket(line: &str) -> Option<SocketAddr> {
    let mut columns = line.split_whitespace().skip(1);
    let local = columns.next()?;
    if columns.nth(1)? != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(SocketAddr::new(address_of(address)?, u16::from_str_radix(port, 16).ok()?))
}

/// Words of 32 bits in this machine's byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |index: usize| {
        let digits = text.get(index * 8..index * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 0100007F:1F90 00000000:0000 0A 0:0 0:0\n\
             1: 00000000:1F91 00000000:0000 0A 0:0 0:0\n\
             2: 0B00007F:8123 00000000:0000 0A 0:0 0:0\n\
             3: 0100007F:1F92 0100007F:9999 01 0:0 0:0\n\
             0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0:0\n\
             1: 00000000000000000000000001000000:0BB9 00000000000000000000000000000000:0000 0A 0:0\n";
        let sockets = listening(table);
        let text: Vec<String> = sockets.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["0.0.0.0:8081", "127.0.0.1:8080", "[::]:3000", "[::1]:3001"]);
        assert!(reachable(&sockets, 3000) && reachable(&sockets, 8081));
        assert!(!reachable(&sockets, 8080) && !reachable(&sockets, 3001) && !reachable(&sockets, 1));
    }
}
