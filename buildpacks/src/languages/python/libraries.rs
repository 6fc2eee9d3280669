//! Shared libraries that some packages are linked with when pip builds them: the slim image has none of them.

use crate::languages::python::project::Project;
use crate::recipe::Stage;

/// A package, and the Debian package that it needs at run time.
const LIBRARIES: [(&str, &str); 4] = [
    ("psycopg2", "libpq5"),
    ("psycopg", "libpq5"),
    ("mysqlclient", "libmariadb3"),
    ("weasyprint", "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"),
];

pub(super) fn needed(run: Stage, project: &Project<'_>) -> Stage {
    let dependencies = project.dependencies();
    // psycopg finds the library by itself, unless it brings one.
    let brings_its_own = dependencies.contains("psycopg[binary]");
    let needed = LIBRARIES.iter().filter(|(name, _)| dependencies.contains(*name));
    let needed = needed.filter(|(name, _)| !(*name == "psycopg" && brings_its_own));
    let mut names: Vec<&str> = needed.flat_map(|(_, packages)| packages.split(' ')).collect();
    names.dedup();
    if names.is_empty() { run } else { run.packages(names) }
}
