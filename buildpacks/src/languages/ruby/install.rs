//! Bundler.

use crate::languages::ruby::Project;
use crate::languages::ruby::lockfile::Lockfile;
use crate::recipe::{Run, Stage};

/// GEM_HOME of the official images: Bundler installs there by itself.
pub(super) const GEMS: &str = "/usr/local/bundle";
/// Where Bundler keeps downloaded gems with BUNDLE_GLOBAL_GEM_CACHE, and the extensions that it built.
const CACHE: &str = "/root/.bundle/cache";

/// Where `bundle cache` puts the archives of gems.
pub(super) const VENDORED: &str = "vendor/cache";

/// A gem, and the Debian package that it needs at run time.
const LIBRARIES: [(&str, &str); 5] = [
    ("pg", "libpq5"),
    ("mysql2", "libmariadb3"),
    ("ruby-vips", "libvips42"),
    ("rmagick", "imagemagick"),
    ("mini_magick", "imagemagick"),
];

/// Whether gems cannot be installed before the whole tree is there.
pub(super) fn needs_tree(project: &Project<'_>) -> bool {
    project.gemfile.reads_files || project.lock.folders.contains(".")
}

/// Whether the archives of gems are in the tree: once installed they are not needed.
pub(super) fn is_vendored(project: &Project<'_>) -> bool {
    project.app.tree.has_folder(VENDORED)
}

/// The layer of gems, as far as manifests and lockfile are enough for them.
pub(super) fn gems(stage: Stage, project: &Project<'_>) -> Stage {
    if needs_tree(project) {
        return stage;
    }
    let tree = project.app.tree;
    let mut files = vec!["Gemfile".to_owned(), "Gemfile.lock".to_owned()];
    files.extend(project.gemfile.ruby_file.iter().filter(|file| tree.has(file)).cloned());
    let mut stage = stage.copy_files(files);
    let folders = project.lock.folders.iter().map(String::as_str).chain([VENDORED]);
    for folder in folders.filter(|folder| tree.has_folder(folder)) {
        stage = stage.copy_folder(folder);
    }
    all(stage, project)
}

/// Installs; leaves out what only the building of extensions needs.
pub(super) fn all(stage: Stage, project: &Project<'_>) -> Stage {
    let has_file = |name: &str| project.app.tree.has(&format!("{VENDORED}/{name}"));
    let install = if project.lock.is_cached(has_file) { "bundle install --local" } else { "bundle install" };
    let clean = format!(
        "rm -rf {GEMS}/cache {GEMS}/bundler/gems/*/.git && \\\n    \
         find {GEMS} \\( -name '*.o' -o -name gem_make.out -o -name mkmf.log \\) -delete"
    );
    stage.run(Run::install([install.to_owned(), clean]).cache("bundle", CACHE))
}

pub(super) fn libraries(lock: &Lockfile) -> Vec<&'static str> {
    let mut names: Vec<&str> =
        LIBRARIES.iter().filter(|(gem, _)| lock.has(gem)).map(|(_, package)| *package).collect();
    names.dedup();
    names
}
