//! Who is connected: caps on connections, in all and for each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections; a `Seat` gives its place back when it is dropped.
#[derive(Clone)]
pub(super) struct Callers {
    most: usize,
    most_per_address: usize,
    seated: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

pub(super) struct Seat {
    address: IpAddr,
    seated: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("this server has as many SSH connections as it takes: try again in a minute")]
    Everywhere,
    #[error("your address has as many SSH connections as one may have: close some and try again")]
    ThisAddress,
}

impl Callers {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        Self { most, most_per_address, seated: Arc::default() }
    }

    pub(super) fn seat(&self, address: IpAddr) -> Result<Seat, Full> {
        let address = crate::doors::neighbourhood(address);
        let mut seated = self.seated.lock().unwrap_or_else(PoisonError::into_inner);
        if seated.values().sum::<usize>() >= self.most {
            return Err(Full::Everywhere);
        }
        let here = seated.entry(address).or_default();
        if *here >= self.most_per_address {
            return Err(Full::ThisAddress);
        }
        *here += 1;
        Ok(Seat { address, seated: Arc::clone(&self.seated) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seated = self.seated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = seated.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                seated.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_address_and_given_back() {
        let callers = Callers::new(3, 2);
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let there: IpAddr = "192.0.2.2".parse().unwrap();
        let first = callers.seat(here).unwrap();
        let _second = callers.seat(here).unwrap();
        assert_eq!(callers.seat(here).err(), Some(Full::ThisAddress));
        let third = callers.seat(there).unwrap();
        assert_eq!(callers.seat(there).err(), Some(Full::Everywhere));
        drop((first, third));
        let _again = callers.seat(here).unwrap();
        let _last = callers.seat(there).unwrap();
        assert_eq!(callers.seated.lock().unwrap().len(), 2);
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let callers = Callers::new(9, 1);
        let _first = callers.seat("2001:db8::1".parse().unwrap()).unwrap();
        assert_eq!(callers.seat("2001:db8::2".parse().unwrap()).err(), Some(Full::ThisAddress));
        assert!(callers.seat("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }
}
