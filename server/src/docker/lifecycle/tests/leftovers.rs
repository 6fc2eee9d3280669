//! Builds that are given up, and what is left of them.

use std::time::Instant;

use super::bench::left;
use super::*;
use crate::docker::testing::{is_running, sleeping_time, wait_until, way_to_the_engine};

/// A request whose build sleeps, and the argument by which the sleeper is found.
fn sleeping(bench: &Bench, trust: Trust) -> (LifecycleRequest, String) {
    let seconds = sleeping_time();
    let script = format!("exec sleep {seconds}\n");
    (bench.request(trust, &[("app.sh", File("")), ("build.sh", File(&script))]), seconds)
}

/// Waits until the engine has nothing of the bench's builds any more.
async fn nothing_left(bench: &Bench) -> Duration {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        while !bench.left().await.is_empty() {
            ticks.tick().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("all is removed in time");
    begun.elapsed()
}

#[tokio::test]
async fn cancelling_and_dropping_remove_the_containers_within_a_second() {
    let Some(bench) = Bench::new().await else { return };
    for trust in BOTH {
        let (request, argument) = sleeping(&bench, trust);
        let (built, begun) = tokio::join!(bench.build(&request), async {
            wait_until("the build", || is_running(&argument)).await;
            request.cancel.cancel();
            Instant::now()
        });
        let took = begun.elapsed();
        assert!(matches!(built.0, Err(LifecycleError::Cancelled)), "{:?}", built.0);
        assert_eq!(bench.left().await, Vec::<String>::new());
        eprintln!("cancelled {trust:?}: all was gone after {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");

        let (request, argument) = sleeping(&bench, trust);
        {
            let building = bench.build(&request);
            tokio::pin!(building);
            tokio::select! {
                _ = &mut building => panic!("the build ended"),
                _ = wait_until("the build", || is_running(&argument)) => {}
            }
        }
        let took = nothing_left(&bench).await;
        assert!(!is_running(&argument));
        eprintln!("dropped {trust:?}: all was gone after {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn a_build_that_is_given_up_at_any_moment_leaves_nothing() {
    let Some(bench) = Bench::new().await else { return };
    let app = [("app.sh", File(""))];
    for step in 0..12 {
        let request = bench.request(Trust::Untrusted, &app);
        let moment = Duration::from_millis(40 * step * step);
        let (built, ()) = tokio::join!(bench.build(&request), async {
            drop(timeout(moment, request.cancel.cancelled()).await);
            request.cancel.cancel();
        });
        match built.0 {
            Ok(_) | Err(LifecycleError::Cancelled) => {}
            Err(error) => panic!("given up after {moment:?}: {error:?}"),
        }
        assert_eq!(bench.left().await, Vec::<String>::new(), "given up after {moment:?}");
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn what_a_dead_server_left_is_found_and_only_that() {
    let Some(bench) = Bench::new().await else { return };
    let cut = CancellationToken::new();
    let Some(host) = way_to_the_engine(&bench.engine, cut.clone()).await else { return };
    let cut_off = Engine::connect(&host).await.unwrap();
    let dying = Bench::on(cut_off, bench.registry.clone(), bench.builder.clone());
    let other = Bench::on(bench.engine.clone(), bench.registry.clone(), bench.builder.clone());
    let (request, argument) = sleeping(&dying, Trust::Untrusted);
    let (others, others_argument) = sleeping(&other, Trust::Trusted);
    let (built, others_built, ()) = tokio::join!(dying.build(&request), other.build(&others), async {
        wait_until("the build", || is_running(&argument)).await;
        wait_until("the other build", || is_running(&others_argument)).await;
        // The server can do nothing any more, as if it had been killed.
        cut.cancel();
        let before = left(&bench.engine, &dying.owner).await;
        assert!(before.iter().any(|name| name.ends_with("-builder")), "{before:?}");
        let removed = bench.engine.sweep_lifecycles(&dying.owner).await.unwrap();
        assert_eq!(removed, before.len());
        assert_eq!(left(&bench.engine, &dying.owner).await, Vec::<String>::new());
        assert!(!is_running(&argument) && is_running(&others_argument));
        assert_eq!(bench.engine.sweep_lifecycles(&dying.owner).await.unwrap(), 0);
        others.cancel.cancel();
    });
    assert!(matches!(built.0, Err(LifecycleError::EngineLost(_))), "{:?}", built.0);
    assert!(matches!(others_built.0, Err(LifecycleError::Cancelled)), "{:?}", others_built.0);
    bench.engine.remove_lifecycle_cache(&dying.owner, &request.cache_name).await.unwrap();
    other.clean_up().await;
}
