//! The real lifecycle in a real builder image (tests/lifecycle/build makes it), on a real engine and registry.
//!
//! The builder's one buildpack runs the app's `detect.sh` and `build.sh`, so that a test says there what happens.

mod bench;
mod bounds;
mod faults;
mod leftovers;
mod secrets;

use super::*;
use crate::docker::testing::Given::{Executable, File, Symlink};
use crate::docker::testing::{self, Given, PATIENCE};
use bench::Bench;

const BOTH: [Trust; 2] = [Trust::Trusted, Trust::Untrusted];

#[tokio::test]
async fn an_app_is_built_pushed_and_runs_and_a_second_build_takes_up_its_layers() {
    let Some(bench) = Bench::new().await else { return };
    for trust in BOTH {
        let script = "echo \"the app says $1\"; cat \"$(dirname \"$0\")/text\"";
        let app = |text| [("app.sh", File(script)), ("text", File(text))];
        let mut request = bench.request(trust, &app("one\n"));
        let (built, text) = bench.build(&request).await;
        let first = built.unwrap();
        assert!(text.contains("===> ANALYZING") && text.contains("===> EXPORTING"), "{text}");
        assert!(text.contains("Installing dependencies none"), "{text}");
        let in_registry = request.registry.digest_of(&request.repository, &request.tag).await.unwrap();
        assert_eq!(in_registry.as_ref(), Some(&first.digest));
        let process = |kind: &str, argument: &str, default| LifecycleProcess {
            process_type: kind.to_owned(),
            command: ["/bin/sh", "app.sh", argument].map(str::to_owned).into(),
            default,
        };
        assert_eq!(first.processes, [process("web", "serve", true), process("worker", "work", false)]);
        assert_eq!(bench.left().await, Vec::<String>::new());
        for (process, word) in first.processes.iter().zip(["serve", "work"]) {
            let said = bench.run(&request, &first, process).await;
            assert_eq!(said, format!("the app says {word}\none\n"));
        }

        request.snapshot = bench.tree.with(&app("two\n"));
        request.tag = "2".to_owned();
        request.previous = Some(first.digest.clone());
        let (built, text) = bench.build(&request).await;
        let second = built.unwrap();
        assert!(text.contains("Reusing dependencies none"), "{text}");
        assert!(text.contains("Reusing layer 'slipway/script:deps'"), "{text}");
        assert_ne!(second.digest, first.digest);
        assert_eq!(bench.run(&request, &second, &second.processes[0]).await, "the app says serve\ntwo\n");

        request.cache = Cache::Ignore;
        request.tag = "3".to_owned();
        let (built, text) = bench.build(&request).await;
        assert!(text.contains("Installing dependencies none"), "{text}");
        built.unwrap();
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn buildpacks_see_the_tree_as_it_was_committed_and_the_environment() {
    let Some(bench) = Bench::new().await else { return };
    let deep = format!("{}file", "a-rather-long-folder-name/".repeat(12));
    let large = "0123456789abcdef".repeat(64 * 1024);
    let script = "cd /workspace; find . -printf '%M %U:%G %s %p -> %l\\n' | sort -k4; id -u; echo \"greets $GREETING\"\n\
                  sha256sum large; env | grep -c ^CNB_ >/dev/null; touch writable && echo writable\n";
    let files = [
        ("app.sh", File("")),
        ("build.sh", File(script)),
        ("run.sh", Executable("#!/bin/sh\n")),
        ("large", File(&large)),
        ("link", Symlink("folder/ümlaut")),
        ("folder/ümlaut", File("x")),
        (deep.as_str(), File("deep")),
    ];
    for trust in BOTH {
        let mut request = bench.request(trust, &files);
        request.environment.insert("GREETING".parse().unwrap(), "the world's".to_owned().into());
        let (built, text) = bench.build(&request).await;
        built.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for line in [
            "-rw-r--r-- 1001:1001 0 ./app.sh -> ",
            "-rwxr-xr-x 1001:1001 10 ./run.sh -> ",
            "-rw-r--r-- 1001:1001 1048576 ./large -> ",
            "lrwxrwxrwx 1001:1001 14 ./link -> folder/ümlaut",
            "-rw-r--r-- 1001:1001 1 ./folder/ümlaut -> ",
            "drwxr-xr-x 1001:1001 4096 . -> ",
            &format!("-rw-r--r-- 1001:1001 4 ./{deep} -> "),
            "1001",
            "greets the world's",
            "writable",
        ] {
            assert!(lines.contains(&line), "{line:?} is not in\n{text}");
        }
        let sum = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(large.as_bytes()));
        assert!(lines.contains(&format!("{sum}  large").as_str()), "{text}");
    }
    bench.clean_up().await;
}

#[tokio::test]
async fn an_extra_ca_reaches_tools_and_the_lifecycle() {
    let Some(bench) = Bench::new().await else { return };
    let script = "tail -n 1 \"$SSL_CERT_FILE\" \"$PIP_CERT\" \"$NODE_EXTRA_CA_CERTS\"\n\
                  cat /platform/bindings/*/type; echo; cat /platform/bindings/*/*.pem; echo \"git has $GIT_SSL_CAINFO\"\n";
    for trust in BOTH {
        let mut request = bench.request(trust, &[("app.sh", File("")), ("build.sh", File(script))]);
        request.extra_ca = Some(Bytes::from_static(b"# company proxy\n"));
        request.environment.insert("GIT_SSL_CAINFO".parse().unwrap(), "/mine".to_owned().into());
        let (built, text) = bench.build(&request).await;
        built.unwrap();
        assert_eq!(text.matches("# company proxy\n").count(), 4, "{text}");
        assert!(text.contains("ca-certificates\n") && text.contains("git has /mine\n"), "{text}");
    }
    bench.clean_up().await;
}
