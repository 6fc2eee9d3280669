//! What a command line over SSH means: one of git's two commands in exactly the spelling that git uses, or a verb.
//!
//! Invariant: no shell ever sees a command line. A line that begins like one of git's commands is never tried as a
//! verb, and an argument of git's commands can be nothing but an app's name.

use crate::domain::names::{AppName, NameError};
use crate::doors::GitService;

/// The longest command line that is read, in bytes; config vars travel in it.
const LONGEST_LINE: usize = 128 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Git { service: GitService, app: AppName },
    Verb(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadCommand {
    #[error(
        "the command line has more than {LONGEST_LINE} bytes: shorten it, or use the command line `slipway`"
    )]
    TooLong,
    #[error("the command line is not UTF-8 text")]
    NotText,
    #[error("a quote is opened in the command line and never closed")]
    OpenQuote,
    #[error("only `git push`, `git fetch` and `git clone` are served here, as `<host>:<app>.git`")]
    OtherGit,
    #[error("{0}; the address of a repository is `<host>:<app>.git`")]
    App(#[from] NameError),
}

/// Reads the command of an exec request; an empty line is an empty verb.
pub(super) fn parse(line: &[u8]) -> Result<Command, BadCommand> {
    if line.len() > LONGEST_LINE {
        return Err(BadCommand::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| BadCommand::NotText)?;
    if let Some((service, argument)) = git_command(line) {
        let app = repository(argument).ok_or(BadCommand::OtherGit)?.parse()?;
        return Ok(Command::Git { service, app });
    }
    if line == "git" || line.starts_with("git-") || line.starts_with("git ") {
        return Err(BadCommand::OtherGit);
    }
    shell_words::split(line).map(Command::Verb).map_err(|_| BadCommand::OpenQuote)
}

fn git_command(line: &str) -> Option<(GitService, &str)> {
    let rest = line.strip_prefix("git-").or_else(|| line.strip_prefix("git "))?;
    let (name, argument) = rest.split_once(' ')?;
    match name {
        "receive-pack" => Some((GitService::Receive, argument)),
        "upload-pack" => Some((GitService::Upload, argument)),
        _ => None,
    }
}

/// `'/blog.git'`, `'blog'`, or the same without quotes, to `blog`. The name itself is checked by its type.
fn repository(argument: &str) -> Option<&str> {
    let path = match argument.strip_prefix('\'') {
        Some(quoted) => quoted.strip_suffix('\'')?,
        None => argument,
    };
    if path.contains(['\'', '"', '\\', ' ']) {
        return None;
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    Some(path.strip_suffix(".git").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(service: GitService) -> Command {
        Command::Git { service, app: "blog".parse().expect("a good name") }
    }

    #[test]
    fn every_spelling_that_git_uses_is_understood() {
        for path in ["'/blog.git'", "'blog.git'", "'/blog'", "'blog'", "/blog.git", "blog.git", "blog"] {
            for dash in ["-", " "] {
                let push = format!("git{dash}receive-pack {path}");
                assert_eq!(parse(push.as_bytes()), Ok(git(GitService::Receive)), "{push}");
                let fetch = format!("git{dash}upload-pack {path}");
                assert_eq!(parse(fetch.as_bytes()), Ok(git(GitService::Upload)), "{fetch}");
            }
        }
    }

    #[test]
    fn nothing_else_gets_near_git() {
        for line in [
            "git-upload-pack --upload-pack=touch${IFS}x 'blog.git'",
            "git-upload-pack '--upload-pack=id'",
            "git-upload-pack '-oProxyCommand=id'",
            "git-upload-pack --strict 'blog.git'",
            "git-upload-pack 'blog.git' 'other.git'",
            "git-upload-pack  'blog.git'",
            "git-upload-pack 'blog.git';id",
            "git-upload-pack 'blog.git' && id",
            "git-upload-pack '../blog.git'",
            "git-upload-pack '//blog.git'",
            "git-upload-pack '/etc/passwd'",
            "git-upload-pack 'blog.git",
            "git-upload-pack '$(id)'",
            "git-upload-pack 'bl'\\''og.git'",
            "git-upload-pack 'blog.git\n'",
            "git-upload-pack ",
            "git-upload-pack",
            "git-upload-archive 'blog.git'",
            "git-shell",
            "git -c core.sshCommand=id upload-pack 'blog.git'",
            "git",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "accepted: {line:?}");
        }
    }

    #[test]
    fn a_bad_name_is_answered_with_the_rule_for_names() {
        let error = parse(b"git-receive-pack '/../x.git'").expect_err("a path").to_string();
        assert!(error.contains("is not an app name") || error.contains("not"), "{error}");
        assert!(matches!(parse(b"git-receive-pack 'Blog'"), Err(BadCommand::App(_))));
    }

    #[test]
    fn everything_else_is_a_verb_split_like_a_shell_would() {
        let words = |line: &str| match parse(line.as_bytes()) {
            Ok(Command::Verb(words)) => words,
            other => panic!("{line:?} became {other:?}"),
        };
        assert_eq!(
            words("config:set -a blog 'A=b c' D=\"$HOME\""),
            ["config:set", "-a", "blog", "A=b c", "D=$HOME"]
        );
        assert_eq!(words(""), Vec::<String>::new());
        assert_eq!(words("gitlab"), ["gitlab"]);
        assert_eq!(parse(b"config:set 'A=b"), Err(BadCommand::OpenQuote));
        assert_eq!(parse(b"\xff"), Err(BadCommand::NotText));
        assert_eq!(parse(&vec![b'a'; LONGEST_LINE + 1]), Err(BadCommand::TooLong));
    }
}
