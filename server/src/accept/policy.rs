//! What a push may do to which ref, and which `-o` options it may give: pure.

use crate::git::receive::Command;

/// What becomes of one ref of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// The deploy branch: a build, and the branch moves when its release is live.
    Deploy,
    /// A tag: moved at once, deploys nothing.
    Move,
    /// Refused, with the reason that git shows beside the ref.
    Refuse(String),
}

/// Decides about one ref. `deploy_branch` is the short name of the app's deploy branch.
pub(crate) fn rule(command: &Command, deploy_branch: &str) -> Ruling {
    if let Some(branch) = command.name.strip_prefix("refs/heads/") {
        return match (branch == deploy_branch, command.deletes()) {
            (true, false) => Ruling::Deploy,
            (true, true) => Ruling::Refuse(
                "the deploy branch cannot be deleted: `apps:destroy` removes the app with all of it"
                    .to_owned(),
            ),
            (false, _) => Ruling::Refuse(format!(
                "only {deploy_branch} is deployed; to deploy this branch: git push platform {branch}:{deploy_branch}"
            )),
        };
    }
    if command.name.starts_with("refs/tags/") {
        return Ruling::Move;
    }
    Ruling::Refuse(format!("only {deploy_branch} and tags can be pushed here"))
}

/// What the pusher asked for with `git push -o …`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) cancel_running: bool,
    pub(crate) detach: bool,
    pub(crate) no_cache: bool,
    pub(crate) dry_run: bool,
    /// Options that are not ours; CI systems add some of their own to every push.
    pub(crate) unknown: Vec<String>,
}

impl Options {
    pub(crate) const KNOWN: &str = "cancel-running, detach, no-cache, dry-run";

    pub(crate) fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        for option in options {
            match option.as_str() {
                "cancel-running" => parsed.cancel_running = true,
                "detach" => parsed.detach = true,
                "no-cache" => parsed.no_cache = true,
                "dry-run" => parsed.dry_run = true,
                other => parsed.unknown.push(other.to_owned()),
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Oid;

    fn command(name: &str, new: Oid) -> Command {
        Command { name: name.to_owned(), old: Oid::ZERO, new }
    }

    fn some() -> Oid {
        "1111111111111111111111111111111111111111".parse().expect("an id")
    }

    #[test]
    fn only_the_deploy_branch_deploys_and_another_is_told_the_command() {
        assert_eq!(rule(&command("refs/heads/main", some()), "main"), Ruling::Deploy);
        let Ruling::Refuse(reason) = rule(&command("refs/heads/feature/x", some()), "main") else {
            panic!("another branch was accepted")
        };
        assert!(reason.ends_with("git push platform feature/x:main"), "{reason}");
    }

    #[test]
    fn the_deploy_branch_cannot_be_deleted() {
        assert!(matches!(rule(&command("refs/heads/main", Oid::ZERO), "main"), Ruling::Refuse(_)));
        assert_eq!(rule(&command("refs/tags/v1", Oid::ZERO), "main"), Ruling::Move);
    }

    #[test]
    fn other_name_spaces_are_refused() {
        assert!(matches!(rule(&command("refs/notes/x", some()), "main"), Ruling::Refuse(_)));
    }

    #[test]
    fn strange_options_are_kept_to_be_named() {
        let options = Options::parse(&["detach".to_owned(), "ci.skip".to_owned()]);
        assert!(options.detach && !options.no_cache);
        assert_eq!(options.unknown, ["ci.skip"]);
    }
}
