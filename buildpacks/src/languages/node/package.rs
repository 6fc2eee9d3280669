//! package.json, read leniently: what has another type than it should have counts as not there.

use serde_json::{Map, Value};

use crate::error::DetectError;
use crate::source::{Tree, in_folder};

/// What npm runs by itself while it installs.
const LIFECYCLE: [&str; 4] = ["preinstall", "install", "postinstall", "prepare"];

/// Commands of lifecycle scripts that read nothing of the tree but the folder named here.
const KNOWN: [(&str, &str); 7] = [
    ("husky", ""),
    ("lefthook install", ""),
    ("simple-git-hooks", ""),
    ("only-allow", ""),
    ("patch-package", "patches"),
    ("prisma generate", "prisma"),
    ("is-ci", ""),
];

/// Programs whose packages have other names.
const PROGRAMS: [(&str, &str); 4] = [
    ("tsc", "typescript"),
    ("nest", "@nestjs/cli"),
    ("babel-node", "@babel/node"),
    ("remix-serve", "@remix-run/serve"),
];

/// A package.json.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// The folder it lies in; the root is `""`.
    pub(crate) folder: String,
    value: Value,
}

impl Package {
    /// The package.json of `folder`.
    pub(crate) fn of(tree: &Tree<'_>, folder: &str) -> Result<Option<Self>, DetectError> {
        let value = tree.json::<Value>(&in_folder(folder, "package.json"))?;
        Ok(value.map(|value| Self { folder: folder.to_owned(), value }))
    }

    /// The text at `keys`, one inside the other.
    pub(crate) fn text(&self, keys: &[&str]) -> Option<&str> {
        self.get(keys)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub(crate) fn get(&self, keys: &[&str]) -> Option<&Value> {
        keys.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    pub(crate) fn script(&self, name: &str) -> Option<&str> {
        self.text(&["scripts", name])
    }

    pub(crate) fn name(&self) -> &str {
        self.text(&["name"]).unwrap_or(&self.folder)
    }

    /// Heroku's own name for it goes before `build`, as there.
    pub(crate) fn build_script(&self) -> Option<&'static str> {
        ["heroku-postbuild", "build"].into_iter().find(|name| self.script(name).is_some())
    }

    fn packages(&self, key: &str) -> Option<&Map<String, Value>> {
        self.get(&[key])?.as_object()
    }

    pub(crate) fn has_dev_dependencies(&self) -> bool {
        self.packages("devDependencies").is_some_and(|all| !all.is_empty())
    }

    /// Name and wanted version of all that it depends on.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = (&str, &str)> {
        let keys = ["dependencies", "devDependencies", "optionalDependencies"];
        let all = keys.into_iter().filter_map(|key| self.packages(key)).flatten();
        all.filter_map(|(name, wanted)| Some((name.as_str(), wanted.as_str()?)))
    }

    /// Whether a word of a command names a dev dependency, or a file of one.
    pub(crate) fn has_dev_dependency(&self, word: &str) -> bool {
        let name =
            PROGRAMS.iter().find(|(program, _)| *program == word).map_or(word, |(_, package)| *package);
        let is = |package: &str| {
            name == package || name.strip_prefix(package).is_some_and(|rest| rest.starts_with('/'))
        };
        let is_other = self.packages("dependencies").is_some_and(|all| all.keys().any(|package| is(package)));
        !is_other && self.packages("devDependencies").is_some_and(|all| all.keys().any(|package| is(package)))
    }

    pub(crate) fn depends_on(&self, name: &str) -> bool {
        self.dependencies().any(|(found, _)| found == name)
    }

    /// Whether its database client is a program in Rust that is bound to OpenSSL, as Prisma's is before version 7.
    pub(crate) fn needs_openssl(&self) -> bool {
        let wanted =
            self.dependencies().find(|(name, _)| *name == "@prisma/client").map(|(_, wanted)| wanted);
        let major = wanted.map(|wanted| wanted.trim_start_matches(['^', '~', '=', '>', 'v', ' ']));
        let major = major.and_then(|wanted| wanted.split(['.', ' ']).next()?.parse::<u32>().ok());
        wanted.is_some() && major.is_none_or(|major| major < 7)
    }

    fn lifecycle(&self) -> impl Iterator<Item = &str> {
        LIFECYCLE.into_iter().filter_map(|name| self.script(name))
    }

    /// Whether installing runs scripts of the package itself; what they run may be a dev dependency.
    pub(crate) fn has_lifecycle_scripts(&self) -> bool {
        self.lifecycle().next().is_some()
    }

    /// Whether installing needs more than the manifests: a script of the package's own that we do not know, or a package
    /// in a folder of the tree.
    pub(crate) fn installs_from_tree(&self) -> bool {
        let is_known = |script: &str| KNOWN.iter().any(|(command, _)| script.contains(command));
        let is_folder = |wanted: &str| wanted.starts_with("file:") || wanted.starts_with("link:");
        self.lifecycle().any(|script| !is_known(script))
            || self.dependencies().any(|(_, wanted)| is_folder(wanted))
    }

    /// Folders that known lifecycle scripts read.
    pub(crate) fn lifecycle_folders(&self) -> impl Iterator<Item = &'static str> {
        let reads = |command: &str| self.lifecycle().any(|script| script.contains(command));
        KNOWN
            .iter()
            .filter(move |(command, _)| reads(command))
            .map(|(_, folder)| *folder)
            .filter(|folder| !folder.is_empty())
    }
}
