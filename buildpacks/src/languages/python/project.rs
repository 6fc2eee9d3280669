//! What the files of a Python project say, whoever manages it.

use std::collections::BTreeSet;

use crate::error::DetectError;
use crate::languages::App;
use crate::languages::python::requirements::{Requirements, name_and_extras};
use crate::source::{Tree, Unreadable};

pub(super) struct Project<'a> {
    pub(super) app: &'a App<'a>,
    pyproject: toml::Table,
    pipfile: toml::Table,
    pub(super) requirements: Option<Requirements>,
}

/// Tools that manage projects; the rest of `[tool]` is about linters and the like.
const TOOLS: [&str; 6] = ["poetry", "pdm", "uv", "hatch", "flit", "setuptools"];

/// Whether pyproject.toml describes a project: some hold the settings of linters alone.
pub(super) fn is_project(tree: &Tree<'_>) -> Result<bool, Unreadable> {
    let table = tree.toml::<toml::Table>("pyproject.toml")?.unwrap_or_default();
    let tool = |name: &str| at(&table, &["tool", name]).is_some();
    Ok(table.contains_key("project")
        || table.contains_key("build-system")
        || TOOLS.iter().any(|name| tool(name)))
}

impl<'a> Project<'a> {
    pub(super) fn read(app: &'a App<'a>) -> Result<Self, DetectError> {
        Ok(Self {
            app,
            pyproject: app.tree.toml("pyproject.toml")?.unwrap_or_default(),
            pipfile: app.tree.toml("Pipfile")?.unwrap_or_default(),
            requirements: Requirements::read(app.tree)?,
        })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.app.tree.has(path)
    }

    pub(super) fn pyproject(&self, keys: &[&str]) -> Option<&toml::Value> {
        at(&self.pyproject, keys)
    }

    pub(super) fn pyproject_text(&self, keys: &[&str]) -> Option<&str> {
        self.pyproject(keys)?.as_str()
    }

    pub(super) fn pipfile_text(&self, keys: &[&str]) -> Option<&str> {
        at(&self.pipfile, keys)?.as_str()
    }

    /// The name that the project gives itself.
    pub(super) fn name(&self) -> Option<&str> {
        self.pyproject_text(&["project", "name"]).or_else(|| self.pyproject_text(&["tool", "poetry", "name"]))
    }

    /// Folders of the tree that dependencies are installed from, outside of requirements.txt.
    pub(super) fn path_dependencies(&self) -> Vec<String> {
        let tables = [
            self.pyproject(&["tool", "poetry"]),
            self.pyproject(&["tool", "uv", "sources"]),
            at(&self.pipfile, &["packages"]),
        ];
        let mut found = BTreeSet::new();
        for value in tables.into_iter().flatten() {
            collect_paths(value, &mut found);
        }
        let listed = self.pyproject(&["project", "dependencies"]).and_then(toml::Value::as_array);
        let root = "file:///${PROJECT_ROOT}/";
        let texts = listed.into_iter().flatten().filter_map(toml::Value::as_str);
        found.extend(texts.filter_map(|text| Some(text.split_once(root)?.1.trim().to_owned())));
        let paths = found.iter().map(|path| path.trim_start_matches("./").trim_end_matches('/').to_owned());
        paths.filter(|path| self.app.tree.has_folder(path) || self.has(path)).collect()
    }

    /// The names of what the app asks for itself, normalised, each with its extras as `name[extra]` too.
    pub(super) fn dependencies(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let listed = self.pyproject(&["project", "dependencies"]).and_then(toml::Value::as_array);
        for text in listed.into_iter().flatten().filter_map(toml::Value::as_str) {
            names.extend(name_and_extras(text));
        }
        let poetry = self.pyproject(&["tool", "poetry", "dependencies"]).and_then(toml::Value::as_table);
        let pipfile = at(&self.pipfile, &["packages"]).and_then(toml::Value::as_table);
        for (name, value) in poetry.into_iter().chain(pipfile).flatten() {
            let extras = value.get("extras").and_then(toml::Value::as_array);
            let extras: Vec<&str> = extras.into_iter().flatten().filter_map(toml::Value::as_str).collect();
            names.extend(name_and_extras(&format!("{name}[{}]", extras.join(","))));
        }
        names.extend(self.requirements.iter().flat_map(|requirements| requirements.names.iter().cloned()));
        names
    }
}

/// The value that lies below `keys`.
fn at<'t>(table: &'t toml::Table, keys: &[&str]) -> Option<&'t toml::Value> {
    let (last, before) = keys.split_last()?;
    before.iter().try_fold(table, |table, key| table.get(*key)?.as_table())?.get(*last)
}

fn collect_paths(value: &toml::Value, found: &mut BTreeSet<String>) {
    for (key, value) in value.as_table().into_iter().flatten() {
        match value.as_str() {
            Some(path) if key == "path" && path != "." => drop(found.insert(path.to_owned())),
            _ => collect_paths(value, found),
        }
    }
}
