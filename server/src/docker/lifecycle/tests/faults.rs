//! Builds that end badly: what their owners are told, and whose fault it is.

use super::*;

#[tokio::test]
async fn an_app_that_no_buildpack_knows_is_the_users_to_mend() {
    let Some(bench) = Bench::new().await else { return };
    for trust in BOTH {
        let (built, text) = bench.build(&bench.request(trust, &[("README", File("x"))])).await;
        let error = built.unwrap_err();
        assert!(matches!(error, LifecycleError::NoBuildpack(_)), "{error:?}");
        assert_eq!(error.fault(), Fault::Users);
        assert!(text.contains("No buildpack groups passed detection"), "{text}");

        let app = [("app.sh", File("")), ("detect.sh", File("echo broken >&2; exit 3"))];
        let (built, text) = bench.build(&bench.request(trust, &app)).await;
        let error = built.unwrap_err();
        assert!(matches!(error, LifecycleError::DetectionFailed(_)), "{error:?}");
        assert!(text.contains("broken"), "{text}");
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn a_buildpack_that_fails_is_the_users_to_mend() {
    let Some(bench) = Bench::new().await else { return };
    for trust in BOTH {
        let app = [("app.sh", File("")), ("build.sh", File("echo 'no such module' >&2; exit 3"))];
        let (built, text) = bench.build(&bench.request(trust, &app)).await;
        let error = built.unwrap_err();
        assert!(matches!(error, LifecycleError::BuildFailed(_)), "{error:?}");
        assert_eq!(error.fault(), Fault::Users);
        assert!(text.contains("no such module\n"), "{text}");
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn an_image_that_is_missing_or_no_builder_is_named() {
    let Some(bench) = Bench::new().await else { return };
    let with = |builder: String| LifecycleRequest {
        builder,
        ..bench.request(Trust::Untrusted, &[("app.sh", File(""))])
    };
    let missing = bench.registry.push_repository("nobody/builder");
    let (built, _) = bench.build(&with(missing.clone())).await;
    let error = built.unwrap_err();
    assert!(matches!(error, LifecycleError::NoBuilder { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("the builder {missing} cannot be had: ")), "{error}");

    let (built, _) = bench.build(&with("slipway/base".to_owned())).await;
    let error = built.unwrap_err();
    assert!(error.to_string().starts_with("slipway/base is not a builder of Cloud Native"), "{error}");

    let (built, _) = bench.build(&with("slipway/test-builder".to_owned())).await;
    let error = built.unwrap_err();
    assert!(error.to_string().contains("it has no run image"), "{error}");

    let hollow =
        bench::builder(&bench.engine, &bench.registry, "USER 0\nRUN rm /cnb/lifecycle/detector\n").await;
    let (built, _) = bench.build(&with(hollow.clone())).await;
    let error = built.unwrap_err();
    assert!(error.to_string().contains("it has no detector"), "{error}");
    testing::remove_image(&bench.engine, &hollow).await;
    bench.clean_up().await;
}

#[tokio::test]
async fn a_run_image_is_found_in_the_builders_file_and_never_among_the_apps() {
    let Some(bench) = Bench::new().await else { return };
    let run_image = bench.registry.push_repository("stack/run:1");
    let more = format!(
        "LABEL io.buildpacks.builder.metadata='{{}}'\nUSER 0\n\
         RUN printf '[[images]]\\nimage = \"{run_image}\"\\n' > /cnb/run.toml\n"
    );
    let builder = bench::derived(&bench.engine, "none", &more).await;
    for trust in BOTH {
        let request =
            LifecycleRequest { builder: builder.clone(), ..bench.request(trust, &[("app.sh", File(""))]) };
        bench.build(&request).await.0.unwrap();
    }
    testing::remove_image(&bench.engine, &builder).await;

    let other = bench.registry.push_repository("apps/somebody-elses:1");
    let builder = bench::derived(&bench.engine, &other, "").await;
    let request = LifecycleRequest {
        builder: builder.clone(),
        ..bench.request(Trust::Untrusted, &[("app.sh", File(""))])
    };
    let error = bench.build(&request).await.0.unwrap_err();
    assert!(matches!(error, LifecycleError::ForeignRunImage { .. }), "{error:?}");
    testing::remove_image(&bench.engine, &builder).await;
    bench.clean_up().await;
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_not_the_users_fault() {
    let Some(bench) = Bench::new().await else { return };
    let away = Registry::new("127.0.0.1:1", "127.0.0.1:1", None, crate::registry::Scheme::Http);
    for (trust, program) in BOTH.into_iter().zip(["creator", "analyzer"]) {
        let request =
            LifecycleRequest { registry: away.clone(), ..bench.request(trust, &[("app.sh", File(""))]) };
        let error = bench.build(&request).await.0.unwrap_err();
        assert_eq!(error.fault(), Fault::Ours, "{error:?}");
        let begin = format!("the {program} of {} stopped with exit code", bench.builder);
        let words = error.to_string();
        assert!(words.starts_with(&begin) && words.contains("127.0.0.1:1"), "{words}");
    }
    bench.clean_up().await;
}
