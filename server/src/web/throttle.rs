//! Slows down those who guess: failed authentications are counted by address in fixed windows.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that one address may have in a window before it has to wait for the next.
const MOST_FAILURES: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond, all windows that have passed are forgotten, and if that is not enough, all.
/// Forgetting is cheap for us and useless to guessers: a token has 256 random bits.
const MOST_ADDRESSES: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Throttle {
    windows: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    opened: Instant,
    failures: u32,
}

impl Throttle {
    /// How long this address has to wait before it may try again, if it has to.
    pub(super) fn wait(&self, address: IpAddr) -> Option<Duration> {
        self.wait_at(address, Instant::now())
    }

    /// Notes a failure.
    pub(super) fn failed(&self, address: IpAddr) {
        self.failed_at(address, Instant::now());
    }

    fn wait_at(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(&address).filter(|window| window.failures >= MOST_FAILURES)?;
        WINDOW.checked_sub(now.duration_since(window.opened)).filter(|wait| !wait.is_zero())
    }

    fn failed_at(&self, address: IpAddr, now: Instant) {
        let passed = |window: &Window| now.duration_since(window.opened) >= WINDOW;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MOST_ADDRESSES && !windows.contains_key(&address) {
            windows.retain(|_, window| !passed(window));
            if windows.len() >= MOST_ADDRESSES {
                windows.clear();
            }
        }
        let window = windows.entry(address).or_insert(Window { opened: now, failures: 0 });
        if passed(window) {
            *window = Window { opened: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_waits_out_its_window_and_others_do_not() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let guesser: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..MOST_FAILURES {
            assert_eq!(throttle.wait_at(guesser, start), None);
            throttle.failed_at(guesser, start);
        }
        assert_eq!(throttle.wait_at(guesser, start), Some(WINDOW));
        assert_eq!(throttle.wait_at("192.0.2.2".parse().unwrap(), start), None);
        assert_eq!(throttle.wait_at(guesser, start + WINDOW), None);
        throttle.failed_at(guesser, start + WINDOW);
        assert_eq!(throttle.wait_at(guesser, start + WINDOW), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for n in 0..u32::try_from(MOST_ADDRESSES).unwrap() + 5 {
            throttle.failed_at(IpAddr::V4(n.into()), start);
        }
        assert!(throttle.windows.lock().unwrap().len() <= MOST_ADDRESSES);
    }
}
