//! Languages that are compiled to programs: what they run on, and the process types of several programs.

use std::collections::BTreeMap;

use crate::error::DetectError;
use crate::languages::{ALL, App, brought};
use crate::recipe::Stage;

/// What programs without a runtime run on: they need certificates of it, and a shell for the start command.
pub(crate) const IMAGE: &str = "debian:trixie-slim";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The names of programs that are `web` where there are several, in this order.
pub(crate) const WEB: [&str; 5] = ["web", "server", "app", "api", "http"];

/// Process types that are more than a program that runs, so no program gets them by its name alone.
const SPECIAL: [&str; 2] = ["release", "web"];

/// A process type for each program that no command of the Procfile runs, by its name; the program `web` is that of the same name, besides.
///
/// # Errors
/// Neither the Procfile nor the programs say which one is `web`.
pub(crate) fn processes<'n>(
    app: &App<'_>,
    language: &'static str,
    web: Option<&str>,
    names: impl Iterator<Item = &'n str>,
) -> Result<BTreeMap<String, String>, DetectError> {
    let names: Vec<&str> = names.collect();
    if web.is_none() && !app.has_web() {
        let first = names.first().copied().unwrap_or_default();
        let next = format!(
            "Its programs are {}. Say in a Procfile which one answers requests: echo 'web: bin/{first}' >> Procfile",
            names.join(", ")
        );
        return Err(DetectError::NoStart { language, next });
    }
    let is_run = |name: &str| app.procfile.values().any(|command| program(command) == format!("bin/{name}"));
    let others = names.iter().filter(|name| Some(**name) != web && is_type(name) && !is_run(name));
    let mut processes: BTreeMap<String, String> =
        others.map(|name| ((*name).to_owned(), format!("bin/{name}"))).collect();
    if let Some(web) = web {
        processes.insert("web".to_owned(), format!("bin/{web}"));
    }
    Ok(processes)
}

/// Notes on commands of the Procfile that run a program in bin/ which is neither built nor brought.
pub(crate) fn unknown<'n>(app: &App<'_>, names: impl Iterator<Item = &'n str>) -> Vec<String> {
    let names: Vec<&str> = names.collect();
    let wrong = app.procfile.iter().filter_map(|(process, command)| {
        let path = program(command);
        let name = path.strip_prefix("bin/")?;
        let is_there = names.contains(&name) || app.tree.has(path);
        (!is_there).then(|| {
            let built: Vec<String> = names.iter().map(|name| format!("bin/{name}")).collect();
            format!(
                "the Procfile's `{process}` runs `{path}`, which is not built; there are {}",
                built.join(", ")
            )
        })
    });
    wrong.collect()
}

/// Whether the root has a file that tells another language than `name`.
pub(crate) fn has_files_of_others(app: &App<'_>, name: &str) -> bool {
    let others = ALL.iter().filter(|other| other.name != name && !["shell", "static"].contains(&other.name));
    others.flat_map(|other| other.files).any(|file| app.tree.has(file))
}

/// The image with the programs of /out in bin/, and the files of the tree that are no source.
pub(crate) fn run(app: &App<'_>, is_source: fn(&str) -> bool) -> Stage {
    let stage = Stage::new("run", app.bases.image(IMAGE)).env([("PATH", "/app/bin:$PATH")]);
    let stage = stage.copy_from("build", CERTIFICATES, CERTIFICATES);
    brought::of(app, is_source).copied(stage).copy_from("build", "/out", "./bin")
}

/// The path that a command starts with.
fn program(command: &str) -> &str {
    command.split_whitespace().next().unwrap_or_default().trim_start_matches("./")
}

fn is_type(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !SPECIAL.contains(&name) && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}
