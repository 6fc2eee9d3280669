//! How long answers took, counted in classes that grow by a quarter of an octave: small enough to be stored every few minutes,
//! and exact enough for a percentile on a chart (within 20 %).

use std::time::Duration;

/// Quarters of octaves from 1 ms to over four minutes.
const CLASSES: usize = 72;

/// Answers in each class. Class 0 is up to 1 ms; class `n` begins where `n - 1` ends, at `2^((n - 1)/4)` ms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    /// Without the empty classes at its end.
    counts: Vec<i32>,
}

impl Latency {
    pub(crate) fn add(&mut self, took: Duration) {
        let class = (1..CLASSES).rev().find(|class| took > end_of(class - 1)).unwrap_or(0);
        self.grow(class + 1);
        self.counts[class] = self.counts[class].saturating_add(1);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.grow(other.counts.len());
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours = ours.saturating_add(*theirs);
        }
    }

    /// The time that this part (0.95, say) of the answers did not exceed; `None` of none.
    pub(crate) fn percentile(&self, part: f64) -> Option<Duration> {
        let all: f64 = self.counts.iter().copied().map(f64::from).sum();
        let wanted = all * part;
        let mut before = 0.0;
        for (class, count) in self.counts.iter().copied().map(f64::from).enumerate() {
            if count > 0.0 && before + count >= wanted {
                let begin = if class == 0 { Duration::ZERO } else { end_of(class - 1) };
                return Some(
                    begin + (end_of(class) - begin).mul_f64(((wanted - before) / count).clamp(0.0, 1.0)),
                );
            }
            before += count;
        }
        None
    }

    /// As it is stored.
    pub(crate) fn counts(&self) -> &[i32] {
        &self.counts
    }

    fn grow(&mut self, classes: usize) {
        if self.counts.len() < classes {
            self.counts.resize(classes, 0);
        }
    }
}

impl From<Vec<i32>> for Latency {
    fn from(counts: Vec<i32>) -> Self {
        Self { counts }
    }
}

fn end_of(class: usize) -> Duration {
    let quarters = u32::try_from(class).unwrap_or(u32::MAX);
    Duration::from_secs_f64(0.001 * (f64::from(quarters) / 4.0).exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        millis.into_iter().for_each(|millis| latency.add(Duration::from_millis(millis)));
        latency
    }

    #[test]
    fn a_percentile_is_near_the_true_one() {
        assert_eq!(Latency::default().percentile(0.95), None);
        for scale in [1, 7, 90, 1_100] {
            let found = of((1..=100).map(|n| n * scale)).percentile(0.95).unwrap().as_secs_f64() * 1000.0;
            let true_one = 95.0 * scale as f64;
            assert!((found / true_one - 1.0).abs() < 0.2, "{found} for {true_one}");
        }
        assert!(of([0; 10]).percentile(0.95).unwrap() <= Duration::from_millis(1));
        assert!(of([u64::MAX]).percentile(0.5).unwrap() > Duration::from_secs(120));
    }

    #[test]
    fn parts_make_the_whole() {
        let mut whole = of([3, 50]);
        whole.merge(&of([7_000, 3]));
        assert_eq!(whole, of([3, 3, 50, 7_000]));
        assert_eq!(Latency::from(whole.counts().to_vec()), whole);
    }
}
