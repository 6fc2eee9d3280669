//! Go: modules and workspaces, each program a binary in /app/bin.

mod cgo;
mod error;
mod mains;
mod modules;
mod version;

use std::collections::BTreeMap;

use crate::error::DetectError;
use crate::languages::{App, Buildpack, Made, binaries, port};
use crate::recipe::{Run, Stage};
use crate::source::in_folder;
use error::GoError;
use mains::Main;
use modules::Modules;

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "go",
    language: "Go",
    aliases: &["golang", "go-build"],
    looks_for: "go.mod, go.work",
    files: &["go.mod", "go.work"],
    detect,
    plan,
};

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    if let Some(found) = app.tree.first_of(&["go.work", "go.mod"]) {
        return Ok(Some(found.to_owned()));
    }
    // Other languages have a stray Go file, too.
    if binaries::has_files_of_others(app, "go") {
        return Ok(None);
    }
    if let Some(found) =
        app.tree.first_of(&["Gopkg.toml", "glide.yaml", "Godeps/Godeps.json", "vendor/vendor.json"])
    {
        return Err(DetectError::language(GoError::OldManager { found }));
    }
    match app.tree.in_folder("").find(|name| name.ends_with(".go")) {
        Some(found) => {
            Err(DetectError::language(GoError::NoModule { found: found.to_owned(), folder: "app" }))
        }
        None => Ok(None),
    }
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let modules = Modules::of(app.tree)?;
    check(app, &modules).map_err(DetectError::language)?;
    let (version, newer) = version::choose(app, &modules)?;
    let mains = mains::find(app.tree, &modules);
    if mains.is_empty() {
        return Err(DetectError::language(no_main(&modules)));
    }
    let processes = processes(app, &modules, &mains)?;
    let mut notes: Vec<String> = newer.into_iter().collect();
    notes.extend(mains.iter().filter_map(|main| port::ignored(&main.path, &main.text)));
    notes.extend(binaries::unknown(app, mains.iter().map(|main| main.name.as_str())));
    let image = app.bases.image(&format!("golang:{}", version.series));
    let stages = vec![build(app, &modules, &mains, image), binaries::run(app, is_source)];
    Ok(Made { version: Some(version), package_manager: Some("Go modules"), stages, processes, notes })
}

fn check(app: &App<'_>, modules: &Modules) -> Result<(), GoError> {
    if let Some(folder) = modules.missing(app.tree) {
        return Err(GoError::NoModuleInFolder { folder });
    }
    if is_vendored(app) {
        return Ok(());
    }
    match modules.without_sum(app.tree) {
        None => Ok(()),
        Some(module) => {
            let sum = in_folder(&module.folder, "go.sum");
            let change =
                if module.folder.is_empty() { String::new() } else { format!("cd {} && ", module.folder) };
            let command = format!("{change}go mod tidy && git add go.sum");
            Err(GoError::NoSum { manifest: in_folder(&module.folder, "go.mod"), sum, command })
        }
    }
}

fn no_main(modules: &Modules) -> GoError {
    let wishes = modules.root.install.join(" ");
    let where_ = if wishes.is_empty() {
        String::new()
    } else {
        format!(" in `{wishes}`, which go.mod's `+heroku install` names")
    };
    GoError::NoMain { where_ }
}

/// Each program is a process type of its name, and one of them is `web`.
fn processes(
    app: &App<'_>,
    modules: &Modules,
    mains: &[Main],
) -> Result<BTreeMap<String, String>, DetectError> {
    let web = mains::web(mains, modules).map(|main| main.name.as_str());
    binaries::processes(app, "Go", web, mains.iter().map(|main| main.name.as_str()))
}

fn is_vendored(app: &App<'_>) -> bool {
    app.tree.has("vendor/modules.txt")
}

fn build(app: &App<'_>, modules: &Modules, mains: &[Main], image: String) -> Stage {
    let mut stage = Stage::new("build", image)
        // `auto`: a newer Go than the image's is fetched if go.mod asks for it.
        .env([("GOTOOLCHAIN", "auto"), ("GOMODCACHE", "/go/pkg/mod"), ("GOCACHE", "/root/.cache/go-build")]);
    if !is_vendored(app) {
        let download = Run::install(["go mod download"]).cache("go-modules", "/go/pkg/mod");
        stage = stage.copy_files(modules.manifests(app.tree)).run(download);
    }
    let needs_cgo = cgo::needed_by(app.tree, modules);
    let comment = match &needs_cgo {
        Some(by) => {
            format!("With cgo, for {by}. Time zones are built in, since the image that runs has none.")
        }
        None => {
            "Static, without cgo. Time zones are built in, since the image that runs has none.".to_owned()
        }
    };
    let compile = Run::build(commands(mains, needs_cgo.is_some()))
        .cache("go-modules", "/go/pkg/mod")
        .cache("go-build", "/root/.cache/go-build");
    stage
        .copy_all()
        .comment(comment)
        .comment("CGO_ENABLED and GOFLAGS may be set in the config vars.")
        .run(compile)
}

fn commands(mains: &[Main], needs_cgo: bool) -> Vec<String> {
    let cgo = u8::from(needs_cgo);
    let settings = format!(
        "export CGO_ENABLED=${{CGO_ENABLED:-{cgo}}} GOFLAGS=\"${{GOFLAGS:--tags=timetzdata -ldflags=-s}}\""
    );
    let (plain, renamed): (Vec<&Main>, Vec<&Main>) = mains.iter().partition(|main| main.is_named_by_go());
    let packages: Vec<String> = plain.into_iter().map(Main::package).collect();
    let together =
        (!packages.is_empty()).then(|| format!("go build -trimpath -o /out/ {}", packages.join(" ")));
    let apart = renamed
        .into_iter()
        .map(|main| format!("go build -trimpath -o /out/{} {}", main.name, main.package()));
    std::iter::once(settings).chain(together).chain(apart).collect()
}

/// What is compiled in, or only says how.
fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("vendor/")
        || path.contains("/testdata/")
        || matches!(name, "go.mod" | "go.sum" | "go.work" | "go.work.sum")
        || [".go", ".s", ".c", ".h", ".tmpl.go"].iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/go/fixtures");
    }
}
