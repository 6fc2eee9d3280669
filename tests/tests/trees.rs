//! Trees that cannot be built, or not as they are: each gets a clear sentence, and loses nothing.

use std::process::Stdio;

use slipway_tests::{App, Door, Platform};

/// A platform with low limits, for all stories of this file.
fn app(name: &str) -> Option<App> {
    use std::sync::{Arc, OnceLock};
    static LOW: OnceLock<Option<Arc<Platform>>> = OnceLock::new();
    let start = || Platform::with("SLIPWAY_MAX_FILES", "60").with("SLIPWAY_MAX_PACK", "300kB").start();
    Some(LOW.get_or_init(start).as_ref()?.app(name))
}

#[test]
fn a_submodule_is_named_before_the_build() {
    let Some(app) = app("submodule") else { return };
    let app = app.answering("hello");
    let cacheinfo = format!("160000,{},vendor/lib", app.head());
    app.git(&["update-index", "--add", "--cacheinfo", &cacheinfo]).ok();
    app.git(&["commit", "-qm", "a submodule"]).ok();
    app.push(Door::Ssh).ok().says("vendor/lib is a submodule").says("NOT in the build");
}

#[test]
fn a_git_lfs_pointer_is_named_before_the_build() {
    let Some(app) = app("lfs-pointer") else { return };
    let app = app.answering("hello");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    app.write("model.bin", pointer).commit("a pointer");
    app.push(Door::Ssh).ok().says("model.bin is a Git LFS pointer");
}

#[test]
fn a_symlink_out_of_the_tree_is_refused_and_one_within_it_is_kept() {
    let Some(app) = app("symlinks") else { return };
    let app = app.answering("hello");
    std::os::unix::fs::symlink("../../etc/passwd", app.path().join("out")).expect("a symlink");
    app.commit("a symlink out");
    app.push(Door::Ssh)
        .refused("[remote rejected]")
        .says("the symlink out points out of the tree, to ../../etc/passwd");
    assert_eq!(app.remote_ref("refs/heads/main"), None);

    std::fs::remove_file(app.path().join("out")).expect("removed");
    std::os::unix::fs::symlink("answer", app.path().join("within")).expect("a symlink");
    app.step("RUN test -L /app/within");
    app.push(Door::Ssh).ok();
}

#[test]
fn a_tree_with_a_dot_git_entry_is_refused_by_its_object() {
    let Some(app) = app("dot-git") else { return };
    let app = app.answering("hello");
    let blob = app.git(&["rev-parse", "HEAD:answer"]).ok().out.trim().to_owned();
    let mktree = format!("100644 blob {blob}\tconfig\n");
    let inner = piped(&app, &["mktree"], &mktree);
    let outer = piped(&app, &["mktree"], &format!("040000 tree {inner}\t.git\n"));
    let commit = app.git(&["commit-tree", &outer, "-m", "evil"]).ok().out.trim().to_owned();
    app.push_with(Door::Ssh, &[&format!("{commit}:refs/heads/main")])
        .refused("is not safe to accept")
        .says(&outer);
    assert_eq!(app.builds().len(), 0);
}

#[test]
fn too_many_files_are_refused_with_the_limit_and_its_setting() {
    let Some(app) = app("too-many-files") else { return };
    let app = app.answering("hello");
    for n in 0..80 {
        app.write(&format!("many/{n}"), "x");
    }
    app.commit("many files");
    app.push(Door::Ssh).refused("SLIPWAY_MAX_FILES").says("60");
    assert_eq!(app.remote_ref("refs/heads/main"), None);
}

#[test]
fn a_pack_over_the_limit_is_refused_with_the_limit_and_its_setting_at_both_doors() {
    let Some(app) = app("large-pack") else { return };
    let app = app.answering("hello");
    let mut noise = 1u64;
    let mut text = String::new();
    while text.len() < 3_000_000 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&noise.to_string());
    }
    app.write("noise", &text).commit("a large file");
    for door in [Door::Ssh, Door::Http] {
        app.push(door).refused("SLIPWAY_MAX_PACK").says("larger than");
    }
    assert_eq!(app.builds().len(), 0);
}

#[test]
fn no_dockerfile_is_told_what_was_looked_for() {
    let Some(app) = app("no-dockerfile") else { return };
    app.write("main.c", "int main(void) { return 0; }").commit("no Dockerfile");
    app.push(Door::Ssh).refused("says how to build it").says("Containerfile");
}

#[test]
fn a_misspelt_dockerfile_gets_the_command_that_mends_it() {
    let Some(app) = app("misspelt") else { return };
    app.write("dockerfile", "FROM slipway/base\n").commit("misspelt");
    app.push(Door::Ssh).refused("git mv dockerfile Dockerfile");
}

#[test]
fn a_broken_dockerfile_shows_the_engines_own_line() {
    let Some(app) = app("broken-dockerfile") else { return };
    app.write("Dockerfile", "FROM slipway/base\nRUNN echo hello\n").commit("broken");
    app.push(Door::Ssh).refused("RUNN").says("unknown instruction");
}

#[test]
fn a_failing_step_is_named_and_its_output_shown() {
    let Some(app) = app("failing-step") else { return };
    // Not the words of the step, but what it prints.
    app.write("Dockerfile", "FROM slipway/base\nRUN echo the last wo\"\"rds; exit 3\n").commit("fails");
    app.push(Door::Http)
        .refused("the last words")
        .says("build failed: RUN echo the last wo\"\"rds; exit 3 ended with exit code 3 (Dockerfile:2)");
}

#[test]
fn dockerignore_is_honoured() {
    let Some(app) = app("dockerignore") else { return };
    let app = app.answering("hello");
    app.write(".dockerignore", "secret*\n!secret.pub\n").write("secret", "x").write("secret.pub", "x");
    app.step("RUN test ! -e /app/secret && test -e /app/secret.pub");
    app.push(Door::Ssh).ok();
}

#[test]
fn a_containerfile_is_as_good_as_a_dockerfile() {
    let Some(app) = app("containerfile") else { return };
    let app = app.answering("hello");
    app.git(&["mv", "Dockerfile", "Containerfile"]).ok();
    app.commit("renamed");
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "hello");
}

#[test]
fn a_dockerfile_at_another_path_is_chosen_by_a_setting() {
    let Some(app) = app("other-path") else { return };
    let app = app.answering("hello");
    app.write("deploy/x", "").git(&["mv", "Dockerfile", "deploy/Dockerfile"]).ok();
    app.commit("moved");
    app.push(Door::Ssh).refused("deploy/Dockerfile");
    app.verb(&["apps:set", "dockerfile=deploy/Dockerfile"]).ok();
    app.push(Door::Ssh).ok();
    app.verb(&["apps:set", "dockerfile=gone/Dockerfile"]).ok();
    app.answer("two");
    app.push(Door::Ssh).refused("gone/Dockerfile");
    assert_eq!(app.answer_now(), "hello");
}

fn piped(app: &App, words: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut git = app.command();
    let mut child = git.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("git's end");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
