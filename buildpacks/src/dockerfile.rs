//! Finding the Dockerfile, and helping whoever just missed it.

use crate::error::DetectError;
use crate::source::Tree;

/// The names that are looked for in the root, in this order.
pub(crate) const NAMES: [&str; 2] = ["Dockerfile", "Containerfile"];

/// The Dockerfile's path; `None` if there is none. `chosen` is the path that the app is set to.
pub(crate) fn find(tree: &Tree<'_>, chosen: Option<&str>) -> Result<Option<String>, DetectError> {
    if let Some(path) = chosen {
        let path = path.to_owned();
        return if tree.has(&path) { Ok(Some(path)) } else { Err(DetectError::ChosenIsMissing { path }) };
    }
    Ok(tree.first_of(&NAMES).map(str::to_owned))
}

/// A file in the root that somebody may have meant as a Dockerfile.
pub(crate) fn misspelt(tree: &Tree<'_>) -> Option<DetectError> {
    let found = tree.in_folder("").find(|name| is_nearly_dockerfile(name))?;
    Some(DetectError::Misspelt { found: found.to_owned() })
}

/// A Dockerfile in a sub-folder.
pub(crate) fn below(tree: &Tree<'_>) -> Option<DetectError> {
    let is_one = |path: &&str| path.rsplit_once('/').is_some_and(|(_, name)| NAMES.contains(&name));
    Some(DetectError::InSubFolder { found: tree.paths().find(is_one)?.to_owned() })
}

/// `dockerfile`, `DockerFile`, `Dockerfile.txt`, `Dokerfile`, …
fn is_nearly_dockerfile(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    ["dockerfile", "containerfile", "dokerfile", "docker-file", "docker_file", "dockefile"]
        .contains(&stem.as_str())
}
