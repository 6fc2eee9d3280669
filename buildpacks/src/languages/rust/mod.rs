//! Rust: packages and workspaces, each program a binary in /app/bin.

mod error;
mod manifest;
mod needs;
mod packages;
mod programs;
mod version;

use crate::error::DetectError;
use crate::languages::{App, Buildpack, Made, binaries, port};
use crate::recipe::{Run, Stage};
use error::RustError;
use manifest::Manifest;
use packages::Member;
use programs::Program;
use version::Toolchain;

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "rust",
    language: "Rust",
    aliases: &["cargo", "rustup"],
    looks_for: "Cargo.toml",
    files: &["Cargo.toml"],
    detect,
    plan,
};

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    Ok(app.tree.has("Cargo.toml").then(|| "Cargo.toml".to_owned()))
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let root = Manifest::read(app.tree, "")?.unwrap_or_default();
    let toolchain = version::choose(app, &root)?;
    let patterns = root.workspace.as_ref().map(|workspace| workspace.members.join(", ")).unwrap_or_default();
    let members = packages::find(app.tree, root)?;
    if members.is_empty() {
        let members = if patterns.is_empty() { "none are named".to_owned() } else { patterns };
        return Err(DetectError::language(RustError::NoPackage { members }));
    }
    let programs = programs::find(app.tree, &members);
    if programs.is_empty() {
        let looked_at = members.iter().map(Member::name).collect::<Vec<_>>().join(", ");
        return Err(DetectError::language(RustError::NoProgram { looked_at }));
    }
    let web = programs::web(&programs, &members).map(|program| program.name.as_str());
    let names = || programs.iter().map(|program| program.name.as_str());
    let mut processes = binaries::processes(app, "Rust", web, names())?;
    needs::with_frameworks(&mut processes, &members, &programs);
    let mut notes = notes(app, &toolchain, &programs)?;
    notes.extend(binaries::unknown(app, names()));
    let stages = vec![build(app, &toolchain, &members, &programs), binaries::run(app, is_source)];
    Ok(Made { version: Some(toolchain.version), package_manager: Some("Cargo"), stages, processes, notes })
}

fn notes(app: &App<'_>, toolchain: &Toolchain, programs: &[Program]) -> Result<Vec<String>, DetectError> {
    let mut notes = Vec::new();
    if !app.tree.has("Cargo.lock") {
        notes.push(
            "there is no Cargo.lock, so each build may take other versions of the dependencies. Commit it: \
             cargo generate-lockfile && git add --force Cargo.lock"
                .to_owned(),
        );
    }
    if let Some(file) = toolchain.fetched {
        notes.push(format!(
            "there is no base image of the toolchain in {file}: the build downloads it with rustup"
        ));
    }
    for program in programs {
        notes.extend(port::ignored(&program.path, &app.tree.text(&program.path)?.unwrap_or_default()));
    }
    notes.extend(needs::notes(app));
    Ok(notes)
}

fn build(app: &App<'_>, toolchain: &Toolchain, members: &[Member], programs: &[Program]) -> Stage {
    let image = app.bases.image(&format!("rust:{}", toolchain.version.series));
    let mut stage = Stage::new("build", image).env([("CARGO_TARGET_DIR", "/target")]);
    stage = match toolchain.fetched {
        Some(file) => stage.copy_files([file]).run(Run::install(["rustup show", "cargo --version"])),
        // Whatever patch and components a toolchain file names: the image's toolchain is of its version.
        None if app.tree.first_of(&["rust-toolchain", "rust-toolchain.toml"]).is_some() => {
            stage.env([("RUSTUP_TOOLCHAIN", "$RUST_VERSION")])
        }
        None => stage,
    };
    let compile = Run::build(commands(app, members, programs))
        .cache("cargo-registry", "/usr/local/cargo/registry")
        .cache("cargo-git", "/usr/local/cargo/git")
        .exclusive_cache("rust-target", "/target");
    stage
        .copy_all()
        .comment(
            "Dependencies stay compiled in /target. Cargo goes by times, and those of the tree say nothing",
        )
        .comment("of what was built last, so the app's own code is always compiled.")
        .run(compile)
}

fn commands(app: &App<'_>, members: &[Member], programs: &[Program]) -> Vec<String> {
    let mut words = vec!["cargo build --release".to_owned()];
    if app.tree.has("Cargo.lock") {
        words.push("--locked".to_owned());
    }
    let is_alone = matches!(members, [only] if only.folder.is_empty());
    if !is_alone {
        let with_programs = members.iter().map(Member::name);
        let with_programs =
            with_programs.filter(|name| programs.iter().any(|program| program.package == *name));
        words.extend(with_programs.map(|name| format!("--package {name}")));
    }
    words.push("--bins".to_owned());
    let files: Vec<String> =
        programs.iter().map(|program| format!("/target/release/{}", program.name)).collect();
    vec![
        "find . -type f -exec touch {} +".to_owned(),
        words.join(" "),
        "mkdir /out".to_owned(),
        format!("cp {} /out/", files.join(" ")),
    ]
}

/// What is compiled in, or only says how.
fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let settings = [
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain",
        "rust-toolchain.toml",
        "rustfmt.toml",
        "clippy.toml",
        "deny.toml",
    ];
    name.ends_with(".rs") || settings.contains(&name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/rust/fixtures");
    }
}
