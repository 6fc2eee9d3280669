//! Java: Maven and Gradle, with their wrappers; what they make is found, taken apart and run.

mod catalog;
mod error;
mod gradle;
mod kind;
mod maven;
mod procfile;
mod projects;
mod version;
mod wrapper;
mod xml;

use std::collections::BTreeMap;

use crate::error::DetectError;
use crate::languages::{App, Buildpack, Made, brought};
use crate::recipe::{Run, Stage};
use kind::Kind;

/// The memory of the container is the program's, less what Java needs beside the heap. In a variable that every Java reads,
/// so that commands of the Procfile have it, too.
const FLAGS: &str = "-XX:MaxRAMPercentage=70 -XX:+ExitOnOutOfMemoryError";

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "java",
    language: "Java",
    aliases: &["jvm", "maven", "gradle", "kotlin", "jvm-common"],
    looks_for: "pom.xml, build.gradle, build.gradle.kts",
    files: &["pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"],
    detect,
    plan,
};

/// What Maven's or Gradle's files say of a build.
struct Build {
    tool: &'static str,
    /// The image that has the tool; the JDK's for a wrapper, which brings the tool.
    image: String,
    /// The step that makes what runs.
    compile: Run,
    kind: Kind,
    /// The folder of the module that runs; the root is `""`.
    folder: String,
    notes: Vec<String>,
}

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    let found = if is_maven(app) { Some("pom.xml") } else { app.tree.first_of(&gradle::FILES) };
    Ok(found.map(str::to_owned))
}

/// Who has files of both has moved from one to the other; the wrapper tells to which.
fn is_maven(app: &App<'_>) -> bool {
    let has_gradle = app.tree.first_of(&gradle::FILES).is_some();
    app.tree.has("pom.xml") && !(has_gradle && app.tree.has("gradlew") && !app.tree.has("mvnw"))
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let is_maven = is_maven(app);
    let version = version::choose(app, is_maven)?;
    let series = version.series.to_string();
    let mut build = if is_maven { maven::plan(app, &series)? } else { gradle::plan(app, &series)? };
    let runs_outputs = !procfile::outputs(app).is_empty();
    if app.has_web() && runs_outputs {
        // It runs what was built where it was built, so that is what the image has.
        build.kind = Kind::Unknown;
    } else if build.kind == Kind::Unknown {
        build.kind = Kind::Jar;
    }
    let mut processes = BTreeMap::new();
    if let Some(command) = build.kind.command() {
        processes.insert("web".to_owned(), command);
    }
    let notes = build.notes.clone();
    let package_manager = Some(build.tool);
    let run_image = app.bases.image(&format!("eclipse-temurin:{series}-jre"));
    let stages = vec![build_stage(&build), run_stage(app, &build, run_image)];
    Ok(Made { version: Some(version), package_manager, stages, processes, notes })
}

fn build_stage(build: &Build) -> Stage {
    let stage = Stage::new("build", build.image.clone()).copy_all().run(build.compile.clone());
    let outputs = if build.tool == "Maven" { "target" } else { "build" };
    match build.kind.collected(&build.folder, outputs) {
        Some((comment, run)) => stage.comment(comment).run(run),
        None => stage,
    }
}

fn run_stage(app: &App<'_>, build: &Build, image: String) -> Stage {
    let stage = Stage::new("run", image).env([("JAVA_TOOL_OPTIONS", FLAGS)]);
    let mut stage = brought::of(app, is_source).copied(stage);
    for folder in procfile::outputs(app) {
        stage = stage.copy_from("build", format!("/app/{folder}"), format!("./{folder}"));
    }
    if build.kind == Kind::Unknown {
        return stage;
    }
    stage
        .comment("Libraries first: they seldom change.")
        .copy_from("build", "/out/lib", "./lib")
        .copy_from("build", "/out/app", "./")
}

/// What is compiled in, or only says how.
fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_below =
        |folder: &str| path.starts_with(&format!("{folder}/")) || path.contains(&format!("/{folder}/"));
    let settings =
        ["pom.xml", "mvnw", "mvnw.cmd", "gradlew", "gradlew.bat", "gradle.properties", "lombok.config"];
    is_below("src")
        || is_below("gradle")
        || is_below("buildSrc")
        || settings.contains(&name)
        || name.ends_with(".gradle")
        || name.ends_with(".gradle.kts")
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/java/fixtures");
    }
}
