//! Limits: of time and memory, and what the engine is told to keep.

use bollard::query_parameters::InspectContainerOptions;

use super::*;
use crate::docker::testing::{is_running, sleeping_time, wait_until};

/// An app whose build sleeps, and the argument by which the sleeper is found.
fn sleeper() -> (String, String) {
    let seconds = sleeping_time();
    (format!("echo sleeping; exec sleep {seconds}\n"), seconds)
}

#[tokio::test]
async fn a_build_that_says_nothing_or_takes_too_long_is_ended() {
    let Some(bench) = Bench::new().await else { return };
    for trust in BOTH {
        let (script, argument) = sleeper();
        let mut request = bench.request(trust, &[("app.sh", File("")), ("build.sh", File(&script))]);
        request.limits.idle_deadline = Duration::from_secs(4);
        let error = bench.build(&request).await.0.unwrap_err();
        assert!(error.to_string().starts_with("the build said nothing for 4s"), "{error}");
        assert!(error.to_string().contains("SLIPWAY_BUILD_IDLE_DEADLINE"), "{error}");
        assert!(!is_running(&argument));

        let deadline = Duration::from_secs(6);
        request.limits = LifecycleLimits { idle_deadline: deadline, deadline, ..request.limits };
        let error = bench.build(&request).await.0.unwrap_err();
        assert!(error.to_string().starts_with("the build took longer than 6s"), "{error}");
        assert!(error.to_string().contains("SLIPWAY_BUILD_DEADLINE"), "{error}");
        assert!(!is_running(&argument));
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn a_build_that_takes_too_much_memory_is_told_so_with_the_limit() {
    let Some(bench) = Bench::new().await else { return };
    for trust in BOTH {
        let script = "exec python3 -c 'x = bytearray(800 << 20); print(len(x))'\n";
        let mut request = bench.request(trust, &[("app.sh", File("")), ("build.sh", File(script))]);
        request.limits.memory = 200 << 20;
        let error = bench.build(&request).await.0.unwrap_err();
        assert!(matches!(error, LifecycleError::Memory { .. }), "{error:?}");
        let words = error.to_string();
        assert!(words.contains("200.0 MiB") && words.contains("SLIPWAY_LIFECYCLE_MEMORY"), "{words}");
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn the_engine_is_told_limits_and_no_values() {
    let Some(bench) = Bench::new().await else { return };
    for trust in BOTH {
        let (script, argument) = sleeper();
        let mut request = bench.request(trust, &[("app.sh", File("")), ("build.sh", File(&script))]);
        request.environment.insert("TOKEN".parse().unwrap(), "hush-hush".to_owned().into());
        request.limits.millicpu = 500;
        let (built, ()) = tokio::join!(bench.build(&request), async {
            wait_until("the build", || is_running(&argument)).await;
            for name in bench.left().await.iter().filter_map(|name| name.strip_prefix('/')) {
                let described = bench.engine.api().inspect_container(name, None::<InspectContainerOptions>);
                let described = described.await.unwrap();
                assert!(!serde_json::to_string(&described).unwrap().contains("hush-hush"), "{name}");
                let host = described.host_config.unwrap();
                assert_eq!((host.memory, host.memory_swap), (Some(1 << 30), Some(1 << 30)), "{name}");
                assert_eq!(host.nano_cpus, Some(500_000_000), "{name}");
                assert_eq!(host.privileged, Some(false), "{name}");
                assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]), "{name}");
                let config = described.config.unwrap();
                assert_eq!(config.user.as_deref(), Some("1001:1001"), "{name}");
                let buildpacks_alone = name.ends_with("-detector") || name.ends_with("-builder");
                assert_eq!(host.network_mode.as_deref() == Some("host"), !buildpacks_alone, "{name}");
            }
            request.cancel.cancel();
        });
        assert!(matches!(built.0, Err(LifecycleError::Cancelled)), "{:?}", built.0);
        assert!(!built.1.contains("hush-hush"));
    }
    bench.clean_up().await;
}
