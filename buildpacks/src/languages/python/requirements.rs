//! requirements.txt, as far as it says which files of the tree it needs and what it asks for.

use std::collections::BTreeSet;

use crate::error::DetectError;
use crate::languages::python::error::PythonError;
use crate::source::Tree;

#[derive(Default)]
pub(super) struct Requirements {
    /// requirements.txt and what it includes.
    pub(super) files: BTreeSet<String>,
    /// Folders and archives of the tree that it installs from.
    pub(super) folders: BTreeSet<String>,
    /// Whether it installs the tree itself.
    pub(super) installs_own: bool,
    /// Normalised, each with its extras as `name[extra]` too.
    pub(super) names: BTreeSet<String>,
}

const FILE: &str = "requirements.txt";

impl Requirements {
    pub(super) fn read(tree: &Tree<'_>) -> Result<Option<Self>, DetectError> {
        if !tree.has(FILE) {
            return Ok(None);
        }
        let mut all = Self::default();
        all.add_file(tree, FILE)?;
        Ok(Some(all))
    }

    fn add_file(&mut self, tree: &Tree<'_>, path: &str) -> Result<(), DetectError> {
        if !self.files.insert(path.to_owned()) {
            return Ok(());
        }
        let text = tree.text(path)?.unwrap_or_default().replace("\\\n", " ");
        for line in text.lines().map(without_comment).filter(|line| !line.is_empty()) {
            if let Some(included) = option(line, &["-r", "--requirement", "-c", "--constraint"]) {
                // pip fetches those itself.
                if included.contains("://") {
                    continue;
                }
                let folder = path.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
                let included = joined(folder, included);
                if !tree.has(&included) {
                    return Err(PythonError::IncludedMissing { from: path.to_owned(), path: included }.into());
                }
                self.add_file(tree, &included)?;
            } else if let Some(folder) = option(line, &["-e", "--editable", "-f", "--find-links"]) {
                self.add_local(tree, folder);
            } else if !line.starts_with('-') {
                self.names.extend(name_and_extras(line));
                self.add_local(tree, line.rsplit_once(" @ ").map_or(line, |(_, place)| place));
            }
        }
        Ok(())
    }

    /// Takes note of a folder or an archive of the tree; anything else is a name or an address.
    fn add_local(&mut self, tree: &Tree<'_>, place: &str) {
        let place = place.trim().trim_start_matches("file:");
        let place = place.split(['[', ';', ' ']).next().unwrap_or(place);
        let path = joined("", place);
        if path.is_empty() && place.starts_with('.') {
            self.installs_own = true;
        } else if tree.has_folder(&path) || path.contains('.') && tree.has(&path) {
            self.folders.insert(path);
        }
    }
}

fn without_comment(line: &str) -> &str {
    let line = line.split(" #").next().unwrap_or(line).trim();
    if line.starts_with('#') { "" } else { line }
}

/// The value of one of the options `names`, written as `-r x`, `-rx` or `--requirement=x`.
fn option<'l>(line: &'l str, names: &[&str]) -> Option<&'l str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let is_long = name.starts_with("--");
        let value = rest.trim_start_matches([' ', '=', '\t']);
        (!is_long || value.len() < rest.len()).then_some(value.trim())
    })
}

/// A path of the tree: `./a/../b` in the folder `c` is `c/b`.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `Uvicorn[standard] >= 0.3` as `uvicorn` and `uvicorn[standard]`.
pub(super) fn name_and_extras(requirement: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let text = requirement.trim();
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let name = text[..end].to_ascii_lowercase().replace(['_', '.'], "-");
    if name.is_empty() {
        return Vec::new();
    }
    let inner = text[end..].trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let extras = inner.map(|(extras, _)| extras).unwrap_or_default();
    let extras = extras.split(',').map(str::trim).filter(|extra| !extra.is_empty());
    let mut all: Vec<String> = extras.map(|extra| format!("{name}[{extra}]")).collect();
    all.push(name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_read_as_its_name_and_extras() {
        assert_eq!(
            name_and_extras("Uvicorn[standard, x]>=0.3"),
            ["uvicorn[standard]", "uvicorn[x]", "uvicorn"]
        );
        assert_eq!(name_and_extras("zope.interface ; python_version<'4'"), ["zope-interface"]);
    }
}
