//! `.dockerignore` patterns, with the meaning that the engine gives them.
//!
//! Patterns are read in order and the last one that matches a path or one of its folders decides; `!` makes an
//! exception. `*` and `?` stop at `/`, `**` does not.

use regex::Regex;

/// A list of patterns, in order.
#[derive(Debug)]
pub(super) struct Matcher {
    patterns: Vec<Pattern>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a pattern that .dockerignore knows")]
pub(super) struct PatternError(String);

/// Which patterns a folder matched, for judging what lies in it. Empty at the root.
#[derive(Debug, Clone, Default)]
pub(super) struct Matched(Vec<bool>);

#[derive(Debug)]
struct Pattern {
    exception: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Exact(String),
    Regex(Regex),
}

impl Matcher {
    pub(super) fn new(lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, PatternError> {
        let mut patterns = Vec::new();
        for line in lines {
            let line = line.as_ref().trim();
            let (exception, glob) = match line.strip_prefix('!') {
                Some(glob) => (true, glob),
                None => (false, line),
            };
            if glob.is_empty() {
                if exception {
                    return Err(PatternError(line.to_owned()));
                }
                continue;
            }
            patterns.push(Pattern { exception, test: Test::new(&clean(glob))? });
        }
        Ok(Self { patterns })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the patterns choose `path`, and what to pass on for the entries of this folder.
    /// `parent` is what its folder got; the default at the root.
    pub(super) fn judge(&self, path: &str, parent: &Matched) -> (bool, Matched) {
        let mut chosen = false;
        let mut matched = vec![false; self.patterns.len()];
        for (i, pattern) in self.patterns.iter().enumerate() {
            let inherited = parent.0.get(i).copied().unwrap_or(false);
            // A pattern that could not change the verdict is not looked at, and counts as not matched below.
            if !inherited && pattern.exception != chosen {
                continue;
            }
            if inherited || pattern.test.passes(path) {
                matched[i] = true;
                chosen = !pattern.exception;
            }
        }
        (chosen, Matched(matched))
    }
}

/// A single name's glob, as in `COPY *.json /app/`.
pub(super) struct NameGlob(Test);

impl NameGlob {
    /// `None` if `name` has no wildcard.
    pub(super) fn new(name: &str) -> Option<Result<Self, PatternError>> {
        name.contains(['*', '?', '[']).then(|| Test::new(name).map(Self))
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.passes(name)
    }
}

impl Test {
    fn new(glob: &str) -> Result<Self, PatternError> {
        if !glob.contains(['*', '?', '[', ']', '\\']) {
            return Ok(Self::Exact(glob.to_owned()));
        }
        let bad = || PatternError(glob.to_owned());
        let regex = translate(glob).ok_or_else(bad)?;
        Regex::new(&regex).map(Self::Regex).map_err(|_| bad())
    }

    fn passes(&self, path: &str) -> bool {
        match self {
            Self::Exact(glob) => glob == path,
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// The glob as a regular expression; `None` if it ends within a class or an escape.
fn translate(glob: &str) -> Option<String> {
    let mut regex = String::from("(?s)^");
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        let leading = rest.len() == glob.len();
        rest = &rest[c.len_utf8()..];
        match c {
            '*' if rest.starts_with('*') => {
                rest = &rest[1..];
                let slash = rest.starts_with('/');
                if slash {
                    rest = &rest[1..];
                }
                // A trailing `**` takes all; a leading one before plain text may end within a name (`**file`);
                // elsewhere it stands for whole folders.
                let plain = !rest.contains(['*', '?', '[', ']', '\\']);
                let any = rest.is_empty() || (leading && plain && !slash);
                regex.push_str(if any { ".*" } else { "(.*/)?" });
            }
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => rest = class(&mut regex, rest)?,
            '\\' => {
                let escaped = rest.chars().next()?;
                rest = &rest[escaped.len_utf8()..];
                regex.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
            }
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    regex.push('$');
    Some(regex)
}

/// Translates `a-z]…` or `^a-z]…` and returns what follows the bracket.
fn class<'a>(regex: &mut String, glob: &'a str) -> Option<&'a str> {
    let mut rest = glob;
    regex.push('[');
    if let Some(negated) = rest.strip_prefix('^') {
        regex.push('^');
        rest = negated;
    }
    let start = rest;
    loop {
        let mut c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            ']' if rest.len() + 1 == start.len() => return None,
            ']' => break,
            '-' => {
                regex.push('-');
                continue;
            }
            '\\' => {
                c = rest.chars().next()?;
                rest = &rest[c.len_utf8()..];
            }
            _ => {}
        }
        if c.is_ascii_punctuation() {
            regex.push('\\');
        }
        regex.push(c);
    }
    regex.push(']');
    Some(rest)
}

/// The shortest path with the same meaning: no `.`, no `..` in the middle, no doubled or trailing slash.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !rooted => parts.push(".."),
                _ => drop(parts.pop()),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges `path` the way a walk does: folder by folder from the root.
    fn chosen(patterns: &[&str], path: &str) -> bool {
        let matcher = Matcher::new(patterns).unwrap();
        let mut parent = Matched::default();
        let mut verdict = false;
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            (verdict, parent) = matcher.judge(&path[..at], &parent);
        }
        verdict
    }

    #[test]
    fn single_patterns() {
        let table: &[(&str, &str, bool)] = &[
            ("file", "file", true),
            ("file", "dir/file", false),
            ("dir", "dir/file", true),
            ("dir/", "dir/deep/file", true),
            ("./dir//deep/", "dir/deep/file", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "dir/a.txt", false),
            ("*/a.txt", "dir/a.txt", true),
            ("*", "dir/a.txt", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir", false),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/deep/file", true),
            ("**/deep", "deep", true),
            ("**/deep", "dir/deep", true),
            ("**/deep", "dir/xdeep", false),
            ("**/deep/*", "dir/deep/file", true),
            ("**/deep/**", "dir/deep/deep/file", true),
            ("**file", "file", true),
            ("**file", "dir/xfile", true),
            ("**/file*", "dir/dir/file.txt", true),
            ("**/file*txt", "dir/dir/file.txt", true),
            ("**/**/*.txt", "dir/dir/file.txt", true),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a[b-d]e", "ace", true),
            ("a[b-d]e", "aze", false),
            ("a[^b-d]e", "aze", true),
            ("a[&&~~]e", "a&e", true),
            ("abc.def", "abcdef", false),
            ("abc.def", "abcZdef", false),
            ("a.*", "abc", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a(b)c/*", "a(b)c/def", true),
            ("a|{}+$b*", "a|{}+$bc", true),
            ("**/.foo", "bar.foo", false),
            ("**/.foo", ".foo", true),
            ("dir/../file", "file", true),
            ("ä*", "äpfel", true),
            ("  spaced  ", "spaced", true),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(chosen(&[pattern], path), *expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let table: &[(&[&str], &str, bool)] = &[
            (&["*.md", "!README.md"], "README.md", false),
            (&["*.md", "!README.md"], "OTHER.md", true),
            (&["*.md", "!README.md", "README*"], "README.md", true),
            (&["!README.md", "*.md"], "README.md", true),
            (&["**", "!util/docker/web"], "util/docker/web/foo", false),
            (&["**", "!util/docker/web"], "util/docker/other", true),
            (&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", true),
            (&["docs", "!docs/keep"], "docs/keep/a", false),
            (&["docs", "!docs/keep"], "docs/drop", true),
            (&["*", "!src/**"], "src/main.rs", false),
            (&["**/node_modules", "!node_modules/kept"], "node_modules/kept/x", false),
            (&[], "file", false),
            (&["", "  "], "file", false),
        ];
        for (patterns, path, expected) in table {
            assert_eq!(chosen(patterns, path), *expected, "{patterns:?} on {path}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["!", "a[", "a[]", "[]a]", "a\\", "[z-a]"] {
            assert!(Matcher::new([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, expected) in [
            ("", "."),
            (".", "."),
            ("./a", "a"),
            ("a/", "a"),
            ("a//b", "a/b"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("../../a/..", "../.."),
            ("/../a", "/a"),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
