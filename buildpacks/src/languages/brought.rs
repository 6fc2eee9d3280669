//! What a compiled program may read where it runs: the files of the tree that are not compiled into it.

use crate::languages::App;
use crate::recipe::Stage;

/// Files that no program reads, in any folder.
const NEVER: [&str; 9] =
    ["LICENSE", "LICENCE", "COPYING", "NOTICE", "Makefile", "Justfile", "justfile", "CODEOWNERS", ".gitkeep"];
/// Files in the root that are for building and for people.
const IN_ROOT: [&str; 8] = [
    "Procfile",
    "Aptfile",
    "app.json",
    "project.toml",
    "renovate.json",
    "docker-compose.yml",
    "compose.yml",
    "system.properties",
];
/// Folders in the root that are for those who work on the app.
const FOLDERS: [&str; 4] = ["docs", "test", "tests", "examples"];

/// Files and folders of the root.
pub(crate) struct Brought {
    files: Vec<String>,
    folders: Vec<String>,
}

/// What lies in the root and holds a file that is not source.
pub(crate) fn of(app: &App<'_>, is_source: fn(&str) -> bool) -> Brought {
    let mut brought = Brought { files: Vec::new(), folders: Vec::new() };
    let ignored = ignored(app);
    for path in app.tree.paths().filter(|path| !is_source(path) && !is_never(path)) {
        let (top, is_folder) = path.split_once('/').map_or((path, false), |(top, _)| (top, true));
        if top.starts_with('.') || ignored.iter().any(|name| name == top) {
            continue;
        }
        let (into, left_out) =
            if is_folder { (&mut brought.folders, &FOLDERS[..]) } else { (&mut brought.files, &IN_ROOT[..]) };
        if into.last().map(String::as_str) != Some(top) && !left_out.contains(&top) {
            into.push(top.to_owned());
        }
    }
    brought
}

impl Brought {
    /// The stage with them copied in, a layer for each folder.
    pub(crate) fn copied(self, mut stage: Stage) -> Stage {
        if !self.files.is_empty() || !self.folders.is_empty() {
            stage = stage.comment("What the program may read where it runs.");
        }
        if !self.files.is_empty() {
            stage = stage.copy_files(self.files);
        }
        self.folders.iter().fold(stage, |stage, folder| stage.copy_folder(folder))
    }
}

fn is_never(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with(".md") || NEVER.contains(&name.split('.').next().unwrap_or(name)) || NEVER.contains(&name)
}

/// Names in the root that .dockerignore keeps from the build: a COPY of them would fail.
fn ignored(app: &App<'_>) -> Vec<String> {
    let text = app.tree.text(".dockerignore").ok().flatten().unwrap_or_default();
    let lines = text.lines().map(|line| line.trim().trim_matches('/'));
    lines.map(|line| line.trim_end_matches("/**").to_owned()).collect()
}
