//! The packages of a repository with several: npm's and yarn's `workspaces`, pnpm's pnpm-workspace.yaml.

use serde_json::Value;

use super::package::Package;
use crate::error::DetectError;
use crate::source::Tree;

const PNPM: &str = "pnpm-workspace.yaml";

/// The root's package and those of its workspaces, the root first.
pub(super) fn with_root(tree: &Tree<'_>, root: &Package) -> Result<Vec<Package>, DetectError> {
    let mut all = vec![root.clone()];
    for folder in folders(tree, root)? {
        all.extend(Package::of(tree, &folder)?);
    }
    Ok(all)
}

/// The packages that `target` is built after, and itself, in the order of their builds.
pub(super) fn build_order<'p>(packages: &'p [Package], target: &'p Package) -> Vec<&'p Package> {
    let mut ordered = Vec::new();
    visit(packages, target, &mut vec![], &mut ordered);
    ordered
}

fn visit<'p>(
    packages: &'p [Package],
    at: &'p Package,
    seen: &mut Vec<&'p str>,
    ordered: &mut Vec<&'p Package>,
) {
    if seen.contains(&at.folder.as_str()) {
        return;
    }
    seen.push(&at.folder);
    for other in packages.iter().filter(|other| other.folder != at.folder && at.depends_on(other.name())) {
        visit(packages, other, seen, ordered);
    }
    ordered.push(at);
}

/// The workspaces' folders, in order.
fn folders(tree: &Tree<'_>, root: &Package) -> Result<Vec<String>, DetectError> {
    let patterns = patterns(tree, root)?;
    let manifests = tree.paths().filter_map(|path| path.strip_suffix("/package.json"));
    let manifests = manifests.filter(|folder| !folder.split('/').any(|part| part == "node_modules"));
    Ok(manifests.filter(|folder| is_one(folder, &patterns)).map(str::to_owned).collect())
}

/// Whether a folder is one of the patterns', and none of those with a `!` before them.
fn is_one(folder: &str, patterns: &[String]) -> bool {
    let excluded =
        |pattern: &String| pattern.strip_prefix('!').is_some_and(|pattern| matches(folder, pattern));
    patterns.iter().any(|pattern| matches(folder, pattern)) && !patterns.iter().any(excluded)
}

fn patterns(tree: &Tree<'_>, root: &Package) -> Result<Vec<String>, DetectError> {
    let listed = root.get(&["workspaces"]);
    let listed = listed.and_then(|listed| listed.get("packages").or(Some(listed))).and_then(Value::as_array);
    let mut patterns: Vec<String> =
        listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    patterns.extend(of_pnpm(&tree.text(PNPM)?.unwrap_or_default()));
    for pattern in &mut patterns {
        *pattern = pattern.trim_end_matches('/').replacen("./", "", usize::from(pattern.contains("./")));
    }
    Ok(patterns)
}

/// The list below `packages:`, as people write it.
fn of_pnpm(text: &str) -> Vec<String> {
    let unquoted =
        |item: &str| item.split(" #").next().unwrap_or(item).trim().trim_matches(['"', '\'']).to_owned();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("packages:"));
    let rest = lines.next().and_then(|line| line.strip_prefix("packages:")).unwrap_or_default().trim();
    if let Some(list) = rest.strip_prefix('[') {
        return list.trim_end_matches(']').split(',').map(unquoted).filter(|item| !item.is_empty()).collect();
    }
    let items = lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    items.map_while(|line| line.strip_prefix('-')).map(|item| unquoted(item.trim())).collect()
}

/// `*` is one name or a part of it, `**` any number of folders.
fn matches(folder: &str, pattern: &str) -> bool {
    let (folder, pattern): (Vec<&str>, Vec<&str>) =
        (folder.split('/').collect(), pattern.split('/').collect());
    parts_match(&folder, &pattern)
}

fn parts_match(folder: &[&str], pattern: &[&str]) -> bool {
    match (folder, pattern) {
        ([], []) => true,
        (_, ["**", rest @ ..]) => (0..=folder.len()).any(|skipped| parts_match(&folder[skipped..], rest)),
        ([name, folder @ ..], [part, rest @ ..]) => part_matches(name, part) && parts_match(folder, rest),
        _ => false,
    }
}

fn part_matches(name: &str, part: &str) -> bool {
    match part.split_once('*') {
        None => name == part,
        Some((before, after)) => {
            let rest =
                name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after.trim_start_matches('*')));
            rest.is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_match_as_package_managers_match_them() {
        for (folder, pattern) in [
            ("packages/a", "packages/*"),
            ("a/b/c", "a/**"),
            ("apps/web", "apps/web"),
            ("libs/ui-kit", "libs/ui-*"),
        ] {
            assert!(matches(folder, pattern), "{folder} {pattern}");
        }
        for (folder, pattern) in [("packages/a/b", "packages/*"), ("b/a", "a/**"), ("apps/web2", "apps/web")]
        {
            assert!(!matches(folder, pattern), "{folder} {pattern}");
        }
        assert!(!is_one("packages/old", &["packages/*".into(), "!packages/old".into()]));
    }

    #[test]
    fn the_list_of_pnpm_ends_at_the_next_key() {
        let text =
            "packages:\n  - 'apps/*'\n  # ours\n  - libs/** # all\nonlyBuiltDependencies:\n  - esbuild\n";
        assert_eq!(of_pnpm(text), ["apps/*", "libs/**"]);
        assert_eq!(of_pnpm("packages: ['a', \"b\"]"), ["a", "b"]);
    }
}
