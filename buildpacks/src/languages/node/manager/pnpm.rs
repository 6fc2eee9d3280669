//! pnpm.

use super::Wanted;
use crate::error::DetectError;
use crate::recipe::Run;
use crate::source::Tree;

const CACHE: &str = "/root/.local/share/pnpm/store";

/// The version that writes the lockfile's form.
pub(super) fn version(tree: &Tree<'_>) -> Result<Option<String>, DetectError> {
    let text = tree.text("pnpm-lock.yaml")?.unwrap_or_default();
    let form = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:"));
    let form = form.map(|form| form.trim().trim_matches(['\'', '"'])).unwrap_or_default();
    let version = match form.split('.').next() {
        Some("5") if form == "5.4" => "7",
        Some("5") => "6",
        Some("6") => "8",
        _ => "10",
    };
    Ok(Some(version.to_owned()))
}

pub(super) fn install(locked: bool, wanted: Wanted) -> Run {
    let locked = if locked { "--frozen-lockfile" } else { "--no-frozen-lockfile" };
    let production = wanted == Wanted::Production;
    run(format!("pnpm install {locked} --prod={production}"))
}

/// Without an age at which packages that nobody needs any more go, they stay for a week.
pub(super) fn prune() -> Run {
    run("pnpm install --frozen-lockfile --prod --prefer-offline --ignore-scripts --config.modules-cache-max-age=0"
        .to_owned())
}

/// With CI set it replaces node_modules without asking.
fn run(command: String) -> Run {
    Run::install([format!("CI=true {command} --store-dir {CACHE}")]).cache("pnpm", CACHE)
}
