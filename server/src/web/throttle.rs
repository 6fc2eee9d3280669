//! Slows down those who guess: failed authentications are counted in fixed windows, by address or by what else names
//! the guesser or the one who is guessed at.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that one address may have in a window before it has to wait for the next.
const MOST_FAILURES: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond, all windows that have passed are forgotten, and if that is not enough, all.
/// Forgetting is cheap for us and useless to guessers: a token has 256 random bits.
const MOST_ADDRESSES: usize = 20_000;

#[derive(Debug)]
pub(super) struct Throttle<K = IpAddr> {
    most: u32,
    window: Duration,
    windows: Mutex<HashMap<K, Window>>,
}

impl Default for Throttle<IpAddr> {
    fn default() -> Self {
        Self::new(MOST_FAILURES, WINDOW)
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    opened: Instant,
    failures: u32,
}

impl<K: Eq + Hash> Throttle<K> {
    /// At most so many failures in a window.
    pub(super) fn new(most: u32, window: Duration) -> Self {
        Self { most, window, windows: Mutex::default() }
    }

    /// How long this one has to wait before it may try again, if it has to.
    pub(super) fn wait(&self, who: &K) -> Option<Duration> {
        self.wait_at(who, Instant::now())
    }

    /// Notes a failure.
    pub(super) fn failed(&self, who: K) {
        self.failed_at(who, Instant::now());
    }

    fn wait_at(&self, who: &K, now: Instant) -> Option<Duration> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(who).filter(|window| window.failures >= self.most)?;
        self.window.checked_sub(now.duration_since(window.opened)).filter(|wait| !wait.is_zero())
    }

    fn failed_at(&self, who: K, now: Instant) {
        let passed = |window: &Window| now.duration_since(window.opened) >= self.window;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MOST_ADDRESSES && !windows.contains_key(&who) {
            windows.retain(|_, window| !passed(window));
            if windows.len() >= MOST_ADDRESSES {
                windows.clear();
            }
        }
        let window = windows.entry(who).or_insert(Window { opened: now, failures: 0 });
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
            assert_eq!(throttle.wait_at(&guesser, start), None);
            throttle.failed_at(guesser, start);
        }
        assert_eq!(throttle.wait_at(&guesser, start), Some(WINDOW));
        assert_eq!(throttle.wait_at(&"192.0.2.2".parse().unwrap(), start), None);
        assert_eq!(throttle.wait_at(&guesser, start + WINDOW), None);
        throttle.failed_at(guesser, start + WINDOW);
        assert_eq!(throttle.wait_at(&guesser, start + WINDOW), None);
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
