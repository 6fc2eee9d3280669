//! What pods use, as the cluster's metrics server says.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn cpu_and_memory_of_pods_come_from_the_metrics_server() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let mut busy = healthy(1).await;
    for process in &mut busy.processes {
        process.limits = Limits::default();
    }
    // It holds memory of its own: pages of files that another pod has read already count for none of this one's.
    busy.processes[1].command =
        shell("held=$(head -c 8000000 /dev/zero | tr '\\0' x); while :; do :; done; echo \"$held\"");
    stage.succeeds(&busy, None).await;
    let blog: crate::domain::names::AppName = APP.parse().expect("a name");
    let mut cpu = Duration::ZERO;
    let mut looks = tokio::time::interval(Duration::from_millis(500));
    let measured = async {
        loop {
            looks.tick().await;
            let usages = stage.target.usage().await.expect("usages");
            let Some(usage) = usages.get(&blog) else { continue };
            cpu += usage.cpu;
            if usage.memory > 4 << 20 && cpu > Duration::from_millis(500) {
                return;
            }
            assert_eq!(usage.restarts, 0);
        }
    };
    tokio::time::timeout(LIMIT, measured).await.expect("measured in time");
    stage.tear_down().await;
}
