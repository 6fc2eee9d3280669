//! Which entries of the tree the engine gets when it asks for a part of the context.
//!
//! Invariant: a chosen entry's folders are chosen too and come before it, in the tree's own order; the engine
//! refuses anything else.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::super::patterns::{Matched, Matcher, NameGlob, PatternError, clean};
use crate::git::snapshot::{Entry, EntryKind};

/// What the engine asks for. Empty lists do not narrow anything.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    /// Paths and globs whose symlinks are followed within the tree; what they lead to is included.
    pub(super) follow: Vec<String>,
}

/// The places in `entries` of what is wanted, ascending.
pub(super) fn select(entries: &[Entry], wanted: &Wanted) -> Result<Vec<usize>, PatternError> {
    let mut include = wanted.include.clone();
    include.extend(follow(entries, &wanted.follow)?);
    let include = Matcher::new(include)?;
    let exclude = Matcher::new(&wanted.exclude)?;

    let mut chosen = Vec::new();
    let mut folders: Vec<Folder<'_>> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        while folders.pop_if(|folder| !folder.holds(&entry.path)).is_some() {}
        let root = (Matched::default(), Matched::default());
        let parent = folders.last().map_or(&root, |folder| &folder.matched);
        let (included, include_matched) = include.judge(&entry.path, &parent.0);
        let (excluded, exclude_matched) = exclude.judge(&entry.path, &parent.1);
        let taken = (include.is_empty() || included) && !excluded;
        if taken {
            for folder in folders.iter_mut().filter(|folder| !folder.chosen) {
                folder.chosen = true;
                chosen.push(folder.at);
            }
            chosen.push(at);
        }
        if entry.kind == EntryKind::Folder {
            let matched = (include_matched, exclude_matched);
            folders.push(Folder { path: &entry.path, at, chosen: taken, matched });
        }
    }
    Ok(chosen)
}

/// A folder on the way to the entry that is looked at.
struct Folder<'a> {
    path: &'a str,
    at: usize,
    chosen: bool,
    /// By the include and the exclude patterns.
    matched: (Matched, Matched),
}

impl Folder<'_> {
    fn holds(&self, path: &str) -> bool {
        path.strip_prefix(self.path).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The paths and whatever their symlinks lead to, as include patterns. Empty if that is the whole tree.
fn follow(entries: &[Entry], paths: &[String]) -> Result<Vec<String>, PatternError> {
    let mut resolved = BTreeSet::new();
    let mut pending: Vec<String> = paths.to_vec();
    while let Some(path) = pending.pop() {
        walk(entries, &path, &mut resolved, &mut pending)?;
    }
    if resolved.contains(".") {
        return Ok(Vec::new());
    }
    // `followpaths` name files, not patterns, except for their wildcards, which both share.
    Ok(resolved.into_iter().collect())
}

/// Goes down `path` until its end, which is noted, or a symlink, which is noted and whose target is left pending.
fn walk(
    entries: &[Entry],
    path: &str,
    resolved: &mut BTreeSet<String>,
    pending: &mut Vec<String>,
) -> Result<(), PatternError> {
    let path = within(path);
    let mut current = String::new();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let folder = current.clone();
        if !current.is_empty() {
            current.push('/');
        }
        current.push_str(part);
        let targets = targets(entries, &folder, part)?;
        let last = parts.peek().is_none();
        if !last && targets.is_empty() {
            continue;
        }
        // A path that was met before ends the walk: symlinks may lead in circles.
        if resolved.insert(current.clone()) {
            let rest: Vec<&str> = parts.collect();
            pending.extend(targets.iter().map(|target| format!("{target}/{}", rest.join("/"))));
        }
        return Ok(());
    }
    Ok(())
}

/// Where the symlinks called `name` (a glob, perhaps) in `folder` point to.
fn targets(entries: &[Entry], folder: &str, name: &str) -> Result<Vec<String>, PatternError> {
    let Some(glob) = NameGlob::new(name) else {
        return Ok(find(entries, &join(folder, name)).and_then(target).into_iter().collect());
    };
    let glob = glob?;
    let children = entries.iter().filter(|entry| {
        let (parent, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        parent == folder && glob.matches(name)
    });
    Ok(children.filter_map(target).collect())
}

/// Where a symlink points to, from the tree's root.
fn target(entry: &Entry) -> Option<String> {
    let EntryKind::Symlink { target } = &entry.kind else { return None };
    if target.starts_with('/') {
        return Some(clean(target));
    }
    let folder = entry.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(clean(&format!("/{folder}/{target}")))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A path from the tree's root, which nothing leads out of; `.` is the root.
fn within(path: &str) -> String {
    let path = clean(&format!("/{path}"));
    if path == "/" { ".".to_owned() } else { path[1..].to_owned() }
}

/// The entry at `path`: the tree is ordered by the names of each folder's entries.
pub(super) fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    entries.binary_search_by(|entry| by_folder(&entry.path, path)).ok().map(|at| &entries[at])
}

/// Orders paths folder by folder: `a/b` comes before `a.b`.
fn by_folder(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Vec<Entry> {
        let file = |path: &str| entry(path, EntryKind::File { size: 1, executable: false });
        let folder = |path: &str| entry(path, EntryKind::Folder);
        let link = |path: &str, target: &str| entry(path, EntryKind::Symlink { target: target.into() });
        vec![
            file(".dockerignore"),
            file("Dockerfile"),
            folder("a"),
            file("a/one"),
            folder("a/deep"),
            file("a/deep/two"),
            file("a.b"),
            link("loop", "pool"),
            link("outside", "../../etc/passwd"),
            link("pool", "loop"),
            link("to-deep", "a/deep"),
        ]
    }

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry { path: path.into(), kind, oid: "00".into() }
    }

    fn paths(include: &[&str], exclude: &[&str], follow: &[&str]) -> Vec<String> {
        let own = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
        let mut tree = tree();
        tree.sort_by(|a, b| by_folder(&a.path, &b.path));
        let wanted = Wanted { include: own(include), exclude: own(exclude), follow: own(follow) };
        select(&tree, &wanted).unwrap().into_iter().map(|at| tree[at].path.clone()).collect()
    }

    #[test]
    fn everything_without_patterns() {
        assert_eq!(paths(&[], &[], &[]).len(), tree().len());
    }

    #[test]
    fn excluded_folders_come_back_for_their_exceptions() {
        let kept = paths(&[], &["*", "!a/deep/two"], &[]);
        assert_eq!(kept, ["a", "a/deep", "a/deep/two"]);
        let kept = paths(&["a"], &["a/deep"], &[]);
        assert_eq!(kept, ["a", "a/one"]);
    }

    #[test]
    fn followed_paths_bring_their_targets() {
        assert_eq!(paths(&[], &[], &["Dockerfile", "missing"]), ["Dockerfile"]);
        assert_eq!(paths(&[], &[], &["to-deep/two"]), ["a", "a/deep", "a/deep/two", "to-deep"]);
        assert_eq!(paths(&[], &[], &["to-*"]), ["a", "a/deep", "a/deep/two", "to-deep"]);
        assert_eq!(paths(&[], &[], &["loop"]), ["loop", "pool"]);
        assert_eq!(paths(&[], &[], &["outside"]), ["outside"]);
        assert_eq!(paths(&[], &[], &["/"]).len(), tree().len());
        assert_eq!(paths(&[], &[], &["../a.b"]), ["a.b"]);
    }
}
