//! Builds on a real engine, from real repositories. The image `slipway/base` has to be there.

use std::collections::HashMap;

use bollard::query_parameters::TagImageOptions;

use super::super::testing::Given::{Executable, File, Symlink};
use super::super::testing::{self, Given, Tree, is_running, wait_until, way_to_the_engine};
use super::*;
use crate::docker::images::LABEL;

const BASE: &str = "FROM slipway/base:latest\n";

/// An engine and a repository. Images built by it are removed by `clean_up`.
struct Bench {
    engine: Engine,
    tree: Tree,
}

impl Bench {
    async fn new() -> Option<Self> {
        Some(Self { engine: testing::engine().await?, tree: Tree::new() })
    }

    fn request(&self, files: &[(&str, Given<'_>)]) -> BuildRequest {
        testing::request(self.tree.with(files))
    }

    async fn build(&self, request: BuildRequest) -> (Result<BuiltImage, BuildError>, String) {
        let (transcript, text) = testing::recorder();
        let built = self.engine.build(request, &transcript).await;
        drop(transcript);
        let text = text.await.unwrap();
        eprintln!("{text}");
        (built, text)
    }

    /// Another name of the base image, for tests that count on the engine's cache: BuildKit solves builds that run at
    /// the same time in one graph, and may overlook cached steps behind one that they share (moby/buildkit#4674).
    async fn base_of_its_own(&self) -> String {
        let repo = format!("slipway-test/{}", nonce());
        let name = TagImageOptions { repo: Some(repo.clone()), tag: Some("latest".to_owned()) };
        self.engine.api().tag_image("slipway/base:latest", Some(name)).await.unwrap();
        format!("{repo}:latest")
    }

    async fn clean_up(&self, image: &str) {
        testing::remove_image(&self.engine, image).await;
    }
}

/// Something that no earlier build had.
fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[tokio::test]
async fn the_context_is_the_tree_as_dockerignore_leaves_it() {
    let Some(bench) = Bench::new().await else { return };
    let nonce = nonce();
    let dockerfile = format!(
        "{BASE}COPY . /app\nRUN cd /app && find . | sort && readlink link dangling && stat -c '%a %u:%g %n' * \
         && cat one && test $(stat -c %Y one) -lt 1400000000\nEXPOSE 8080/tcp 9090/udp\nUSER nobody\n\
         ENTRYPOINT [\"/bin/echo\"]\nCMD [\"hi\"]\nHEALTHCHECK CMD true\n"
    );
    let request = bench.request(&[
        ("Dockerfile", File(&dockerfile)),
        (
            ".dockerignore",
            File("Dockerfile\n.dockerignore\n*.md\n!keep.md\nvendor\n!vendor/deep/kept\n**/tmp\n"),
        ),
        ("one", File(&nonce)),
        ("run.sh", Executable("#!/bin/sh\n")),
        ("empty", File("")),
        ("link", Symlink("one")),
        ("dangling", Symlink("../nowhere")),
        ("drop.md", File("x")),
        ("keep.md", File("x")),
        ("src/main", File("main")),
        ("src/tmp/x", File("x")),
        ("src-extra", File("x")),
        ("vendor/deep/kept", File("x")),
        ("vendor/deep/dropped", File("x")),
        ("ümlaut", File("x")),
    ]);
    let (built, text) = bench.build(request).await;
    let built = built.unwrap();
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(' ')).map(|(_, line)| line).collect();
    let found: Vec<&str> =
        lines.iter().copied().filter(|line| *line == "." || line.starts_with("./")).collect();
    assert_eq!(
        found,
        [
            ".",
            "./dangling",
            "./empty",
            "./keep.md",
            "./link",
            "./one",
            "./run.sh",
            "./src",
            "./src-extra",
            "./src/main",
            "./vendor",
            "./vendor/deep",
            "./vendor/deep/kept",
            "./ümlaut"
        ]
    );
    for line in ["../nowhere", "644 0:0 one", "755 0:0 run.sh", "777 0:0 link", "755 0:0 src", &nonce] {
        assert!(lines.contains(&line), "{line}");
    }
    assert!(text.contains("] RUN cd /app"), "the step is named");
    let facts = bench.engine.inspect(&built.id).await.unwrap();
    assert_eq!(facts.exposed_ports, [8080]);
    assert_eq!((facts.entrypoint, facts.cmd), (vec!["/bin/echo".to_owned()], vec!["hi".to_owned()]));
    assert_eq!(facts.user, "nobody");
    assert_eq!(facts.healthcheck, Some(vec!["CMD-SHELL".to_owned(), "true".to_owned()]));
    assert!(facts.size_bytes > 1_000_000);
    assert_eq!(facts.labels, HashMap::from([(LABEL.to_owned(), "test".to_owned())]));
    bench.clean_up(&built.id).await;
}

#[tokio::test]
async fn only_changed_files_are_sent_and_an_unchanged_tree_sends_none() {
    let Some(bench) = Bench::new().await else { return };
    let base = bench.base_of_its_own().await;
    let (one, two) = (nonce(), nonce());
    let dockerfile = format!("FROM {base}\nCOPY . /app\nRUN cat /app/one\n");
    let files = |one| [("Dockerfile", File(&dockerfile)), ("one", File(one)), ("two", File("same"))];
    let (first, _) = bench.build(bench.request(&files(&one))).await;
    assert_eq!(first.as_ref().unwrap().sent_files, 3);

    let (again, text) = bench.build(bench.request(&files(&one))).await;
    let again = again.unwrap();
    assert_eq!((again.sent_files, again.sent_bytes), (0, 0));
    assert!(text.contains("CACHED"), "{text}");
    assert!(text.contains("sent 0 changed files, 0 B"), "{text}");
    assert_eq!(again.id, first.unwrap().id);

    // The same length: the change shows in the time alone.
    let (changed, text) = bench.build(bench.request(&files(&two))).await;
    let changed = changed.unwrap();
    assert_eq!(changed.sent_files, 1);
    assert!(text.contains(&two), "{text}");

    let request = BuildRequest { cache: Cache::Ignore, ..bench.request(&files(&two)) };
    let (fresh, text) = bench.build(request).await;
    assert!(text.contains(&two) && !text.contains("RUN cat /app/one\nCACHED"), "{text}");
    for image in [again.id, changed.id, fresh.unwrap().id, base] {
        bench.clean_up(&image).await;
    }
}

#[tokio::test]
async fn a_secret_reaches_its_step_and_not_the_image() {
    let Some(bench) = Bench::new().await else { return };
    let secret = nonce();
    let dockerfile = format!(
        "{BASE}ARG FLAVOUR\nRUN --mount=type=secret,id=token test \"$(cat /run/secrets/token)\" = \"{secret}\" \
         || exit 9\n",
    )
    .replace(&secret, "$(cat /expected)");
    let dockerfile = dockerfile
        .replace("ARG FLAVOUR\n", "ARG FLAVOUR\nCOPY expected /expected\nRUN echo flavour=$FLAVOUR\n");
    let request = BuildRequest {
        secrets: BTreeMap::from([("token".into(), secret.clone().into())]),
        build_args: BTreeMap::from([("FLAVOUR".into(), "sour".into())]),
        ..bench.request(&[("Dockerfile", File(&dockerfile)), ("expected", File(&secret))])
    };
    let (built, text) = bench.build(request).await;
    let built = built.unwrap();
    assert!(text.contains("flavour=sour"), "{text}");
    let history = bench.engine.api().image_history(&built.id).await.unwrap();
    assert!(!format!("{history:?}").contains(&secret));
    bench.clean_up(&built.id).await;
}

#[tokio::test]
async fn an_extra_ca_can_be_mounted_over_the_bundle() {
    let Some(bench) = Bench::new().await else { return };
    let dockerfile = format!(
        "{BASE}RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
         tail -n 1 /etc/ssl/certs/ca-certificates.crt && echo {}\nRUN test ! -s /etc/ssl/certs/ca-certificates.crt \
         || ! grep -q 'company proxy' /etc/ssl/certs/ca-certificates.crt\n",
        nonce()
    );
    let request = BuildRequest {
        extra_ca: Some(Bytes::from_static(b"# company proxy\n")),
        ..bench.request(&[("Dockerfile", File(&dockerfile))])
    };
    let (built, text) = bench.build(request).await;
    assert!(text.contains(" # company proxy\n"), "{text}");
    bench.clean_up(&built.unwrap().id).await;
}

#[tokio::test]
async fn a_failing_step_shows_its_output_its_line_and_its_exit_code() {
    let Some(bench) = Bench::new().await else { return };
    let dockerfile = format!("{BASE}# a comment\nRUN echo before && \\\n    exit 3\nRUN echo never\n");
    let (built, text) = bench.build(bench.request(&[("Dockerfile", File(&dockerfile))])).await;
    let error = built.unwrap_err();
    assert!(matches!(error, BuildError::Step { exit_code: 3, .. }), "{error:?}");
    assert!(error.to_string().ends_with("ended with exit code 3 (Dockerfile:3)"), "{error}");
    assert!(text.contains(" before\n"), "{text}");
    assert!(text.contains("exit code: 3"), "{text}");
    assert!(text.contains("Dockerfile:3\n"), "{text}");
    assert!(text.contains(">    3 | RUN echo before && \\\n>    4 |     exit 3\n     5 | RUN"), "{text}");
    assert!(!text.contains("] RUN echo never"), "{text}");
}

#[tokio::test]
async fn a_broken_dockerfile_is_quoted() {
    let Some(bench) = Bench::new().await else { return };
    let dockerfile = format!("{BASE}COPY a b\nFOO bar\n");
    let (built, text) = bench.build(bench.request(&[("Dockerfile", File(&dockerfile))])).await;
    let error = built.unwrap_err();
    assert!(matches!(error, BuildError::Dockerfile { .. }), "{error:?}");
    assert!(error.to_string().contains("unknown instruction: FOO"), "{error}");
    assert!(text.contains(">    3 | FOO bar"), "{text}");

    let (built, text) =
        bench.build(bench.request(&[("Dockerfile", File(&format!("{BASE}COPY gone /x\n")))])).await;
    let error = built.unwrap_err();
    assert!(matches!(&error, BuildError::Dockerfile { .. }), "{error:?}");
    assert!(error.to_string().contains("gone") && error.to_string().ends_with("(Dockerfile:2)"), "{error}");
    assert!(text.contains(">    2 | COPY gone /x"), "{text}");

    let (built, _) = bench.build(bench.request(&[("README", File("x"))])).await;
    assert!(matches!(built.unwrap_err(), BuildError::NoDockerfile(_)));
}

#[tokio::test]
async fn a_dockerfile_may_have_any_name_and_place() {
    let Some(bench) = Bench::new().await else { return };
    let nonce = nonce();
    let dockerfile =
        "FROM slipway/base:latest AS first\nCOPY one /one\nRUN cat /one\nFROM scratch AS last\nCOPY one /\n";
    let files = [("deploy/My.Containerfile", File(dockerfile)), ("one", File(&nonce))];
    let request = BuildRequest {
        recipe: Recipe::InTree("deploy/My.Containerfile".into()),
        target: Some("first".into()),
        ..bench.request(&files)
    };
    let (built, text) = bench.build(request).await;
    assert!(text.contains(&nonce), "{text}");
    bench.clean_up(&built.unwrap().id).await;
}

#[tokio::test]
async fn a_recipe_of_ours_builds_a_tree_that_has_none_and_its_errors_are_quoted() {
    let Some(bench) = Bench::new().await else { return };
    let nonce = nonce();
    let files = [("one", File(&nonce)), (".dockerignore", File("two\n")), ("two", File("ignored"))];
    let written = |text: &str| BuildRequest { recipe: Recipe::Written(text.into()), ..bench.request(&files) };
    let base = bench.base_of_its_own().await;
    let text = format!(
        "FROM {base}\nCOPY . /app\nRUN cat /app/one && test ! -e /app/two && test ! -e /app/Dockerfile\n"
    );
    let (built, said) = bench.build(written(&text)).await;
    let built = built.unwrap();
    assert!(said.contains(&nonce), "{said}");
    let (again, _) = bench.build(written(&text)).await;
    assert_eq!(again.unwrap().id, built.id);
    let (broken, said) = bench.build(written(&format!("{BASE}RUN exit 7 # {nonce}\n"))).await;
    assert!(said.contains("the buildpack's Dockerfile:2"), "{said}");
    assert!(matches!(broken, Err(BuildError::Step { exit_code: 7, .. })), "{broken:?}");
    bench.clean_up(&built.id).await;
    bench.clean_up(&base).await;
}

/// A Dockerfile whose only step sleeps, and the argument by which the sleeper is found.
fn sleeper() -> (String, String) {
    let seconds = testing::sleeping_time();
    (format!("{BASE}RUN echo sleeping && exec sleep {seconds}\n"), seconds)
}

#[tokio::test]
async fn cancelling_and_dropping_stop_the_running_step_within_a_second() {
    let Some(bench) = Bench::new().await else { return };
    let (dockerfile, argument) = sleeper();
    let request = bench.request(&[("Dockerfile", File(&dockerfile))]);
    let cancel = request.cancel.clone();
    let (built, took) = tokio::join!(bench.build(request), async {
        wait_until("the step", || is_running(&argument)).await;
        cancel.cancel();
        wait_until("the step's end", || !is_running(&argument)).await
    });
    assert!(matches!(built.0, Err(BuildError::Cancelled)));
    assert!(took < Duration::from_secs(1), "{took:?}");
    eprintln!("cancelled: the step was gone after {took:?}");

    let (dockerfile, argument) = sleeper();
    let request = bench.request(&[("Dockerfile", File(&dockerfile))]);
    {
        let building = bench.build(request);
        tokio::pin!(building);
        tokio::select! {
            _ = &mut building => panic!("the build ended"),
            _ = wait_until("the step", || is_running(&argument)) => {}
        }
    }
    let took = wait_until("the step's end", || !is_running(&argument)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    eprintln!("dropped: the step was gone after {took:?}");
}

#[tokio::test]
async fn a_build_that_says_nothing_or_takes_too_long_is_ended() {
    let Some(bench) = Bench::new().await else { return };
    let (dockerfile, argument) = sleeper();
    let request = bench.request(&[("Dockerfile", File(&dockerfile))]);
    let limit = Duration::from_secs(2);
    let (built, _) = bench.build(BuildRequest { idle_deadline: limit, ..request.clone() }).await;
    assert!(matches!(built.unwrap_err(), BuildError::NoProgress(_)));
    let (built, _) = bench.build(BuildRequest { deadline: limit, ..request }).await;
    let error = built.unwrap_err();
    assert!(error.to_string().starts_with("the build took longer than 2s"), "{error}");
    wait_until("the step's end", || !is_running(&argument)).await;
}

#[tokio::test]
async fn an_engine_that_is_lost_half_way_is_not_the_users_fault() {
    let Some(mut bench) = Bench::new().await else { return };
    let cut = CancellationToken::new();
    let Some(host) = way_to_the_engine(&bench.engine, cut.clone()).await else { return };
    bench.engine = Engine::connect(&host).await.unwrap();
    let (dockerfile, argument) = sleeper();
    let request = bench.request(&[("Dockerfile", File(&dockerfile))]);
    let (built, _) = tokio::join!(bench.build(request), async {
        wait_until("the step", || is_running(&argument)).await;
        cut.cancel();
    });
    assert!(matches!(built.0, Err(BuildError::EngineLost(_))), "{:?}", built.0);
    wait_until("the step's end", || !is_running(&argument)).await;

    let (built, _) = bench.build(bench.request(&[("Dockerfile", File(BASE))])).await;
    assert!(matches!(built, Err(BuildError::EngineLost(_))), "{built:?}");
}
