//! Finding the Dockerfile, and helping whoever just missed it.

use crate::Plan;

/// The names that are looked for in the root, in this order.
const NAMES: [&str; 2] = ["Dockerfile", "Containerfile"];

/// Why no plan could be made; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    #[error(
        "the Dockerfile that this app is set to build with, `{path}`, is not in the pushed commit.\n\
         Commit it there, or choose another path: slipway apps:set dockerfile=<path>"
    )]
    ChosenIsMissing { path: String },
    #[error(
        "there is no Dockerfile, but there is `{found}`: names are case-sensitive and stand alone.\n\
         Rename it: git mv {found} Dockerfile"
    )]
    Misspelt { found: String },
    #[error(
        "there is no Dockerfile, but there is `{found}` in a sub-folder.\n\
         If that is the one: slipway apps:set dockerfile={found}"
    )]
    InSubFolder { found: String },
    #[error(
        "no Dockerfile was found: looked for `Dockerfile` and `Containerfile` in the root of the pushed commit.\n\
         Add one, commit it and push again."
    )]
    Nothing,
}

/// Chooses how to build a tree of `paths` (files, relative to the root). `chosen` is the path that the app is set to.
///
/// # Errors
/// There is nothing to build with; the error is written for the pusher.
pub fn detect<'a>(
    paths: impl IntoIterator<Item = &'a str> + Clone,
    chosen: Option<&str>,
) -> Result<Plan, DetectError> {
    let has = |wanted: &str| paths.clone().into_iter().any(|path| path == wanted);
    if let Some(path) = chosen {
        let path = path.to_owned();
        return if has(&path) {
            Ok(Plan::Dockerfile { path })
        } else {
            Err(DetectError::ChosenIsMissing { path })
        };
    }
    if let Some(name) = NAMES.into_iter().find(|name| has(name)) {
        return Ok(Plan::Dockerfile { path: name.to_owned() });
    }
    let root = paths.clone().into_iter().filter(|path| !path.contains('/'));
    if let Some(found) = root.into_iter().find(|path| is_nearly_dockerfile(path)) {
        return Err(DetectError::Misspelt { found: found.to_owned() });
    }
    let below =
        paths.into_iter().find(|path| path.rsplit_once('/').is_some_and(|(_, name)| NAMES.contains(&name)));
    Err(match below {
        Some(found) => DetectError::InSubFolder { found: found.to_owned() },
        None => DetectError::Nothing,
    })
}

/// `dockerfile`, `DockerFile`, `Dockerfile.txt`, `Dokerfile`, …
fn is_nearly_dockerfile(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    ["dockerfile", "containerfile", "dokerfile", "docker-file", "docker_file", "dockefile"]
        .contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(paths: &[&str], chosen: Option<&str>) -> Result<Plan, DetectError> {
        detect(paths.iter().copied(), chosen)
    }

    fn dockerfile(path: &str) -> Result<Plan, DetectError> {
        Ok(Plan::Dockerfile { path: path.into() })
    }

    #[test]
    fn a_dockerfile_wins_over_a_containerfile_and_the_choice_over_both() {
        assert_eq!(plan(&["Containerfile", "Dockerfile"], None), dockerfile("Dockerfile"));
        assert_eq!(plan(&["Containerfile"], None), dockerfile("Containerfile"));
        assert_eq!(
            plan(&["Dockerfile", "ops/Web.Dockerfile"], Some("ops/Web.Dockerfile")),
            dockerfile("ops/Web.Dockerfile")
        );
    }

    #[test]
    fn who_just_missed_it_is_told_so() {
        assert_eq!(plan(&["dockerfile"], None), Err(DetectError::Misspelt { found: "dockerfile".into() }));
        assert_eq!(
            plan(&["Dockerfile.txt"], None),
            Err(DetectError::Misspelt { found: "Dockerfile.txt".into() })
        );
        assert_eq!(
            plan(&["a/Dockerfile"], None),
            Err(DetectError::InSubFolder { found: "a/Dockerfile".into() })
        );
        assert_eq!(plan(&["main.c"], None), Err(DetectError::Nothing));
        assert_eq!(plan(&["Dockerfile"], Some("x")), Err(DetectError::ChosenIsMissing { path: "x".into() }));
    }
}
