//! Watched paths: of a repository with many apps in it, the ones whose changes are this app's business.

use regex::Regex;

/// Patterns of one app at most, and characters of one.
const MOST: usize = 50;
const LONGEST: usize = 200;

/// Patterns of paths. One without `*` or `?` is a file, or a folder with all that is in it; `*` stops at a slash, `**`
/// does not.
#[derive(Debug)]
pub(crate) struct Watch(Vec<Regex>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("an app watches {MOST} paths at most")]
    TooMany,
    #[error(
        "`{0}` is not a path to watch: write it from the repository's root, such as services/api or libs/*/src, at most \
         {LONGEST} characters long"
    )]
    Path(String),
}

impl Watch {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, WatchError> {
        if patterns.len() > MOST {
            return Err(WatchError::TooMany);
        }
        patterns.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether any of the paths is watched. Nothing named watches everything.
    pub(crate) fn any<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> bool {
        self.0.is_empty() || paths.into_iter().any(|path| self.0.iter().any(|pattern| pattern.is_match(path)))
    }
}

fn compile(pattern: &str) -> Result<Regex, WatchError> {
    let refused = || WatchError::Path(pattern.chars().filter(|c| !c.is_control()).take(60).collect());
    let trimmed = pattern.trim().trim_start_matches("./").trim_end_matches('/');
    let outside = trimmed.starts_with('/') || trimmed.split('/').any(|part| part == "..");
    if trimmed.is_empty() || pattern.len() > LONGEST || outside || trimmed.chars().any(char::is_control) {
        return Err(refused());
    }
    let mut regex = String::from("^");
    let mut rest = trimmed;
    while let Some(next) = rest.chars().next() {
        let (piece, taken) = match rest {
            _ if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
            _ if rest.starts_with("**") => (".*".to_owned(), 2),
            _ if next == '*' => ("[^/]*".to_owned(), 1),
            _ if next == '?' => ("[^/]".to_owned(), 1),
            _ => (regex::escape(&next.to_string()), next.len_utf8()),
        };
        regex.push_str(&piece);
        rest = &rest[taken..];
    }
    regex.push_str("(?:/.*)?$");
    Regex::new(&regex).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watches(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        Watch::new(&patterns).expect("patterns").any([path])
    }

    #[test]
    fn a_path_is_a_file_or_a_folder_with_all_that_is_in_it() {
        assert!(watches(&["services/api"], "services/api/src/main.py"));
        assert!(watches(&["services/api/"], "services/api"));
        assert!(!watches(&["services/api"], "services/api-docs/x"));
        assert!(!watches(&["services/api"], "other/services/api/x"));
        assert!(watches(&["docs", "services/api"], "docs/a.md"));
    }

    #[test]
    fn stars_stop_at_a_slash_and_double_ones_do_not() {
        assert!(watches(&["libs/*/src"], "libs/one/src/x.py"));
        assert!(!watches(&["libs/*/src"], "libs/one/two/src/x.py"));
        assert!(watches(&["**/package.json"], "package.json"));
        assert!(watches(&["**/package.json"], "a/b/package.json"));
        assert!(watches(&["*.md"], "README.md") && !watches(&["*.md"], "docs/README.txt"));
        assert!(watches(&["a.c"], "a.c") && !watches(&["a.c"], "abc"));
    }

    #[test]
    fn nothing_named_watches_everything_and_what_lies_outside_is_refused() {
        assert!(watches(&[], "anything"));
        for pattern in ["", "/etc", "../x", "a/../../b", "a\nb"] {
            assert!(Watch::new(&[pattern.to_owned()]).is_err(), "{pattern:?}");
        }
        assert_eq!(Watch::new(&vec!["x".to_owned(); 51]).expect_err("too many"), WatchError::TooMany);
    }
}
