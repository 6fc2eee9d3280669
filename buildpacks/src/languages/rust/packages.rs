//! The packages that are built: that of the root, or the members of a workspace.

use super::manifest::{Manifest, Workspace};
use crate::source::{Tree, Unreadable, in_folder};

/// Members in folders of these names are for those who work on the app.
const ASIDE: [&str; 7] = ["xtask", "example", "examples", "tools", "test", "tests", "benches"];

/// A package with its folder.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) folder: String,
    pub(crate) manifest: Manifest,
}

/// The packages, in the order of their folders.
pub(crate) fn find(tree: &Tree<'_>, root: Manifest) -> Result<Vec<Member>, Unreadable> {
    let mut members = Vec::new();
    if let Some(workspace) = &root.workspace {
        let folders = tree.paths().filter_map(|path| path.strip_suffix("/Cargo.toml"));
        for folder in folders.filter(|folder| is_member(workspace, folder)) {
            let manifest = Manifest::read(tree, folder)?.unwrap_or_default();
            members.push(Member { folder: folder.to_owned(), manifest });
        }
    }
    // With default members named, those are what `cargo build` builds.
    let names_root = |workspace: &Workspace| {
        workspace.default_members.is_empty() || workspace.default_members.iter().any(|path| path == ".")
    };
    if root.package.is_some() && root.workspace.as_ref().is_none_or(names_root) {
        members.insert(0, Member { folder: String::new(), manifest: root });
    }
    Ok(members)
}

fn is_member(workspace: &Workspace, folder: &str) -> bool {
    let patterns =
        if workspace.default_members.is_empty() { &workspace.members } else { &workspace.default_members };
    let is_excluded = workspace.exclude.iter().any(|excluded| {
        let rest = folder.strip_prefix(excluded.trim_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let is_aside = folder.split('/').any(|part| ASIDE.contains(&part));
    !is_excluded && !is_aside && patterns.iter().any(|pattern| is_matched(folder, pattern))
}

/// Whether a folder is meant by a pattern such as `crates/*`.
fn is_matched(folder: &str, pattern: &str) -> bool {
    let pattern: Vec<&str> = pattern.trim_start_matches("./").trim_end_matches('/').split('/').collect();
    let parts: Vec<&str> = folder.split('/').collect();
    if let Some(above) = pattern.strip_suffix(&["**"]) {
        return parts.len() > above.len()
            && above.iter().zip(&parts).all(|(pattern, part)| is_part(part, pattern));
    }
    pattern.len() == parts.len() && pattern.iter().zip(&parts).all(|(pattern, part)| is_part(part, pattern))
}

fn is_part(part: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, after)) => {
            part.len() >= before.len() + after.len() && part.starts_with(before) && part.ends_with(after)
        }
        None => part == pattern,
    }
}

impl Member {
    pub(crate) fn name(&self) -> &str {
        self.manifest.package.as_ref().map_or("", |package| package.name.as_str())
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, name: &str) -> String {
        in_folder(&self.folder, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_or_matched() {
        assert!(
            is_matched("crates/api", "crates/*")
                && is_matched("api", "./api/")
                && is_matched("a/b/c", "a/**")
        );
        assert!(is_matched("crates/app-web", "crates/app-*"));
        assert!(!is_matched("crates/api/sub", "crates/*") && !is_matched("crates", "crates/*"));
    }
}
