//! Folders that build tools keep to be faster the next time.

use super::manager::Kind;
use super::package::Package;
use crate::source::in_folder;

/// Package, the cache mount's name, and the folder.
const OF_TOOLS: [(&str, &str, &str); 3] = [
    ("next", "next", ".next/cache"),
    ("@angular/core", "angular", ".angular/cache"),
    ("turbo", "turbo", ".turbo/cache"),
];

/// Name and path below /app of what is kept.
pub(super) fn of(packages: &[Package], kind: Kind) -> Vec<(&'static str, String)> {
    let first = |tool: &str| packages.iter().find(|package| package.depends_on(tool));
    let of_tools = OF_TOOLS
        .iter()
        .filter_map(|(tool, name, folder)| Some((*name, in_folder(&first(tool)?.folder, folder))));
    // Babel, ESLint, Terser and others agree on this one.
    let has_folder = kind != (Kind::Berry { plug_and_play: true });
    let shared = has_folder.then(|| ("build", "node_modules/.cache".to_owned()));
    of_tools.chain(shared).collect()
}
