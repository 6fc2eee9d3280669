//! Yarn 2 and later, with node_modules or with Plug'n'Play.

use super::{Manager, Wanted};
use crate::error::DetectError;
use crate::recipe::Run;
use crate::source::Tree;

const SETTINGS: &str = ".yarnrc.yml";
const CACHE: &str = "/root/.yarn/berry";

/// The program that the tree brings, by `yarnPath`.
pub(super) fn program(tree: &Tree<'_>) -> Result<Option<String>, DetectError> {
    let path = setting(tree, SETTINGS, "yarnPath")?;
    Ok(path.filter(|path| tree.has(path) && !path.contains([' ', '\'', '"', '$', ';'])))
}

pub(super) fn is_plug_and_play(tree: &Tree<'_>) -> Result<bool, DetectError> {
    Ok(setting(tree, SETTINGS, "nodeLinker")?.is_none_or(|linker| linker == "pnp"))
}

/// The form of yarn.lock, if it is one of berry's.
pub(super) fn lockfile_form(tree: &Tree<'_>) -> Result<Option<u32>, DetectError> {
    if !tree.mentions("yarn.lock", "__metadata:")? {
        return Ok(None);
    }
    Ok(setting(tree, "yarn.lock", "  version")?.and_then(|version| version.parse().ok()).or(Some(0)))
}

/// The major version that writes this form.
pub(super) fn version_of(form: Option<u32>) -> &'static str {
    match form {
        Some(0..=4) => "2",
        Some(5..=7) => "3",
        _ => "4",
    }
}

/// Whether the version, or the program by its name, knows `workspaces focus`.
pub(super) fn can_focus(tree: &Tree<'_>, version: &str) -> bool {
    let version = version.rsplit_once("yarn-").map_or(version, |(_, version)| version);
    let is_older = version.starts_with(['2', '3']);
    !is_older || tree.has(".yarn/plugins/@yarnpkg/plugin-workspace-tools.cjs")
}

pub(super) fn install(manager: &Manager, plug_and_play: bool, wanted: Wanted) -> Run {
    let yarn = yarn(manager);
    let immutable = if manager.lockfile.is_some() { " --immutable" } else { " --no-immutable" };
    let command = match wanted {
        Wanted::All => format!("{yarn} install{immutable}"),
        Wanted::Production => format!("{yarn} workspaces focus --all --production"),
    };
    // Packages that run from their archives must be in the image; else they stay in the cache mount.
    Run::install([
        format!("export YARN_ENABLE_TELEMETRY=0 YARN_ENABLE_GLOBAL_CACHE={}", !plug_and_play),
        command,
    ])
    .cache("yarn-berry", CACHE)
}

pub(super) fn prune(manager: &Manager) -> Run {
    let plug_and_play = matches!(manager.kind, super::Kind::Berry { plug_and_play: true });
    let mut run = install(manager, plug_and_play, Wanted::Production);
    if plug_and_play {
        // It leaves archives that nothing needs any more; those that are needed come from the cache mount again.
        run.commands.insert(0, "rm -rf .yarn/cache .yarn/unplugged".to_owned());
    }
    run
}

fn yarn(manager: &Manager) -> String {
    manager.program.as_ref().map_or("yarn".to_owned(), |program| format!("node {program}"))
}

/// The value of a line `key: value`; enough of YAML for the settings that are read here.
fn setting(tree: &Tree<'_>, file: &str, key: &str) -> Result<Option<String>, DetectError> {
    let text = tree.text(file)?.unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    Ok(value.map(|value| value.trim().trim_matches(['"', '\'']).trim_start_matches("./").to_owned()))
}
