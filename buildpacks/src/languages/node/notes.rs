//! What the pusher of a Node.js app should know.

use super::manager::{Kind, Manager};
use crate::source::Tree;

/// On a package.json that is for tools alone, beside pages.
pub(super) const SERVED: &str =
    "package.json has nothing to build or to start, so the pages in the commit are served as they are";

/// On the lockfile: missing, or one that nobody reads.
pub(super) fn lockfiles(tree: &Tree<'_>, manager: &Manager, has_packages: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if manager.lockfile.is_none() && has_packages {
        let (file, command) = match manager.kind {
            Kind::Npm => ("package-lock.json", "npm install --package-lock-only"),
            Kind::Yarn | Kind::Berry { .. } => ("yarn.lock", "yarn install"),
            Kind::Pnpm => ("pnpm-lock.yaml", "pnpm install --lockfile-only"),
            Kind::Bun => ("bun.lock", "bun install --lockfile-only"),
        };
        notes.push(format!(
            "there is no {file}, so each build takes the newest packages that fit, and two builds of one commit may differ. \
             Make it and commit it: {command} && git add {file}"
        ));
    }
    let ignored = manager.ignored_lockfiles(tree);
    if !ignored.is_empty() {
        let ignored = ignored.join(" ");
        notes.push(format!(
            "{ignored} is not read, for the packages are installed with {}. Take it away: git rm {ignored}",
            manager.name()
        ));
    }
    if !manager.prunes {
        notes.push(
            "Yarn before 4 cannot take the dev dependencies out of the image without a plugin. Commit it: \
             yarn plugin import workspace-tools && git add .yarn/plugins .yarnrc.yml"
                .to_owned(),
        );
    }
    if tree.has_folder("node_modules") {
        notes.push(
            "node_modules is committed, and made for another machine. Take it away: git rm -r --cached node_modules && \
             echo node_modules >> .gitignore"
                .to_owned(),
        );
    }
    notes
}

/// On dev dependencies that stay, because a process runs `word` of them.
pub(super) fn keeps_dev(word: &str) -> String {
    format!(
        "`{word}`, which a process runs, is a dev dependency, so all of them are in the image. \
         With it among the dependencies they are not: npm pkg delete devDependencies.{word}, then install it again without --save-dev"
    )
}
