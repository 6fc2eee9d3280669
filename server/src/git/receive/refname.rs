//! Which refs a push may name: branches and tags, with git's own rules for names and a sane length.

/// The longest full name. A component becomes a file name, to which git adds `.lock`.
const LONGEST: usize = 200;

/// Why a ref cannot be pushed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefNameError {
    #[error("only branches and tags can be pushed here: refs/heads/… and refs/tags/…")]
    Namespace,
    #[error("the name is longer than {LONGEST} bytes")]
    TooLong,
    #[error("git does not allow this name: see git help check-ref-format")]
    Format,
}

/// Checks a full ref name as it came from a client.
pub(crate) fn check(name: &str) -> Result<(), RefNameError> {
    let short = name
        .strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"))
        .ok_or(RefNameError::Namespace)?;
    if name.len() > LONGEST {
        return Err(RefNameError::TooLong);
    }
    let forbidden = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let well_formed = short.split('/').all(component_is_fine)
        && !short.starts_with('-')
        && !short.ends_with('.')
        && !short.contains("..")
        && !short.contains("@{")
        && !short.contains(forbidden);
    if well_formed { Ok(()) } else { Err(RefNameError::Format) }
}

fn component_is_fine(component: &str) -> bool {
    !component.is_empty() && !component.starts_with('.') && !component.ends_with(".lock") && component != "@"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn branches_and_tags_are_accepted() {
        for name in ["refs/heads/main", "refs/heads/feature/x-1", "refs/tags/v1.2.3", "refs/heads/größe"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn everything_that_is_ours_or_could_leave_the_refs_folder_is_refused() {
        for name in [
            "HEAD",
            "refs/builds/1",
            "refs/notes/x",
            "refs/heads/",
            "refs/heads//x",
            "refs/heads/../../config",
            "refs/heads/.hidden",
            "refs/heads/x.lock",
            "refs/heads/-x",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a@{0}",
            "refs/heads/a.",
            "refs/heads/a/@",
            "refs/heads/a:b",
        ] {
            assert!(check(name).is_err(), "{name:?} was accepted");
        }
        assert_eq!(check(&format!("refs/heads/{}", "a".repeat(200))), Err(RefNameError::TooLong));
    }

    proptest! {
        /// Ours may be stricter than git's rule, never laxer.
        #[test]
        fn what_we_accept_libgit2_accepts(tail in "[a-z@{}./~^ *-]{0,12}") {
            let name = format!("refs/heads/{tail}");
            if check(&name).is_ok() {
                prop_assert!(git2::Reference::is_valid_name(&name), "{name}");
            }
        }
    }
}
