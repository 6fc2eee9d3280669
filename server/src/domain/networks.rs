//! Which addresses are everybody's, and which belong to somebody's own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public network. What carries another address within it counts as that one.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let shared = u32::from(ip) >> 22 == u32::from(Ipv4Addr::new(100, 64, 0, 0)) >> 22;
    let own = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared;
    !(own || ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || ip.octets()[0] == 0)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let own = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
    if own || ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    match ip.segments() {
        // NAT64 and 6to4: a v4 address in v6 clothes.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_the_clothes_of_others_count_as_what_they_are() {
        for own in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(own.parse().expect("an address")), "{own}");
        }
        for public in ["203.0.113.9", "2001:db8::1", "2002:cb00:7109::1", "64:ff9b::cb00:7109"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }
}
