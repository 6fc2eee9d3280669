//! The programs of the modules: folders with a `package main` that has a `func main`.

use std::collections::BTreeMap;

use super::modules::Modules;
use crate::languages::binaries::WEB;
use crate::source::{Tree, in_folder};

/// Programs in folders of these names are not the app's own.
const ASIDE: [&str; 9] =
    ["vendor", "testdata", "example", "examples", "tools", "hack", "scripts", "test", "tests"];

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Main {
    /// What it is built as.
    pub(crate) name: String,
    /// Its folder; the root is `""`.
    pub(crate) folder: String,
    /// The file with its `func main`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Main {
    /// As the go command wants it.
    pub(crate) fn package(&self) -> String {
        if self.folder.is_empty() { ".".to_owned() } else { format!("./{}", self.folder) }
    }

    /// Whether it is built under the name that Go gives it.
    pub(crate) fn is_named_by_go(&self) -> bool {
        self.folder.rsplit('/').next() == Some(&self.name)
    }
}

/// The programs that are built, in the order of their folders.
pub(crate) fn find(tree: &Tree<'_>, modules: &Modules) -> Vec<Main> {
    let mut found: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    for path in tree.paths().filter(|path| path.ends_with(".go") && !path.ends_with("_test.go")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if found.contains_key(folder) || is_aside(folder) || !is_in(modules, tree, folder) {
            continue;
        }
        // A file that is too large to be read here is data, not a `func main`.
        if let Some(text) = tree.text(path).ok().flatten().filter(|text| is_main(text)) {
            found.insert(folder, (path, text));
        }
    }
    let is_wanted = |folder: &str| {
        let wishes = &modules.root.install;
        wishes.is_empty() || wishes.iter().any(|wish| is_matched(folder, wish))
    };
    let found = found.into_iter().filter(|(folder, _)| is_wanted(folder));
    let found: Vec<_> = found.map(|(folder, file)| (own_name(modules, folder), folder, file)).collect();
    let is_unique = |name: &str| found.iter().filter(|(other, ..)| other == name).count() == 1;
    let main = |(name, folder, (path, text)): &(String, &str, (&str, String))| Main {
        name: if is_unique(name) { name.clone() } else { long_name(folder) },
        folder: (*folder).to_owned(),
        path: (*path).to_owned(),
        text: text.clone(),
    };
    found.iter().map(main).collect()
}

/// The program that is `web`: the only one, the one in the root, the one of the module's name, or of a telling one.
pub(crate) fn web<'m>(mains: &'m [Main], modules: &Modules) -> Option<&'m Main> {
    if let [only] = mains {
        return Some(only);
    }
    let own = last_word(&modules.root.module);
    let of_name = |name: &str| mains.iter().find(|main| main.name == name);
    let in_root = mains.iter().find(|main| main.folder.is_empty());
    in_root.or_else(|| of_name(own)).or_else(|| WEB.iter().find_map(|name| of_name(name)))
}

fn is_aside(folder: &str) -> bool {
    folder.split('/').any(|part| part.starts_with(['.', '_']) || ASIDE.contains(&part))
}

/// Whether the nearest go.mod above a folder is that of a module that is built.
fn is_in(modules: &Modules, tree: &Tree<'_>, folder: &str) -> bool {
    let mut nearest = folder;
    while !nearest.is_empty() && !tree.has(&in_folder(nearest, "go.mod")) {
        nearest = nearest.rsplit_once('/').map_or("", |(above, _)| above);
    }
    modules.mains.iter().any(|module| module.folder == nearest)
}

fn is_main(text: &str) -> bool {
    let mut lines = text.lines();
    let is_ignored = |line: &str| {
        let line = line.trim_start_matches("//").trim_start();
        line.strip_prefix("go:build ")
            .or(line.strip_prefix("+build "))
            .is_some_and(|tags| tags.split_whitespace().any(|tag| tag == "ignore" || tag == "tools"))
    };
    let package = lines
        .by_ref()
        .map(str::trim)
        .take_while(|line| !is_ignored(line))
        .find(|line| line.starts_with("package "));
    let is_main = package.and_then(|line| line.split_whitespace().nth(1)) == Some("main");
    is_main && lines.any(|line| line.starts_with("func main()"))
}

/// As Go names a program: by its folder, or by its module where it lies in the root of it.
fn own_name(modules: &Modules, folder: &str) -> String {
    let module = modules.mains.iter().find(|module| module.folder == folder);
    let name = module.map_or(folder, |module| module.file.module.as_str());
    last_word(name).to_owned()
}

/// `services/billing/cmd/server` as `services-billing-server`.
fn long_name(folder: &str) -> String {
    folder.split('/').filter(|part| *part != "cmd").collect::<Vec<_>>().join("-")
}

/// `shop` of `example.com/shop/v2`.
fn last_word(path: &str) -> &str {
    let is_version = |word: &str| {
        word.strip_prefix('v')
            .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
    };
    path.rsplit('/').find(|word| !is_version(word)).unwrap_or("app")
}

/// Whether a pattern such as `./cmd/...` has a folder in it.
fn is_matched(folder: &str, pattern: &str) -> bool {
    let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
    let pattern = if pattern == "." { "" } else { pattern };
    match pattern.strip_suffix("...") {
        Some(above) => folder.is_empty() && above.is_empty() || format!("{folder}/").starts_with(above),
        None => folder == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_and_libraries_are_no_programs() {
        assert!(is_main("// Copyright\n\npackage main\n\nfunc main() {}\n"));
        assert!(!is_main("//go:build ignore\n\npackage main\n\nfunc main() {}\n"));
        assert!(!is_main("package maintenance\n\nfunc main() {}\n"));
        assert!(!is_main("package main\n\nfunc helper() {}\n"));
    }

    #[test]
    fn patterns_of_packages() {
        assert!(
            is_matched("cmd/web", "./cmd/...") && is_matched("cmd/web", "./cmd/web") && is_matched("", ".")
        );
        assert!(is_matched("cmd/web", "./...") && is_matched("", "./..."));
        assert!(!is_matched("cmdx", "./cmd/...") && !is_matched("cmd/web", "./cmd"));
    }

    #[test]
    fn a_module_is_named_without_its_version() {
        assert_eq!(last_word("example.com/shop/v2"), "shop");
        assert_eq!(last_word("shop"), "shop");
    }
}
