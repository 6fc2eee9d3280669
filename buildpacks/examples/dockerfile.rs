//! Prints the Dockerfile that a folder would be built with: `cargo run -p slipway-buildpacks --example dockerfile -- FOLDER`.
//!
//! Further words: `--bases FILE` for a list of base images, `--ca` for an extra CA, `--scope NAME` for the cache mounts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use slipway_buildpacks::{Bases, Choice, Files, Plan, Settings, Source as _, Writing, plan};

fn main() -> anyhow::Result<()> {
    let (mut folder, mut bases, mut extra_ca, mut scope) = (None, Bases::default(), false, "app".to_owned());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bases" => {
                let list = words.next().context("--bases needs a file")?;
                bases = bases.with_list(&std::fs::read_to_string(list)?)?;
            }
            "--scope" => scope = words.next().context("--scope needs a name")?,
            "--ca" => extra_ca = true,
            _ => folder = Some(PathBuf::from(word)),
        }
    }
    let folder = folder.context("which folder?")?;
    let mut files = Files::default();
    read(&folder, "", &mut files)?;
    let text = files.read("Procfile")?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let procfile: BTreeMap<String, String> =
        lines.map(|(name, command)| (name.trim().to_owned(), command.trim().to_owned())).collect();
    match plan(&files, Settings::default(), &Choice::of(&files)?, &procfile, &bases)? {
        Plan::Recipe(recipe) => {
            for note in &recipe.notes {
                eprintln!("note: {note}");
            }
            for (name, command) in &recipe.processes {
                eprintln!("{name}: {command}");
            }
            print!("{}", recipe.dockerfile(Writing { cache_scope: &scope, extra_ca }));
        }
        Plan::Dockerfile { path } => bail!("it brings its own: {path}"),
        Plan::Builder { image } => bail!("it asks for the builder {image}"),
    }
    Ok(())
}

fn read(folder: &Path, prefix: &str, files: &mut Files) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("a name that is no UTF-8")?;
        let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
        if kind.is_dir() && name != ".git" {
            read(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            files.add(path, std::fs::read(entry.path())?, executable);
        }
    }
    Ok(())
}
