//! Symlinks are followed here as a kernel would, other symlinks on the way included, to see that none leaves the tree.
//! Looking at the text alone is not enough: `a/up -> ..` is harmless, and so looks `a/b -> up/..`, which is outside.

use std::collections::HashMap;

use super::{Entry, EntryKind, SnapshotError};

/// As many as Linux follows for one path.
const MOST_HOPS: usize = 40;

/// Path components that are walked for all links of a tree together. A tree of honest links needs a few each; one made
/// to keep us busy would need billions.
const MOST_STEPS: usize = 2_000_000;

pub(super) fn check(entries: &[Entry]) -> Result<(), SnapshotError> {
    let links: HashMap<&str, &str> = entries.iter().filter_map(link).collect();
    let mut steps = MOST_STEPS;
    for (path, target) in entries.iter().filter_map(link) {
        if leaves_the_tree(path, target, &links, &mut steps) {
            return Err(SnapshotError::EscapingSymlink { path: path.to_owned(), target: target.to_owned() });
        }
        if steps == 0 {
            return Err(SnapshotError::TooManySymlinks);
        }
    }
    Ok(())
}

fn link(entry: &Entry) -> Option<(&str, &str)> {
    match &entry.kind {
        EntryKind::Symlink { target } => Some((&entry.path, target)),
        EntryKind::Folder | EntryKind::File { .. } => None,
    }
}

fn leaves_the_tree(path: &str, target: &str, links: &HashMap<&str, &str>, steps: &mut usize) -> bool {
    let mut here: Vec<&str> = path.split('/').collect();
    here.pop();
    // What is still to be walked, the next component last.
    let mut ahead: Vec<&str> = Vec::new();
    let mut next = Some(target);
    for _ in 0..MOST_HOPS {
        let Some(target) = next.take() else { return false };
        if target.starts_with('/') {
            return true;
        }
        ahead.extend(target.rsplit('/'));
        while let Some(component) = ahead.pop() {
            *steps = steps.saturating_sub(1);
            if *steps == 0 {
                return false;
            }
            match component {
                "" | "." => {}
                ".." => {
                    if here.pop().is_none() {
                        return true;
                    }
                }
                name => {
                    here.push(name);
                    if let Some(target) = links.get(here.join("/").as_str()) {
                        here.pop();
                        next = Some(target);
                        break;
                    }
                }
            }
        }
    }
    // A loop leads nowhere, so not outside either; the kernel says ELOOP.
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_links(links: &[(&str, &str)]) -> bool {
        let entry = |(path, target): &(&str, &str)| Entry {
            path: (*path).to_owned(),
            kind: EntryKind::Symlink { target: (*target).to_owned() },
            oid: String::new(),
        };
        check(&links.iter().map(entry).collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn links_inside_the_tree_are_kept() {
        for links in [
            &[("a", "b")][..],
            &[("a/b/c", "../../d")],
            &[("a/b", "./../x/./y")],
            &[("loop", "loop")],
            &[("one", "two"), ("two", "one")],
            &[("a/up", ".."), ("a/x", "up/y")],
        ] {
            assert!(check_links(links), "{links:?} was refused");
        }
    }

    #[test]
    fn links_out_of_the_tree_are_refused_whatever_their_detour() {
        for links in [
            &[("a", "/etc/passwd")][..],
            &[("a", "..")],
            &[("a/b", "../../x")],
            &[("a", "b/../../x")],
            &[("a/up", ".."), ("a/b", "up/..")],
            &[("s/here", "../s"), ("s/out", "here/here/../../x")],
            &[("a", "b"), ("b", "/")],
        ] {
            assert!(!check_links(links), "{links:?} was accepted");
        }
    }
}
