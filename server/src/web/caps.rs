//! How many connections one address may have open at a door.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

/// The open connections of one door by address. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub(crate) struct Caps {
    most: u32,
    /// Proxies speak for many people.
    exempt: Arc<[IpNet]>,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// A place among an address' connections, free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    caps: Caps,
    /// `None` for exempt addresses.
    owner: Option<IpAddr>,
}

impl Caps {
    pub(crate) fn new(most: u32, exempt: &[IpNet]) -> Self {
        Self { most, exempt: exempt.into(), open: Arc::default() }
    }

    /// A place for one more connection of this address, if it may have one.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Slot> {
        let address = address.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&address)) {
            return Some(Slot { caps: self.clone(), owner: None });
        }
        let owner = owner(address);
        let mut open = self.open();
        let count = open.entry(owner).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Slot { caps: self.clone(), owner: Some(owner) })
    }

    /// Counts stay right even if a holder of the lock panicked: nothing in between can fail.
    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(owner) = self.owner else { return };
        let mut open = self.caps.open();
        if let Some(count) = open.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                open.remove(&owner);
            }
        }
    }
}

/// Who has an IPv6 address has its whole /64.
fn owner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_gets_its_share_and_leaves_others_theirs() {
        let caps = Caps::new(2, &[]);
        let first = caps.admit(ip("192.0.2.1")).unwrap();
        let _second = caps.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(caps.admit(ip("192.0.2.1")).is_none());
        assert!(caps.admit(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(caps.admit(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn addresses_of_one_v6_network_count_as_one() {
        let caps = Caps::new(1, &[]);
        let _slot = caps.admit(ip("2001:db8::1")).unwrap();
        assert!(caps.admit(ip("2001:db8::2")).is_none());
        assert!(caps.admit(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn trusted_proxies_have_no_limit_and_nothing_is_kept_of_who_left() {
        let caps = Caps::new(1, &["10.0.0.0/8".parse().unwrap()]);
        let slots: Vec<Slot> = (0..100).map(|_| caps.admit(ip("10.1.1.1")).unwrap()).collect();
        drop((slots, caps.admit(ip("192.0.2.1"))));
        assert!(caps.open().is_empty());
    }
}
