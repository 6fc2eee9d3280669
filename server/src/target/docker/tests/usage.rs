//! What processes use, by the engine's own counters.

use super::*;
use crate::target::usage::Usage;

impl Stage {
    /// Looks until the sum of what was used is as wanted.
    async fn used_until(&self, enough: impl Fn(&Usage) -> bool) -> Usage {
        let mut sum = Usage::default();
        let looks = async {
            while !enough(&sum) {
                let usages = self.target.usage().await.expect("usages");
                let look = usages.values().next().cloned().unwrap_or_default();
                sum.cpu += look.cpu;
                sum.memory = look.memory;
                sum.restarts += look.restarts;
            }
        };
        tokio::time::timeout(PATIENCE, looks).await.expect("in time");
        sum
    }
}

#[tokio::test]
async fn cpu_memory_and_restarts_are_counted_since_the_look_before() {
    let Some(stage) = stage().await else { return };
    let line = "python3 -c 'x = bytearray(60 << 20); exec(\"while True: pass\")' & sleep 2; exit 1";
    stage.roll_out(&workload(1, vec![worker(line), web("one")])).await.expect("runs");
    let first = stage.target.usage().await.expect("usages");
    let of_blog = first.values().next().expect("an app");
    assert_eq!((of_blog.cpu, of_blog.restarts), (Duration::ZERO, 0), "nobody knows since when");
    let begun = std::time::Instant::now();
    let used = stage.used_until(|sum| sum.cpu > Duration::from_millis(200) && sum.memory > 60 << 20).await;
    assert!(used.cpu < begun.elapsed() * 4, "{used:?} in {:?}", begun.elapsed());
    stage.used_until(|sum| sum.restarts > 0).await;
}
