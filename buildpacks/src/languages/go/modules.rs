//! go.mod and go.work, as far as a build is planned with them.

use std::collections::BTreeSet;

use crate::source::{Tree, Unreadable, in_folder};

/// The modules that are built together.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// `go.work` or `go.mod`, which says the versions.
    pub(crate) root: File,
    pub(crate) root_name: &'static str,
    /// The main modules; in a workspace there may be several.
    pub(crate) mains: Vec<Module>,
    /// Folders of other modules of the tree that a `replace` points to.
    replaced: BTreeSet<String>,
}

#[derive(Debug)]
pub(crate) struct Module {
    /// Where it lies; the root is `""`.
    pub(crate) folder: String,
    pub(crate) file: File,
}

/// The lines of go.mod or go.work that matter here.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) module: String,
    pub(crate) go: Option<String>,
    pub(crate) toolchain: Option<String>,
    pub(crate) requires: Vec<String>,
    /// `// +heroku install ./cmd/...`: what Heroku builds.
    pub(crate) install: Vec<String>,
    /// `// +heroku goVersion go1.24`.
    pub(crate) heroku_version: Option<String>,
    uses: Vec<String>,
    replaced: Vec<String>,
}

impl Modules {
    /// Reads go.work, or go.mod where there is none.
    pub(crate) fn of(tree: &Tree<'_>) -> Result<Self, Unreadable> {
        let mut all = Self::default();
        if let Some(text) = tree.text("go.work")? {
            (all.root, all.root_name) = (File::parse(&text), "go.work");
            for folder in all.root.uses.iter().filter_map(|path| joined("", path)) {
                all.mains.extend(Module::read(tree, &folder)?);
            }
        } else if let Some(text) = tree.text("go.mod")? {
            (all.root, all.root_name) = (File::parse(&text), "go.mod");
            all.mains.extend(Module::read(tree, "")?);
        }
        let by_root = all.root.replaced.iter().filter_map(|path| joined("", path));
        let by_mains =
            all.mains.iter().flat_map(|main| main.file.replaced.iter().map(|path| (&main.folder, path)));
        let by_mains = by_mains.filter_map(|(folder, path)| joined(folder, path));
        let replaced = by_root.chain(by_mains).filter(|folder| tree.has(&in_folder(folder, "go.mod")));
        all.replaced = replaced.collect();
        Ok(all)
    }

    /// A folder that go.work uses and that is no module.
    pub(crate) fn missing(&self, tree: &Tree<'_>) -> Option<String> {
        let used = self.root.uses.iter().filter_map(|path| joined("", path));
        let mut used = used.filter(|folder| !tree.has(&in_folder(folder, "go.mod")));
        used.next()
    }

    /// The files that say which modules are needed: the layer of downloads depends on them alone.
    pub(crate) fn manifests(&self, tree: &Tree<'_>) -> Vec<String> {
        let folders = self.mains.iter().map(|main| main.folder.as_str());
        let folders: BTreeSet<&str> = folders.chain(self.replaced.iter().map(String::as_str)).collect();
        let in_folders =
            folders.into_iter().flat_map(|folder| ["go.mod", "go.sum"].map(|name| in_folder(folder, name)));
        let all = ["go.work", "go.work.sum"].map(str::to_owned).into_iter().chain(in_folders);
        all.filter(|path| tree.has(path) && (self.root_name == "go.work" || !path.starts_with("go.work")))
            .collect()
    }

    pub(crate) fn requires(&self) -> impl Iterator<Item = &str> {
        self.mains.iter().flat_map(|main| main.file.requires.iter().map(String::as_str))
    }

    /// A main module that requires others and lies beside no go.sum.
    pub(crate) fn without_sum(&self, tree: &Tree<'_>) -> Option<&Module> {
        let replaces = !self.replaced.is_empty();
        self.mains.iter().find(|main| {
            // What is replaced by a folder of the tree needs no sum, so one without others is no mistake.
            let is_fetched = !main.file.requires.is_empty() && !replaces;
            is_fetched && !tree.has(&in_folder(&main.folder, "go.sum")) && !tree.has("go.work.sum")
        })
    }
}

impl Module {
    fn read(tree: &Tree<'_>, folder: &str) -> Result<Option<Self>, Unreadable> {
        let text = tree.text(&in_folder(folder, "go.mod"))?;
        Ok(text.map(|text| Self { folder: folder.to_owned(), file: File::parse(&text) }))
    }
}

impl File {
    fn parse(text: &str) -> Self {
        let mut file = Self::default();
        // The verb of a block `verb ( … )` that is open.
        let mut block: Option<String> = None;
        for line in text.lines() {
            let (line, comment) = line.split_once("//").map_or((line, ""), |(line, comment)| (line, comment));
            file.take_comment(comment);
            let words: Vec<&str> =
                line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
            match (words.as_slice(), &block) {
                ([], _) => {}
                ([")"], _) => block = None,
                ([verb, "("], _) => block = Some((*verb).to_owned()),
                (words, Some(verb)) => file.take(verb, words),
                ([verb, words @ ..], None) => file.take(verb, words),
            }
        }
        file
    }

    fn take(&mut self, verb: &str, words: &[&str]) {
        let Some(first) = words.first().map(|word| (*word).to_owned()) else { return };
        match verb {
            "module" => self.module = first,
            "go" => self.go = Some(first),
            "toolchain" => self.toolchain = Some(first),
            "require" => self.requires.push(first),
            "use" => self.uses.push(first),
            "replace" => {
                let by = words.iter().skip_while(|word| **word != "=>").nth(1);
                self.replaced.extend(by.filter(|by| by.starts_with('.')).map(|by| (*by).to_owned()));
            }
            _ => {}
        }
    }

    fn take_comment(&mut self, comment: &str) {
        let words: Vec<&str> = comment.split_whitespace().collect();
        match words.as_slice() {
            ["+heroku", "install", packages @ ..] => {
                self.install = packages.iter().map(|package| (*package).to_owned()).collect();
            }
            ["+heroku", "goVersion", version, ..] => self.heroku_version = Some((*version).to_owned()),
            _ => {}
        }
    }
}

/// `relative` seen from `folder`; `None` if that is out of the tree.
fn joined(folder: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lines_and_comments_are_read() {
        let file = File::parse(
            "// +heroku install ./cmd/...\nmodule example.com/shop/v2\n\ngo 1.24.0\ntoolchain go1.25.1 // newer\nrequire (\n\
             \tgithub.com/a/b v1.0.0 // indirect\n)\nrequire \"github.com/c/d\" v0.1.0\nreplace github.com/c/d => ../d\n\
             replace (\n\tx v1 => ./x\n\ty => github.com/z/y v1\n)\n",
        );
        assert_eq!(file.module, "example.com/shop/v2");
        assert_eq!((file.go.as_deref(), file.toolchain.as_deref()), (Some("1.24.0"), Some("go1.25.1")));
        assert_eq!(file.requires, ["github.com/a/b", "github.com/c/d"]);
        assert_eq!(file.replaced, ["../d", "./x"]);
        assert_eq!(file.install, ["./cmd/..."]);
    }

    #[test]
    fn folders_out_of_the_tree_are_none() {
        assert_eq!(joined("a/b", "../c/./d").as_deref(), Some("a/c/d"));
        assert_eq!(joined("a", "../.."), None);
        assert_eq!(joined("", ".").as_deref(), Some(""));
    }
}
