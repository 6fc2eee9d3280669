//! The programs of the packages: `src/main.rs`, `src/bin/` and `[[bin]]`.

use super::manifest::Bin;
use super::packages::Member;
use crate::languages::binaries::WEB;
use crate::source::Tree;

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// The package that it is of.
    pub(crate) package: String,
    /// The file with its `main`.
    pub(crate) path: String,
}

/// The programs that are built.
pub(crate) fn find(tree: &Tree<'_>, members: &[Member]) -> Vec<Program> {
    members.iter().flat_map(|member| of(tree, member)).collect()
}

fn of(tree: &Tree<'_>, member: &Member) -> Vec<Program> {
    let is_auto = member.manifest.package.as_ref().and_then(|package| package.autobins) != Some(false);
    let named: Vec<(String, String)> =
        member.manifest.bins.iter().map(|bin| (bin.name.clone(), path_of(tree, member, bin))).collect();
    let auto = if is_auto { by_place(tree, member) } else { Vec::new() };
    let is_left_out = |name: &str, path: &str| {
        let bin =
            member.manifest.bins.iter().zip(&named).find(|(bin, (_, own))| bin.name == name || own == path);
        bin.is_some_and(|(bin, _)| !has_features(member, bin))
    };
    let auto = auto
        .into_iter()
        .filter(|(name, path)| !named.iter().any(|(other, own)| other == name || own == path));
    let all: Vec<(String, String)> = named.iter().cloned().chain(auto).collect();
    let package = member.name().to_owned();
    let kept = all.into_iter().filter(|(name, path)| !is_left_out(name, path));
    kept.map(|(name, path)| Program { name, package: package.clone(), path }).collect()
}

/// Programs that Cargo finds by where they lie.
fn by_place(tree: &Tree<'_>, member: &Member) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let main = member.path("src/main.rs");
    if tree.has(&main) {
        found.push((member.name().to_owned(), main));
    }
    let prefix = member.path("src/bin/");
    for path in tree.paths() {
        let Some(rest) = path.strip_prefix(&prefix) else { continue };
        let name = rest.strip_suffix("/main.rs").or(rest.strip_suffix(".rs"));
        found.extend(name.filter(|name| !name.contains('/')).map(|name| (name.to_owned(), path.to_owned())));
    }
    found
}

fn path_of(tree: &Tree<'_>, member: &Member, bin: &Bin) -> String {
    if let Some(path) = &bin.path {
        return member.path(path);
    }
    let own = [format!("src/bin/{}.rs", bin.name), format!("src/bin/{}/main.rs", bin.name)];
    let own = own.into_iter().map(|path| member.path(&path)).find(|path| tree.has(path));
    own.unwrap_or_else(|| member.path("src/main.rs"))
}

/// Whether what a program requires is on without being asked for: else Cargo leaves the program out.
fn has_features(member: &Member, bin: &Bin) -> bool {
    let default = member.manifest.features.get("default");
    bin.required_features.iter().all(|feature| default.is_some_and(|default| default.contains(feature)))
}

/// The program that is `web`: the only one, `default-run`, that of the root's name, or that of a telling name.
pub(crate) fn web<'p>(programs: &'p [Program], members: &[Member]) -> Option<&'p Program> {
    if let [only] = programs {
        return Some(only);
    }
    let of_name = |name: &str| programs.iter().find(|program| program.name == name);
    let packages = members.iter().filter_map(|member| member.manifest.package.as_ref());
    let by_wish = packages.filter_map(|package| package.default_run.as_deref()).find_map(of_name);
    let root = members.iter().find(|member| member.folder.is_empty());
    let of_root = || root.and_then(|root| of_name(root.name()));
    by_wish.or_else(of_root).or_else(|| WEB.iter().find_map(|name| of_name(name)))
}
