//! What a program needs of the system that it runs on.

use std::collections::BTreeMap;

use super::packages::Member;
use crate::languages::App;

/// Crates that are bound to a library in C, and its Debian package.
const LIBRARIES: [(&str, &str); 4] = [
    ("pq-sys", "libpq5"),
    ("mysqlclient-sys", "libmariadb3"),
    ("magick_rust", "libmagickwand-7.q16-10"),
    ("libvips", "libvips42t64"),
];

/// Notes on libraries that the app does not ask for.
pub(crate) fn notes(app: &App<'_>) -> Vec<String> {
    let lock = app.tree.text("Cargo.lock").ok().flatten().unwrap_or_default();
    let needed = LIBRARIES.iter().filter(|(name, _)| lock.contains(&format!("name = \"{name}\"\n")));
    let missing = needed.filter(|(_, package)| !app.choice.packages.iter().any(|asked| asked == package));
    let note = |(name, package): &(&str, &str)| {
        format!(
            "`{name}` needs the library of Debian's package {package} where the program runs: echo {package} >> Aptfile, and commit it"
        )
    };
    missing.map(note).collect()
}

/// The start command of a program: some frameworks do not know PORT by themselves.
pub(crate) fn command(members: &[Member], package: &str, name: &str) -> String {
    let member = members.iter().find(|member| member.name() == package);
    let is_rocket = member.is_some_and(|member| member.manifest.dependencies.contains_key("rocket"));
    if is_rocket {
        format!("env ROCKET_ADDRESS=0.0.0.0 ROCKET_PORT=$PORT bin/{name}")
    } else {
        format!("bin/{name}")
    }
}

/// Puts the commands of frameworks in the place of the plain ones.
pub(crate) fn with_frameworks(
    processes: &mut BTreeMap<String, String>,
    members: &[Member],
    programs: &[super::programs::Program],
) {
    for command_line in processes.values_mut() {
        let program = programs.iter().find(|program| *command_line == format!("bin/{}", program.name));
        if let Some(program) = program {
            *command_line = command(members, &program.package, &program.name);
        }
    }
}
