//! Gradle: the build files of the tree, and the step that assembles.

use super::catalog::Catalog;
use super::error::JavaError;
use super::kind::Kind;
use super::wrapper::{JAR, PROPERTIES};
use super::{Build, projects};
use crate::error::DetectError;
use crate::languages::App;
use crate::recipe::Run;

pub(super) const FILES: [&str; 4] =
    ["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];

/// A build file with its project's folder.
struct Project {
    folder: String,
    text: String,
}

pub(super) fn plan(app: &App<'_>, series: &str) -> Result<Build, DetectError> {
    let has_wrapper = app.tree.has("gradlew");
    if let Some(file) = [JAR, PROPERTIES].into_iter().find(|file| has_wrapper && !app.tree.has(file)) {
        return Err(DetectError::language(JavaError::WrapperIncomplete {
            script: "gradlew",
            file,
            tool: "Gradle",
            command: "gradle wrapper",
        }));
    }
    let projects = projects(app)?;
    let (folder, kind) = runs(app, &projects)?;
    let mut notes = Vec::new();
    let image = if has_wrapper {
        format!("eclipse-temurin:{series}-jdk")
    } else {
        notes.push(
            "there is no Gradle wrapper, so the build takes the Gradle of the base image. Commit one to choose: \
             gradle wrapper && git add --force gradlew gradle/wrapper"
                .to_owned(),
        );
        // Gradle 8 does not run on newer ones than 24.
        format!("gradle:{}-jdk{series}", if series == "25" { 9 } else { 8 })
    };
    let compile = Run::build(commands(has_wrapper, &projects, &folder, kind))
        .in_java()
        .exclusive_cache("gradle", "/root/.gradle");
    Ok(Build { tool: "Gradle", image: app.bases.image(&image), compile, kind, folder, notes })
}

fn commands(has_wrapper: bool, projects: &[Project], folder: &str, kind: Kind) -> Vec<String> {
    let mut commands = Vec::new();
    if has_wrapper {
        // For who has a mirror of services.gradle.org; Maven's wrapper knows MVNW_REPOURL by itself.
        commands.push(format!(
            "if [ -n \"$GRADLE_DISTRIBUTIONS_URL\" ]; then \
             sed -i \"s#^distributionUrl=.*/#distributionUrl=$GRADLE_DISTRIBUTIONS_URL/#\" {PROPERTIES}; fi"
        ));
    }
    let program = if has_wrapper { "sh ./gradlew" } else { "gradle" };
    let prefix = if folder.is_empty() { String::new() } else { format!(":{}:", folder.replace('/', ":")) };
    let has_stage = projects.iter().any(|project| {
        ["task stage", "task(\"stage\"", "register(\"stage\"", "register('stage'"]
            .iter()
            .any(|word| project.text.contains(word))
    });
    let task = match kind {
        _ if has_stage => "stage".to_owned(),
        Kind::Distribution => format!("{prefix}installDist"),
        _ => format!("{prefix}assemble"),
    };
    // The name of Heroku's setting for the same thing.
    commands.push(format!("{program} --no-daemon --console=plain ${{GRADLE_TASK:-{task}}}"));
    commands
}

fn projects(app: &App<'_>) -> Result<Vec<Project>, DetectError> {
    let names = ["build.gradle", "build.gradle.kts"];
    let is_one = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        names.contains(&name) && !path.contains("buildSrc/") && !path.contains("build-logic/")
    };
    let catalog = Catalog::read(app.tree)?;
    let mut projects = Vec::new();
    for path in app.tree.paths().filter(is_one) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let text = without_comments(&app.tree.text(path)?.unwrap_or_default());
        projects.push(Project { folder, text: catalog.resolved(&text) });
    }
    Ok(projects)
}

fn without_comments(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn kind_of(text: &str) -> Option<Kind> {
    let is_not_applied = |line: &&str| !line.contains("apply false");
    let applied: Vec<&str> = text.lines().filter(is_not_applied).collect();
    let applied = applied.join("\n");
    let has = |words: &[&str]| words.iter().any(|word| applied.contains(word));
    let is_application =
        has(&["id 'application'", "id(\"application\")", "id \"application\"", "plugin: 'application'"])
            || applied.lines().map(str::trim).any(is_of_application);
    match Kind::of(&applied) {
        Some(Kind::Jar) | None if is_application && !has(&["shadow"]) => Some(Kind::Distribution),
        found => found,
    }
}

/// The plugin by its name alone, or its settings: those are there where another plugin applied it, as Ktor's does.
fn is_of_application(line: &str) -> bool {
    let rest = line.strip_prefix("application").map(str::trim_start);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
}

/// The project that runs, and what it is assembled to.
fn runs(app: &App<'_>, projects: &[Project]) -> Result<(String, Kind), DetectError> {
    let known: Vec<(&str, Kind)> = projects
        .iter()
        .filter_map(|project| Some((project.folder.as_str(), kind_of(&project.text)?)))
        .collect();
    if let Some(running) = projects::running(app, &known) {
        return Ok(running);
    }
    let next = if known.is_empty() {
        "No build file applies the plugin `application`, Spring Boot's, Quarkus's or shadow, or names a Main-Class. \
         Apply one, or say it in a Procfile: echo 'web: java -jar build/libs/<name>.jar' >> Procfile"
            .to_owned()
    } else {
        let folders: Vec<&str> = known.iter().map(|(folder, _)| *folder).collect();
        format!(
            "Several projects run: {}. Say in a Procfile which one answers requests: echo 'web: java -jar {}/build/libs/<name>.jar' >> Procfile",
            folders.join(", "),
            folders[0]
        )
    };
    Err(DetectError::NoStart { language: "Java", next })
}
